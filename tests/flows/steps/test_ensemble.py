"""The ensemble in service: weights and recalibration follow the labels, and every past day can be
rebuilt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from deployments.command.explain import explain
from flows.manual import NothingToTakeBackError, rollback
from flows.monitor import monitor
from flows.replay import replay
from flows.steps.run import ModelRun
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.prediction import predict_frame
from tasks.records import Promote, Recalibrate
from tests.conftest import WEATHER_WEEKS, run_flow
from tests.flows.reading import reading_run

pytestmark = pytest.mark.flow


@pytest.fixture
def read_only(use_home, replayed_home) -> ModelRun:
    """A look at the replayed home, without a lease to change it."""
    return reading_run("weather", use_home(replayed_home))


def _differ(project: Path, **changes: str) -> None:
    """Change the keys of the weather's model spec."""
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8")) | changes
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")


def test_what_served_any_past_batch_is_rebuilt_exactly(read_only):
    """Version, weights and recalibration as of then give the very numbers that were served."""
    served = [
        record for record in read_only.batches.known.values() if record.predictions is not None
    ]
    assert len(served) > 4
    assert any(record.predictions.adjusted_by is not None for record in served)
    for record in served:
        stored = pq.read_table(read_only.managed.settings.lake / record.predictions.path)
        model = read_only.models.served(record.predictions)

        again = predict_frame(model, read_only.features([record]), "regression")

        assert np.array_equal(again, stored["prediction"].to_numpy())


def test_members_join_and_are_recorded(read_only):
    """The current ensemble keeps earlier versions; the newest is its last member; weights sum to
    one.
    """
    history = read_only.history
    champion_changes = [
        e.decision.version for e in history.champion_changes if isinstance(e.decision, Promote)
    ]
    champion = read_only.trainings.version(champion_changes[-1])
    assert [member.version for member in champion.members][-1] == champion.version
    assert len(champion.members) > 1
    assert {m.version for m in champion.members} <= set(champion_changes)
    refreshes = [e for e in history if isinstance(e.decision, Recalibrate)]
    assert refreshes
    for entry in refreshes:
        assert sum(entry.decision.weights) == pytest.approx(1)
        assert "made again  the same decision" in explain(entry, entry.evidence_sha256)
    batches = [(e.decision.version, e.batch) for e in refreshes]
    assert len(batches) == len(set(batches)), "a batch counts once for a version"


def test_nothing_to_take_back_is_said(use_home, make_weather_home, quick_project):
    """Where nothing was recalibrated, it asks for what is missing."""
    use_home(make_weather_home(1), quick_project)

    with pytest.raises(NothingToTakeBackError, match="found none"):
        run_flow(rollback("weather", recalibration=True))


def test_a_person_takes_a_refresh_back(
    use_home, make_replayed_home, make_weather_home, quick_project
):
    """The last refresh is undone at once, by name, and the next batch is served with what was
    before it.
    """
    settings = use_home(make_replayed_home(5), quick_project)
    engine = open_ledger(settings.ledger_url)
    version = ledger.history(engine, "weather").champion_changes[-1].decision.version
    before = ledger.history(engine, "weather").adjustments(version)

    entry = run_flow(rollback("weather", "it looks odd", "ada", recalibration=True))

    assert entry.decision.taken_back
    assert entry.decided_by == "ada"
    assert entry.decision.recalibration == (
        before[-2].decision.recalibration if len(before) > 1 else None
    )
    make_weather_home(6)
    (record,) = run_flow(monitor("weather"))
    assert record.predictions.adjusted_by == entry.id


def test_a_model_alone_is_recalibrated(use_home, make_weather_home, quick_project):
    """With ``ensemble: single`` the correction still follows the labels, and is tested by the batch
    that it served.
    """
    _differ(quick_project, ensemble="single")
    settings = use_home(make_weather_home(4), quick_project)

    run_flow(replay("weather"))

    history = ledger.history(open_ledger(settings.ledger_url), "weather")
    refreshes = [e for e in history if isinstance(e.decision, Recalibrate)]
    assert refreshes
    assert all(e.decision.weights == () and not e.decision.members for e in refreshes)
    assert any(e.evidence.comparison is not None for e in refreshes)


def test_single_and_never_switch_ensemble_and_recalibration_off(
    use_home, make_weather_home, quick_project
):
    """With ``ensemble: single`` and ``recalibrate: never`` a version is one model, and nothing
    moves between trainings.
    """
    _differ(quick_project, ensemble="single", recalibrate="never")
    settings = use_home(make_weather_home(5), quick_project)

    run_flow(replay("weather"))

    engine = open_ledger(settings.ledger_url)
    history = ledger.history(engine, "weather")
    assert not [e for e in history if isinstance(e.decision, Recalibrate)]
    assert {
        ledger.training(engine, "weather", e.decision.version).members
        for e in history.champion_changes
    } == {()}
    records = ledger.known_batches(engine, "weather")
    assert records[WEATHER_WEEKS[4]].predictions.adjusted_by is None
