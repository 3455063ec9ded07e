"""A person's word about a version that was judged: promote it, or refuse it; and what nobody said
in time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow

from flows.steps.publish import publish_model
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from tasks.errors import MisuseError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import AwaitApproval, LedgerEntry, Promote, Record, Reject
from tasks.settings import Settings


class NoEvidenceError(MisuseError):
    """There is no evidence for the promotion that is asked for, or it has gone stale."""


class ManualEvidence(Record):
    """The evidence of a decision by a person."""

    person: str
    reason: str
    rests_on: int | None
    """The ledger's number of the decision whose evidence the person has seen; None for a rollback.
    """


class NothingWaitsError(MisuseError):
    """No version waits for a person's word."""


class Expired(Record):
    """The evidence that nobody approved in time."""

    expired: int
    """The ledger's number of the decision that waited."""
    waited_since: datetime


@flow(name="promote", flow_run_name=run_name)
async def promote(
    model: str, version: int | None = None, reason: str = "approved", person: str = "a person"
) -> LedgerEntry:
    """Promote a version by hand: the newest that awaits approval, or the one named.

    It needs evidence against the champion that is champion now. Raises NoEvidenceError when the
    ledger has none.

    Args:
        model: Name of a directory in deployments/, such as flights.
        version: A version that was judged. Left out: the newest that awaits approval.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as m:
        m.need_registry()
        _expire(m)
        basis = _basis(m, version)
        decision = Promote(
            reason=f"by {person}: {reason}",
            version=basis.decision.version,  # type: ignore[union-attr]  # the basis is about a version
            previous=m.current_champion(),
        )
        entry = m.decide(
            basis.batch,
            decision,
            ManualEvidence(person=person, reason=reason, rests_on=basis.id),
            decided_by=person,
        )
        m.carry_out(entry)
        publish_model(m)
        return entry


@flow(name="refuse", flow_run_name=run_name)
async def refuse(
    model: str, version: int | None = None, reason: str = "refused", person: str = "a person"
) -> LedgerEntry:
    """Refuse a version that awaits approval: the newest, or the one named. The champion goes on.

    Whoever thinks better of it promotes the version by its number. Raises NothingWaitsError when it
    does not wait.

    Args:
        model: Name of a directory in deployments/, such as flights.
        version: A version that awaits approval. Left out: the newest.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as m:
        _expire(m)
        waits = {e.decision.version: e for e in _waiting(m.history())}  # type: ignore[union-attr]  # AwaitApproval
        chosen = waits.get(max(waits, default=0) if version is None else version)
        if chosen is None:
            listed = ", ".join(str(one) for one in sorted(waits)) or "none"
            raise NothingWaitsError(
                f"{model}: expected {'a version' if version is None else f'version {version}'} that"
                f" awaits approval, found {listed}"
            )
        refusal = Reject(reason=f"by {person}: {reason}", version=chosen.decision.version)  # type: ignore[union-attr]
        seen = ManualEvidence(person=person, reason=reason, rests_on=chosen.id)
        entry = m.decide(chosen.batch, refusal, seen, decided_by=person)
        publish_model(m)
        return entry


def expire_approvals(model: str) -> tuple[LedgerEntry, ...]:
    """Refuse what has waited for a person longer than the spec allows; return the refusals.

    Raises LeaseHeldError when another run acts for the model.
    """
    managed = manage(model, Settings())
    history = ledger.history(open_ledger(managed.settings.ledger_url), model)
    if not _overdue(managed, history):
        return ()  # without a lease: nothing is to be written
    with model_run(model, None) as m:
        return _expire(m)


def _expire(m: ModelRun) -> tuple[LedgerEntry, ...]:
    days = m.managed.spec.approval.within / timedelta(days=1)
    refusals = []
    for entry in _overdue(m.managed, m.history()):
        version = entry.decision.version  # type: ignore[union-attr]  # AwaitApproval
        refusal = Reject(
            reason=f"nobody approved version {version} within {days:g} days", version=version
        )
        refusals.append(
            m.decide(
                entry.batch, refusal, Expired(expired=entry.id, waited_since=entry.recorded_at)
            )
        )
    return tuple(refusals)


def _overdue(managed: ManagedModel, history: tuple[LedgerEntry, ...]) -> list[LedgerEntry]:
    """What has waited for a person for too long."""
    limit = datetime.now(UTC) - managed.spec.approval.within
    return [entry for entry in _waiting(history) if entry.recorded_at < limit]


def _waiting(history: tuple[LedgerEntry, ...]) -> list[LedgerEntry]:
    """The newest word about each version, where it is that a person is waited for."""
    newest = {getattr(entry.decision, "version", None): entry for entry in history}
    return [entry for entry in newest.values() if entry.decision.kind == "AwaitApproval"]


def _basis(m: ModelRun, version: int | None) -> LedgerEntry:
    """The newest judgement of the version, if it was made against the champion that is champion
    now.
    """
    judged = [e for e in m.history() if isinstance(e.decision, AwaitApproval | Reject)]
    if version is None:
        waits = [e for e in judged if isinstance(e.decision, AwaitApproval)][-1:]
        wanted = {e.decision.version for e in waits}  # type: ignore[union-attr]  # AwaitApproval
    else:
        wanted = {version}
    judged = [e for e in judged if e.decision.version in wanted]  # type: ignore[union-attr]  # both have one
    if not judged:
        expected = (
            "a version that awaits approval"
            if version is None
            else f"evidence about version {version}"
        )
        raise NoEvidenceError(
            f"{m.managed.name}: expected {expected}, found none in the ledger; 'kingmaker history"
            f" {m.managed.name}' shows what was judged"
        )
    if version is None and "rests_on" in judged[-1].evidence:
        number = judged[-1].decision.version  # type: ignore[union-attr]  # Reject
        raise NoEvidenceError(
            f"{m.managed.name}: version {number} was refused {judged[-1].decision.reason}; to"
            " promote it all the same, name it:"
            f" 'kingmaker promote {m.managed.name} --version {number}'"
        )
    basis = next(
        e for e in reversed(judged) if "rests_on" not in e.evidence
    )  # a person's word is no evidence
    if basis.evidence.get("expired") is not None:
        raise NoEvidenceError(
            f"{m.managed.name}: {basis.decision.reason}; run 'kingmaker retrain {m.managed.name}'"
            " for new evidence"
        )
    current_champion = m.current_champion()
    if basis.evidence["champion"] != current_champion:
        raise NoEvidenceError(
            f"{m.managed.name}: the evidence about version {basis.evidence['challenger']}"
            f" compares it with version {basis.evidence['champion']}, but version"
            f" {current_champion} is champion now: it has gone stale; run"
            f" 'kingmaker retrain {m.managed.name}' for new evidence"
        )
    m.model(basis.evidence["challenger"])  # verified before it is promoted
    return basis
