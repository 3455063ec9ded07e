"""What the documentation shows is what the code takes."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jsonschema
import open_data_contract_standard.model as odcs
import pytest
import yaml
from pydantic import BaseModel

from data_contracts.contract import Check, ContractError, LogicalType
from docs.generate import contract as contract_schema
from docs.generate import model_spec
from docs.generate.__main__ import stale
from tasks.model_spec import ModelSpec, manage
from tasks.presets import PRESETS
from tasks.settings import Settings
from tasks.training.config import Candidate
from tasks.training.pipeline import check_candidates
from tests.sample_contract import sample_contract

ROOT = Path(__file__).parent.parent
TOP = ("data_contracts", "tasks", "flows", "deployments", "tests", "benchmarks", "docs")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PACKAGES = [
    *("tests", "tests/bad_data", "tests/crash"),
    *sorted(
        str(file.parent.relative_to(ROOT))
        for top in ("data_contracts", "tasks", "flows", "deployments", "benchmarks")
        for file in (ROOT / top).rglob("__init__.py")
    ),
]
PROJECTS = [ROOT, *(ROOT / "tests" / "projects").iterdir()]
SPECS = sorted(file for at in PROJECTS for file in at.glob("deployments/*/model.yaml"))
CONTRACTS = sorted(file for at in PROJECTS for file in at.glob("data_contracts/*.odcs.yaml"))
SHORT = {
    "model": "returns",
    "contract": "orders",
    "problem": "binary",
    "target": "returned",
    "batch": {"every": "month"},
}


def test_own_model_example_is_accepted_as_it_stands(tmp_path):
    """The two YAML files of docs/your-own-model.md, copied out, make a model under management."""
    contract, spec = _yaml("docs/your-own-model.md")

    managed = manage("returns", _project(tmp_path, contract, spec))

    assert managed.spec.target == "returned"
    assert [column.name for column in managed.contract.feature_columns] == ["country", "amount"]


def test_every_source_example_is_accepted_as_it_stands(tmp_path):
    """Each server of docs/sources.md makes a contract that can be read from."""
    examples = _yaml("docs/sources.md")

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
        "postgresql",
        "api",
    ]


def test_every_example_of_labels_is_accepted_as_it_stands(tmp_path):
    """The two forms of docs/labels.md fit the bookings, whose outcomes stand in a contract of their
    own or in theirs.
    """
    alone, joined = _yaml("docs/labels.md")
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


def test_the_readme_fits_a_screen_or_two():
    """At most 100 lines of at most 120 characters."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()

    assert len(lines) <= 100
    assert [line for line in lines if len(line) > 120] == []


def test_the_readmes_five_lines_are_a_complete_spec(tmp_path):
    """The README's YAML, beside the contract of docs/your-own-model.md, makes a model."""
    (spec,) = _yaml("README.md")
    contract, _ = _yaml("docs/your-own-model.md")
    settings = _project(tmp_path, contract, spec)

    assert len(spec.splitlines()) == 5
    assert len(manage("returns", settings).spec.training.candidates) == 2


def test_the_spec_of_the_presets_page_is_complete(tmp_path):
    """So is the one of docs/presets.md, in eight lines and the comment for editors."""
    (spec,) = _yaml("docs/presets.md")
    contract, _ = _yaml("docs/your-own-model.md")

    managed = manage("returns", _project(tmp_path, contract, spec))

    assert len(spec.splitlines()) == 9
    assert managed.spec.approval.required


def test_the_table_of_presets_says_what_they_set():
    """docs/presets.md has a line for each key that a preset sets, with the values in force."""
    text = (ROOT / "docs" / "presets.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \| (\S+) \| (\S+) \|", text, re.MULTILINE)
    (spec,) = _yaml("docs/presets.md")
    given = yaml.safe_load(spec)

    expected = {
        (key, *(_shown(_spec(given | {"preset": preset}), key) for preset in PRESETS))
        for key in {path for preset in PRESETS.values() for path in _paths(preset)}
    }

    assert set(rows) == expected


def _spec(given):
    return ModelSpec.model_validate(given).model_dump(mode="json")


def _paths(keys, above=""):
    for key, value in keys.items():
        path = f"{above}.{key}" if above else key
        yield from _paths(value, path) if isinstance(value, dict) else [path]


def _shown(spec, path):
    for key in path.split("."):
        spec = spec[key]
    return json.dumps(spec)


