"""Tests of deployments/flights/planted.py: what is delivered wrong, and what is told of it."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from deployments.flights import planted
from deployments.flights.extract import MONTHS
from deployments.flights.planted import BROKEN, CARELESS, CELSIUS
from tasks.batches import batch_named
from tasks.carried import project_sha256
from tasks.history import in_order
from tasks.model_spec import manage
from tasks.records import Hold, Promote, Refusal, Reject, Relation, RollBack
from tasks.settings import REPOSITORY, Settings
from tests.tasks.builders import entry
from tests.tasks.reports.conftest import a_drift, a_feature, a_record, a_verdict, still

CONTRACT = manage("flights", Settings(project=REPOSITORY)).contract


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home that the warehouse has delivered the year to, but for the two months that come
    wrong.
    """
    source = tmp_path / "sources" / "flights"
    source.mkdir(parents=True)
    (source / "planted.txt").touch()
    for month in MONTHS:
        if month not in (BROKEN, CELSIUS):
            (source / f"{month}.csv.gz").touch()
    return Settings(home=tmp_path)


def delivered(settings: Settings, month: str) -> pd.DataFrame:
    """The rows of a month's file."""
    file = settings.home / "sources" / "flights" / f"{month}.csv.gz"
    return pd.read_csv(file, low_memory=False)


def test_two_months_come_wrong_and_say_so(settings):
    """One lacks a column, one has a temperature in another unit; the declaration lies beside."""
    written = planted.deliver(settings)
    again = planted.deliver(settings)

    broken, celsius = delivered(settings, BROKEN), delivered(settings, CELSIUS)
    note = settings.home / "sources" / "flights" / "planted.txt"
    assert (written, again) == (2, 0)
    assert "distance" in CONTRACT.column_names
    assert "distance" not in broken
    assert list(celsius) == [*CONTRACT.column_names]
    assert -10 < celsius["temp"].median() < 10
    assert 20 < celsius["dewp"].median() < 40, "in °F, as before"
    assert note.read_text(encoding="utf-8") == f"{planted.DECLARED}\n"


def test_a_home_is_begun_with_what_is_planted_or_without(settings):
    """The year is not delivered half so and half so."""
    with pytest.raises(planted.OtherDemoError, match=r"begun with what is planted.* demo --plain"):
        planted.deliver(settings, plain=True)

    (settings.home / "sources" / "flights" / "planted.txt").unlink()
    with pytest.raises(planted.OtherDemoError, match="begun with --plain"):
        planted.deliver(settings)


def test_careless_spec_is_in_force_for_its_training_alone(tmp_path, monkeypatch):
    """It is the project's, but for its candidates, and can be managed."""
    monkeypatch.setenv("KINGMAKER_PROJECT", str(REPOSITORY))
    home = Settings(home=tmp_path)

    with planted.careless_project(home):
        spec = manage("flights", Settings(home=tmp_path)).spec
        code = project_sha256("deployments.flights.features", Settings().project)
    own = manage("flights", Settings(home=tmp_path)).spec

    assert [one.estimator for one in spec.training.candidates] == [planted.TREE]
    assert spec.training.model_copy(update={"candidates": own.training.candidates}) == own.training
    assert spec.features == own.features
    assert code == project_sha256("deployments.flights.features", REPOSITORY)
    assert os.environ["KINGMAKER_PROJECT"] == str(REPOSITORY)


def found(*entries, **records) -> list[str]:
    """What is told of each planted thing."""
    by_id = {id.strip("_").replace("_", "-"): record for id, record in records.items()}
    return [one.found for one in planted.look_back(CONTRACT, in_order(entries), by_id)]


def record(id, **changes):
    """A batch of the year."""
    return a_record(batch_named(id, "month", "America/New_York"), **changes)


def test_what_was_not_found_is_said_to_be():
    """An empty ledger, and one that only names other columns and refuses other versions."""
    drift = a_drift(CELSIUS, [a_feature("dewp"), still("temp")])
    rejected = entry(1, Reject(reason="no", version=2), batch="2013-08")

    assert found() == ["not found"] * 4
    assert found(rejected, _2013_12=record(CELSIUS, drift=drift)) == ["not found"] * 4


def test_each_is_told_with_what_found_it():
    """The refusal and the second delivery, the gate's no, the watch's, and the report's words."""
    verdict = a_verdict(outcome="refuse", reason="column distance is there: it is missing; mend it")
    refusal = Refusal(model="flights", batch=BROKEN, revision=0, verdict=verdict)
    relation = Relation(
        score=9.0, threshold=0.2, p_value=1e-6, outcome="unusual", expected=38.0, found=3.3
    )
    drift = a_drift(CELSIUS, [a_feature("temp", relation=relation)])

    broken, careless, overruled, celsius = found(
        entry(1, Hold(reason="refused"), batch=BROKEN, evidence=refusal),
        entry(2, Reject(reason="KM014 failed", version=5), batch=CARELESS),
        entry(3, Promote(reason="by a person", version=5, previous=4), batch=CARELESS),
        entry(4, RollBack(reason="it was better", version=4, previous=5), batch="2013-10"),
        _2013_06=record(BROKEN),
        _2013_12=record(CELSIUS, drift=drift),
    )

    assert broken == (
        "by the contract: column distance is there: it is missing; delivered again, 28,796 rows"
        " are taken in"
    )
    assert careless == "by the gate: KM014 failed"
    assert overruled == "by the watch in 2013-10: it was better"
    assert celsius.startswith(
        "by the drift report: temp is unusual: the other columns say a median of 38 °F, found"
        " 3.3 °F, "
    )
