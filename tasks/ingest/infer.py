"""A first contract from one file, for a person to review: everything in it that the file cannot say
is a guess.

A column gets the first type that all of its values fit, and stays text where a type would lose what
tells two values apart: digits with zeros before them, of more than fifteen digits, or such as 1E5.
Limits and lists that hold in this file are warnings: the next one may be the first that breaks
them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from data_contracts.contract import MISSING, Column, Contract, Epoch, LogicalType, Server
from data_contracts.servers import FORMAT_OF_ENDING
from tasks.conform import FALSE, TRUE, conform, has_offset, plain
from tasks.ingest.dialect import MARKERS, Guess, Options, guess_dialect, guess_numbers, unnamed
from tasks.ingest.formats import decompressed, parse_file, refuse_other_format
from tasks.ingest.source import SourceError
from tasks.ingest.stores import LocalStore, read_whole
from tasks.lake import arrow_type
from tasks.large import LARGE

_DAYS = (
    *("dd.MM.yyyy", "d.M.yyyy", "dd/MM/yyyy", "MM/dd/yyyy", "d/M/yyyy", "M/d/yyyy", "yyyy/MM/dd"),
    *("dd-MM-yyyy", "d MMM yyyy", "dd-MMM-yyyy", "dd.MM.yy", "MMM d, yyyy", "dd/MMM/yyyy"),
)
_TIMES = ("", " HH:mm", " HH:mm:ss", " HH:mm:ss.S", " H:mm", " h:mm a", " h:mm:ss a", ", HH:mm:ss")
TIME_FORMATS = tuple(day + time for day in _DAYS for time in _TIMES)
"""Ways to write a day or a time that are tried after ISO 8601, in this order."""
DIGITS = tuple(
    f"yyyyMMdd{time}" for time in ("", "HHmm", "HHmmss", "'T'HHmm", "'T'HHmmss", "'T'HHmmssX")
)
"""Ways to write the event time in digits alone, tried before it is taken for a count."""
_EPOCHS: tuple[tuple[int, Epoch], ...] = (
    (10**8, "seconds"),
    (10**11, "milliseconds"),
    (10**14, "microseconds"),
    (10**17, "nanoseconds"),
)
"""The smallest number that is taken for a count of each since 1970: all of them are of 1973."""
_PAIRS = (("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"))
_CODES = r"^[+-]?0\d|^[+-]?\d{16,}$|^\d+[eE]\d+$|^\+\d{7,}$"
"""Text that is digits, and is not the number that it looks like."""
_DIGITS = r"\d[\d.,' ]*"
_MEASURE = (
    rf"^([€$£¥] ?[+-]?{_DIGITS}|[A-Z]{{3}} [+-]?{_DIGITS}|\({_DIGITS}\)"
    rf"|[+-]?{_DIGITS} ?[€$£¥%]|[+-]?{_DIGITS} [A-Za-z]{{1,3}})$"
)
"""A number with its unit, or in brackets: text, and many a column of it is meant as numbers."""
_CODE_OF_A_LAND = r"^[A-Z]{2}$"
_ID = re.compile(r"(?i)(^|[_\W])(id|key|uuid|guid|nr|no|number|code)$|(?<=[a-z])(Id|ID|Key|Nr|No)$")
PAIR_ROWS = 100
"""Rows in which both columns of a pair must have a value: fewer may keep an order by luck."""
PAIR_BROKEN = 0.05
"""Share of rows in which the two columns, each shuffled, are in the other order: a number of seats
below a distance says nothing.
"""
MOST_VALUES = 20
"""Distinct strings that still look like a list of allowed values, when each stands there twice on
average.
"""
_HEADER = (
    "# Inferred from {source}. What is marked as a guess holds in this file; say whether it must"
    " hold in every one.\n"
)


@dataclass(frozen=True)
class TypedColumn:
    """A column in the type that all of its values fit."""

    column: Column
    values: pa.ChunkedArray
    raw: pa.ChunkedArray
    """As they were read."""


@dataclass(frozen=True)
class TypedFile:
    """A file's columns, each in its type, and what was guessed to find it."""

    source: Path
    server: Server
    timezone: str
    columns: dict[str, TypedColumn]
    left_out: dict[str, str] = field(default_factory=dict)
    """Columns that no contract can have -> why."""
    guesses: tuple[Guess, ...] = ()

    def retyped(self, column: Column) -> TypedFile:
        """Return the file with one column of another type, which all of its values must fit."""
        known = self.columns[column.name]
        values = conform(known.raw, self.contract(column), column.name)
        if values.type != arrow_type(column):
            raise SourceError(
                f"{self.source}: column {column.name!r}: expected {column.logical_type} values,"
                f" found {known.raw[0].as_py()!r}"
            )
        columns = {**self.columns, column.name: TypedColumn(column, values, known.raw)}
        return replace(self, columns=columns)

    def contract(self, *columns: Column) -> Contract:
        """Return a contract that says how the file is read, and what these columns are."""
        return _contract(self.source, self.server, self.timezone, columns)


