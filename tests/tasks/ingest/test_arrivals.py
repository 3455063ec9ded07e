"""Tests of opening a source: the contract's path decides which kind it is."""

import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_contracts.contract import ContractError
from tasks.ingest.arrivals import SourceBatch, closed_batches, open_source
from tasks.ingest.by_batch import FilesByBatch
from tasks.ingest.growing import GrowingFiles
from tasks.ingest.source import SourceError
from tasks.ingest.task import ingest
from tasks.model_spec import ManagedModel, manage
from tasks.settings import Settings
from tests.sample_contract import BATCH, DAY, Document, sample_contract

SPEC = """\
model: sales
contract: sales
problem: regression
target: amount
batch: {every: day}
metric: mae
training: {candidates: [{estimator: sklearn.linear_model.Ridge}]}
"""


def managed_sales(
    directory: Path, change: Callable[[Document], object] = lambda document: None
) -> ManagedModel:
    """A model of the sample contract, changed by ``change``, in a project of its own."""
    project = directory / "project"
    sample_contract(project / "data_contracts", change)
    (project / "deployments" / "sales").mkdir(parents=True, exist_ok=True)
    (project / "deployments" / "sales" / "model.yaml").write_text(SPEC, encoding="utf-8")
    return manage("sales", Settings(home=directory / "home", project=project))


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("${KINGMAKER_HOME}/in/{batch}.csv", FilesByBatch, "home/in/{batch}.csv"),
        ("in/{batch}/*.csv", FilesByBatch, "project/in/{batch}/*.csv"),
        ("in/all.csv", GrowingFiles, "project/in/all.csv"),
        ("in/*/*.csv", GrowingFiles, "project/in/*/*.csv"),
    ],
)
def test_kinds_of_files(tmp_path: Path, path: str, kind: type, name: str) -> None:
    """With {batch} files are named by period, without it they grow; a relative path counts from the
    project.
    """
    source = open_source(managed_sales(tmp_path, lambda d: d["servers"][0].update(path=path)).rows)

    assert isinstance(source, kind)
    assert source.name == str(tmp_path / name)


@pytest.mark.parametrize("path", ["{batch}-{batch}.csv", "in/**/{batch}.csv", ""])
def test_bad_patterns_are_refused(tmp_path: Path, path: str) -> None:
    """A path that cannot be a source is refused with the contract's file."""
    managed = managed_sales(tmp_path, lambda d: d["servers"][0].update(path=path))

    with pytest.raises(SourceError, match=r"sales\.odcs\.yaml: servers\.0\.path: expected"):
        open_source(managed.rows)


def test_closed_batches(tmp_path: Path) -> None:
    """A batch is given once it has ended, the oldest first."""
    managed = managed_sales(tmp_path)
    directory = tmp_path / "home" / "in"
    directory.mkdir(parents=True)
    for day in ("2013-05-18", "2013-05-17", "2013-05-19"):
        (directory / f"{day}.csv").write_text("id\n1\n")

    found = closed_batches(managed.rows, datetime(2013, 5, 19, 4, tzinfo=UTC))

    assert [item.batch.id for item in found] == ["2013-05-17", "2013-05-18"]


def look_and_read(managed: ManagedModel) -> None:
    """Look at the source, and read the sample day."""
    open_source(managed.rows).batches()
    open_source(managed.rows).read(BATCH).table()


@pytest.mark.parametrize("name", ["{batch}.csv", "{batch}/*.csv", "all.csv"])
def test_environment_is_in_no_error_and_no_manifest(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment filled in is shown as the variable that it came from, wherever a person
    or a file is told.
    """
    share = tmp_path / "c4nary"
    monkeypatch.setenv("SHARE", str(share))
    managed = managed_sales(tmp_path, lambda d: d["servers"][0].update(path="${SHARE}/" + name))
    file = share / name.replace("{batch}", DAY).replace("*", "a")
    told = []
    for content in (None, b"", b"sold_at,id\n2013-05-17T12:00:00Z,1\n\xff\n"):
        if content is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with pytest.raises(SourceError, match=r"\$\{SHARE\}") as caught:
            look_and_read(managed)
        told += traceback.format_exception(caught.value)
    file.write_bytes(b"sold_at,id\n2013-05-17T12:00:00Z,1\n")

    snapshot = ingest.fn(managed.rows, SourceBatch(BATCH, "x"))

    assert snapshot.source == "${SHARE}/" + name.replace("{batch}", DAY)
    written = [path.read_text() for path in managed.settings.lake.rglob("*.json")]
    assert written
    assert "c4nary" not in "".join([*told, *written, snapshot.model_dump_json()])


def test_look_at_an_unchanged_growing_file_is_cheap(tmp_path: Path) -> None:
    """With the index in the lake, looking loads neither pandas nor pyarrow nor Prefect."""
    managed = managed_sales(tmp_path, lambda d: d["servers"][0].update(path="all.csv"))
    (tmp_path / "project" / "all.csv").write_text("sold_at,id\n2013-05-17T12:00:00Z,1\n")
    assert list(open_source(managed.rows).batches()) == [DAY]
    look = (
        "import sys; from pathlib import Path; from tasks.model_spec import manage; from"
        " tasks.settings import Settings; from tasks.ingest.arrivals import open_source; m ="
        f" manage('sales', Settings(home=Path({str(tmp_path / 'home')!r}),"
        f" project=Path({str(tmp_path / 'project')!r})));"
        " print(list(open_source(m.rows).batches()),"
        " [n for n in ('pandas', 'pyarrow', 'prefect') if n in sys.modules])"
    )

    told = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    ).stdout

    assert told.split() == [f"['{DAY}']", "[]"]


def test_environment_chooses_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KINGMAKER_SERVER says where to read from when a contract has servers for test and
    production.
    """
    servers = [
        {
            "server": name,
            "environment": name,
            "type": "local",
            "path": f"{name}/{{batch}}.csv",
            "format": "csv",
        }
        for name in ("test", "prod")
    ]
    with pytest.raises(
        ContractError, match=r"KINGMAKER_SERVER to name one of \['test \(test\)', 'prod \(prod\)'\]"
    ):
        managed_sales(tmp_path, lambda d: d.update(servers=servers))

    monkeypatch.setenv("KINGMAKER_SERVER", "prod")

    assert open_source(
        managed_sales(tmp_path, lambda d: d.update(servers=servers)).rows
    ).name.endswith("prod/{batch}.csv")
