"""Runs that died are ended and run again; requests that are overdue are refused."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow, get_run_logger

from flows.promote import expire_approvals
from flows.steps.dead_runs import drop_overdue, end_dead, run_again
from flows.steps.events import QUIET, announce_missed, send_again, tell
from flows.steps.overdue import overdue
from flows.steps.run import model_run
from tasks.ledger import entries as ledger
from tasks.ledger.lease import LeaseHeldError, left_behind_by
from tasks.ledger.messages import Messages
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage, managed_models
from tasks.settings import Settings


@flow(name="reconcile")
async def reconcile() -> tuple[str, ...]:
    """End runs that died, run again what crashed, refuse requests that are overdue, tell what has
    not come, and send what was not sent.

    Returns a sentence for each.

    A crashed run is begun again with its own parameters, under a key made of the run's id: done
    twice, or by two at once, it begins once. It is left when a newer run of the same deployment has
    begun since, or after three tries.
    """
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        now = datetime.now(UTC)
        said = [
            *await end_dead(client, now),
            *await drop_overdue(client),
            *await run_again(client, now),
        ]
    failed = []
    for model in managed_models(Settings()):
        try:
            said += _tidy(model)
            said += [f"{model}: {entry.decision.reason}" for entry in expire_approvals(model)]
            said += _tell(model)
        except LeaseHeldError:
            continue  # a run acts for it now; the next reconcile looks again
        except Exception as error:  # noqa: BLE001 - one model's trouble must not keep the others waiting; it is raised below
            failed.append(error)
    engine = open_ledger(Settings().ledger_url)
    async with get_client() as client:
        said += await send_again(client, Messages(engine), datetime.now(UTC))
    for sentence in said:
        get_run_logger().info("%s", sentence)
    if failed:
        raise ExceptionGroup("some models could not be tidied up", failed)
    return tuple(said)


def _tell(model: str) -> list[str]:
    """Tell people what was decided and not told, and what should have come or gone by now."""
    managed, now = manage(model, Settings()), datetime.now(UTC)
    engine = open_ledger(managed.settings.ledger_url)
    messages = Messages(engine)
    decided = ledger.history(engine, model)
    announce_missed(messages, decided, now, managed.spec.approval.within)
    return [
        f"{model} {one.payload['batch']}: told: {one.payload['decision']}"
        for one in overdue(managed, engine, now)
        if tell(messages, one, QUIET)
    ]


def _tidy(model: str) -> list[str]:
    """End what a run that died or failed left half done, without waiting for the next batch."""
    last = left_behind_by(open_ledger(Settings().ledger_url), model)
    if not last:
        return []
    with model_run(model, None) as run:
        done = f"tidied up after {last}, which did not come to its end"
        return [f"{model}: {run.registry_away or done}"]
