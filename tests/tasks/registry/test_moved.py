"""Tests of a home that was moved or copied, on a real MLflow store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.records import TrainedModel
from tasks.registry.aliases import fetch
from tasks.registry.moved import follow_home
from tasks.registry.runs import client, log_training
from tasks.settings import Settings
from tests.tasks.builders import OPEN
from tests.tasks.registry.conftest import training


@pytest.mark.parametrize("bring", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_a_version_is_read_and_another_written_where_the_home_is_now(
    settings: Settings, trained: TrainedModel, tmp_path: Path, bring
) -> None:
    """Nothing of the new home is in the old place: a copy leaves that alone."""
    bring(settings.home, tmp_path / "elsewhere")
    moved = Settings(home=tmp_path / "elsewhere")
    shutil.rmtree(moved.models, ignore_errors=True)
    before = sorted(settings.home.rglob("*"))

    loaded = fetch(moved, trained, "skops")
    second = log_training(moved, training(C=2.0), OPEN)

    assert loaded.trained == trained
    api = client(moved.tracking_uri)
    for version in (trained, second):
        run = api.get_run(version.run_id)
        assert run.info.artifact_uri.startswith(f"{moved.artifacts}/flights/")
        assert api.list_artifacts(version.run_id)
    assert sorted(settings.home.rglob("*")) == before


def test_what_did_not_come_with_the_home_stays(
    settings: Settings, trained: TrainedModel, tmp_path: Path
) -> None:
    """Artifacts that the new home has not are looked for where they were."""
    store = f"sqlite:///{settings.home}/mlflow.db"
    elsewhere = tmp_path / "other" / "artifacts"

    assert follow_home(store, elsewhere) == ()
    (elsewhere / "flights").mkdir(parents=True)
    assert follow_home(store, elsewhere) == (str(settings.artifacts),)
    assert follow_home(store, elsewhere) == (), "once"


def test_a_store_without_tables_is_left_to_mlflow(tmp_path: Path) -> None:
    """Of a home that is new."""
    assert follow_home(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts") == ()
