"""Drafts from a file that was never seen before: they load, and they run as they are."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.command.new_model import draft_model
from flows.replay import replay
from tasks.configuration import ConfigurationError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.settings import Settings
from tests.conftest import run_flow


def history(file: Path, answer: object = None, hours: int = 24 * 60) -> Path:
    """Two months of hours, with a number, a shop, and an answer that depends on the number."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["when", "shop", "heat", "sold"])
        for hour in range(hours):
            heat = (hour * 37 % 100) / 10
            value = answer(heat, hour) if callable(answer) else round(3 * heat + hour % 5, 2)
            when = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
            writer.writerow([when.isoformat(), "north" if hour % 3 else "south", heat, value])
    return file


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "regression"),
        (lambda heat, hour: int(heat > 5), "binary"),
        (lambda heat, hour: str(heat > 5).lower(), "binary"),
        (lambda heat, hour: "abc"[hour % 3], "multiclass"),
    ],
)
def test_draft_loads_and_guesses_the_problem(tmp_path, answer, problem):
    """Both files pass the checks of any other project; the target is never a feature."""
    draft_model(tmp_path, "shop", history(tmp_path / "shop.csv", answer), "sold", "when")

    managed = manage("shop", Settings(home=tmp_path / "home", project=tmp_path))

    assert managed.spec.problem == problem
    assert _schema_of(tmp_path / "deployments" / "shop" / "model.yaml").is_file()
    assert managed.contract.event_time == "when"
    assert [column.name for column in managed.contract.feature_columns] == ["shop", "heat"]


def _schema_of(spec):
    """The file that an editor is told to complete and check ``spec`` by."""
    first = spec.read_text(encoding="utf-8").splitlines()[0]
    return spec.parent / first.removeprefix("# yaml-language-server: $schema=")


def test_period_gives_enough_rows_a_batch(tmp_path):
    """Sixty days of 24 rows are cut in weeks: days would hold too few rows."""
    draft_model(tmp_path, "shop", history(tmp_path / "shop.csv"), "sold", "when")

    spec = manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).spec
    assert spec.batch.every == "week"
    assert spec.training.first == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "solt"}, "did you mean 'sold'"),
        ({"time": "wen"}, "did you mean 'when'"),
        ({"target": "when"}, "numbers"),
    ],
)
def test_wrong_column_is_named_and_nothing_is_written(tmp_path, change, message):
    """A column that is not there is answered with the nearest one, and leaves no file behind."""
    given = {"target": "sold", "time": "when"} | change

    with pytest.raises(ConfigurationError, match=message):
        draft_model(
            tmp_path, "shop", history(tmp_path / "shop.csv"), given["target"], given["time"]
        )

    assert not (tmp_path / "deployments").exists()
    assert not (tmp_path / "data_contracts").exists()


def test_existing_files_are_never_overwritten(tmp_path):
    """A second draft of the same name is refused."""
    source = history(tmp_path / "shop.csv")
    draft_model(tmp_path, "shop", source, "sold", "when")

    with pytest.raises(ConfigurationError, match="none yet"):
        draft_model(tmp_path, "shop", source, "sold", "when")


@pytest.mark.flow
def test_draft_is_replayed_as_it_stands(use_home, tmp_path):
    """From one file and one command to a champion, without a line of Python."""
    draft_model(tmp_path, "shop", history(tmp_path / "shop.csv", hours=24 * 50), "sold", "when")
    settings = use_home(tmp_path / "home", tmp_path)

    batches = run_flow(replay("shop"))

    entries = ledger.history(open_ledger(settings.ledger_url), "shop")
    assert batches == 8
    assert ledger.champion_changes(entries)[0].decision.version == 1
    assert all(
        r.accepted for r in ledger.known_batches(open_ledger(settings.ledger_url), "shop").values()
    )
