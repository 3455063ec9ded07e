"""What comes in: the batches that wait, rows and labels, ingested, validated and written down."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import get_run_logger

from flows.steps.pending import is_idle, waiting_batches
from flows.steps.run import ModelRun, warn_of_pickles
from tasks.errors import MisuseError
from tasks.ingest.arrivals import SourceBatch, closed_batches
from tasks.ingest.relabelled import relabelled
from tasks.ingest.source import SourceError
from tasks.ingest.task import ingest
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import BatchRecord
from tasks.reports.task import write_label_page
from tasks.settings import Settings
from tasks.streams import Stream
from tasks.validation.task import check_contract, validate


class BatchNotThereError(MisuseError, LookupError):
    """The batch that was asked for is not in the source, or not closed yet."""


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


def due_batches(m: ModelRun, batch: str | None) -> tuple[SourceBatch, ...]:
    """Return the batches that wait at the run's moment; or ``batch`` alone, whether it waits or
    not.
    """
    if batch is None:
        return waiting_batches(m.managed.rows, m.engine, m.as_of)
    closed = {item.batch.id: item for item in closed_batches(m.managed.rows, m.as_of)}
    wanted = m.managed.rows.batch(batch).id
    if wanted not in closed:
        raise BatchNotThereError(
            f"{m.managed.name}: expected batch {batch} to be in the source and closed at"
            f" {m.as_of:%Y-%m-%d %H:%M} UTC, found {', '.join(list(closed)[-3:]) or 'nothing'} as"
            " the newest"
        )
    return (closed[wanted],)


def take_in_labels(m: ModelRun) -> tuple[tuple[BatchRecord, ...], SourceError | None]:
    """Take in every batch of labels that waits, and return them; labels behind one that cannot be
    read wait with it.

    Labels that cannot be read do not stop the rows: the error is returned, to be raised when the
    rows have gone through.
    """
    stream, taken = m.managed.labels, list[BatchRecord]()
    if stream is None:
        return (), None
    check_contract(stream)
    try:
        for source in waiting_batches(stream, m.engine, m.as_of):
            record = take_in(m, stream, source)
            write_label_page(stream, record)
            taken.append(m.write_batch(record.model_copy(update={"completed": True})))
    except SourceError as error:
        return tuple(taken), error
    return tuple(taken), None


def take_in(m: ModelRun, stream: Stream, source: SourceBatch) -> BatchRecord:
    """Ingest and validate a batch, and write it down; the same content keeps what is known of
    it.
    """
    snapshot = ingest(stream, source)
    last = known = ledger.known_batches(m.engine, stream.model, stream.name).get(source.batch.id)
    if known is not None and known.snapshot.sha256 != snapshot.sha256:
        known = None
    if known is not None and known.spec_sha256 == stream.sha256:
        verdict = known.verdict
    else:
        verdict = validate(stream, snapshot)
    if known is not None and (known.accepted or verdict.refused):
        # What was said of it then is history; only a batch that is let in at last begins anew.
        again = {
            "fingerprint": source.fingerprint,
            "spec_sha256": stream.sha256,
            "verdict": verdict,
        }
        return m.write_batch(known.model_copy(update=again))
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
        as_of=m.as_of,
    )
    if last is not None and relabelled(stream, m.managed.spec.target, last, record):
        # Whoever predicted these rows is judged by their labels, not the champion when they come.
        kept = ("as_of", "drift", "estimate", "predictions", "mlflow_run", "completed")
        record = record.model_copy(update={name: getattr(last, name) for name in kept})
    return m.write_batch(record)