def _yaml(page):
    return re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def _project(directory, contract, spec):
    """The settings of a project with the contract ``orders`` and the model ``returns``."""
    (directory / "data_contracts").mkdir()
    (directory / "data_contracts" / "orders.odcs.yaml").write_text(contract, encoding="utf-8")
    (directory / "deployments" / "returns").mkdir(parents=True)
    (directory / "deployments" / "returns" / "model.yaml").write_text(spec, encoding="utf-8")
    return Settings(home=directory / "home", project=directory)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page):
    """What stands in code style and looks like a path of ours leads to a file or a directory."""
    named = set(re.findall(rf"`((?:{'|'.join(TOP)})/[\w./-]*)`", page.read_text("utf-8")))

    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_internal_link_leads_somewhere(page):
    """A link is to a page, a picture or a heading that is there, or to an address."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)

    assert broken == []


def _anchors(page):
    """The names of a page's headings in its addresses, and those that are given."""
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings}
    return {slug.replace(" ", "-") for slug in slugs} | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("room", ["", "data_contracts", "tasks", "flows", "deployments", "tests"])
def test_pages_and_code_use_the_fields_words(room):
    """The name of the product is the only metaphor, in names of the code too."""
    own = re.compile(
        r"(?<![a-z])(mandate|reign|crown|throne|coronation|panel|newcomer|dethron)", re.IGNORECASE
    )
    files = [file for file in (ROOT / room).rglob("*.*") if file.suffix in (".py", ".md", ".yaml")]
    texts = {file: file.read_text("utf-8") for file in (files if room else PAGES)}

    found = {file for file, text in texts.items() if own.search(text)}

    assert texts
    assert found <= {Path(__file__)}


def test_the_reference_is_what_the_code_gives():
    """After a change of a key or a command: make reference."""
    assert stale() == []


def test_every_key_of_a_spec_is_described():
    """Each key has a docstring, which an editor shows and the page prints."""
    schema = model_spec.schema()
    mappings = [schema, *schema["$defs"].values()]
    mappings += [option for one in mappings for option in one.get("anyOf", ())]

    keys = [(key, part) for one in mappings for key, part in one.get("properties", {}).items()]

    assert len(keys) > 110
    assert [key for key, part in keys if not part.get("description")] == []


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.parent.name)
def test_the_schema_takes_our_specs(file):
    """What an editor would mark in a spec that is valid is a mistake of the schema."""
    spec = yaml.safe_load(file.read_text("utf-8"))

    jsonschema.validate(spec, model_spec.schema())


@pytest.mark.parametrize(
    "change",
    [
        {"retrain": "never"},
        {"ensemble": "single"},
        {"approval": {"within": "7d"}},
        {"labels": {"delay": "0d"}},
        {"preset": "eager"},
    ],
)
def test_the_schema_takes_short_forms(change):
    """One word in place of a mapping, and durations as people write them."""
    jsonschema.validate(SHORT | change, model_spec.schema())


