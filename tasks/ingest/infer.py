"""A first contract from one file, for a person to review: everything in it that the file cannot say
is a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from data_contracts.contract import Column, Contract, LogicalType, Server
from tasks.conform import conform
from tasks.ingest.formats import parse_file
from tasks.ingest.source import SourceError
from tasks.ingest.stores import LocalStore, read_whole
from tasks.lake import arrow_type

_TYPES: tuple[LogicalType, ...] = ("integer", "number", "boolean", "date", "timestamp")
"""In the order in which they are tried; text that is none of them is a string."""
_FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
MOST_VALUES = 20
"""Distinct strings that still look like a list of allowed values, when each stands there twice on
average.
"""
_HEADER = (
    "# Inferred from {source}. What is marked as a guess holds in this file; say whether it must"
    " hold in every one.\n"
)


@dataclass(frozen=True)
class TypedFile:
    """A file's columns, each in the first type that all of its values fit."""

    source: Path
    format: str
    columns: dict[str, tuple[LogicalType, pa.ChunkedArray]]


def read_typed(source: Path) -> TypedFile:
    """Read ``source``, CSV, JSON lines or Parquet; SourceError when it cannot be read or has no
    rows.
    """
    format = next((_FORMATS[suffix] for suffix in source.suffixes if suffix in _FORMATS), "csv")
    blank = _blank(source, source.name, format)
    table = parse_file(read_whole(LocalStore(), str(source)), str(source), blank)
    if table.num_rows == 0:
        raise SourceError(f"{source}: expected rows to infer a contract from, found none")
    return TypedFile(
        source, format, {name: _typed(table[name], name, blank) for name in table.column_names}
    )


def infer_contract(
    file: TypedFile,
    name: str,
    *,
    event_time: str | None = None,
    later: str | None = None,
    path: str | None = None,
) -> str:
    """Return the text of a contract called ``name`` that the rows of ``file`` keep.

    Types, gaps, ranges, lists of values, the key and, unless it is given, the event time are those
    of this one file; ``later`` is the column that becomes known only after the event, and ``path``
    where batches will come from. Raises SourceError when there is no column of times without a gap.
    """
    source, typed, suffixes = file.source, file.columns, file.source.suffixes
    event_time = _event_time(source, typed, event_time)
    key = next(
        (c for c, (kind, values) in typed.items() if c != later and _identifies(kind, values)), None
    )
    properties = [_property(c, *typed[c], c == key, c == event_time) for c in typed]
    for column in properties:
        if column["name"] == later:
            column["customProperties"] = [{"property": "availability", "value": "later"}]
    document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"urn:kingmaker:contract:{name}",
        "name": name,
        "version": "0.1.0",
        "status": "draft",
        "servers": [
            {
                "server": "source",
                "type": "local",
                "path": (
                    path
                    or f"${{KINGMAKER_HOME}}/sources/{name}/{{batch}}{''.join(suffixes) or '.csv'}"
                ),
                "format": file.format,
            }
        ],
        "schema": [
            {
                "name": name,
                "customProperties": [{"property": "eventTime", "value": event_time}],
                "properties": properties,
            }
        ],
    }
    return _HEADER.format(source=source.name) + yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, width=110
    )


def _blank(source: Path, name: str, format: str) -> Contract:
    """A contract that says nothing of any column: the file is read as it is."""
    return Contract(
        file=source,
        name=name,
        version="0.1.0",
        columns=(),
        key=(),
        event_time="",
        timezone="UTC",
        lateness=timedelta(0),
        rules=(),
        servers=(Server("source", "local", str(source), format),),
    )


def _typed(
    values: pa.ChunkedArray, name: str, blank: Contract
) -> tuple[LogicalType, pa.ChunkedArray]:
    """The first type that every value fits, by the same reading that a batch gets, and the values
    in it.
    """
    text = pa.types.is_string(values.type)
    if pa.types.is_null(values.type):
        return "string", values.cast(pa.string())
    for kind in _TYPES:
        column = Column(name, kind)
        fitting = conform(values, replace(blank, columns=(column,)), name)
        # Texts that all say "missing" would fit any type.
        if fitting.type == arrow_type(column) and not (text and fitting.null_count == len(values)):
            return kind, fitting
    if not text:
        raise SourceError(
            f"{blank.file}: column {name!r}: expected text, numbers, times or booleans, found"
            f" {values.type}"
        )
    return "string", values


def _event_time(
    source: Path, typed: dict[str, tuple[LogicalType, pa.ChunkedArray]], given: str | None
) -> str:
    if given is not None:
        kind, values = typed[given]
        if kind not in ("timestamp", "date") or values.null_count:
            raise SourceError(
                f"{source}: column {given!r}: expected times without a gap, such as"
                f" 2013-05-17T10:00:00Z, found {kind} with {values.null_count:,} missing"
            )
        return given
    for wanted in ("timestamp", "date"):
        for name, (kind, values) in typed.items():
            if kind == wanted and not values.null_count:
                return name
    raise SourceError(
        f"{source}: expected a column of times without a gap, to be the event time, found none"
    )


def _identifies(kind: LogicalType, values: pa.ChunkedArray) -> bool:
    whole = kind in ("integer", "string") and not values.null_count
    return whole and len(values) > 1 and len(values.unique()) == len(values)


def _property(
    name: str, kind: LogicalType, values: pa.ChunkedArray, is_key: bool, is_event_time: bool
) -> dict[str, Any]:
    """One column of the contract, with its guesses named in the description."""
    guesses = []
    found: dict[str, Any] = {"name": name, "logicalType": "timestamp" if is_event_time else kind}
    if is_event_time:
        guesses.append(
            "the event time, as the first column of times without a gap; times are in UTC"
        )
        found["logicalTypeOptions"] = {"defaultTimezone": "UTC"}
    elif not values.null_count:
        found["required"] = True
        guesses.append("required, because no value is missing")
    if is_key:
        found |= {"primaryKey": True, "primaryKeyPosition": 1}
        guesses.append("the key, as the first column whose values are all different")
    elif _identifies(kind, values):
        guesses.append("all values are different, so it could be the key")
    if kind in ("integer", "number") and not is_key:
        ends = pc.min_max(values).as_py()
        if all(end is not None and math.isfinite(end) for end in ends.values()):
            found["logicalTypeOptions"] = {"minimum": ends["min"], "maximum": ends["max"]}
            guesses.append("the range, from the smallest to the largest value")
    if kind == "string" and not is_key:
        distinct = [value for value in values.unique().to_pylist() if value is not None]
        if distinct and all("@" in value for value in distinct):
            found["classification"] = "personal"
            guesses.append("personal, because every value has an @")
        elif 0 < len(distinct) <= MOST_VALUES and len(values) >= 2 * len(distinct):
            found["enum"] = [{"value": value} for value in sorted(distinct)]
            guesses.append(f"the list of values, because there are only {len(distinct)}")
    found["description"] = f"Guessed: {'; '.join(guesses or ['the type'])}."
    return found
