"""What should have come or gone by now, and has not: batches, labels, and what sinks are given.

It is looked for in the ledger, between runs, and told of by ``reconcile``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from flows.steps.events import BEHIND, MISSING, UNLABELLED, message
from flows.steps.maturity import readable
from flows.steps.pending import is_idle, waiting_for_labels
from tasks.batches import next_batch
from tasks.ingest.source import SourceError
from tasks.ledger import entries as ledger
from tasks.ledger.messages import Message
from tasks.ledger.served import behind
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel

AFTER = timedelta(hours=1)
"""How long after a scheduled run what it should have found is overdue."""


def overdue(managed: ManagedModel, engine: Engine, now: datetime) -> Iterator[Message]:
    """Yield what is to be told of a model.

    A batch and labels are overdue when the first scheduled run that should have found them is an
    hour old; without a schedule nobody expects them. Where something waits to be taken in, or the
    source is away, it is the run that is late or has failed, which is told of by itself.
    """
    yield from _sinks_behind(managed, engine, now)
    found = [*_missing_batch(managed, engine, now), *_overdue_labels(managed, engine, now)]
    if found and _all_is_in(managed, engine, now):
        yield from found


def _all_is_in(managed: ManagedModel, engine: Engine, now: datetime) -> bool:
    try:
        return is_idle(managed, engine, now)
    except SourceError:
        return False


def _sinks_behind(managed: ManagedModel, engine: Engine, now: datetime) -> Iterator[Message]:
    sinks = () if managed.spec.scoring is None else managed.spec.scoring.sinks
    for sink in sinks:
        if parts := behind(engine, managed.name, sink.name, now):
            first = parts[0]
            yield message(
                managed.name,
                BEHIND,
                f"{sink.name} {first.number}",
                batch=first.batch,
                decision=f"Sink {sink.name} has not been given {len(parts)} parts of predictions",
                todo=(
                    f"Soon: it misses what was scored since {first.scored_at:%Y-%m-%d %H:%M} UTC;"
                    " the next run of score gives it what it missed, when it is there again."
                ),
            )


def _missing_batch(managed: ManagedModel, engine: Engine, now: datetime) -> Iterator[Message]:
    known = ledger.cohorts(engine, managed.name)
    if not known:
        return
    stream = managed.rows
    last = known[max(known)].batch
    expected = next_batch(last, stream.every, stream.contract.timezone)
    due = _first_run(managed, expected.end + stream.contract.lateness)
    if due is not None and due + AFTER < now:
        yield message(
            managed.name,
            MISSING,
            expected.id,
            batch=expected.id,
            decision="The batch has not come",
            todo=(
                f"Soon: the run of {due:%Y-%m-%d %H:%M} UTC should have found it in its source;"
                " nothing is scored or judged until it comes."
            ),
        )


def _overdue_labels(managed: ManagedModel, engine: Engine, now: datetime) -> Iterator[Message]:
    cohorts = ledger.cohorts(engine, managed.name)
    for id in waiting_for_labels(managed, engine, now):
        due = _first_run(managed, readable(managed, cohorts[id].batch))
        if due is not None and due + AFTER < now:
            yield message(
                managed.name,
                UNLABELLED,
                id,
                batch=id,
                decision="Its labels are overdue",
                todo=(
                    f"Soon: the run of {due:%Y-%m-%d %H:%M} UTC should have found enough of them;"
                    " nothing is judged or learned by them. 'kingmaker status' says what is"
                    " missing."
                ),
            )
            return  # of those after it the cause is the same


def _first_run(managed: ManagedModel, moment: datetime) -> datetime | None:
    """The first scheduled run at or after a moment; None without a schedule."""
    schedule = managed.spec.schedule
    if schedule is None:
        return None
    local = moment.astimezone(ZoneInfo(schedule.timezone)) - timedelta(seconds=1)
    return next(CronSim(schedule.cron, local)).astimezone(UTC)