@pytest.mark.parametrize(
    "change",
    [
        {"retrain": "nevr"},
        {"retrain": {"evry": 2}},
        {"labels": {"delay": "soon"}},
        {"metric": ""},
        {"training": {"candidates": []}},
        {"batch": {}},
        {"preset": "bold"},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(change):
    """The schema and the types agree on what is wrong."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SHORT | change, model_spec.schema())
    with pytest.raises(ValueError, match="validation error"):
        ModelSpec.model_validate(SHORT | change)


@pytest.mark.parametrize("file", CONTRACTS, ids=lambda file: file.name)
def test_the_schema_takes_our_contracts(file):
    """Each contract here fits the schema of the keys that are read."""
    contract = yaml.safe_load(file.read_text("utf-8"))

    jsonschema.validate(contract, contract_schema.schema())


def test_the_schema_of_contracts_refuses_what_cannot_be_kept():
    """A custom property that is unknown, or without its values, is marked by the editor too."""
    whole = yaml.safe_load((ROOT / "data_contracts" / "flights.odcs.yaml").read_text("utf-8"))
    column = whole["schema"][0]["properties"][0]
    column["customProperties"] = [{"property": "availability", "value": "sometimes"}]

    with pytest.raises(jsonschema.ValidationError, match="sometimes"):
        jsonschema.validate(whole, contract_schema.schema())


def test_every_key_that_is_read_of_a_contract_is_in_the_reference():
    """What the compiler looks at in the standard's documents has a line on the page."""
    kinds = [kind for kind in vars(odcs).values() if isinstance(kind, type)]
    of_the_standard = {
        name for kind in kinds if issubclass(kind, BaseModel) for name in kind.model_fields
    }
    read = {
        node.attr
        for module in ("compiler", "quality", "servers")
        for node in ast.walk(ast.parse((ROOT / f"data_contracts/{module}.py").read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    page = set(re.findall(r"^\| `(\w+)` \|", contract_schema.page(), re.MULTILINE))

    # ``items`` is a mapping's method there, and ``schema_`` the parser's name of ``schema``.
    assert {name.rstrip("_") for name in read & of_the_standard} - {"items"} <= page


@pytest.mark.parametrize(
    "server",
    [
        {"type": "local", "path": "x.csv", "format": "csv"},
        {"type": "s3", "location": "s3://x/y.json", "format": "json"},
        {"type": "custom"},
        {"type": "postgresql", "host": "h", "port": 5432, "database": "d", "schema": "s"},
        {"type": "duckdb", "database": "d.db"},
    ],
)
def test_every_custom_property_of_a_server_is_in_the_reference(tmp_path, server):
    """Those that the loader takes, as it names them when it refuses another one."""
    unknown = {"server": "till", "customProperties": [{"property": "?", "value": 1}]} | server

    with pytest.raises(ContractError) as refusal:
        sample_contract(tmp_path, lambda d: d.update(servers=[unknown]))

    assert _expected(refusal) <= set(contract_schema.SERVER_PROPERTIES)


@pytest.mark.parametrize("kind", get_args(LogicalType))
def test_every_custom_property_of_a_column_is_in_the_reference(tmp_path, kind):
    """The same for each type of a column."""
    custom = [{"property": "?", "value": 1}]
    column = {"name": "more", "logicalType": kind, "customProperties": custom}

    with pytest.raises(ContractError) as refusal:
        sample_contract(tmp_path, lambda d: d["schema"][0]["properties"].append(column))

    assert _expected(refusal) <= set(contract_schema.COLUMN_PROPERTIES)


def _expected(refusal):
    """The names that a refusal offers."""
    names = re.search(r"expected one of (\[.*?\]), once", str(refusal.value))
    assert names is not None
    return set(ast.literal_eval(names[1]))


def test_every_variable_of_ours_is_in_the_reference():
    """docs/reference/environment.md names each KINGMAKER_ variable of the code, and no other."""
    files = [*ROOT.glob("Makefile"), *(ROOT / ".ci").iterdir()]
    for top in ("data_contracts", "tasks", "flows", "deployments", "tests"):
        files += [file for file in (ROOT / top).rglob("*.*") if file.suffix in (".py", ".yaml")]
    used = {
        name
        for file in files
        if file != Path(__file__)
        for name in re.findall(r"\bKINGMAKER_[A-Z_]*[A-Z]\b", file.read_text("utf-8"))
    }
    page = (ROOT / "docs/reference/environment.md").read_text("utf-8")

    assert set(re.findall(r"^\| `(KINGMAKER_\w+)`", page, re.MULTILINE)) == used


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_where_to_change_what(package):
    """The docstring of each package of the source names files that are there."""
    text = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text("utf-8"))) or ""
    named = re.findall(r"(?<![`*\w./])[\w/-]+(?:\.odcs)?\.(?:py|yaml|json)\b", text)
    here = (ROOT / package, ROOT)

    assert "Where do I go to change" in text
    assert [name for name in named if not any((at / name).exists() for at in here)] == []


def test_the_site_asks_for_no_outside_address(tmp_path):
    """mkdocs builds every page, strictly, and none loads anything from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True, timeout=120
    )
    pages = sorted(tmp_path.rglob("*.html"))

    loaded = {
        address
        for page in pages
        for tag in re.findall(r"<(?:script|img|link|iframe)\b[^>]*>", page.read_text("utf-8"))
        for address in re.findall(r'(?:src|href)="?((?:https?:)?//[^" >]*)', tag)
    }
    styles = "".join(file.read_text("utf-8") for file in tmp_path.rglob("*.css"))

    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    assert loaded == set()
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles) == []
    assert (tmp_path / "search" / "search_index.js").is_file()


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


def test_candidates_of_the_docs_are_accepted(tmp_path):
    """Every list of candidates in docs/estimators.md passes the check, of one problem or the
    other.
    """
    for block in _yaml("docs/estimators.md"):
        for one in yaml.safe_load(block):
            candidate = Candidate.model_validate(one)
            problem = "regression" if "Regressor" in candidate.estimator else "binary"

            check_candidates(tmp_path / "model.yaml", (candidate,), problem)
