"""From what a file or a table holds to the contract's types: exactly, or not at all.

docs/files.md is the table of what each type takes. What does not fit stays as it was read.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import MISSING, Column, Contract
from data_contracts.time_format import MONTHS, pattern_of
from tasks.errors import KingmakerError
from tasks.lake import arrow_type

TRUE = ("true", "t", "yes", "y", "1", "1.0")
FALSE = ("false", "f", "no", "n", "0", "0.0")
"""Texts of a boolean, in small letters, unless the contract says others."""
_EXACT = 2**53
"""Largest whole number up to which a double holds every one."""
_ALWAYS_EXACT = 15
"""Decimal digits that a double always gives back."""
_A_DAY = {"s": 86_400, "ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}
_OFFSET = r"([Zz]|UTC|GMT|\d\d:\d\d.*[+-]\d\d(:?\d\d)?)(\[[\w/+-]+\])?$"
_UNITS = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
_MOMENT = pa.timestamp("us", tz="UTC")
_MANY_DIGITS = Context(prec=2000)
_DISTINCT = 10_000
"""Most distinct values that are looked at for those that do not fit."""


class _UnfitError(KingmakerError):
    """Some value does not fit."""


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
    try:
        match column.logical_type:
            case "string":
                return _strings(values)
            case "integer":
                return _integers(_cells(values, contract), contract)
            case "number":
                return _numbers(_cells(values, contract), contract)
            case "boolean":
                return _booleans(_cells(values, contract), column, contract)
            case "date":
                fitting = _dates(_cells(values, contract), column, contract)
            case "timestamp":
                fitting = _moments(_cells(values, contract), column, contract)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, _UnfitError):
        return values
    if _on_calendar(fitting):
        return fitting
    return as_text(values)


@dataclass(frozen=True)
class Misfits:
    """Values that do not fit their column's type, each looked at alone."""

    rows: int
    """How many rows have one; of many distinct values, among the first ten thousand."""
    examples: tuple[str, ...]
    """The first three, as they were read."""
    advice: str
    """What may be said in the contract to have them read; empty when nothing is known."""


def misfits(values: pa.ChunkedArray, contract: Contract, name: str) -> Misfits:
    """Return which of ``values`` do not fit the type that the contract has for ``name``."""
    column = contract.column(name)
    wanted = arrow_type(column)
    found = values_by_count(plain(values).drop_null())
    bad: list[tuple[str, int]] = []

    def look(first: int, last: int) -> None:
        alone = found[0].slice(first, last - first)
        if first == last or conform(pa.chunked_array([alone]), contract, name).type == wanted:
            return
        if last - first == 1:
            text = as_text(pa.chunked_array([alone]))[0].as_py()
            bad.append((text, found[1][first].as_py()))
            return
        middle = (first + last) // 2
        look(first, middle)
        look(middle, last)

    look(0, min(len(found[0]), _DISTINCT))
    examples = tuple(text for text, _ in bad[:3])
    advice = ""
    if examples:
        texts = pa.chunked_array([pa.array(examples)])
        advice = _advice(texts, column, contract, pa.types.is_string(plain(values).type))
    return Misfits(sum(rows for _, rows in bad), examples, advice)


