"""History, run through the production code path as if each batch had just arrived."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from flows.monitor import BatchRefusedError, monitor
from flows.waiting import waiting_batches
from tasks.batches import Batch
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.settings import Settings


@flow(name="replay", flow_run_name="replay {model}")
async def replay(model: str, start: str | None = None, end: str | None = None) -> int:
    """Monitor each waiting batch, oldest first, at the moment at which it could first be judged; return how many.

    Batches that the ledger knows, unchanged, are passed over; a refused batch does not stop the ones after it.

    Args:
        model: Name of a directory in deployments/, such as flights.
        start: First batch, such as 2013-01. Left out: the first that waits.
        end: Last batch, such as 2013-12. Left out: the last that is closed.
    """
    managed = manage(model, Settings())
    engine = open_ledger(managed.settings.ledger_url)
    first = managed.batch(start).start if start else datetime.min.replace(tzinfo=UTC)
    last = managed.batch(end).end if end else datetime.max.replace(tzinfo=UTC)
    waiting = [item.batch for item in waiting_batches(managed, engine, datetime.now(UTC))]
    chosen = [batch for batch in waiting if first <= batch.start and batch.end <= last]
    for batch in chosen:
        try:
            await monitor(model, batch.id, first_moment(managed, batch))
        except BatchRefusedError:
            continue  # the ledger, the pages and the failed run say so by name
    return len(chosen)


def first_moment(managed: ManagedModel, batch: Batch) -> datetime:
    """Return when ``batch`` is closed and its labels are mature: the monitor's first good moment."""
    return batch.end + max(managed.contract.lateness, managed.spec.labels.delay)
