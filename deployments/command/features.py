"""What the features of a model mean that look back, as ``kingmaker features`` tells it."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.features.history import Definition, add_history, definitions
from tasks.lake import read_accepted
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, Record


class LookingBack(Record):
    """A feature that looks back."""

    name: str
    means: str
    source: str
    """Where the rows that it looks back on come from: a contract, and a column of it."""
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
    """Return the features of the spec that look back, with their gaps in the newest batch."""
    known = ledger.known_batches(engine, managed.name).values()
    newest = next((one for one in reversed(list(known)) if one.accepted), None)
    gaps = {} if newest is None else _gaps(managed, engine, newest)
    return tuple(
        LookingBack(
            name=one.config.name,
            means=one.in_words(),
            source=_source(managed, one),
            sql=one.sql(),
            batch=None if newest is None else newest.batch.id,
            rows=0 if newest is None else newest.verdict.rows - newest.verdict.quarantined,
            gaps=gaps.get(one.config.name),
        )
        for one in definitions(managed)
    )


def _source(managed: ManagedModel, one: Definition) -> str:
    contract = managed.labels.contract if managed.labels and one.of_labels else managed.contract
    what = "rows" if one.column is None else f"column {one.column.name}"
    return f"{what} of contract {contract.name}"


def _gaps(managed: ManagedModel, engine: Engine, newest: BatchRecord) -> dict[str, float]:
    columns = dict.fromkeys(key for one in managed.spec.features.history for key in one.by)
    wanted = tuple(dict.fromkeys([*columns, managed.contract.event_time]))
    rows = read_accepted(managed.settings.lake, newest.snapshot, newest.verdict, wanted)
    past = ledger.past(engine, managed.name, newest.as_of)
    made = add_history(managed, {newest.batch.id: rows}, past)[newest.batch.id]
    return {
        one.name: made[one.name].null_count / made.num_rows
        for one in managed.spec.features.history
        if made.num_rows
    }
