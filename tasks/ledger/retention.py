"""What of the lake the ledger needs: everything that a decision, a version or a prediction rests
on.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select

from tasks.ledger.tables import as_record, batches, leases, trainings
from tasks.records import BatchRecord, TrainedModel


@dataclass(frozen=True)
class Needed:
    """Lake paths that must stay, and of which batches the ledger knows anything at all."""

    snapshots: frozenset[str]
    """Directories: of each batch's newest revision, of all that a version was trained on, labels
    too, of all that was predicted; of a model with features that look back, all that there ever
    was: a row of then is made of what there was then.
    """
    quarantines: frozenset[str]
    """Files that belong to those snapshots."""
    predictions: frozenset[str]
    """Files: all that was ever said."""
    known_snapshots: frozenset[tuple[str, str]]
    """(contract, batch) of every snapshot in the ledger; what is of no such batch may be one that
    is just being read.
    """
    known_predictions: frozenset[tuple[str, str]]
    """(model, batch) of every prediction in the ledger."""


def needed(engine: Engine) -> Needed:
    """Return what the ledger needs, over all models that it knows: contracts, and so snapshots, may
    be shared.
    """
    with engine.connect() as connection:
        rows = connection.execute(
            select(batches.c.record).order_by(batches.c.batch, batches.c.revision)
        )
        records = [as_record(BatchRecord, row.record) for row in rows]
        trained = [
            as_record(TrainedModel, row.record)
            for row in connection.execute(select(trainings.c.record))
        ]
    spans = {span.snapshot for one in trained for span in one.trained_on}
    spans |= {labels.snapshot for one in trained for labels in one.labelled_by}
    looking_back = {one.model for one in trained if one.looked_back}
    newest = {
        (record.model, record.stream, record.batch.id): record.snapshot.sha256 for record in records
    }
    kept = [
        record
        for record in records
        if record.snapshot.sha256 in spans
        or record.predictions is not None
        or record.model in looking_back
        or record.snapshot.sha256 == newest[record.model, record.stream, record.batch.id]
    ]
    return Needed(
        snapshots=frozenset(record.snapshot.path for record in kept),
        quarantines=frozenset(
            record.verdict.quarantine for record in kept if record.verdict.quarantine
        ),
        predictions=frozenset(record.predictions.path for record in records if record.predictions),
        known_snapshots=frozenset(
            (record.snapshot.contract, record.batch.id) for record in records
        ),
        known_predictions=frozenset((r.model, r.batch.id) for r in records if r.predictions),
    )


def models_known(engine: Engine) -> tuple[str, ...]:
    """Return every model that anyone ever acted for, in order."""
    with engine.connect() as connection:
        return tuple(connection.scalars(select(leases.c.model).order_by(leases.c.model)))