def read_typed(source: Path, options: Options | None = None, time: str = "") -> TypedFile:
    """Read ``source``, CSV, JSON lines or Parquet, as far as ``options`` do not say how; ``time``
    is the column of event times.

    Raises SourceError when it cannot be read or has no rows.
    """
    options = options or Options()
    content = read_whole(LocalStore(), str(source))
    format = next(
        (FORMAT_OF_ENDING[end] for end in source.suffixes if end in FORMAT_OF_ENDING), "csv"
    )
    server, guesses = Server("source", "local", str(source), format), list[Guess]()
    refuse_other_format(content[:16], str(source), format)
    if format == "csv":
        text = parse_bytes(content, source)
        server, guesses = guess_dialect(text, source, options)
    server = replace(server, missing=("",) if options.missing is None else options.missing)
    table = _table(content, source, server)
    guesses += unnamed(table.column_names)
    table = table.select([name for name in table.column_names if name.strip()])
    if table.num_rows == 0:
        raise SourceError(f"{source}: expected rows to infer a contract from, found none")
    if format != "parquet":
        server, found = guess_numbers(table, server, options)
        guesses += found
        if options.missing is None:
            server, found = _missing(table, server)
            guesses += found
            table = _table(content, source, server)
    typist = _Typist(source, server, options, time, table)
    columns = {
        name: typed for name in table.column_names if (typed := typist.typed(name)) is not None
    }
    return TypedFile(
        source,
        server,
        options.timezone,
        columns,
        typist.left_out,
        (*guesses, *typist.guesses),
    )


def infer_contract(
    file: TypedFile,
    name: str,
    *,
    event_time: str | None = None,
    later: Collection[str] = (),
    path: str | None = None,
) -> str:
    """Return the text of a contract called ``name`` that the rows of ``file`` keep.

    Types, gaps, ranges, lists of values, the key and, unless it is given, the event time are those
    of this one file; ``later`` are the columns that become known only after the event, and
    ``path`` is where batches will come from. Raises SourceError when there is no column of times
    without a gap.
    """
    event_time = _event_time(file, event_time)
    key = next(
        (c for c in file.columns if c not in (*later, event_time) and _is_key(file, c)), None
    )
    properties = [
        _property(file, one, one.column.name == key, one.column.name == event_time)
        for one in file.columns.values()
    ]
    for column in properties:
        if column["name"] in later:
            own = column.setdefault("customProperties", [])
            own.insert(0, {"property": "availability", "value": "later"})
    table: dict[str, Any] = {
        "name": name,
        "customProperties": [{"property": "eventTime", "value": event_time}],
        "properties": properties,
    }
    known = [one for one in file.columns.values() if one.column.name not in (*later, key)]
    if pairs := ordered_pairs(known):
        table["quality"] = [_in_order(f"order-{i}", *pair) for i, pair in enumerate(pairs, start=1)]
    suffix = "".join(file.source.suffixes) or ".csv"
    path = path or f"${{KINGMAKER_HOME}}/sources/{name}/{{batch}}{suffix}"
    document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"urn:kingmaker:contract:{name}",
        "name": name,
        "version": "0.1.0",
        "status": "draft",
        "servers": [_server(file.server, path)],
        "schema": [table],
    }
    comments = [_HEADER.format(source=_in_one_line(file.source.name))]
    comments += [f"# A guess: {_in_one_line(guess.what)}: {guess.why}.\n" for guess in file.guesses]
    comments += [
        f"# Left out: {_in_one_line(repr(column))}: {why}.\n"
        for column, why in file.left_out.items()
    ]
    return "".join(comments) + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )


