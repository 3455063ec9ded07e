"""A person's word: crown a version that has evidence, bring the previous champion back, freeze or thaw a model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow

from flows.mandate import Mandate, mandate
from flows.publish import publish_model
from flows.run_name import run_name
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import Freeze, LedgerEntry, Promote, Recalibrate, Record, Reject, RollBack, Thaw
from tasks.registry.task import previous_version
from tasks.settings import Settings


class NoEvidenceError(RuntimeError):
    """There is no evidence for the promotion that is asked for, or it has gone stale."""


class NoPreviousChampionError(RuntimeError):
    """There is nothing to roll back to."""


class ByHand(Record):
    """The evidence of a decision by a person."""

    person: str
    reason: str
    rests_on: int | None
    """The ledger's number of the decision whose evidence the person has seen; None for a rollback."""


class NothingToTakeBackError(RuntimeError):
    """Weights and recalibration are those that the champion was packaged with."""


class NotFrozenError(RuntimeError):
    """There is nothing to thaw."""


class Expired(Record):
    """The evidence that nobody approved in time."""

    expired: int
    """The ledger's number of the decision that waited."""
    waited_since: datetime


@flow(name="promote", flow_run_name=run_name)
async def promote(
    model: str, version: int | None = None, reason: str = "approved", person: str = "a person"
) -> LedgerEntry:
    """Crown a version by hand: the newest that awaits approval, or the one named.

    It needs evidence against the champion that reigns now. Raises NoEvidenceError when the ledger has none.

    Args:
        model: Name of a directory in deployments/, such as flights.
        version: A version that was judged. Left out: the newest that awaits approval.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with mandate(model, None) as m:
        m.need_registry()
        _expire(m)
        basis = _basis(m, version)
        decision = Promote(
            reason=f"by {person}: {reason}",
            version=basis.decision.version,  # type: ignore[union-attr]  # the basis is about a version
            previous=_reigning(m),
        )
        entry = m.decide(
            basis.batch, decision, ByHand(person=person, reason=reason, rests_on=basis.id), decided_by=person
        )
        m.carry_out(entry)
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
    with mandate(model, None) as m:
        return _expire(m)


@flow(name="rollback", flow_run_name=run_name)
async def rollback(model: str, reason: str = "asked for by hand", person: str = "a person") -> LedgerEntry:
    """Bring the previous champion back, at once. Raises NoPreviousChampionError when there is none.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with mandate(model, None) as m:
        m.need_registry()
        reigning, back = _reigning(m), previous_version(m.managed)
        if reigning is None or back is None or back == reigning:
            raise NoPreviousChampionError(
                f"{model}: expected a previous champion to bring back, found none; 'kingmaker history {model}' shows "
                "who reigned"
            )
        m.model(back)  # verified before it is crowned
        decision = RollBack(reason=f"by {person}: {reason}", version=back, previous=reigning)
        return _by_hand(m, decision, person, reason)


@flow(name="take back", flow_run_name=run_name)
async def take_back(model: str, reason: str = "asked for by hand", person: str = "a person") -> LedgerEntry:
    """Serve the champion again with the weights and the recalibration before the newest refresh of them.

    Raises NothingToTakeBackError when nothing was refreshed since the champion was crowned.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with mandate(model, None) as m:
        version = _reigning(m)
        made = [] if version is None else m.adjustments(version)
        if version is None or not made:
            raise NothingToTakeBackError(
                f"{model}: expected a refresh of weights or recalibration since the champion was crowned, found none"
            )
        before = m.model(version, made[-1].batch)
        decision = Recalibrate(
            reason=f"by {person}: {reason}", version=version, members=made[-1].decision.members,  # type: ignore[union-attr]  # it is one
            weights=before.weights, recalibration=before.recalibration, taken_back=True,
        )  # fmt: skip
        return _by_hand(m, decision, person, reason, made[-1].batch)


@flow(name="freeze", flow_run_name=run_name)
async def freeze(model: str, reason: str = "asked for by hand", person: str = "a person") -> LedgerEntry:
    """Let the champion serve, and change nothing by oneself: no training, no promotion, until the model is thawed.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with mandate(model, None) as m:
        return _by_hand(m, Freeze(reason=f"by {person}: {reason}"), person, reason)


