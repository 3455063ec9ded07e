"""From what a file or a table held to the contract's types: exactly, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from data_contracts.contract import Column, Contract
from tasks.ingest.source import MISSING, UnreadableError
from tasks.lake import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = 24 * 60 * 60 * 1_000_000
"""Microseconds."""
_OFFSET = r"(Z|\d\d:\d\d.*[+-]\d\d(:?\d\d)?)$"


def conform_table(table: pa.Table, contract: Contract) -> pa.Table:
    """Give each column the contract's type; one that does not fit its type stays as it was read.

    Missing and extra columns are for validation to judge.
    """
    import pyarrow as pa

    return pa.table({name: conform(table[name], contract, name) for name in table.column_names})


def join(tables: Sequence[pa.Table], where: str) -> pa.Table:
    """Return the rows of all tables, which must have the same columns; UnreadableError names ``where`` when they have not.

    A column that is whole numbers in one and decimals in another becomes the wider type; where no type holds both, such
    as numbers and text, it becomes text, for validation to judge.
    """
    import pyarrow as pa

    for table in tables[1:]:
        other = set(table.column_names) ^ set(tables[0].column_names)
        if other:
            raise UnreadableError(
                f"{where}: expected the same columns in each of {len(tables)} parts, found {sorted(other)[:5]} only in some "
                "of them; have the odd ones delivered again"
            )
    tables = [table.select(tables[0].column_names) for table in tables]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.concat_tables(_agreed(tables))


def _agreed(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables with every column in one type: the common one, or text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    agreed = []
    for name in tables[0].column_names:
        try:
            schemas = [pa.schema([table.schema.field(name)]) for table in tables]
            agreed.append(pa.unify_schemas(schemas, promote_options="permissive").field(name))
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            agreed.append(pa.field(name, pa.string()))
    return [
        pa.table([pc.cast(table[field.name], field.type) for field in agreed], pa.schema(agreed))
        for table in tables
    ]


def conform(values: pa.ChunkedArray, contract: Contract, name: str) -> pa.ChunkedArray:
    """Return ``values`` in the contract's type when every one of them fits it exactly, else as they are.

    Arrow's spellings of text become plain strings in any column; NaN becomes missing. In a column of another
    type than string, quoted text that says "missing" says so too: some systems quote every cell.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if name not in contract.column_names:
        return values
    column = contract.column(name)
    wanted = arrow_type(column)
    text = pa.types.is_string(values.type)
    if text and column.logical_type == "string":
        return values
    if not text and values.type != wanted and not _widens(values.type, wanted):
        return values
    try:
        if text:
            fitting = _parsed(values, column, contract)
        elif pa.types.is_timestamp(values.type) and values.type.tz is None:
            fitting = pc.assume_timezone(values.cast(pa.timestamp("us")), contract.timezone).cast(wanted)
        else:
            fitting = values.cast(wanted)
    except pa.ArrowInvalid:
        return values
    if pa.types.is_temporal(wanted):
        return _on_calendar(fitting)
    if pa.types.is_float64(wanted):
        fitting = pc.if_else(pc.is_nan(fitting), pa.scalar(None, wanted), fitting)
    return fitting


def _on_calendar(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The moments or days; their numbers when one lies outside the years 1 to 9999: Arrow holds it, Python does not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_day = pa.types.is_date32(values.type)
    numbers = values.cast(pa.int32() if is_day else pa.int64())
    ends = pc.min_max(numbers).as_py()
    first, last = (
        pa.scalar(end, pa.date32()).value * (1 if is_day else _DAY) for end in (date.min, date.max)
    )
    if ends["min"] is None or (first <= ends["min"] and ends["max"] < last + (1 if is_day else _DAY)):
        return values
    return numbers


def _parsed(values: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """The texts as values of the column's type; ArrowInvalid when one of them does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(texts, pa.array(MISSING))
    texts = pc.if_else(missing, pa.scalar(None, pa.string()), texts)
    if column.logical_type == "timestamp":
        return timestamps(texts, contract.timezone)
    return texts.cast(arrow_type(column))


def _widens(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a binary file's type means the same as the contract's and loses nothing in it."""
    import pyarrow as pa

    if pa.types.is_null(found):
        return True
    if pa.types.is_int64(wanted):
        return bool(pa.types.is_integer(found))
    if pa.types.is_float64(wanted):
        return bool(pa.types.is_floating(found) or pa.types.is_integer(found))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(found))
    return False


def timestamps(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    """Read ISO 8601 text; without an offset it means the contract's zone. ArrowInvalid when it is mixed, or no such text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    has_offset = pc.match_substring_regex(values, _OFFSET)
    if not pc.any(pc.invert(has_offset)).as_py():
        return values.cast(pa.timestamp("us", tz="UTC"))
    local = values.cast(pa.timestamp("us"))  # refuses those that have an offset
    return pc.assume_timezone(local, timezone).cast(pa.timestamp("us", tz="UTC"))
