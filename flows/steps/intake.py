"""What comes in: the batches that wait, rows and labels, ingested, validated and written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import get_run_logger

from flows.steps.pending import is_idle, new_batches
from flows.steps.run import ModelRun, warn_of_pickles
from tasks.errors import MisuseError
from tasks.ingest.arrivals import SourceBatch, closed_batches
from tasks.ingest.relabelled import relabelled
from tasks.ingest.source import SourceError, UnreadableError
from tasks.ingest.task import ingest
from tasks.ledger.repositories import Batches
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import BatchRecord
from tasks.reports.task import write_stream_page
from tasks.settings import Settings
from tasks.streams import Stream
from tasks.validation.task import check_contract, validate


class BatchNotThereError(MisuseError):
    """The batch that was asked for is not in the source, or not closed yet."""


@dataclass(frozen=True)
class Unread:
    """A batch, or a file of many, that could not be read."""

    name: str
    """The model, and the batch where it is known."""
    why: UnreadableError

    def __str__(self) -> str:
        return f"{self.name} refused: {self.why}"


def nothing_waits(model: str, as_of: datetime | None) -> bool:
    """Whether there is nothing to do: looked up before MLflow, pandas and the estimators are
    imported for nothing.
    """
    managed = manage(model, Settings())
    engine = open_ledger(managed.settings.ledger_url)
    idle = is_idle(managed, engine, (as_of or datetime.now(UTC)).astimezone(UTC))
    if idle:
        warn_of_pickles(managed)
        get_run_logger().info("%s: nothing is new", model)
    return idle


def take_in_rows(run: ModelRun, batch: str | None) -> Iterator[BatchRecord | Unread]:
    """Take in the batches that wait at the run's moment, or ``batch`` alone, whether it waits or
    not; one at a time, and each when it is asked for.
    """
    name = run.managed.name
    try:
        due = due_batches(run, batch)
    except UnreadableError as error:  # a file of many batches: which, cannot be known
        yield Unread(name, error)
        return
    for source in due:
        try:
            yield take_in(run, run.managed.rows, run.batches, source)
        except UnreadableError as error:
            yield Unread(f"{name} {source.batch.id}", error)


def due_batches(run: ModelRun, batch: str | None) -> tuple[SourceBatch, ...]:
    """Return the batches that wait at the run's moment; or ``batch`` alone, whether it waits or
    not.
    """
    rows = run.managed.rows
    if batch is None:
        return new_batches(rows, run.batches.finished, run.as_of)
    closed = {item.batch.id: item for item in closed_batches(rows, run.as_of)}
    wanted = rows.batch(batch).id
    if wanted not in closed:
        raise BatchNotThereError(
            f"{rows}: expected batch {batch} to be in the source and closed at"
            f" {run.as_of:%Y-%m-%d %H:%M} UTC, found {', '.join(list(closed)[-3:]) or 'nothing'} as"
            " the newest"
        )
    return (closed[wanted],)


def take_in_labels(run: ModelRun) -> tuple[tuple[BatchRecord, ...], SourceError | None]:
    """Take in every batch of labels that waits, and return them; labels behind one that cannot be
    read wait with it.

    Labels that cannot be read do not stop the rows: the error is returned, to be raised when the
    rows have gone through.
    """
    stream, taken = run.managed.labels, list[BatchRecord]()
    if stream is None:
        return (), None
    try:
        taken.extend(_taken_in(run, stream, run.labels))
    except SourceError as error:
        return tuple(taken), error
    return tuple(taken), None


def take_in_joined(run: ModelRun) -> tuple[BatchRecord, ...]:
    """Take in every batch that waits of the contracts that features are joined from, and return
    them.

    SourceError when one cannot be read: rows that came meanwhile would lack their features, and
    wait.
    """
    return tuple(
        record
        for name, stream in run.managed.joined.items()
        for record in _taken_in(run, stream, run.joined[name])
    )


def _taken_in(run: ModelRun, stream: Stream, batches: Batches) -> Iterator[BatchRecord]:
    """Take in every batch of a stream beside the rows, one at a time."""
    check_contract(stream)
    for source in new_batches(stream, batches.finished, run.as_of):
        record = take_in(run, stream, batches, source)
        write_stream_page(stream, record)
        yield batches.write(record.completed_by(None))


def take_in(run: ModelRun, stream: Stream, batches: Batches, source: SourceBatch) -> BatchRecord:
    """Ingest and validate a batch, and write it down; the same content keeps what is known of
    it.
    """
    snapshot = ingest(stream, source)
    last = known = batches.known.get(source.batch.id)
    if known is not None and known.snapshot.sha256 != snapshot.sha256:
        known = None
    if known is not None and known.spec_sha256 == stream.sha256:
        verdict = known.verdict
    else:
        verdict = validate(stream, snapshot)
    if known is not None and (known.accepted or verdict.refused):
        # What was decided about it then is history; only a batch that is let in at last begins
        # anew.
        return batches.write(known.read_again(source.fingerprint, stream.sha256, verdict))
    where = "" if verdict.outcome == "accept" else f" {snapshot.source}:"
    get_run_logger().info(
        "%s %s:%s %s: %s", stream, source.batch.id, where, verdict.outcome, verdict.reason
    )
    record = BatchRecord(
        model=stream.model,
        stream=stream.name,
        batch=source.batch,
        revision=0,
        snapshot=snapshot,
        verdict=verdict,
        fingerprint=source.fingerprint,
        spec_sha256=stream.sha256,
        as_of=run.as_of,
        revised_at=None if last is None else run.as_of,
    )
    if last is not None and relabelled(stream, run.managed.spec.target, last, record):
        record = record.with_results_of(last)
    return batches.write(record)