@flow(name="thaw", flow_run_name=run_name)
async def thaw(model: str, reason: str = "looked into", person: str = "a person") -> LedgerEntry:
    """Let a frozen model go on. Raises NotFrozenError when it is not frozen.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: What was found, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with mandate(model, None) as m:
        if m.frozen() is None:
            raise NotFrozenError(f"{model}: expected a frozen model to thaw, found one that is free")
        return _by_hand(m, Thaw(reason=f"by {person}: {reason}"), person, reason)


def _by_hand(
    m: Mandate,
    decision: Freeze | Thaw | RollBack | Recalibrate,
    person: str,
    reason: str,
    batch: str | None = None,
) -> LedgerEntry:
    batch = batch or max(m.batches(), default="")
    seen = ByHand(person=person, reason=reason, rests_on=None)
    entry = m.decide(batch, decision, seen, decided_by=person)
    m.carry_out(entry)
    publish_model(m)
    return entry


def _expire(m: Mandate) -> tuple[LedgerEntry, ...]:
    days = m.managed.spec.approval.within / timedelta(days=1)
    refusals = []
    for entry in _overdue(m.managed, m.history()):
        version = entry.decision.version  # type: ignore[union-attr]  # AwaitApproval
        refusal = Reject(reason=f"nobody approved version {version} within {days:g} days", version=version)
        refusals.append(
            m.decide(entry.batch, refusal, Expired(expired=entry.id, waited_since=entry.recorded_at))
        )
    return tuple(refusals)


def _overdue(managed: ManagedModel, history: tuple[LedgerEntry, ...]) -> list[LedgerEntry]:
    """The newest word about each version, where it is that a person is waited for, and was for too long."""
    newest = {getattr(entry.decision, "version", None): entry for entry in history}
    limit = datetime.now(UTC) - managed.spec.approval.within
    return [e for e in newest.values() if e.decision.kind == "AwaitApproval" and e.recorded_at < limit]


def _reigning(m: Mandate) -> int | None:
    champion = m.champion()
    return None if champion is None else champion.trained.version


def _basis(m: Mandate, version: int | None) -> LedgerEntry:
    """The newest judgement of the version, if it was made against the champion that reigns now."""
    judged = [e for e in m.history() if e.decision.kind in ("AwaitApproval", "Reject")]
    if version is None:
        waits = [e for e in judged if e.decision.kind == "AwaitApproval"][-1:]
        wanted = {e.decision.version for e in waits}  # type: ignore[union-attr]  # AwaitApproval
    else:
        wanted = {version}
    judged = [e for e in judged if e.decision.version in wanted]  # type: ignore[union-attr]  # both have one
    if not judged:
        expected = (
            "a version that awaits approval" if version is None else f"evidence about version {version}"
        )
        raise NoEvidenceError(
            f"{m.managed.name}: expected {expected}, found none in the ledger; 'kingmaker history {m.managed.name}' shows "
            "what was judged"
        )
    basis = judged[-1]
    if basis.evidence.get("expired") is not None:
        raise NoEvidenceError(
            f"{m.managed.name}: {basis.decision.reason}; run 'kingmaker retrain {m.managed.name}' for new evidence"
        )
    reigning = _reigning(m)
    if basis.evidence["champion"] != reigning:
        raise NoEvidenceError(
            f"{m.managed.name}: the evidence about version {basis.evidence['challenger']} compares it with version "
            f"{basis.evidence['champion']}, but version {reigning} reigns now: it has gone stale; run 'kingmaker "
            f"retrain {m.managed.name}' for new evidence"
        )
    m.model(basis.evidence["challenger"])  # verified before it is crowned
    return basis
