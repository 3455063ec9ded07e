"""What a person decides about a version that was judged: promote it, or refuse it."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.steps.approval import expire, judgement_of, newest_request, overdue
from flows.steps.publish import publish_model
from flows.steps.run import model_run
from flows.steps.run_name import run_name
from tasks.ledger import entries as ledger
from tasks.ledger.repositories import NewDecision
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import LedgerEntry, ManualEvidence, Promote, Reject
from tasks.settings import Settings


@flow(name="promote", flow_run_name=run_name)
async def promote(
    model: str,
    version: int | None = None,
    reason: str = "approved",
    person: str = "a person",
    as_of: datetime | None = None,
) -> LedgerEntry:
    """Promote a version: the newest that awaits approval, or the one named.

    It needs evidence against the champion that is champion now. Raises NoEvidenceError when the
    ledger has none.

    Args:
        model: Name of a directory in deployments/, such as flights.
        version: A version that was judged. Left out: the newest that awaits approval.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
        as_of: Act as if it were this moment. Left out: now.
    """
    with model_run(model, as_of) as run:
        run.need_registry()
        expire(run)
        judged = judgement_of(run, version)
        decision = Promote(
            reason=f"by {person}: {reason}",
            version=judged.evidence.challenger,
            previous=run.history.champion,
        )
        seen = ManualEvidence(person=person, reason=reason, rests_on=judged.id)
        entry = run.write(NewDecision(run.newest_batch, decision, seen, decided_by=person))
        run.carry_out(entry)
        publish_model(run)
        return entry


@flow(name="refuse", flow_run_name=run_name)
async def refuse(
    model: str, version: int | None = None, reason: str = "refused", person: str = "a person"
) -> LedgerEntry:
    """Refuse a version that awaits approval: the newest, or the one named. The champion goes on.

    A version that was refused can still be promoted by its number. Raises NothingWaitsError when it
    does not wait.

    Args:
        model: Name of a directory in deployments/, such as flights.
        version: A version that awaits approval. Left out: the newest.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as run:
        expire(run)
        asked = newest_request(run, version)
        decision = Reject(reason=f"by {person}: {reason}", version=asked.decision.version)
        seen = ManualEvidence(person=person, reason=reason, rests_on=asked.id)
        entry = run.write(NewDecision(asked.batch, decision, seen, decided_by=person))
        publish_model(run)
        return entry


def expire_approvals(model: str) -> tuple[LedgerEntry, ...]:
    """Refuse what has waited for a person longer than the spec allows; return the refusals.

    Raises LeaseHeldError when another run acts for the model.
    """
    managed = manage(model, Settings())
    history = ledger.history(open_ledger(managed.settings.ledger_url), model)
    if not overdue(managed, history):
        return ()  # without a lease: nothing is to be written
    with model_run(model, None) as run:
        return expire(run)
