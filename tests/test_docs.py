"""What the documentation shows is what the code takes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import get_args

import yaml

from data_contracts.contract import Check
from tasks.model_spec import manage
from tasks.settings import Settings
from tests.sample_contract import sample_contract

ROOT = Path(__file__).parent.parent


def test_own_model_example_is_accepted_as_it_stands(tmp_path):
    """The two YAML files of docs/your-own-model.md, copied out, make a model under management."""
    contract, spec = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "your-own-model.md").read_text("utf-8"), re.DOTALL
    )
    (tmp_path / "data_contracts").mkdir()
    (tmp_path / "data_contracts" / "orders.odcs.yaml").write_text(contract, encoding="utf-8")
    (tmp_path / "deployments" / "returns").mkdir(parents=True)
    (tmp_path / "deployments" / "returns" / "model.yaml").write_text(spec, encoding="utf-8")

    managed = manage("returns", Settings(home=tmp_path / "home", project=tmp_path))

    assert managed.spec.target == "returned"
    assert [column.name for column in managed.contract.feature_columns] == ["country", "amount"]


def test_every_source_example_is_accepted_as_it_stands(tmp_path):
    """Each server of docs/sources.md makes a contract that can be read from."""
    examples = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "sources.md").read_text("utf-8"), re.DOTALL
    )

    servers = [
        sample_contract(
            tmp_path, lambda d, text=text: d.update(servers=yaml.safe_load(text))
        ).server
        for text in examples
    ]

    assert [server.type for server in servers] == [
        *["local"] * 3,
        "s3",
        "custom",
        "azure",
        "postgresql",
        "duckdb",
        "custom",
    ]


def test_every_example_of_labels_is_accepted_as_it_stands(tmp_path):
    """The two forms of docs/labels.md fit the bookings, whose outcomes stand in a contract of their
    own or in theirs.
    """
    alone, joined = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "labels.md").read_text("utf-8"), re.DOTALL
    )
    project = tmp_path / "project"
    shutil.copytree(ROOT / "tests" / "projects" / "bookings", project)
    file, rows = (
        project / "deployments/bookings/model.yaml",
        project / "data_contracts/bookings.odcs.yaml",
    )
    spec = yaml.safe_load(file.read_text("utf-8"))

    file.write_text(yaml.safe_dump(spec | yaml.safe_load(joined)), "utf-8")
    second = manage("bookings", Settings(home=tmp_path / "home", project=project))
    document = yaml.safe_load(rows.read_text("utf-8"))
    later = [{"property": "availability", "value": "later"}]
    column = {"name": "cancelled", "logicalType": "boolean", "customProperties": later}
    document["schema"][0]["properties"].append(column)
    rows.write_text(yaml.safe_dump(document), "utf-8")
    file.write_text(yaml.safe_dump(spec | yaml.safe_load(alone)), "utf-8")
    first = manage("bookings", Settings(home=tmp_path / "home", project=project))

    assert second.labels is not None
    assert second.labels.every == "day"
    assert first.labels is None
    assert first.spec.labels.delay == second.spec.labels.delay


def test_every_path_that_the_readme_names_is_there():
    """The map of the house leads to rooms that exist."""
    text = (ROOT / "README.md").read_text("utf-8")

    named = set(
        re.findall(
            r"`((?:tasks|flows|deployments|data_contracts|tests|docs|benchmarks)/[\w./-]*)`", text
        )
    )
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_check_stands_in_the_table_of_contracts():
    """docs/contracts.md says of each check what it costs a row and a batch, and names no other."""
    text = (ROOT / "docs" / "contracts.md").read_text("utf-8")

    rows = re.findall(r"^\|[^|]+\| `(\w+)` \|[^|]+\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)

    assert sorted(check for check, _, _ in rows) == sorted(get_args(Check))
    assert [check for check, row, batch in rows if not (row + batch).strip()] == []


def test_every_command_of_the_runbook_exists():
    """Each ``kingmaker X`` in docs/operations.md is a command, each ``make X`` a target."""
    from typer.main import get_command

    from deployments.command.cli import app

    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    commands = set(
        re.findall(
            r"kingmaker ([a-z]+(?:-[a-z]+)*)",
            " ".join(re.findall(r"`[^`]+`|```.*?```", text, re.DOTALL)),
        )
    )
    targets = set(
        re.findall(
            r"^([a-z.][\w./-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
        )
    )

    assert commands - {"type"} <= set(get_command(app).commands)  # type: ignore[attr-defined]  # a group
    assert {"up", "deploy", "prune", "rotate-secrets", "rollback"} <= commands
    assert set(re.findall(r"`make ([^`]+)`", text)) <= targets
