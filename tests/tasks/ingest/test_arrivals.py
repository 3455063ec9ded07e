"""Tests of opening a source: the contract's path decides which kind it is."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.ingest.arrivals import closed_batches, open_source
from tasks.ingest.by_batch import FilesByBatch
from tasks.ingest.growing import GrowingFiles
from tasks.ingest.source import SourceError
from tasks.model_spec import ManagedModel, manage
from tasks.settings import Settings
from tests.sample_contract import Document, sample_contract

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
    """With {batch} files are named by period, without it they grow; a relative path counts from the project."""
    source = open_source(managed_sales(tmp_path, lambda d: d["servers"][0].update(path=path)))

    assert isinstance(source, kind)
    assert source.name == str(tmp_path / name)


@pytest.mark.parametrize("path", ["{batch}-{batch}.csv", "in/**/{batch}.csv", ""])
def test_bad_patterns_are_refused(tmp_path: Path, path: str) -> None:
    """A path that cannot be a source is refused with the contract's file."""
    managed = managed_sales(tmp_path, lambda d: d["servers"][0].update(path=path))

    with pytest.raises(SourceError, match=r"sales\.odcs\.yaml: servers\.0\.path: expected"):
        open_source(managed)


def test_closed_batches(tmp_path: Path) -> None:
    """A batch is given once it has ended, the oldest first."""
    managed = managed_sales(tmp_path)
    directory = tmp_path / "home" / "in"
    directory.mkdir(parents=True)
    for day in ("2013-05-18", "2013-05-17", "2013-05-19"):
        (directory / f"{day}.csv").write_text("id\n1\n")

    found = closed_batches(managed, datetime(2013, 5, 19, 4, tzinfo=UTC))

    assert [item.batch.id for item in found] == ["2013-05-17", "2013-05-18"]