def values_by_count(values: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return each distinct value, in the order in which they come, and how often it stands there;
    of types that Arrow cannot count, as text.
    """
    try:
        found = pc.value_counts(values)
    except pa.ArrowNotImplementedError:
        found = pc.value_counts(as_text(values))
    return found.field("values"), found.field("counts")


def _advice(texts: pa.ChunkedArray, column: Column, contract: Contract, is_text: bool) -> str:
    """What may be said in the contract to have such values read."""
    where, kind = contract.server.where, column.logical_type
    if kind in ("integer", "number"):
        if _all(pc.match_substring_regex(texts, r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$")):
            return f"no {kind} holds all their digits; declare {column.name} as another type"
        if is_text and _all(pc.match_substring_regex(texts, r"^[+-]?[\d., ']+$")):
            return f"say as decimal and thousands of {where} how numbers are written"
        if is_text:
            return f"say as missingValues of {where} what means that there is no value"
    if kind == "boolean":
        return f"say as trueValues and falseValues of {column.name} what they mean"
    if kind == "timestamp" and _all(pc.match_substring_regex(texts, r"^\d{9,19}(\.\d+)?$")):
        return f"say as epoch of {column.name} what they count"
    if kind == "date" and _all(pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d[T ]\d\d:")):
        return f"a date has no time of day: declare {column.name} as a timestamp"
    try:
        texts.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        iso = _any(pc.match_substring_regex(texts, r"^-?\d{4,}-\d\d-\d\d"))
        if is_text and not iso and kind in ("timestamp", "date") and not column.format:
            return f"say as format of {column.name} how they are written"
        return ""
    if kind == "timestamp" and not column.format:
        return (
            f"the clock of {contract.timezone} leaves them out in spring: say as defaultTimezone"
            " which zone they are in"
        )
    return ""


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values without Arrow's encodings: no dictionary, no runs, one kind of string, and
    text that is written as bytes as text.
    """
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(values.cast(kind.storage_type))
    if pa.types.is_dictionary(kind):
        return plain(values.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(values))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if any(
        is_bytes(kind)
        for is_bytes in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    ):
        values = values.cast(pa.binary())
        try:
            return values.cast(pa.string())
        except pa.ArrowInvalid:  # bytes that are no text
            return values
    return values


def _cells(values: pa.ChunkedArray, contract: Contract) -> pa.ChunkedArray:
    """Text without blanks around it, null where it says that there is no value; others as they
    are.
    """
    if not pa.types.is_string(values.type):
        return values
    texts = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.is_in(texts, _missing(contract)), pa.scalar(None, pa.string()), texts)


def _missing(contract: Contract) -> pa.Array:
    return pa.array([*MISSING, *contract.server.missing])


# --- strings and numbers --------------------------------------------------------------------------


