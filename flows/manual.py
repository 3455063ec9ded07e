"""A person's word beside approvals: bring back what was before, freeze or thaw a model."""

from __future__ import annotations

from prefect import flow

from flows.promote import ManualEvidence
from flows.steps.publish import publish_model
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from tasks.errors import MisuseError
from tasks.records import Freeze, LedgerEntry, Recalibrate, RollBack, Thaw
from tasks.registry.task import previous_version


class NoPreviousChampionError(MisuseError):
    """There is nothing to roll back to."""


class NothingToTakeBackError(MisuseError):
    """Weights and recalibration are those that the champion was packaged with."""


class NotFrozenError(MisuseError):
    """There is nothing to thaw."""


@flow(name="rollback", flow_run_name=run_name)
async def rollback(
    model: str,
    reason: str = "asked for by hand",
    person: str = "a person",
    recalibration: bool = False,
) -> LedgerEntry:
    """Bring the previous champion back, at once; or only what the champion's weights and
    recalibration were before.

    Raises NoPreviousChampionError when there is none, and NothingToTakeBackError when nothing was
    refreshed since the champion was promoted.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
        recalibration: Only take back the newest refresh of weights and recalibration; the champion
            stays.
    """
    with model_run(model, None) as m:
        if recalibration:
            return _take_back(m, person, reason)
        m.need_registry()
        current_champion, back = m.current_champion(), previous_version(m.managed)
        if current_champion is None or back is None or back == current_champion:
            raise NoPreviousChampionError(
                f"{model}: expected a previous champion to bring back, found none; 'kingmaker"
                f" history {model}' shows who was champion"
            )
        m.model(back)  # verified before it is promoted
        decision = RollBack(
            reason=f"by {person}: {reason}", version=back, previous=current_champion
        )
        return _by_hand(m, decision, person, reason)


@flow(name="freeze", flow_run_name=run_name)
async def freeze(
    model: str, reason: str = "asked for by hand", person: str = "a person"
) -> LedgerEntry:
    """Let the champion serve, and change nothing by oneself: no training, no promotion, until the
    model is thawed.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as m:
        return _by_hand(m, Freeze(reason=f"by {person}: {reason}"), person, reason)


@flow(name="thaw", flow_run_name=run_name)
async def thaw(model: str, reason: str = "looked into", person: str = "a person") -> LedgerEntry:
    """Let a frozen model go on. Raises NotFrozenError when it is not frozen.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: What was found, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as m:
        if m.frozen() is None:
            raise NotFrozenError(
                f"{model}: expected a frozen model to thaw, found one that is free"
            )
        return _by_hand(m, Thaw(reason=f"by {person}: {reason}"), person, reason)


def _take_back(m: ModelRun, person: str, reason: str) -> LedgerEntry:
    """Serve the champion again with the weights and the recalibration before the newest refresh of
    them.
    """
    version = m.current_champion()
    made = [] if version is None else m.adjustments(version)
    if version is None or not made:
        raise NothingToTakeBackError(
            f"{m.managed.name}: expected a refresh of weights or recalibration since the champion"
            " was promoted, found none"
        )
    before = m.model(version, made[-1].batch)
    decision = Recalibrate(
        reason=f"by {person}: {reason}",
        version=version,
        members=made[-1].decision.members,  # type: ignore[union-attr]  # it is one
        weights=before.weights,
        recalibration=before.recalibration,
        taken_back=True,
    )
    return _by_hand(m, decision, person, reason, made[-1].batch)


def _by_hand(
    m: ModelRun,
    decision: Freeze | Thaw | RollBack | Recalibrate,
    person: str,
    reason: str,
    batch: str | None = None,
) -> LedgerEntry:
    batch = batch or max(m.batches(), default="")
    seen = ManualEvidence(person=person, reason=reason, rests_on=None)
    entry = m.decide(batch, decision, seen, decided_by=person)
    m.carry_out(entry)
    publish_model(m)
    return entry
