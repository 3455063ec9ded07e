"""Versions in the ledger, as tests look at them and make them."""

from __future__ import annotations

from sqlalchemy import Engine, select

from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease
from tasks.ledger.tables import trainings
from tasks.records import Hold, TrainedModel
from tests.tasks.builders import at, manual_evidence


def known_versions(engine: Engine, model: str) -> tuple[int, ...]:
    """The versions that the ledger names, oldest first."""
    named = select(trainings.c.version).where(trainings.c.model == model)
    with engine.connect() as connection:
        return tuple(connection.execute(named.order_by(trainings.c.version)).scalars())


def write_training(engine: Engine, held: Lease, trained: TrainedModel, batch: str) -> None:
    """Write down a version, with a judgement that decides nothing."""
    hold = Hold(reason="for the test")
    ledger.record_decision(
        engine, held, batch, hold, manual_evidence(), as_of=at(0), training=trained
    )