class _Dumper(yaml.CSafeDumper):
    """The fast one; each value is written out where it stands."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as PyYAML calls it
        return True


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def parse_bytes(content: bytes, source: Path) -> bytes:
    """Return the bytes of a file without its compression; SourceError when they are broken."""
    try:
        return decompressed(BytesIO(content), source.name).read()
    except (pa.ArrowException, EOFError, OSError) as error:
        raise SourceError(f"{source}: cannot be decompressed: {error}") from error


def _contract(
    source: Path, server: Server, timezone: str, columns: tuple[Column, ...] = ()
) -> Contract:
    return Contract(
        file=source,
        name=source.name,
        version="0.1.0",
        columns=columns,
        key=(),
        event_time="",
        timezone=timezone,
        lateness=timedelta(0),
        rules=(),
        servers=(server,),
    )


def _table(content: bytes, source: Path, server: Server) -> pa.Table:
    return parse_file(content, str(source), _contract(source, server, "UTC"))


# --- what means that there is no value ------------------------------------------------------------


def _missing(table: pa.Table, server: Server) -> tuple[Server, list[Guess]]:
    """The server with the texts that mean "no value" in this file."""
    guesses = []
    found: list[str] = []
    lands: list[str] = []
    known = pa.array(MARKERS)
    for name, values in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_string(values.type):
            continue
        distinct = values.drop_null().unique()
        marks = distinct.filter(pc.is_in(distinct, known))
        others = distinct.filter(pc.invert(pc.is_in(distinct, pa.array([*MARKERS, *MISSING]))))
        if len(marks) and len(others) and _is_measured(others, server):
            found += [mark for mark in marks.to_pylist() if mark not in found]
        is_na = pc.any(pc.equal(distinct, "NA")).as_py()
        if (
            is_na
            and len(others) > 1
            and pc.all(pc.match_substring_regex(others, _CODE_OF_A_LAND)).as_py()
        ):
            lands.append(name)
    usual = [text for text in MISSING if text != "NA" or not lands]
    if found:
        why = "they stand among numbers or times"
        guesses.append(Guess(f"{found} mean that there is no value", why, "--missing"))
    if lands:
        guesses.append(
            Guess(f"NA is a value of {lands}", "the others are codes of two letters", "--missing")
        )
    return replace(server, missing=(*usual, *found)), guesses


def _is_measured(values: pa.Array, server: Server) -> bool:
    """Whether all values are numbers, or all times."""
    kinds: tuple[LogicalType, ...] = ("number", "timestamp", "date")
    for kind in kinds:
        column = Column("x", kind)
        blank = _contract(Path("x"), replace(server, missing=MISSING), "UTC", (column,))
        if conform(pa.chunked_array([values]), blank, "x").type == arrow_type(column):
            return True
    return False


# --- types ----------------------------------------------------------------------------------------


class _Typist:
    """Finds the type of each column, and says what it guessed and left out."""

    def __init__(
        self, source: Path, server: Server, options: Options, time: str, table: pa.Table
    ) -> None:
        self.left_out: dict[str, str] = {}
        self.guesses: list[Guess] = []
        self._source, self._server, self._options = source, server, options
        self._time, self._table = time, table
        self._codes: list[str] = []

    def typed(self, name: str) -> TypedColumn | None:
        """Return the column in its type; None when it is left out."""
        raw = plain(self._table[name])
        if raw.null_count == len(raw):
            self.left_out[name] = "there is no value in it"
            return None
        for column in self._candidates(name, raw):
            contract = _contract(self._source, self._server, self._options.timezone, (column,))
            values = conform(raw, contract, name)
            if values.type == arrow_type(column) and values.null_count < len(values):
                self._note(column)
                if column.logical_type == "string" and pa.types.is_string(raw.type):
                    self._note_measure(name, raw)
                if column.logical_type == "number":
                    self._note_large(name, values)
                return TypedColumn(column, values, raw)
        self.left_out[name] = f"no type of a contract holds its values, which are {raw.type}"
        return None

    def _candidates(self, name: str, raw: pa.ChunkedArray) -> Iterator[Column]:
        """The types that are tried, in this order."""
        kind, is_time = raw.type, name == self._time
        if pa.types.is_string(kind):
            yield from self._of_text(name, raw)
        elif pa.types.is_boolean(kind):
            yield Column(name, "boolean")
        elif pa.types.is_timestamp(kind) or (pa.types.is_date(kind) and is_time):
            yield Column(name, "timestamp")
        elif pa.types.is_date(kind):
            yield Column(name, "date")
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            if is_time:
                yield from self._in_digits(name, raw)
                yield from self._epochs(name, raw)
            if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
                yield Column(name, "integer")
            if not pa.types.is_integer(kind):
                yield Column(name, "number")
            yield Column(name, "string")

    def _of_text(self, name: str, raw: pa.ChunkedArray) -> Iterator[Column]:
        # The writer of Parquet could have said that text is something else.
        known = self._server.format == "parquet" and name != self._time
        if name in self._options.text or known:
            yield Column(name, "string")
            return
        distinct = raw.drop_null().unique()
        if name == self._time:
            yield from self._in_digits(name, raw)
            yield from self._epochs(name, raw)
        elif pc.any(pc.match_substring_regex(pc.utf8_trim_whitespace(distinct), _CODES)).as_py():
            self._codes.append(name)
        else:
            if not pc.any(self._with_fraction(distinct)).as_py():
                yield Column(name, "integer")
            yield Column(name, "number")
            words = {value.strip().lower() for value in distinct.slice(0, 4).to_pylist()}
            words -= set(self._server.missing)
            if words <= {"true", "false"} or words in map(set, _PAIRS):
                yield Column(name, "boolean")
        for format in self._time_formats(name, distinct):
            if name != self._time:
                yield Column(name, "date", format=format)
            yield Column(name, "timestamp", format=format)
        yield Column(name, "string")

    def _with_fraction(self, texts: pa.Array) -> pa.Array:
        """Which texts have a fraction, were it of zeros: whole today, they need not be tomorrow."""
        return pc.match_substring_regex(texts, rf"\d{re.escape(self._server.decimal)}\d")

    def _time_formats(self, name: str, distinct: pa.Array) -> list[str]:
        """ISO 8601, and the formats in which the first values are written."""
        if name == self._time and self._options.time_format:
            return [self._options.time_format]
        some = pa.chunked_array([distinct.slice(0, 50)])
        if not pc.any(pc.match_substring_regex(some, r"^\s*(\d{1,4}|[A-Za-z]{3})[./ -]")).as_py():
            return [""]
        spans = list[tuple[int, str]]()
        for format in TIME_FORMATS:
            if self._span(name, some, format) is not None:
                span = self._span(name, pa.chunked_array([distinct]), format)
                spans += [] if span is None else [(span, format)]
        # Read with day and month exchanged, neighbouring times lie months apart.
        return ["", *(format for _, format in sorted(spans, key=lambda one: one[0]))]

    def _span(self, name: str, texts: pa.ChunkedArray, format: str) -> int | None:
        """How far apart the times lie when they are written so; None when they are not."""
        column = Column(name, "timestamp", format=format)
        moments = conform(texts, _contract(self._source, self._server, "UTC", (column,)), name)
        if not pa.types.is_timestamp(moments.type) or moments.null_count == len(moments):
            return None
        ends = pc.min_max(moments.cast(pa.int64())).as_py()
        return int(ends["max"] - ends["min"])

    def _in_digits(self, name: str, raw: pa.ChunkedArray) -> list[Column]:
        """The time column as digits of year, month and day, in the forms in which it is written."""
        if self._options.time_format or pa.types.is_floating(raw.type):
            return []
        texts = raw.cast(pa.string())
        found = (form for form in DIGITS if self._span(name, texts, form) is not None)
        return [Column(name, "timestamp", format=form) for form in found]

    def _epochs(self, name: str, raw: pa.ChunkedArray) -> list[Column]:
        """The time column as a count, when it is one of whole numbers as large as such."""
        number = Column(name, "number")
        contract = _contract(self._source, self._server, "UTC", (number,))
        texts = raw if pa.types.is_string(raw.type) else raw.cast(pa.string())
        values = conform(texts, contract, name)
        if values.type != pa.float64():
            column = Column(name, "integer")
            values = conform(raw, replace(contract, columns=(column,)), name)
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            return []
        low = pc.quantile(values, 0.5)[0].as_py()
        unit = next((unit for least, unit in reversed(_EPOCHS) if low >= least), None)
        return [Column(name, "timestamp", epoch=unit)] if unit else []

    def _note_large(self, name: str, values: pa.ChunkedArray) -> None:
        """Tell of numbers that stand for none, or that few models can stand."""
        large = values.filter(pc.greater(pc.abs(values), LARGE)).unique()
        if len(large):
            what = f"{name} holds numbers such as {large[0].as_py()!r}"
            why = "taken as they stand; few estimators can be trained on them"
            self.guesses.append(Guess(what, why, "--missing, or limits in the contract"))

    def _note_measure(self, name: str, raw: pa.ChunkedArray) -> None:
        """Tell of text that is numbers but for a unit or a bracket."""
        texts = pc.utf8_trim_whitespace(raw.drop_null().unique())
        measures = pc.match_substring_regex(texts, _MEASURE)
        others = pc.match_substring_regex(texts, rf"^[+-]?{_DIGITS}$|^$")
        if pc.any(measures).as_py() and pc.all(pc.or_(measures, others)).as_py():
            shown = repr(texts.filter(measures)[0].as_py())
            why = f"its values are no plain numbers, such as {shown}"
            self.guesses.append(Guess(f"{name} is text", why, "digits alone in the file"))

    def _note(self, column: Column) -> None:
        name = column.name
        if column.epoch:
            self.guesses.append(
                Guess(
                    f"{name} counts {column.epoch} since 1970",
                    "it is as large as such counts are",
                    f"epoch of {name}",
                )
            )
        if column.format and not (name == self._time and self._options.time_format):
            self.guesses.append(
                Guess(
                    f"{name} is written as {column.format}",
                    "every value fits it",
                    "--time-format" if name == self._time else f"format of {name}",
                )
            )
        if column.logical_type == "string" and self._codes[-1:] == [name]:
            self.guesses.append(
                Guess(
                    f"{name} is text",
                    "as numbers its digits would lose zeros, or what tells two of them apart",
                    f"logicalType of {name}",
                )
            )


# --- the contract ---------------------------------------------------------------------------------


def _event_time(file: TypedFile, given: str | None) -> str:
    if given is not None:
        typed = file.columns.get(given)
        kind = typed.column.logical_type if typed else "no such column"
        if typed is None or kind not in ("timestamp", "date") or typed.values.null_count:
            shown = "" if typed is None else f", such as {typed.raw.drop_null()[0].as_py()!r}"
            missing = 0 if typed is None else typed.values.null_count
            gaps = f", and {missing:,} without a value" if missing else ""
            raise SourceError(
                f"{file.source}: column {given!r}: expected times without a gap, such as"
                f" 2013-05-17T10:00:00Z, found {kind}{shown}{gaps}; say with"
                " --time-format how they are written, such as 'dd.MM.yyyy HH:mm'"
            )
        return given
    for wanted in ("timestamp", "date"):
        for name, typed in file.columns.items():
            if typed.column.logical_type == wanted and not typed.values.null_count:
                return name
    raise SourceError(
        f"{file.source}: expected a column of times without a gap, to be the event time, found none"
    )


def _identifies(typed: TypedColumn) -> bool:
    values = typed.values
    whole = typed.column.logical_type in ("integer", "string") and not values.null_count
    return whole and len(values) > 1 and pc.count_distinct(values).as_py() == len(values)


def _is_key(file: TypedFile, name: str) -> bool:
    """Whether the column tells rows apart, and looks as if it were meant to."""
    typed = file.columns[name]
    if not _identifies(typed):
        return False
    if _ID.search(name) or typed.column.logical_type == "string":
        return True
    ends = pc.min_max(typed.values).as_py()
    return bool(ends["max"] - ends["min"] == len(typed.values) - 1)


def _server(server: Server, path: str) -> dict[str, Any]:
    """The server as the contract says it: only what differs from the defaults."""
    found: dict[str, Any] = {
        "server": "source",
        "type": "local",
        "path": path,
        "format": server.format,
    }
    if server.encoding != "utf-8":
        found["encoding"] = server.encoding
    usual = Server("", "", "", "")
    own = {
        "delimiter": (server.delimiter, usual.delimiter),
        "quote": (server.quote or "none", usual.quote),
        "escape": (server.escape, usual.escape),
        "skipLines": (server.skip_lines, usual.skip_lines),
        "decimal": (server.decimal, usual.decimal),
        "thousands": (server.thousands, usual.thousands),
        "missingValues": (list(server.missing), list(usual.missing)),
    }
    known = own if server.format == "csv" else ("decimal", "thousands", "missingValues")
    custom = [
        {"property": key, "value": own[key][0]}
        for key in known
        if own[key][0] != own[key][1] and server.format != "parquet"
    ]
    return found | ({"customProperties": custom} if custom else {})


def _property(
    file: TypedFile, typed: TypedColumn, is_key: bool, is_event_time: bool
) -> dict[str, Any]:
    """One column of the contract, with its guesses named in the description."""
    column, values = typed.column, typed.values
    kind: LogicalType = "timestamp" if is_event_time else column.logical_type
    guesses = []
    found: dict[str, Any] = {"name": column.name, "logicalType": kind}
    options = {"format": column.format} if column.format else {}
    custom, quality = dict[str, object](), list[dict[str, Any]]()
    if column.epoch:
        custom["epoch"] = column.epoch
    if column.true_values:
        custom |= {
            "trueValues": list(column.true_values),
            "falseValues": list(column.false_values),
        }
        guesses.append("which of the two values is true")
    if is_event_time:
        guesses.append(f"times without an offset are of {file.timezone}")
        options["defaultTimezone"] = file.timezone
        if file.timezone != "UTC" and _is_local(file, typed):
            custom["ambiguousTime"] = "earlier"
            guesses.append("the earlier of two moments, where the clock is set back")
    elif not is_key and not values.null_count:
        quality.append({"metric": "nullValues", "mustBe": 0})
        guesses.append("no value is missing")
    elif not is_key and kind in ("integer", "number"):
        quality.append(_missing_limit(values))
        guesses.append("the largest share of missing values")
    if is_key:
        found |= {"primaryKey": True, "primaryKeyPosition": 1}
        guesses.append("the key, because all values are different")
    elif _identifies(typed):
        guesses.append("all values are different, so it could be the key")
    if kind in ("integer", "number") and not is_key and (limits := _range(values)):
        guesses.append(limits.pop("why"))
        quality.append({"metric": "invalidValues", "arguments": limits, "mustBe": 0})
    if kind == "string" and not is_key:
        distinct = [value for value in values.unique().to_pylist() if value is not None]
        if distinct and all("@" in value for value in distinct):
            found["classification"] = "personal"
            guesses.append("personal, because every value has an @")
        elif 0 < len(distinct) <= MOST_VALUES and len(values) >= 2 * len(distinct):
            allowed = {"validValues": sorted(distinct)}
            quality.append({"metric": "invalidValues", "arguments": allowed, "mustBe": 0})
            guesses.append(f"the list of values, because there are only {len(distinct)}")
    found |= {"logicalTypeOptions": options} if options else {}
    if custom:
        found["customProperties"] = [{"property": k, "value": v} for k, v in custom.items()]
    if quality:
        found["quality"] = [{**entry, "severity": "warning"} for entry in quality]
    found["description"] = f"Guessed: {'; '.join(guesses or ['the type'])}."
    return found


def without_extremes(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values that are there without those that are far from all others.

    These are 10 interquartile ranges from the quartiles, and 3 from the next value: a sensor's -200
    is, and the large values of a skewed column are not.
    """
    there = values.drop_null()
    numbers = there.cast(pa.float64(), safe=False).to_numpy()
    rising = np.unique(numbers[np.isfinite(numbers)])
    if len(rising) < 3:
        return there
    low, high = np.quantile(numbers[np.isfinite(numbers)], [0.25, 0.75])
    spread = high - low
    apart = np.diff(rising) > 3 * spread
    below = np.flatnonzero(apart & (rising[:-1] < low - 10 * spread))
    above = np.flatnonzero(apart & (rising[1:] > high + 10 * spread))
    first = rising[below[-1] + 1] if len(below) else -np.inf
    last = rising[above[0]] if len(above) else np.inf
    usual = (numbers >= first) & (numbers <= last) | ~np.isfinite(numbers)
    return there.filter(pa.array(usual)) if spread > 0 else there


