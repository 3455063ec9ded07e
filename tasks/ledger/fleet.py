"""Every model of a ledger at once, read without what takes room: histograms and evidence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from tasks.ledger.tables import as_record, batches, decisions
from tasks.records import BatchFigures, KnownBatch


@dataclass(frozen=True)
class LastDecision:
    """What of a model's decisions says whether any is new since."""

    number: int
    """Of the newest."""
    effective: int
    """How many have taken effect."""


def newest_batches(engine: Engine, most: int) -> dict[str, tuple[KnownBatch, ...]]:
    """Return model -> its newest batches of rows, at most so many, the newest last."""
    columns = (batches.c.model, batches.c.batch, batches.c.completed, batches.c.figures)
    with engine.connect() as connection:
        rows = connection.execute(
            select(*columns)
            .where(batches.c.stream == "rows")
            .order_by(batches.c.model, batches.c.batch, batches.c.revision)
        ).all()
    found: dict[str, dict[str, tuple[bool, dict[str, object]]]] = defaultdict(dict)
    for row in rows:
        found[row.model][row.batch] = (row.completed, row.figures)
    return {
        model: tuple(
            KnownBatch(batch=id, completed=completed, figures=as_record(BatchFigures, figures))
            for id, (completed, figures) in list(own.items())[-most:]
        )
        for model, own in found.items()
    }


def last_decisions(engine: Engine) -> dict[str, LastDecision]:
    """Return model -> what says whether its history has grown."""
    newest, effective = func.max(decisions.c.id), func.count(decisions.c.effective_at)
    with engine.connect() as connection:
        rows = connection.execute(
            select(decisions.c.model, newest, effective).group_by(decisions.c.model)
        )
        return {model: LastDecision(number, count) for model, number, count in rows}
