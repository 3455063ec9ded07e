"""What a person decides besides approvals: bring back what was before, freeze or thaw a model."""

from __future__ import annotations

from prefect import flow

from flows.steps.publish import publish_model
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from tasks.errors import MisuseError
from tasks.ledger.repositories import NewDecision
from tasks.records import (
    Freeze,
    LedgerEntry,
    ManualEvidence,
    Recalibrate,
    RollBack,
    Thaw,
)
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
    reason: str = "asked for by a person",
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
    with model_run(model, None) as run:
        if recalibration:
            return _take_back(run, person, reason)
        run.need_registry()
        champion, back = run.models.champion(), previous_version(run.managed)
        if champion is None or back is None or back == champion.trained.version:
            raise NoPreviousChampionError(
                f"{model}: expected a previous champion to bring back, found none; 'kingmaker"
                f" history {model}' shows who was champion"
            )
        run.models.version(back)  # verified before it is promoted
        decision = RollBack(
            reason=f"by {person}: {reason}", version=back, previous=champion.trained.version
        )
        return _write(run, decision, person, reason)


@flow(name="freeze", flow_run_name=run_name)
async def freeze(
    model: str, reason: str = "asked for by a person", person: str = "a person"
) -> LedgerEntry:
    """Let the champion serve, and train and promote nothing, until the model is thawed.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as run:
        return _write(run, Freeze(reason=f"by {person}: {reason}"), person, reason)


@flow(name="thaw", flow_run_name=run_name)
async def thaw(model: str, reason: str = "looked into", person: str = "a person") -> LedgerEntry:
    """Let a frozen model go on. Raises NotFrozenError when it is not frozen.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: What was found, in one sentence; it is kept in the ledger.
        person: Who decides; it is kept in the ledger.
    """
    with model_run(model, None) as run:
        if run.history.frozen is None:
            raise NotFrozenError(
                f"{model}: expected a frozen model to thaw, found one that is not frozen"
            )
        return _write(run, Thaw(reason=f"by {person}: {reason}"), person, reason)


def _take_back(run: ModelRun, person: str, reason: str) -> LedgerEntry:
    """Serve the champion again with the weights and the recalibration before the newest refresh of
    them.
    """
    champion = run.models.champion()
    version = 0 if champion is None else champion.trained.version
    made = run.history.adjustments(version)
    if not made:
        raise NothingToTakeBackError(
            f"{run.managed.name}: expected a refresh of weights or recalibration since the champion"
            " was promoted, found none"
        )
    before = run.models.version(version, made[-1].batch)
    decision = Recalibrate(
        reason=f"by {person}: {reason}",
        version=version,
        members=made[-1].decision.members,
        weights=before.weights,
        recalibration=before.recalibration,
        taken_back=True,
    )
    return _write(run, decision, person, reason, made[-1].batch)


def _write(
    run: ModelRun,
    decision: Freeze | Thaw | RollBack | Recalibrate,
    person: str,
    reason: str,
    batch: str | None = None,
) -> LedgerEntry:
    """Write a person's decision down, about ``batch`` or the newest; carry it out, and publish."""
    batch = batch or max(run.batches.known, default="")
    seen = ManualEvidence(person=person, reason=reason)
    entry = run.write(NewDecision(batch, decision, seen, decided_by=person))
    run.carry_out(entry)
    publish_model(run)
    return entry