def ordered_pairs(columns: Iterable[TypedColumn]) -> list[tuple[str, str]]:
    """Return pairs of numbers of which the first is never above the second, though their values
    overlap so far that shuffled columns would often be in the other order.
    """
    numbers = {
        one.column.name: one.values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        for one in columns
        if one.column.logical_type in ("integer", "number") and _is_exact(one.values)
    }
    if len(numbers) < 2:
        return []
    names, matrix = list(numbers), np.column_stack(list(numbers.values()))
    found = []
    for i in range(len(names)):
        # A hundred rows leave few pairs for the whole file.
        low = matrix[:, [i]]
        broken_early = np.any(low[:PAIR_ROWS] > matrix[:PAIR_ROWS], axis=0)
        for j in np.flatnonzero(np.logical_not(broken_early)):
            if j == i:
                continue
            both = np.isfinite(matrix[:, i]) & np.isfinite(matrix[:, j])
            lower, upper = matrix[both, i], matrix[both, j]
            if len(lower) < PAIR_ROWS or (lower > upper).any() or (lower == upper).all():
                continue
            broken = np.searchsorted(np.sort(upper), lower).mean() / len(upper)
            if broken >= PAIR_BROKEN:
                found.append((names[i], names[j]))
    return found


def _is_exact(numbers: pa.ChunkedArray) -> bool:
    """Whether float64 holds all of them as they are."""
    ends = pc.min_max(numbers).as_py()
    return not pa.types.is_integer(numbers.type) or -(2**53) <= ends["min"] <= ends["max"] <= 2**53


