"""A look at a home, as a run of its model has it, without the right to change anything."""

from __future__ import annotations

from datetime import UTC, datetime

from flows.steps.run import ModelRun
from tasks.ledger.lease import Lease
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.settings import Settings


def reading_run(model: str, settings: Settings) -> ModelRun:
    """The run of one who holds no lease."""
    engine = open_ledger(settings.ledger_url)
    return ModelRun.of(
        manage(model, settings), engine, Lease(model, "the test", 0), datetime.now(UTC)
    )
