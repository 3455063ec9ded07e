"""What rests on a snapshot that a newer revision of its batch has replaced.

Late rows, or rows that the source has corrected, make a new revision of a closed batch. The old
snapshot stays and so does everything that was made of it; this says what that is, so that a person
can decide whether it matters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import Engine, select

from tasks.ledger.tables import as_record, batches, trainings
from tasks.records import BatchRecord, StreamName, Superseded, TrainedModel

Versions = dict[tuple[str, str], list[int]]
"""Batch and digest of a snapshot -> versions of the model that rest on it."""
Features = dict[tuple[str, str], dict[str, list[int]]]
"""The same -> feature -> versions."""


def superseded(engine: Engine, model: str) -> tuple[Superseded, ...]:
    """Return every revision that is not its batch's newest content and that something rests on,
    oldest first; those of rows, then those of labels from a contract of their own, then those of
    contracts that features were joined from.

    A revision whose content came back later is not superseded: what rests on it rests on the newest
    content.
    """
    with engine.connect() as connection:
        known = connection.execute(
            select(trainings.c.record)
            .where(trainings.c.model == model)
            .order_by(trainings.c.version)
        ).scalars()
        trained = {one.version: one for one in (as_record(TrainedModel, kept) for kept in known)}
    on_rows: Versions = defaultdict(list)
    on_labels: Versions = defaultdict(list)
    for version, one in trained.items():
        for read in {(span.batch, span.snapshot) for span in one.trained_on}:
            on_rows[read].append(version)
        # An ensemble rests on the labels of each member, as they were when that was trained.
        members = [one, *(trained[m.version] for m in one.members if m.version in trained)]
        for read in {(s.batch, s.snapshot) for member in members for s in member.labelled_by}:
            on_labels[read].append(version)
    read_of = {read.stream for one in trained.values() for read in one.looked_back}
    joined = sorted(read_of.difference(("rows", "labels")))
    return (
        *_replaced(engine, model, "rows", on_rows, _looking_back(trained, "rows")),
        *_replaced(engine, model, "labels", on_labels, _looking_back(trained, "labels")),
        *(
            one
            for stream in joined
            for one in _replaced(engine, model, stream, {}, _looking_back(trained, stream))
        ),
    )


def _looking_back(trained: Mapping[int, TrainedModel], stream: StreamName) -> Features:
    """Batch and digest of a snapshot -> feature -> the versions whose training rows look back on
    it by that.
    """
    found: Features = defaultdict(lambda: defaultdict(list))
    for version, one in trained.items():
        for read in one.looked_back:
            for name in read.features if read.stream == stream else ():
                found[read.batch, read.snapshot][name].append(version)
    return found


def _replaced(
    engine: Engine, model: str, stream: StreamName, versions: Versions, features: Features
) -> tuple[Superseded, ...]:
    with engine.connect() as connection:
        written = connection.execute(
            select(batches.c.batch, batches.c.record)
            .where(batches.c.model == model, batches.c.stream == stream)
            .order_by(batches.c.batch, batches.c.revision)
        ).all()
    revisions = defaultdict(list)
    for row in written:
        revisions[row.batch].append(as_record(BatchRecord, row.record))
    found = []
    for batch, records in revisions.items():
        newest = records[-1]
        for record in records[:-1]:
            if record.snapshot.sha256 == newest.snapshot.sha256:
                continue
            trained_on_it = tuple(versions.get((batch, record.snapshot.sha256), ()))
            # Where only labels came, the predictions stand, and are the newest revision's too.
            replaced = None if record.predictions == newest.predictions else record.predictions
            predictions = None if replaced is None else replaced.path
            looking_back = tuple(
                f"{name} (version {', '.join(map(str, of))})"
                for name, of in features.get((batch, record.snapshot.sha256), {}).items()
            )
            if trained_on_it or predictions or looking_back:
                found.append(
                    Superseded(
                        batch=batch,
                        revision=record.revision,
                        newest=newest.revision,
                        rows=record.snapshot.rows,
                        newest_rows=newest.snapshot.rows,
                        versions=trained_on_it,
                        predictions=predictions,
                        stream=stream,
                        looking_back=looking_back,
                    )
                )
    return tuple(found)