def _range(values: pa.ChunkedArray) -> dict[str, Any]:
    """The smallest and the largest value that are not far from all others, and why these; nothing
    where one is no number.
    """
    usual = without_extremes(values)
    ends = pc.min_max(usual).as_py()
    if not all(end is not None and math.isfinite(end) for end in ends.values()):
        return {}
    why = "the range, from the smallest to the largest value"
    if far := len(values) - values.null_count - len(usual):
        why += f", without {far:,} far from all others: are they measured?"
    return {"minimum": ends["min"], "maximum": ends["max"], "why": why}


def _missing_limit(values: pa.ChunkedArray) -> dict[str, Any]:
    """The limit on the share of missing values: twice that of the file, and five points more."""
    share = 100 * values.null_count / len(values)
    most = min(math.ceil(2 * share) + 5, 100)
    return {"metric": "missingValues", "mustBeLessOrEqualTo": most, "unit": "percent"}


def _in_order(id: str, low: str, high: str) -> dict[str, Any]:
    """The rule that one column is at most another, as a query."""
    first, second = ('"' + name.replace('"', '""') + '"' for name in (low, high))
    return {
        "type": "sql",
        "id": id,
        "query": f"SELECT count(*) FROM {{table}} WHERE {first} > {second}",  # noqa: S608 - quoted names
        "mustBe": 0,
        "severity": "warning",
        "description": f"Guessed: {low} is at most {high}, in every row of this file.",
    }


