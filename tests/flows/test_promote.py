"""A person's word: approval, stale evidence, rollback."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.artifacts import Artifact

from deployments.command.explain import NotAsRecordedError, explain
from flows.manual import NoPreviousChampionError, NotFrozenError, freeze, rollback, thaw
from flows.promote import promote
from flows.replay import replay
from flows.retrain import retrain
from flows.steps.approval import NoEvidenceError
from flows.steps.challenger import NothingNewError, NothingToTrainError
from tasks.ledger import entries as ledger
from tasks.ledger.lease import lease
from tasks.ledger.tables import open_ledger
from tasks.records import Promote, RollBack
from tasks.registry.aliases import aliased_version
from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS, run_flow
from tests.tasks.builders import manual_evidence

pytestmark = pytest.mark.flow


@pytest.fixture
def approval_project(tmp_path: Path) -> Path:
    """The weather project with ``approval: required``, and a gate that refuses no refresh."""
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    spec = project / "deployments" / "weather" / "model.yaml"
    text = spec.read_text(encoding="utf-8")
    gate = (
        "\ngate: {refresh_worse: 10.0, refresh_worse_outright: 10.0, slice_worse: 10.0, alpha:"
        " 0.000001}\n"
    )
    spec.write_text(text + gate + "approval: required\n", encoding="utf-8")
    return project


def test_approval_rollback_and_stale_evidence(use_home, make_weather_home, approval_project):
    """The gate's yes waits for a person; the person's word is recorded; the same evidence does not
    serve twice.
    """
    settings = use_home(make_weather_home(5), approval_project)
    run_flow(replay("weather"))
    engine = open_ledger(settings.ledger_url)
    (first,) = ledger.history(engine, "weather").awaiting_approval
    assert (first.decision.version, first.decision.previous) == (1, None)
    assert aliased_version(settings, "weather", "champion") is None, "the first one waits too"
    assert ledger.history(engine, "weather").entries[-1].decision.reason == (
        "version 1 waits for a person's approval, and there is no champion yet"
    )
    run_flow(promote("weather", None, "better than none", "ada"))
    make_weather_home(7)
    run_flow(replay("weather"))
    waiting = ledger.history(engine, "weather").awaiting_approval
    assert len(waiting) == 1
    assert aliased_version(settings, "weather", "champion") == 1
    assert (
        "awaits approval"
        in Artifact.get(f"weather-version-{waiting[0].decision.version}-approval").data
    )

    then = waiting[0].as_of
    entry = run_flow(promote("weather", None, "looked at the report", "ada", then))

    approved = waiting[0].decision.version
    assert isinstance(entry.decision, Promote)
    assert (entry.decided_by, entry.evidence.rests_on) == ("ada", waiting[0].id)
    assert entry.as_of == then, "in a replay it is made at its time"
    assert aliased_version(settings, "weather", "champion") == approved
    assert aliased_version(settings, "weather", "previous_champion") == 1

    with pytest.raises(NoEvidenceError, match="gone stale"):
        run_flow(promote("weather", approved, "again", "ada"))

    back = run_flow(rollback("weather", "customers complain", "grace"))

    assert (back.decision.version, back.decided_by) == (1, "grace")
    assert aliased_version(settings, "weather", "champion") == 1
    champion_changes = ledger.history(engine, "weather").champion_changes
    assert [e.decision.version for e in champion_changes] == [1, approved, 1]


def test_a_retrain_by_hand_is_in_the_ledger_and_needs_something_new(
    use_home, make_replayed_home, quick_project
):
    """Who asked, and why; the same rows are not trained on a second time, by whatever reason."""
    settings = use_home(make_replayed_home(3), quick_project)
    engine = open_ledger(settings.ledger_url)

    judged = run_flow(retrain("weather", "a new sensor", person="ada"))

    asked = next(e for e in ledger.history(engine, "weather") if e.decided_by == "ada")
    assert asked.decision.kind == "Retrain"
    assert asked.decision.reason == "by ada: a new sensor"
    assert (asked.evidence.person, asked.evidence.reason) == ("ada", "a new sensor")
    assert asked.effective_at is not None
    assert judged.decision.kind in ("Promote", "Reject")

    known = len(ledger.history(engine, "weather"))
    with pytest.raises(NothingNewError, match="the newest mature batch is 2013-W04; train when"):
        run_flow(retrain("weather", "again", person="ada"))
    assert len(ledger.history(engine, "weather")) == known, "nothing is written"

    spec = quick_project / "deployments" / "weather" / "model.yaml"
    spec.write_text(spec.read_text(encoding="utf-8") + "gate: {alpha: 0.01}\n", encoding="utf-8")
    run_flow(retrain("weather", "another level", person="ada"))


def test_frozen_model_serves_and_changes_nothing(
    use_home, make_replayed_home, make_weather_home, quick_project
):
    """A frozen model scores and holds; what is trained by hand waits for a person; thawed, it goes
    on.
    """
    settings = use_home(make_replayed_home(3), quick_project)
    engine = open_ledger(settings.ledger_url)
    with pytest.raises(NotFrozenError, match="found one that is not frozen"):
        run_flow(thaw("weather"))
    run_flow(freeze("weather", "the sensor was moved", "ada"))
    make_weather_home(6)

    run_flow(replay("weather"))
    entry = run_flow(retrain("weather"))

    records = ledger.known_batches(engine, "weather")
    assert all(r.predictions is not None for r in list(records.values())[3:])
    entries = ledger.history(engine, "weather").entries
    since = entries[[e.decision.kind for e in entries].index("Freeze") + 1 :]
    assert {e.decision.kind for e in since[:3]} == {"Hold"}
    assert since[0].decision.reason.startswith("frozen since batch 2013-W04")
    assert entry.decision.kind in ("AwaitApproval", "Reject")

    run_flow(thaw("weather", "moved back", "ada"))
    make_weather_home(7)
    run_flow(replay("weather"))

    assert ledger.history(engine, "weather").frozen is None
    assert "frozen" not in ledger.history(engine, "weather").entries[-1].decision.reason


def test_two_rollbacks_freeze_the_model(
    use_home, make_replayed_home, make_weather_home, quick_project
):
    """After two rollbacks in four batches the next batch finds the model frozen, and is held."""
    settings = use_home(make_replayed_home(3), quick_project)
    engine = open_ledger(settings.ledger_url)
    version = ledger.history(engine, "weather").champion_changes[-1].decision.version
    again = RollBack(reason="worse", version=version, previous=version)
    with lease(engine, "weather", "the test") as held:
        for week in WEATHER_WEEKS[1:3]:
            entry = ledger.record_decision(
                engine, held, week, again, manual_evidence(), as_of=datetime.now(UTC)
            )
            ledger.mark_effective(engine, held, entry)
    make_weather_home(4)

    run_flow(replay("weather"))

    frozen, answer = ledger.history(engine, "weather").entries[-2:]
    assert frozen.decision.kind == "Freeze"
    assert "2 rollbacks in 4 batches (2013-W03, 2013-W04)" in frozen.decision.reason
    assert answer.decision.reason.startswith("frozen since batch 2013-W05")


def test_every_decision_is_made_again_from_its_record(replayed_home):
    """Each decision of a replay comes out the same, to the letter; a record that was changed is
    told.
    """
    engine = open_ledger(f"sqlite:///{replayed_home}/ledger.db")
    entries = ledger.history(engine, "weather")
    assert {"Hold", "Retrain", "Promote"} <= {e.decision.kind for e in entries}
    for entry in entries:
        stored = ledger.stored_sha256(engine, entry.id)
        assert "made again  the same decision, to the letter" in explain(entry, stored)
    judged = next(e for e in entries if e.decision.kind == "Promote" and e.decision.previous)
    assert "guardrail   KM001 finite predictions: passed" in explain(judged, judged.evidence_sha256)

    with pytest.raises(NotAsRecordedError, match="CHANGED since it was written"):
        explain(judged, "0" * 64)
    otherwise = judged.but(decision=judged.decision.but(version=99))
    with pytest.raises(NotAsRecordedError, match="ANOTHER decision today"):
        explain(otherwise, judged.evidence_sha256)


def test_nothing_to_promote_roll_back_or_train_is_said(use_home, make_weather_home):
    """On an empty ledger each asks for what is missing and changes nothing."""
    use_home(make_weather_home(1))

    with pytest.raises(NoEvidenceError, match="awaits approval"):
        run_flow(promote("weather"))
    with pytest.raises(NoPreviousChampionError, match="found none"):
        run_flow(rollback("weather"))
    with pytest.raises(NothingToTrainError, match="kingmaker run weather"):
        run_flow(retrain("weather"))
