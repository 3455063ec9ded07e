"""What a delivered row holds: the key, event time, prediction, decision, reasons, version, batch,
when it was scored, and the columns that the spec passes through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from tasks.lake import arrow_type
from tasks.records import ServedPart
from tasks.scoring.config import ScoringConfig
from tasks.scoring.served import (
    HIGH,
    KEY,
    LOW,
    PREDICTION,
    PROBABILITY,
    REASONS,
    VALUE,
    key_columns,
    read_part,
)

DECISION, VERSION, BATCH, SCORED_AT, PART = "decision", "version", "batch", "scored_at", "part"
OURS = (PREDICTION, LOW, HIGH, DECISION, REASONS, VERSION, BATCH, SCORED_AT, PART)
"""Names of a delivered row that are not the contract's."""
_CLASS = "probability_"
_PREFIX = "row_"


def delivered_names(contract: Contract, columns: Sequence[str]) -> Mapping[str, str]:
    """Return column of the contract -> its name in a delivered row: a name that is ours, or begins
    as one, has ``row_`` before it; a classified column has none.
    """
    taken = {name for name in contract.column_names if not _is_ours(name)}
    found: dict[str, str] = {}
    for name in columns:
        if contract.column(name).sensitive:
            continue
        new = name
        while _is_ours(new) or (new != name and new in taken):
            new = _PREFIX + new
        found[name] = new
        taken.add(new)
    return found


def _is_ours(name: str) -> bool:
    # Databases and people read names without regard to case.
    return name.lower() in OURS or name.lower().startswith(_CLASS)


def delivered_rows(
    lake: Path, part: ServedPart, contract: Contract, config: ScoringConfig
) -> pa.Table:
    """Return the rows of a part as they are delivered, (rows, columns); see ``delivered_schema``.

    Raises DamagedFileError when the part is not what was written.
    """
    table = read_part(lake, part)
    asked = {
        LOW: (config.interval is not None, pa.float64()),
        HIGH: (config.interval is not None, pa.float64()),
        REASONS: (config.explain > 0, pa.string()),
    }
    for name, (wanted, kind) in asked.items():
        if not wanted and name in table.column_names:
            table = table.drop_columns([name])
        if wanted and name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    given = {
        VERSION: pa.scalar(part.served_by),
        BATCH: pa.scalar(part.batch),
        SCORED_AT: pa.scalar(part.scored_at, pa.timestamp("us", tz="UTC")),
        PART: pa.scalar(part.number, pa.int64()),
    }
    return as_delivered(table, contract, config.include, config.threshold, given)


def as_delivered(
    table: pa.Table,
    contract: Contract,
    include: Sequence[str],
    threshold: float | None,
    given: Mapping[str, pa.Scalar],
) -> pa.Table:
    """Return the rows of ``table``, named as in a part, as people and systems read them.

    ``given`` are columns with one value for all rows. A column to be passed through that the part
    was written without is missing there.
    """
    keys, rows = key_columns(contract), table.num_rows
    names = delivered_names(contract, [*keys, *include])
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    for name, new in names.items():
        stored = f"{KEY if name in keys else VALUE}{name}"
        columns[new] = (
            table[stored]
            if stored in table.column_names
            else pa.nulls(rows, arrow_type(contract.column(name)))
        )
    if PREDICTION in table.column_names:
        columns[PREDICTION] = table[PREDICTION]
        if threshold is not None:
            columns[DECISION] = pc.greater_equal(table[PREDICTION], threshold)
    for name in (LOW, HIGH):
        if name in table.column_names:
            columns[name] = table[name]
    for name in table.column_names:
        if name.startswith(PROBABILITY):
            columns[_CLASS + name.removeprefix(PROBABILITY)] = table[name]
    if REASONS in table.column_names:
        columns[REASONS] = table[REASONS]
    for name in (VERSION, SCORED_AT):
        if name in table.column_names:
            columns[name] = table[name]
    for name, value in given.items():
        columns[name] = pa.repeat(value, rows)
    return pa.table(columns)