def _is_local(file: TypedFile, typed: TypedColumn) -> bool:
    if pa.types.is_string(typed.raw.type):
        return not has_offset(typed.raw, file.contract())
    return pa.types.is_timestamp(typed.raw.type) and typed.raw.type.tz is None


def two_values(typed: TypedColumn) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return how the true and the false one of a column's two values are written: the greater of
    two numbers, the rarer of two texts; empty when a boolean is written so anyway, None when there
    are not two.
    """
    counts = typed.values.drop_null().value_counts().to_pylist()
    counted = {one["values"]: one["counts"] for one in counts}
    if len(counted) != 2 or typed.column.logical_type not in ("string", "integer", "number"):
        return None
    values = sorted(counted)
    words = {str(value).lower() for value in values}
    if words <= {*TRUE, *FALSE} and len(words & set(TRUE)) == 1:
        return (), ()
    if typed.column.logical_type == "string":
        values.sort(key=lambda value: (-counted[value], value))
    elif any(value != int(value) for value in values):
        return None
    return _spellings(typed, values[1]), _spellings(typed, values[0])


def _spellings(typed: TypedColumn, value: object) -> tuple[str, ...]:
    """The texts that stand for the value in the file."""
    if not pa.types.is_string(typed.raw.type):
        return (str(int(value)),) if isinstance(value, int | float) else (str(value),)
    same = typed.raw.filter(pc.equal(typed.values, pa.scalar(value, typed.values.type)))
    return tuple(sorted({text.strip() for text in same.unique().to_pylist()}))
