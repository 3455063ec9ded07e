"""The past that features look back on, or are joined from: the lake's Parquet files as SQL, each
row with the time in which it counted.

A row of a batch's first content counts from its event time on; that the contract promises it later,
each feature takes into account by itself. A row of a revised content counts from when that was
delivered, and one of a content that was replaced, until then: a feature of an earlier row is made
of what there was at its time, whenever it is made.
"""

from __future__ import annotations

# ruff: noqa: S608 - every name in the SQL is quoted, every value a literal
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import arrow_type, checked_parts, own_columns, read_reasons, scratch_directory
from tasks.records import Revision
from tasks.sql_text import (
    TYPES,
    column_at,
    distinct_names,
    identifier,
    parquet_rows,
    unquoted,
)

MEMORY = "1GB"
"""What the engine may hold before it writes to its scratch directory."""
THREADS = 4
"""Each thread needs memory of its own."""
NEVER = 2**62
"""Microseconds since 1970 at which nothing ends any more."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Names:
    """What columns are called in SQL, quoted; it is blind to upper and lower case."""

    columns: dict[str, str]
    """Of the contract, and of the target."""
    position: str
    """Of the rows that are asked about: their place."""
    moment: str
    """Event time, in microseconds since 1970, as are the next two."""
    known: str
    """From when on a row counts."""
    until: str
    """From when on it does not count any more; NEVER for what still does."""
    value: str
    copy: str
    begins: str
    spell: str

    @classmethod
    def of(cls, contract: Contract, target: str) -> Names:
        """Return the names for the rows of ``contract``."""
        names = tuple(dict.fromkeys([*contract.column_names, target]))
        quoted = map(identifier, distinct_names(names))
        own = own_columns(
            names, ("position", "moment", "known", "until", "value", "copy", "begins", "spell")
        )
        return cls(dict(zip(names, quoted, strict=True)), *map(identifier, own))


@dataclass(frozen=True)
class Asked:
    """The rows that features are made for: when the first and the last of them happened, and how
    far back is looked.
    """

    first: datetime
    last: datetime
    reach: timedelta | None
    """None: as far as there is anything."""


@dataclass(frozen=True)
class Content:
    """A content that counted for some row that is asked about, with the time in which it did, in
    microseconds since 1970.
    """

    revision: Revision
    known: int | None
    """None: from the event time of each row on."""
    until: int


def microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970 of an aware moment."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(count: int) -> datetime:
    """Return the moment so many microseconds after 1970 began."""
    return _EPOCH + timedelta(microseconds=count)


def span_of(duration: timedelta) -> int:
    """Return the microseconds of a span of time."""
    return duration // timedelta(microseconds=1)


@contextmanager
def engine(lake: Path, memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give an engine of its own, which writes what does not fit in ``memory`` to the lake's
    scratch.
    """
    with (
        scratch_directory(lake, "history") as scratch,
        duckdb.connect(
            config={
                "temp_directory": str(scratch),
                "memory_limit": memory,
                "preserve_insertion_order": "false",
                "enable_external_file_cache": "false",
            }
        ) as connection,
    ):
        ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
        connection.execute(f"SET threads = {min(threads, THREADS)}")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def asked_rows(
    contract: Contract, tables: Iterable[pa.Table], names: Names, keys: Iterable[str]
) -> pa.Table:
    """Return the rows that features are made for: their place, their event time and their keys."""
    wanted = list(keys)
    rows = pa.concat_tables([table.select([*wanted, contract.event_time]) for table in tables])
    moment = rows[contract.event_time].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    given = {names.position: pa.array(np.arange(rows.num_rows)), names.moment: moment}
    given |= {
        names.columns[key]: rows[key].cast(arrow_type(contract.column(key))) for key in wanted
    }
    return pa.table({unquoted(name): column for name, column in given.items()})


def with_columns(
    tables: Mapping[str, pa.Table], columns: Mapping[str, pa.ChunkedArray]
) -> dict[str, pa.Table]:
    """Return the tables with columns that hold the values of all their rows, one after another."""
    made, start = {}, 0
    for id, table in tables.items():
        for name, values in columns.items():
            table = table.append_column(name, values.slice(start, table.num_rows))
        made[id] = table
        start += table.num_rows
    return made


def spells(counted: str, same: Sequence[str], n: Names, cut: timedelta) -> str:
    """Return SQL for the rows of ``counted`` with the times in which each counted; one that a later
    content still holds, the same in all of ``same``, is one row.
    """
    columns, late = ", ".join(same), f"{n.known} > {n.moment} + {span_of(cut)}"
    return (
        f"SELECT {columns}, {n.known}, {n.until} FROM {counted}"
        f" WHERE NOT ({late}) AND {n.until} = {NEVER}"
        f" UNION ALL SELECT {columns}, min({n.known}), max({n.until}) FROM ("
        f"SELECT *, sum({n.begins}) OVER (PARTITION BY {columns}, {n.copy} ORDER BY {n.known})"
        f" AS {n.spell} FROM (SELECT *, CASE WHEN lag({n.until}) OVER (PARTITION BY {columns},"
        f" {n.copy} ORDER BY {n.known}) = {n.known} THEN 0 ELSE 1 END AS {n.begins}"
        f" FROM (SELECT *, row_number() OVER (PARTITION BY {columns}, {n.known}) AS {n.copy}"
        f" FROM {counted} WHERE {late} OR {n.until} < {NEVER})))"
        f" GROUP BY {columns}, {n.copy}, {n.spell}"
    )


