"""Literals, names and files in the SQL of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
}
"""Logical type of a contract -> the engine's."""
_PATTERN = re.compile(r"[*?\[]")


def literal(value: str) -> str:
    """Return a string literal; SQL text itself cannot hold the character zero."""
    return " || chr(0) || ".join(
        "'" + piece.replace("'", "''") + "'" for piece in value.split("\0")
    )


def identifier(name: str) -> str:
    """Return the name of a table or a column, quoted."""
    return '"' + name.replace('"', '""') + '"'


def unquoted(identifier: str) -> str:
    """Return the name that ``identifier`` has quoted."""
    return identifier[1:-1].replace('""', '"')


def file_pattern(path: Path) -> str:
    """Return the pattern that only the file itself matches: DuckDB reads every path as one."""
    return _PATTERN.sub(r"[\g<0>]", str(path))


def parquet_rows(parts: Iterable[Path], columns: int) -> str:
    """Return SQL for the rows of Parquet files whose columns are called c0, c1, ... by position:
    names in SQL are blind to upper and lower case.
    """
    files = ", ".join(literal(file_pattern(part)) for part in parts)
    # A directory that is called like a partition (shop=1) must not stand in the place of a column.
    read = f"read_parquet([{files}], hive_partitioning = false)"
    return f"{read} AS parts({', '.join(map(column_at, range(columns)))})"


def column_at(position: int) -> str:
    """Return the name that ``parquet_rows`` gives to the column at a position, counted from 0."""
    return f"c{position}"


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return a name in SQL for each of ``names``: its own, with its place behind it where others
    differ from it in case only.
    """
    folded = [name.casefold() for name in names]
    alike = {name for name in folded if folded.count(name) > 1} if _any_twice(folded) else set()
    taken = set(folded)
    found = []
    for place, name in enumerate(names, start=1):
        own = name
        if name.casefold() in alike:
            own = f"{name} ({place})"
            while own.casefold() in taken:
                own += "_"
            taken.add(own.casefold())
        found.append(own)
    return tuple(found)


def _any_twice(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)
