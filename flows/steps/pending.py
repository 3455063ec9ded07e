"""Is there anything to do?

Looked up in the source and the ledger alone, before Prefect is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from tasks.cohorts import due, why_waiting
from tasks.ingest.arrivals import SourceBatch, closed_batches, open_batches
from tasks.ingest.source import SourceError, UnreadableError
from tasks.ledger import entries as ledger
from tasks.ledger.lease import left_behind_by
from tasks.ledger.served import LAKE, any_undelivered, scored_fingerprints
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import Cohort
from tasks.streams import Stream

SHOWN = 6
"""Batches named in one list; of the others it is said how many there are."""


def waiting_batches(stream: Stream, engine: Engine, as_of: datetime) -> tuple[SourceBatch, ...]:
    """Return the closed batches that are new, have changed in the source, or whose run did not come
    to its end.
    """
    return new_batches(
        stream, ledger.finished_fingerprints(engine, stream.model, stream.name), as_of
    )


def new_batches(
    stream: Stream, finished: Mapping[str, str], as_of: datetime
) -> tuple[SourceBatch, ...]:
    """Return the closed batches whose fingerprint is another than that of the ``finished``."""
    return tuple(
        item
        for item in closed_batches(stream, as_of)
        if finished.get(item.batch.id) != item.fingerprint
    )


def is_idle(managed: ManagedModel, engine: Engine, as_of: datetime) -> bool:
    """Whether no batch waits, of rows or beside them, none can be judged that was not, and nothing
    is half done.
    """
    return (
        not ledger.any_unfinished(engine, managed.name)
        and not left_behind_by(engine, managed.name)
        and not _rows_wait(managed, engine, as_of)
        and not _beside_waits(managed, engine, as_of)
        and not _any_due(managed, engine, as_of)
    )


def scoring_idle(
    managed: ManagedModel,
    engine: Engine,
    as_of: datetime,
    before: datetime | None = None,
    since: datetime | None = None,
) -> bool:
    """Whether no open row waits to be scored by the champion in force, and no sink for a part."""
    scoring = managed.spec.scoring
    if scoring is None:
        return True
    sinks = (LAKE, *(sink.name for sink in scoring.sinks))
    return not any(any_undelivered(engine, managed.name, sink) for sink in sinks) and not (
        ledger.history(engine, managed.name).serving
        and open_to_score(managed, engine, as_of, before, since)
    )


def open_to_score(
    managed: ManagedModel,
    engine: Engine,
    as_of: datetime,
    before: datetime | None = None,
    since: datetime | None = None,
) -> tuple[SourceBatch, ...]:
    """Return the open batches of which there is another than what was scored last, or that another
    champion scored; none that begins earlier than ``since``.
    """
    there = open_batches(managed.open_rows, as_of, before)
    found = [one for one in there if since is None or one.batch.start >= since]
    signs = open_fingerprints(managed, engine, found, before)
    done = scored_fingerprints(engine, managed.name)
    return tuple(one for one in found if done.get(one.batch.id) != signs[one.batch.id])


def open_fingerprints(
    managed: ManagedModel,
    engine: Engine,
    found: Iterable[SourceBatch],
    before: datetime | None = None,
) -> dict[str, str]:
    """Return open batch -> what there is of it now, by which champion and under which spec it is
    scored.
    """
    champion = ledger.history(engine, managed.name).serving
    until = "" if before is None else f" before {before.isoformat()}"
    return {
        one.batch.id: f"{one.fingerprint} {champion} {managed.rows.sha256[:16]}{until}"
        for one in found
    }


def _rows_wait(managed: ManagedModel, engine: Engine, as_of: datetime) -> bool:
    try:
        return bool(waiting_batches(managed.rows, engine, as_of))
    except UnreadableError:
        return True  # the run will refuse it by name, when it has done what can be done without it


def _beside_waits(managed: ManagedModel, engine: Engine, as_of: datetime) -> bool:
    """Whether a batch waits of labels, or of what is joined."""
    try:
        return any(waiting_batches(one, engine, as_of) for one in managed.beside)
    except SourceError:
        return True  # the run will say so by name, when it has done what can be done without them


def _any_due(managed: ManagedModel, engine: Engine, as_of: datetime) -> bool:
    labels = _label_cohorts(managed, engine)
    return any(
        due(managed, c, labels, as_of) for c in ledger.cohorts(engine, managed.name).values()
    )


def _label_cohorts(managed: ManagedModel, engine: Engine) -> tuple[Cohort, ...]:
    return (
        ()
        if managed.labels is None
        else tuple(ledger.cohorts(engine, managed.name, "labels").values())
    )


def waiting_for_labels(managed: ManagedModel, engine: Engine, as_of: datetime) -> dict[str, str]:
    """Return batch id -> why the accepted batch's labels may not be used yet, oldest first."""
    labels = _label_cohorts(managed, engine)
    found = {
        id: why_waiting(managed, cohort, labels, as_of)
        for id, cohort in ledger.cohorts(engine, managed.name).items()
        if cohort.accepted
    }
    return {id: reason for id, reason in found.items() if reason}


def labels_in_words(managed: ManagedModel, engine: Engine, as_of: datetime) -> tuple[str, ...]:
    """Return what a person should know of the labels: what waits for them, what never got one, what
    belongs to no row.
    """
    lines = [
        f"{id} waits: {reason}" for id, reason in waiting_for_labels(managed, engine, as_of).items()
    ]
    gaps = [
        f"{id}: {c.labelled.waiting:,} of {c.labelled.rows:,} rows have no label"
        for id, c in ledger.cohorts(engine, managed.name).items()
        if c.labelled is not None and c.labelled.waiting
    ]
    unknown = [
        f"{c.batch.id} of {managed.labels.contract.name}: {c.unknown:,} labels belong to no row"
        " that was accepted"
        for c in _label_cohorts(managed, engine)
        if c.unknown and managed.labels is not None
    ]
    return tuple(line for group in (lines, gaps, unknown) for line in _newest(group))


def listed(ids: Iterable[str]) -> str:
    """Return the first few ids, and how many more there are."""
    names = list(ids)
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _newest(lines: list[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return ([f"{rest} older ones, and"] if rest > 0 else []) + lines[-SHOWN:]
