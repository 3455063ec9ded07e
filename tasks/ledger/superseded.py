"""What rests on a snapshot that a newer revision of its batch has replaced.

Late rows, or rows that the source has corrected, make a new revision of a closed batch. The old snapshot stays and so does
everything that was made of it; this says what that is, so that a person can decide whether it matters.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Engine, select

from tasks.ledger.tables import batches, trainings
from tasks.records import BatchRecord, Superseded, TrainedModel


def superseded(engine: Engine, model: str) -> tuple[Superseded, ...]:
    """Return every revision that is not its batch's newest content and that something rests on, oldest first.

    A revision whose content came back later is not superseded: what rests on it rests on the newest content.
    """
    with engine.connect() as connection:
        written = connection.execute(
            select(batches.c.batch, batches.c.record)
            .where(batches.c.model == model)
            .order_by(batches.c.batch, batches.c.revision)
        ).all()
        known = connection.execute(
            select(trainings.c.record).where(trainings.c.model == model).order_by(trainings.c.version)
        ).all()
    versions = defaultdict(list)
    for row in known:
        trained = TrainedModel.model_validate(row.record)
        for span in {(span.batch, span.snapshot) for span in trained.trained_on}:
            versions[span].append(trained.version)
    revisions = defaultdict(list)
    for row in written:
        revisions[row.batch].append(BatchRecord.model_validate(row.record))
    found = []
    for batch, records in revisions.items():
        newest = records[-1]
        for record in records[:-1]:
            if record.snapshot.sha256 == newest.snapshot.sha256:
                continue
            trained_on_it = tuple(versions[batch, record.snapshot.sha256])
            # Where only labels came, the predictions stand, and are the newest revision's too.
            replaced = None if record.predictions == newest.predictions else record.predictions
            predictions = None if replaced is None else replaced.path
            if trained_on_it or predictions:
                found.append(
                    Superseded(
                        batch=batch, revision=record.revision, newest=newest.revision,
                        rows=record.snapshot.rows, newest_rows=newest.snapshot.rows,
                        versions=trained_on_it, predictions=predictions,
                    )
                )  # fmt: skip
    return tuple(found)
