"""Is there anything to do? Answered from the source and the ledger alone, before Prefect is even imported."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from tasks.ingest.arrivals import SourceBatch, closed_batches
from tasks.ledger import entries as ledger
from tasks.model_spec import ManagedModel


def waiting_batches(managed: ManagedModel, engine: Engine, as_of: datetime) -> tuple[SourceBatch, ...]:
    """Return the closed batches that are new, have changed in the source, or whose run did not come to its end."""
    done = ledger.finished_fingerprints(engine, managed.name)
    return tuple(
        item for item in closed_batches(managed, as_of) if done.get(item.batch.id) != item.fingerprint
    )


def is_idle(managed: ManagedModel, engine: Engine, as_of: datetime) -> bool:
    """Whether no batch waits and no decision is half carried out."""
    return not ledger.any_unfinished(engine, managed.name) and not waiting_batches(managed, engine, as_of)
