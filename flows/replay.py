"""History, run through the production code path as if each batch had just arrived."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim
from prefect import flow

from flows.monitor import BatchRefusedError, monitor
from flows.score import ScoringIncompleteError, score
from flows.steps.maturity import readable
from flows.steps.pending import is_idle, waiting_batches
from flows.steps.stop import until_stopped
from tasks.batches import Batch
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.settings import Settings


@flow(name="replay", flow_run_name="replay {model}")
async def replay(model: str, start: str | None = None, end: str | None = None) -> int:
    """Monitor each waiting batch, oldest first, at the moment at which it was closed; return how
    many.

    Where the spec schedules the scoring of open rows, they are scored before, as its runs would
    have. Batches that the ledger knows, unchanged, are passed over; a refused batch does not stop
    the ones after it.

    Args:
        model: Name of a directory in deployments/, such as flights.
        start: First batch, such as 2013-01. Left out: the first that waits.
        end: Last batch, such as 2013-12. Left out: the last that is closed.
    """
    managed = manage(model, Settings())
    engine = open_ledger(managed.settings.ledger_url)
    first = managed.rows.batch(start).start if start else datetime.min.replace(tzinfo=UTC)
    last = managed.rows.batch(end).end if end else datetime.max.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    waiting = [item.batch for item in waiting_batches(managed.rows, engine, now)]
    chosen = [batch for batch in waiting if first <= batch.start and batch.end <= last]
    known = ledger.cohorts(engine, model)
    new = [batch for batch in chosen if batch.id not in known]  # others were open when they came
    runs: list[tuple[datetime, Batch | datetime]] = [
        *scorings(managed, new),
        *agenda(managed, chosen, now),
    ]
    for moment, what in until_stopped(sorted(runs, key=lambda run: run[0])):
        # What went wrong the ledger, the pages and the failed run say by name.
        with suppress(BatchRefusedError, ScoringIncompleteError):
            if isinstance(what, Batch):
                await monitor(model, what.id, moment)
            else:
                await score(model, moment, what, new[0].start)
    if not waiting and not is_idle(managed, engine, now):
        await monitor(model)  # what came is no batch of rows: labels, or a decision to be finished
    return len(chosen)


def scorings(
    managed: ManagedModel, batches: Sequence[Batch]
) -> tuple[tuple[datetime, datetime], ...]:
    """Return when to score open rows, and before which event time: each row at the last scheduled
    moment before its event.

    When a row of the past became known is not kept; its event is when its prediction was needed.
    """
    scoring = managed.spec.scoring
    if scoring is None or scoring.schedule is None or not batches:
        return ()
    start, end = batches[0].start, batches[-1].end
    zone = ZoneInfo(scoring.schedule.timezone)
    # From the last moment before the first batch on: its first rows were scored then.
    before = CronSim(scoring.schedule.cron, start.astimezone(zone), reverse=True)
    found = [next(before).astimezone(UTC)]
    for moment in CronSim(scoring.schedule.cron, start.astimezone(zone) - timedelta(seconds=1)):
        if moment >= end:
            break
        found.append(moment.astimezone(UTC))
    return tuple(zip(found, [*found[1:], end], strict=True))


def agenda(
    managed: ManagedModel, batches: Sequence[Batch], until: datetime
) -> tuple[tuple[datetime, Batch], ...]:
    """Return when to monitor which batch: each when it is closed, and the last again whenever older
    labels are mature.

    That is what scheduled runs would do: a batch is scored before its labels are known, and judged
    when they are.
    """
    arrivals = [(batch.end + managed.contract.lateness, batch) for batch in batches]
    last = max((moment for moment, _ in arrivals), default=until)
    later = sorted(
        {moment for batch in batches if last < (moment := readable(managed, batch)) <= until}
    )
    return (*arrivals, *((moment, batches[-1]) for moment in later))
