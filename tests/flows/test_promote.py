"""A person's word: approval, stale evidence, rollback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.promote import NoEvidenceError, NoPreviousChampionError, promote, rollback
from flows.replay import replay
from flows.retrain import NothingToTrainError, retrain
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import AwaitApproval, Promote
from tasks.registry.aliases import aliased_version
from tests.conftest import WEATHER_PROJECT
from tests.flows.conftest import run_flow

pytestmark = pytest.mark.flow


@pytest.fixture
def approval_project(tmp_path: Path) -> Path:
    """The weather project with ``approval: required``, and a gate that refuses no refresh."""
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    spec = project / "deployments" / "weather" / "model.yaml"
    text = spec.read_text(encoding="utf-8")
    gate = "\ngate: {refresh_worse: 10.0, refresh_worse_outright: 10.0, slice_worse: 10.0, alpha: 0.000001}\n"
    spec.write_text(text + gate + "approval: required\n", encoding="utf-8")
    return project


def test_approval_rollback_and_stale_evidence(use_home, make_weather_home, approval_project):
    """The gate's yes waits for a person; the person's word is recorded; the same evidence does not serve twice."""
    settings = use_home(make_weather_home(6), approval_project)
    run_flow(replay("weather"))
    engine = open_ledger(settings.ledger_url)
    waiting = [e for e in ledger.history(engine, "weather") if isinstance(e.decision, AwaitApproval)]
    assert len(waiting) == 1
    assert aliased_version(settings, "weather", "champion") == 1

    entry = run_flow(promote("weather", None, "looked at the report", "ada"))

    approved = waiting[0].decision.version
    assert isinstance(entry.decision, Promote)
    assert (entry.decided_by, entry.evidence["rests_on"]) == ("ada", waiting[0].id)
    assert aliased_version(settings, "weather", "champion") == approved
    assert aliased_version(settings, "weather", "previous_champion") == 1

    with pytest.raises(NoEvidenceError, match="gone stale"):
        run_flow(promote("weather", approved, "again", "ada"))

    back = run_flow(rollback("weather", "customers complain", "grace"))

    assert (back.decision.version, back.decided_by) == (1, "grace")
    assert aliased_version(settings, "weather", "champion") == 1
    reigns = ledger.reigns(ledger.history(engine, "weather"))
    assert [e.decision.version for e in reigns] == [1, approved, 1]


def test_nothing_to_promote_roll_back_or_train_is_said(use_home, make_weather_home):
    """On an empty ledger each asks for what is missing and changes nothing."""
    use_home(make_weather_home(1))

    with pytest.raises(NoEvidenceError, match="awaits approval"):
        run_flow(promote("weather"))
    with pytest.raises(NoPreviousChampionError, match="found none"):
        run_flow(rollback("weather"))
    with pytest.raises(NothingToTrainError, match="kingmaker run weather"):
        run_flow(retrain("weather"))
