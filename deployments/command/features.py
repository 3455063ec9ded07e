"""What the features of a model mean that look back or are joined, as ``kingmaker features`` tells
it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.features.beside import add_past
from tasks.features.history import Definition, definitions
from tasks.features.join import joins
from tasks.lake import read_accepted
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, Record


class LookingBack(Record):
    """A feature that looks back, or is joined."""

    name: str
    means: str
    source: str
    """Where the rows that it is made of come from: a contract, and a column of it."""
    sql: str
    batch: str | None = None
    """The newest accepted batch; None when there is none."""
    rows: int = 0
    gaps: float | None = None
    """Share of its rows that have no value, 0 to 1."""

    def in_lines(self, *, sql: bool) -> Iterator[str]:
        """Return it in lines for a person."""
        yield f"  {self.name}"
        yield f"    {self.means}"
        yield f"    from {self.source}"
        if self.gaps is not None:
            yield f"    {self.batch}: {self.gaps:.1%} of {self.rows:,} rows have none"
        if sql:
            yield f"    {self.sql}"


def looking_back(managed: ManagedModel, engine: Engine) -> tuple[LookingBack, ...]:
    """Return the features of the spec that look back, then those that are joined, with their gaps
    in the newest batch.
    """
    known = ledger.known_batches(engine, managed.name).values()
    newest = next((one for one in reversed(list(known)) if one.accepted), None)
    gaps = {} if newest is None else _gaps(managed, engine, newest)
    told = [
        (one.config.name, one.in_words(), _source(managed, one), one.sql())
        for one in definitions(managed)
    ]
    told += [
        (name, one.in_words(), f"column {column} of contract {one.contract.name}", one.sql())
        for one in joins(managed)
        for name, column in one.config.features.items()
    ]
    return tuple(
        LookingBack(
            name=name,
            means=means,
            source=source,
            sql=sql,
            batch=None if newest is None else newest.batch.id,
            rows=0 if newest is None else newest.verdict.accepted_rows,
            gaps=gaps.get(name),
        )
        for name, means, source, sql in told
    )


def _source(managed: ManagedModel, one: Definition) -> str:
    contract = managed.labels.contract if managed.labels and one.of_labels else managed.contract
    what = "rows" if one.column is None else f"column {one.column.name}"
    return f"{what} of contract {contract.name}"


def _gaps(managed: ManagedModel, engine: Engine, newest: BatchRecord) -> dict[str, float]:
    config = managed.spec.features
    keys = [key for one in config.history for key in one.by]
    keys += [key for join in config.join for key in join.keys]
    wanted = tuple(dict.fromkeys([*keys, managed.contract.event_time]))
    rows = read_accepted(managed.settings.lake, newest.snapshot, newest.verdict, wanted)
    past = ledger.past(engine, managed.name, newest.as_of, managed.joined)
    made = add_past(managed, {newest.batch.id: rows}, past)[newest.batch.id]
    return {name: made[name].null_count / made.num_rows for name in config.of_past if made.num_rows}
