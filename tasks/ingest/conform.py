"""From what a file or a table held to the contract's types: exactly, or not at all."""

from __future__ import annotations

import re
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Column, Contract
from tasks.ingest.source import MISSING
from tasks.lake import arrow_type

_DAY = 24 * 60 * 60 * 1_000_000
"""Microseconds."""
_OFFSET = r"(Z|\d\d:\d\d.*[+-]\d\d(:?\d\d)?)$"


def conform(values: pa.ChunkedArray, contract: Contract, name: str) -> pa.ChunkedArray:
    """Return ``values`` in the contract's type when every one of them fits it exactly, else as they
    are.

    Arrow's spellings of text become plain strings in any column; NaN becomes missing. In a column
    of another type than string, quoted text that says "missing" says so too: some systems quote
    every cell.
    """
    values = plain(values)
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
            fitting = pc.assume_timezone(values.cast(pa.timestamp("us")), contract.timezone).cast(
                wanted
            )
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
    """The moments or days; their numbers when one lies outside the years 1 to 9999: Arrow holds it,
    Python does not.
    """
    is_day = pa.types.is_date32(values.type)
    numbers = as_numbers(values)
    ends = pc.min_max(numbers).as_py()
    first, last = (
        pa.scalar(end, pa.date32()).value * (1 if is_day else _DAY) for end in (date.min, date.max)
    )
    if ends["min"] is None or (
        first <= ends["min"] and ends["max"] < last + (1 if is_day else _DAY)
    ):
        return values
    return numbers


def as_numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments or days as what Arrow counts them by, since 1970."""
    return values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values without Arrow's encodings: no dictionary, one kind of string."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    return values


def _parsed(values: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """The texts as values of the column's type; ArrowInvalid when one of them does not fit."""
    texts = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(texts, pa.array(MISSING))
    texts = pc.if_else(missing, pa.scalar(None, pa.string()), texts)
    if column.logical_type == "timestamp":
        return timestamps(texts, contract.timezone)
    return texts.cast(arrow_type(column))


def _widens(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a binary file's type means the same as the contract's and loses nothing in it."""
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
    """Read ISO 8601 text; without an offset it means the contract's zone.

    ArrowInvalid when it is mixed, or no such text.
    """
    if not pc.any(pc.invert(pc.match_substring_regex(values, _OFFSET))).as_py():
        return values.cast(pa.timestamp("us", tz="UTC"))
    local = values.cast(pa.timestamp("us"))  # refuses those that have an offset
    return pc.assume_timezone(local, timezone).cast(pa.timestamp("us", tz="UTC"))


def has_offset(values: pa.ChunkedArray) -> bool | None:
    """Whether the first text that says something carries an offset; None when none says
    anything.
    """
    for chunk in values.chunks:
        texts = pc.utf8_trim_whitespace(chunk)
        at = pc.index(
            pc.fill_null(pc.is_in(texts, pa.array([*MISSING, None])), True), False
        ).as_py()
        if at >= 0:
            return re.search(_OFFSET, texts[at].as_py()) is not None
    return None


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as text; as Python writes it where Arrow has no text for the type."""
    values = plain(values)
    try:
        return values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.chunked_array(
            [pa.array([None if v is None else repr(v) for v in values.to_pylist()], pa.string())]
        )
