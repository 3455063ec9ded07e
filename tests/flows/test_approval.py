"""What waits for a person: shown with its numbers, refused when its time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from sqlalchemy import update

from deployments.command.explain import explain
from flows.promote import expire_approvals, promote, refuse
from flows.retrain import retrain
from flows.steps.approval import NoEvidenceError, NothingWaitsError
from flows.steps.publish import ask_for_approval
from flows.steps.run import model_run
from tasks.ledger import entries as ledger
from tasks.ledger.repositories import NewDecision
from tasks.ledger.tables import decisions, open_ledger
from tasks.records import AwaitApproval, Expired, Reject
from tasks.registry.aliases import aliased_version
from tasks.registry.runs import client
from tests.conftest import run_flow

pytestmark = pytest.mark.flow


@pytest.fixture
def waiting(use_home, make_replayed_home, quick_project):
    """A home with a champion and one challenger that waits for a person, for at most seven days."""
    spec = quick_project / "deployments" / "weather" / "model.yaml"
    approval = "approval: {required: true, within: 7d}\n"
    spec.write_text(spec.read_text(encoding="utf-8") + approval, encoding="utf-8")
    settings = use_home(make_replayed_home(3), quick_project)
    judged = run_flow(retrain("weather"))

    @flow
    async def yes():
        # Whatever the gate says of these few rows: here it is what follows its yes that is looked
        # at.
        with model_run("weather", None) as run:
            decision = AwaitApproval(
                reason="a refresh", version=judged.decision.version, previous=1
            )
            waits = run.write(NewDecision(judged.batch, decision, judged.evidence))
            await ask_for_approval(run, waits)
            return waits

    entry = run_flow(yes())
    return settings, open_ledger(settings.ledger_url), entry


def test_the_evidence_is_shown_and_what_nobody_approves_in_time_is_refused(waiting):
    """A Prefect artifact and a page in the challenger's MLflow run; after seven days the refusal is
    in the ledger.
    """
    from prefect.artifacts import Artifact

    settings, engine, entry = waiting
    version = entry.decision.version

    text = Artifact.get(f"weather-version-{version}-approval").data
    assert f"version {version} awaits approval" in text
    assert f"kingmaker promote weather --version {version}" in text
    assert "| loss |" in text
    run_id = ledger.training(engine, "weather", version).run_id
    mlflow = client(settings.tracking_uri)
    assert f"approval-v{version}.html" in [file.path for file in mlflow.list_artifacts(run_id)]
    assert expire_approvals("weather") == (), "there is time yet"

    with engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=8)
        connection.execute(
            update(decisions).where(decisions.c.id == entry.id).values(recorded_at=long_ago)
        )
    for asked in (None, version):
        with pytest.raises(
            NoEvidenceError, match=f"version {version} was not approved within 7 days"
        ):
            run_flow(promote("weather", asked, "at last", "ada"))

    refusals = [e for e in ledger.history(engine, "weather") if isinstance(e.evidence, Expired)]
    assert [type(e.decision) for e in refusals] == [Reject], "once, however often it is asked for"
    assert refusals[0].evidence.expired == entry.id
    assert aliased_version(settings, "weather", "champion") == 1


def test_a_person_refuses_and_may_think_better_of_it(waiting):
    """The champion goes on, nothing waits any more; named by its number, the version can still be
    promoted.
    """
    settings, _engine, entry = waiting
    version = entry.decision.version

    refusal = run_flow(refuse("weather", None, "the sensor was moved", "ada"))

    assert refusal.decision == Reject(reason="by ada: the sensor was moved", version=version)
    assert (refusal.decided_by, refusal.evidence.rests_on) == ("ada", entry.id)
    assert aliased_version(settings, "weather", "champion") == 1
    page = (settings.reports / "weather" / "index.html").read_text(encoding="utf-8")
    assert "by ada: the sensor was moved" in page
    assert "a person decided it" in explain(refusal, refusal.evidence_sha256)
    with pytest.raises(
        NothingWaitsError, match="expected a version that awaits approval, found none"
    ):
        run_flow(refuse("weather"))
    with pytest.raises(
        NoEvidenceError, match=f"version {version} was refused by ada: the sensor was moved"
    ):
        run_flow(promote("weather"))
    assert expire_approvals("weather") == ()

    promoted = run_flow(promote("weather", version, "it was not", "ada"))

    assert promoted.evidence.rests_on == entry.id
    assert aliased_version(settings, "weather", "champion") == version