def contents(revisions: Iterable[Revision], asked: Asked, lake: Path) -> Iterator[Content]:
    """Give what counted for some row that is asked about; ``revisions`` are in the order of batches
    and their revisions.

    In the place of a content that ``kingmaker prune`` has removed stands the one that replaced it.
    """
    first, last = microseconds(asked.first), microseconds(asked.last)
    for _, group in itertools.groupby(revisions, key=lambda one: one.snapshot.batch.id):
        of_batch = list(_left(list(group), lake))
        revised = [one.revised_at for one in of_batch]
        starts = [None if moment is None else microseconds(moment) for moment in revised]
        ends = [*(NEVER if start is None else start for start in starts[1:]), NEVER]
        for one, known, until in zip(of_batch, starts, ends, strict=True):
            batch = one.snapshot.batch
            in_reach = asked.reach is None or asked.first - asked.reach < batch.end
            counted = until > first and (known is None or known <= last)
            if one.accepted and in_reach and batch.start < asked.last and counted:
                yield Content(
                    revision=one,
                    known=None if known is None or known <= first else known,
                    until=NEVER if until > last else until,
                )


def _left(of_batch: Sequence[Revision], lake: Path) -> Iterator[Revision]:
    """The contents of a batch that are still there; the newest in any case."""
    removed: Revision | None = None
    for one in of_batch:
        since = one if removed is None else removed
        if one is of_batch[-1] or (lake / one.snapshot.path).is_dir():
            yield one.but(revised_at=since.revised_at)
            removed = None
        else:
            removed = since


def rows_of(
    connection: duckdb.DuckDBPyConnection,
    lake: Path,
    counted: Iterable[Content],
    open_files: Sequence[Path],
    contract: Contract,
    columns: Sequence[str],
    names: Names,
    stack: ExitStack,
) -> str:
    """Return SQL for rows with ``columns``, in the contract's types, and when each happened and
    counted.

    The files are checked before, and must be the same when ``stack`` is closed: DamagedFileError
    when a part is not what was written.
    """
    alike: dict[tuple[int | None, int, tuple[str, ...]], list[Content]] = defaultdict(list)
    for one in counted:
        parts = stack.enter_context(checked_parts(lake, one.revision.snapshot))
        alike[one.known, one.until, tuple(pq.read_schema(parts[0]).names)].append(one)
    selected = []
    for number, ((known, until, present), some) in enumerate(alike.items()):
        files, part_of, row_of = list[Path](), list[int](), list[int]()
        for one in some:
            snapshot, quarantine = one.revision.snapshot, one.revision.quarantine
            if quarantine is not None:
                aside = np.asarray(list(read_reasons(lake, quarantine)), dtype="i8")
                starts = np.cumsum([0, *(part.rows for part in snapshot.parts[:-1])])
                part = np.searchsorted(starts, aside, side="right") - 1
                part_of += (part + len(files)).tolist()
                row_of += (aside - starts[part]).tolist()
            files += [lake / snapshot.path / part.file for part in snapshot.parts]
        aside_in = ""
        if part_of:
            aside_in = f"{contract.name}_{number}_aside"
            connection.register(aside_in, pa.table({"part": part_of, "row": row_of}))
        selected.append(_select(files, present, contract, columns, names, known, until, aside_in))
    for file in open_files:
        present = tuple(pq.read_schema(file).names)
        selected.append(_select([file], present, contract, columns, names, None, NEVER))
    return " UNION ALL ".join(selected or [_select([], (), contract, columns, names, None, NEVER)])


def _select(
    files: Sequence[Path],
    present: Sequence[str],
    contract: Contract,
    columns: Sequence[str],
    names: Names,
    known: int | None,
    until: int,
    aside: str = "",
) -> str:
    """SQL for the rows of files that have the same columns; what they lack is missing."""

    def stored(name: str) -> str:
        kind = TYPES[contract.column(name).logical_type]
        if name not in present:
            return f"CAST(NULL AS {kind})"
        # Values that do not fit are in rows to be scored alone: their later columns are not judged.
        value = f"TRY_CAST({column_at(list(present).index(name))} AS {kind})"
        return f"CASE WHEN isfinite({value}) THEN {value} END" if kind == "DOUBLE" else value

    moment = f"epoch_us({stored(contract.event_time)})"
    wanted = [f"{stored(name)} AS {names.columns[name]}" for name in columns]
    wanted += [
        f"{moment} AS {names.moment}",
        f"{moment if known is None else known} AS {names.known}",
        f"{until}::BIGINT AS {names.until}",
    ]
    if not files:
        return f"SELECT {', '.join(wanted)} WHERE false"
    read = parquet_rows(files, len(present))
    left_out = (
        ""
        if not aside
        else (
            f" WHERE NOT EXISTS (FROM {identifier(aside)} AS a"
            " WHERE a.part = file_index AND a.row = file_row_number)"
        )
    )
    return f"SELECT {', '.join(wanted)} FROM {read}{left_out}"