def _strings(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text, and the digits of whole numbers and decimals."""
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.string())
    raise _UnfitError


def _integers(values: pa.ChunkedArray, contract: Contract) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_string(kind):
        texts = _ungrouped(values, contract)
        try:
            return _parsed_integers(texts)
        except pa.ArrowInvalid:
            return _parsed_integers(_signed(texts))
    if pa.types.is_floating(kind):
        values = _without_nan(values)
        ends = pc.min_max(values).as_py()
        if max(abs(ends["min"] or 0), abs(ends["max"] or 0)) > _EXACT:
            raise _UnfitError  # it may stand for several whole numbers
        return values.cast(pa.int64())
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.int64())
    raise _UnfitError


def _parsed_integers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        found = texts.cast(pa.int64())
    except pa.ArrowInvalid:  # a sign before it, or a fraction of nothing behind it
        if not _all(pc.match_substring_regex(texts, r"^[+-]?\d+(\.0*)?$")):
            raise
        return pc.replace_substring_regex(texts, r"^\+?(-?\d+)(\.0*)?$", r"\1").cast(pa.int64())
    if _any(pc.match_substring(texts, "x", ignore_case=True)):
        raise _UnfitError  # Arrow reads 0x10 as sixteen
    return found


def _numbers(values: pa.ChunkedArray, contract: Contract) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_string(kind):
        texts = _ungrouped(values, contract)
        try:
            return _parsed_numbers(texts)
        except pa.ArrowInvalid:
            return _parsed_numbers(_signed(texts))
    if pa.types.is_decimal(kind):
        return _parsed_numbers(values.cast(pa.string()))
    if pa.types.is_floating(kind):
        return _without_nan(values)
    if pa.types.is_null(kind) or pa.types.is_integer(kind):
        return values.cast(pa.float64())  # ArrowInvalid beyond 2^53
    raise _UnfitError


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    values = values.cast(pa.float64())
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _parsed_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """The nearest doubles, when each of them gives back the digits of its text."""
    found = texts.cast(pa.float64())
    doubtful = pc.or_(
        pc.greater(pc.binary_length(texts), _ALWAYS_EXACT),
        pc.match_substring(texts, "e", ignore_case=True),
    )
    if _any(doubtful):
        # What a double is written as by most writers is told at once.
        doubtful = pc.and_(doubtful, pc.not_equal(texts, found.cast(pa.string())))
        pairs = zip(texts.filter(doubtful), found.filter(doubtful), strict=True)
        if not all(_given_back(text.as_py(), value.as_py()) for text, value in pairs):
            raise _UnfitError
    return _without_nan(found)


def _given_back(text: str, value: float) -> bool:
    """Whether ``value``, rounded to the digits that ``text`` has, is what ``text`` says."""
    said = Decimal(text)
    if not said.is_finite() or not math.isfinite(value):
        return not said.is_finite()
    exponent = said.as_tuple().exponent
    try:
        unit = Decimal((0, (1,), int(exponent)))
        return said == Decimal(value).quantize(unit, context=_MANY_DIGITS)
    except InvalidOperation:  # more digits than any double needs
        return said == Decimal(value)


def _ungrouped(texts: pa.ChunkedArray, contract: Contract) -> pa.ChunkedArray:
    """Numbers without what groups their digits and with a point before the fraction."""
    decimal, thousands = contract.server.decimal, contract.server.thousands
    if thousands:
        point, mark = re.escape(decimal), re.escape(thousands)
        grouped = pc.match_substring(texts, thousands)
        form = rf"^[+\x{{2212}}-]?\d{{1,3}}({mark}\d{{3}})+({point}\d*)?-?$"
        if not _all(pc.or_(pc.invert(grouped), pc.match_substring_regex(texts, form))):
            raise _UnfitError
        texts = pc.replace_substring(texts, thousands, "")
    if decimal != ".":
        if _any(pc.match_substring(texts, ".")):
            raise _UnfitError
        texts = pc.replace_substring(texts, decimal, ".")
    return texts


def _signed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers with the sign as a hyphen before them: some are written with the sign of typography,
    some with a hyphen behind.
    """
    texts = pc.replace_substring_regex(texts, r"^\x{2212}", "-")
    return pc.replace_substring_regex(texts, r"^(\d[\d.eE]*)-$", r"-\1")


def _booleans(values: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    if pa.types.is_boolean(values.type) and not column.true_values:
        return values
    if pa.types.is_null(values.type):
        return values.cast(pa.bool_())
    if not pa.types.is_string(values.type):
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        values = _integers(values, contract).cast(pa.string())
    texts = pc.utf8_lower(values)
    true = pa.array([text.lower() for text in column.true_values or TRUE])
    false = pa.array([text.lower() for text in column.false_values or FALSE])
    known = pc.or_(pc.is_in(texts, true), pc.is_in(texts, false))
    if not _all(pc.or_(known, pc.is_null(texts))):
        raise _UnfitError
    return pc.if_else(pc.is_null(texts), pa.scalar(None, pa.bool_()), pc.is_in(texts, true))


# --- days and moments -----------------------------------------------------------------------------


def _dates(values: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """Days; a time is one when it is a midnight of the contract's zone."""
    kind = values.type
    if column.format and pa.types.is_integer(kind):  # 20130517
        values, kind = values.cast(pa.string()), pa.string()
    if pa.types.is_string(kind):
        if column.format:
            values = _as_iso(values, column.format)
        days = pc.replace_substring_regex(values, r"[T ]00:00(:00(\.0*)?)?$", "")
        try:
            return days.cast(pa.date32())
        except pa.ArrowInvalid:
            if not _all(pc.match_substring_regex(values, _OFFSET)):
                raise
        return _dates(values.cast(_MOMENT), column, contract)
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            local = values.cast(pa.timestamp(kind.unit, tz=contract.timezone))
            values = pc.local_timestamp(local)
        days = values.cast(pa.date32(), safe=False)
        if not _all(pc.equal(days.cast(values.type), values)):
            raise _UnfitError
        return days
    if pa.types.is_null(kind) or pa.types.is_date(kind):
        return values.cast(pa.date32())
    raise _UnfitError


def _moments(values: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """Moments, cut to microseconds; without an offset they are of the contract's zone."""
    kind = values.type
    if column.epoch and not pa.types.is_temporal(kind):
        return _since_1970(values, column.epoch)
    if column.format and pa.types.is_integer(kind):  # 20130517
        values, kind = values.cast(pa.string()), pa.string()
    if pa.types.is_string(kind):
        texts = _as_iso(values, column.format) if column.format else values
        try:
            return _iso_moments(texts, column, contract)
        except pa.ArrowInvalid:
            return _iso_moments(_tidied(texts), column, contract)
    if pa.types.is_date(kind):
        return _midnights(values.cast(pa.date32()), contract)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            return _local_moments(_cut(values), column, contract)
        return _cut(values).cast(_MOMENT)
    if pa.types.is_null(kind):
        return values.cast(_MOMENT)
    raise _UnfitError


def _cut(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps in microseconds; what is finer is cut off, towards the past."""
    if values.type.unit == "ns":
        values = pc.floor_temporal(values, unit="microsecond")
    return values.cast(pa.timestamp("us", tz=values.type.tz))


def _local_moments(local: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """Local times as moments; ArrowInvalid for one that the clock leaves out."""
    which = "latest" if column.ambiguous == "later" else "earliest"
    return pc.assume_timezone(local, contract.timezone, ambiguous=which).cast(_MOMENT)


def _midnights(days: pa.ChunkedArray, contract: Contract) -> pa.ChunkedArray:
    """The first moment of each day, also where the clock leaves midnight out or has it twice."""
    return pc.assume_timezone(
        days.cast(pa.timestamp("us")), contract.timezone, ambiguous="earliest", nonexistent="latest"
    ).cast(_MOMENT)


def _iso_moments(texts: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """ISO 8601 text as moments; ArrowInvalid when it is mixed, or no such text."""
    if _all(pc.match_substring_regex(texts, _OFFSET)):
        return texts.cast(_MOMENT)
    if _all(pc.equal(pc.binary_length(texts), len("2013-05-17"))):
        return _midnights(texts.cast(pa.date32()), contract)
    local = texts.cast(pa.timestamp("us"))  # refuses those that have an offset
    return _local_moments(local, column, contract)


def _tidied(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments as many systems write them, as ISO 8601: a blank before the offset, the zone's name
    behind it, UTC in words, and more than six digits of a second, which are cut off.
    """
    for pattern, iso in (
        (r"([Zz]|[+-]\d\d:?\d\d)\[[\w/+-]+\]$", r"\1"),
        (r"\s*(UTC|GMT|[Zz])$", "Z"),
        (r"\s+([+-]\d\d(:?\d\d)?)$", r"\1"),
        (r"(:\d\d)[.,](\d{1,6})\d{0,3}(Z|[+-]\d\d(:?\d\d)?)?$", r"\1.\2\3"),
        (r"^(\d{4}-\d\d-\d\d)t", r"\1T"),
    ):
        texts = pc.replace_substring_regex(texts, pattern, iso)
    return texts


def _as_iso(texts: pa.ChunkedArray, format: str) -> pa.ChunkedArray:
    """Dates or times in another format as ISO 8601; _UnfitError when one of them is not written in
    it.
    """
    pattern = pattern_of(format)
    found = pc.extract_regex(texts, pattern)
    if found.null_count != texts.null_count:
        raise _UnfitError
    none = pa.scalar(None, pa.string())
    given = {
        field: pc.if_else(pc.is_valid(texts), pc.struct_field(found, field), none)
        for field in re.compile(pattern).groupindex
    }

    def digits(field: str, width: int) -> pa.ChunkedArray:
        return pc.utf8_lpad(given[field], width, padding="0")

    if "year" in given:
        parts = [given["year"]]
    else:
        parts = [pc.binary_join_element_wise("20", given["short_year"], "")]
    if "month_name" in given:
        at = pc.index_in(pc.utf8_lower(given["month_name"]), pa.array(MONTHS))
        given["month"] = pc.add(at, 1).cast(pa.string())
    parts += ["-", digits("month", 2), "-", digits("day", 2)]
    if "half_hour" in given:
        hour = given["half_hour"].cast(pa.int64())
        if not _all(pc.and_(pc.greater_equal(hour, 1), pc.less_equal(hour, 12))):
            raise _UnfitError
        past_noon = pc.equal(pc.utf8_lower(given["half"]), "pm")
        hour = pc.add(pc.if_else(pc.equal(hour, 12), 0, hour), pc.if_else(past_noon, 12, 0))
        given["hour"] = hour.cast(pa.string())
    if "hour" in given:
        parts += ["T", digits("hour", 2)]
        for field in ("minute", "second"):
            parts += [":", digits(field, 2) if field in given else "00"]
        if "fraction" in given:
            parts += [".", given["fraction"]]
        if "offset" in given:
            parts.append(given["offset"])
    return pc.binary_join_element_wise(*parts, "")


def _since_1970(values: pa.ChunkedArray, epoch: str) -> pa.ChunkedArray:
    """Counted seconds, or parts of them, as moments."""
    unit = _UNITS[epoch]
    if pa.types.is_floating(values.type):
        values = _without_nan(values).cast(pa.string())
    if pa.types.is_string(values.type) and _any(pc.match_substring_regex(values, "[.eE]")):
        values = values.cast(pa.decimal128(28, 9))
    if pa.types.is_decimal(values.type):
        times = pa.scalar(Decimal({"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}[unit]))
        values, unit = pc.floor(pc.multiply(values, times)), "ns" if unit == "ns" else "us"
    counted = values.cast(pa.int64())
    return _cut(counted.cast(pa.timestamp(unit, tz="UTC"))).cast(_MOMENT)


def _on_calendar(values: pa.ChunkedArray) -> bool:
    """Whether each moment or day lies in the years 1 to 9999: Arrow holds others, Python does
    not.
    """
    is_day = pa.types.is_date32(values.type)
    ends = pc.min_max(values.cast(pa.int32() if is_day else pa.int64())).as_py()
    unit = 1 if is_day else _A_DAY[values.type.unit]
    first, last = (pa.scalar(end, pa.date32()).value * unit for end in (date.min, date.max))
    return ends["min"] is None or (first <= ends["min"] and ends["max"] < last + unit)


def has_offset(values: pa.ChunkedArray, contract: Contract) -> bool | None:
    """Whether the first text that says something carries an offset; None when none says
    anything.
    """
    for chunk in values.chunks:
        texts = pc.utf8_trim_whitespace(chunk)
        silent = pc.or_(pc.is_in(texts, _missing(contract)), pc.is_null(texts))
        at = pc.index(silent, False).as_py()
        if at >= 0:
            return re.search(_OFFSET, texts[at].as_py()) is not None
    return None


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as text; as Python writes it where Arrow has no text for the type."""
    values = plain(values)
    kind = values.type
    if pa.types.is_timestamp(kind) and not _on_calendar(values):
        return _far_moments(values)
    try:
        return values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.chunked_array(
            [pa.array([None if v is None else repr(v) for v in values.to_pylist()], pa.string())]
        )


def _far_moments(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments of any year as text in UTC: Arrow's own is wrong beyond the year 32,767."""
    counted = values.cast(pa.int64()).fill_null(0).to_numpy()
    texts = pa.array(
        np.datetime_as_string(counted.astype(f"M8[{values.type.unit}]")).astype(object)
    )
    texts = pc.replace_substring(texts, "T", " ")
    if values.type.tz is not None:
        texts = pc.binary_join_element_wise(texts, "Z", "")
    return pa.chunked_array([pc.if_else(values.combine_chunks().is_valid(), texts, None)])


def _any(found: pa.ChunkedArray) -> bool:
    return bool(pc.any(found).as_py())


def _all(found: pa.ChunkedArray) -> bool:
    """Whether all are true; a gap says nothing."""
    return pc.all(found).as_py() is not False
