"""The contract's row and batch rules as SQL: one scan over all parts of a snapshot, out of core.

The same rules as in ``expectations.py``, with the same results, for batches of any size: DuckDB
reads only the columns that rules name, spills what does not fit into its memory limit, and returns
row positions only for rules that are broken. A kind of rule is one case in ``_broken`` (row) or
``_measured`` and ``_batch_result`` (batch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts.contract import Column, Contract, Rule
from tasks.batches import Batch
from tasks.lake import scratch_directory
from tasks.sql_text import column_at, literal, parquet_rows
from tasks.validation.expectations import RuleResult, held, moment, shown_value
from tasks.validation.formats import whole

MEMORY_A_THREAD = 48
"""MB that each thread of DuckDB may hold before it writes to its temporary directory, and one more
for each column.
"""
MOST_THREADS = 8
"""Threads that DuckDB uses at most, so that its memory does not grow with the machine."""
KEYS_AT_ONCE = 8_000_000
"""Keys that are told apart in one pass: what fits into the memory of two threads without a
temporary file.
"""
_SCANNED = (
    "not_null",
    "between",
    "within_batch",
    "in_set",
    "not_in_set",
    "matches",
    "length_between",
    "unique",
    "row_count",
    "null_share",
    "fresh",
    "count",
)
"""The kinds of rule that have a scan; the others are judged by Great Expectations alone."""
_MOST = 2**64
"""A whole number that none of a column reaches; SQL reads it, and its negative, as one."""
COLUMNS_AT_ONCE = 100
"""Columns that one pass looks at: planning a query costs the square of their number."""


@dataclass(frozen=True)
class _Scan:
    """What a query over the parts needs to know."""

    connection: duckdb.DuckDBPyConnection
    parts: tuple[Path, ...]
    places: Mapping[str, int]
    """Place of each column of the parts, counted from 0."""
    first_rows: tuple[int, ...]
    """Position of each part's first row in the snapshot."""
    rows: int
    """Rows of the snapshot."""
    contract: Contract
    batch: Batch
    keys_at_once: int

    def source(self, columns: Sequence[str]) -> str:
        """SQL for the rows with their part, position in the part, and ``columns`` by the names of
        ``_at``.

        NaN is missing.
        """
        selected = ["file_index AS part", "file_row_number AS row"]
        for name in dict.fromkeys(columns):
            number = self.contract.column(name).logical_type == "number"
            at = self._at(name)
            # Not isnan(): DuckDB answers it from the file's minimum and maximum, which leave NaN
            # out.
            missing = f"NOT isfinite({at}) AND NOT isinf({at})"
            selected.append(
                f"CASE WHEN {missing} THEN NULL ELSE {at} END AS {at}" if number else at
            )
        return f"(SELECT {', '.join(selected)} FROM {parquet_rows(self.parts, len(self.places))})"

    def columns(self, rule: Rule) -> list[str]:
        """The rule's columns by the names that ``source`` gives them."""
        return [self._at(name) for name in rule.columns]

    def positions(self, query: str) -> tuple[int, ...]:
        """Ascending positions in the snapshot of the rows that ``query`` gives as (part, row)."""
        found = self.connection.execute(query).fetchnumpy()
        parts, rows = (np.asarray(found[name], dtype=np.int64) for name in ("part", "row"))
        return tuple(np.sort(np.asarray(self.first_rows)[parts] + rows).tolist())

    def _at(self, name: str) -> str:
        return column_at(self.places[name])


def scan_rules(
    parts: Sequence[Path],
    rules: Sequence[Rule],
    contract: Contract,
    batch: Batch,
    scratch: Path,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    keys_at_once: int = KEYS_AT_ONCE,
) -> tuple[RuleResult, ...]:
    """Judge row and batch rules over the Parquet files ``parts``: the results of ``run_rules`` over
    all their rows.

    Some rules cannot be scanned and have no result here: kinds that ``_SCANNED`` does not name, and
    patterns that only Python's regular expressions know (look-around, back references). ``scratch``
    is a directory for what does not fit in memory. ``meanwhile`` is called when the hungriest
    passes are over and the longest one begins: to start what may run beside it.
    """
    with _opened(parts, contract, batch, scratch, keys_at_once) as scan:
        scanned = [rule for rule in rules if _scannable(scan.connection, rule, contract)]
        alone = [rule for rule in scanned if not _looks_for_doubles(rule)]
        doubles = [rule for rule in scanned if _looks_for_doubles(rule)]
        results = {rule.id: _unique(scan, rule) for rule in doubles if len(rule.columns) == 1}
        meanwhile()
        for some in _by_columns(alone):
            results |= dict(zip((rule.id for rule in some), _scanned(scan, some), strict=True))
        # What has a column with no gap and no value twice has no key twice: it costs no second
        # look.
        known = _told_apart(results.values())
        for rule in (rule for rule in doubles if len(rule.columns) > 1):
            results[rule.id] = _unique(scan, rule, none=bool(known & set(rule.columns)))
        return tuple(results[rule.id] for rule in scanned)


def _by_columns(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    """The rules in their order, cut so that no pass looks at many columns."""
    some: list[Rule] = []
    columns: set[str] = set()
    for rule in rules:
        if some and len(columns.union(rule.columns)) > COLUMNS_AT_ONCE:
            yield some
            some, columns = [], set()
        some.append(rule)
        columns.update(rule.columns)
    yield some


def _looks_for_doubles(rule: Rule) -> bool:
    """Whether the rule is, or counts what breaks, one that a row cannot be judged by alone."""
    return "unique" in (rule.check, *(one.check for one in rule.arguments.get("rules", ())))


def _told_apart(results: Iterable[RuleResult]) -> set[str]:
    """Columns in which every row has a value of its own, as far as rules that were judged say."""
    kept = [result.rule for result in results if result.success]
    full = {rule.columns[0] for rule in kept if rule.check == "not_null"}
    return {
        rule.columns[0] for rule in kept if rule.check == "unique" and len(rule.columns) == 1
    } & full


@contextmanager
def _opened(
    parts: Sequence[Path], contract: Contract, batch: Batch, scratch: Path, keys_at_once: int
) -> Iterator[_Scan]:
    first_rows, rows = [], 0
    for part in parts:
        first_rows.append(rows)
        rows += pq.read_metadata(part).num_rows
    with scratch_directory(scratch, "scan") as spill:  # of its own: two engines must not share one
        # Each file is read a few times at most: what DuckDB would keep of it is memory that grows
        # with the rows.
        connection = duckdb.connect(
            config={
                "temp_directory": str(spill),
                "preserve_insertion_order": "false",
                "enable_external_file_cache": "false",
            }
        )
        try:
            places = {name: i for i, name in enumerate(pq.read_schema(parts[0]).names)}
            of_the_machine = connection.execute("SELECT current_setting('threads')").fetchall()[0][
                0
            ]
            threads = min(of_the_machine, MOST_THREADS)
            memory = max(2, threads) * (MEMORY_A_THREAD + len(places))
            connection.execute(f"SET threads = {threads}")
            connection.execute(f"SET memory_limit = '{memory}MB'")
            yield _Scan(
                connection,
                tuple(parts),
                places,
                tuple(first_rows),
                rows,
                contract,
                batch,
                keys_at_once,
            )
        finally:
            connection.close()


def _scannable(connection: duckdb.DuckDBPyConnection, rule: Rule, contract: Contract) -> bool:
    """Whether the rule has a scan, and DuckDB's expressions (RE2, as in pandas' own fast path) know
    its pattern.
    """
    if rule.check not in _SCANNED:
        return False
    if rule.check == "count":
        return all(_scannable(connection, one, contract) for one in rule.arguments["rules"])
    if rule.check == "between":
        return contract.column(rule.columns[0]).logical_type not in ("string", "boolean")
    if rule.check == "matches":
        try:
            connection.execute(f"SELECT regexp_matches('', {literal(rule.arguments['pattern'])})")
        except duckdb.InvalidInputException:
            return False
    return True


def _scanned(scan: _Scan, rules: Sequence[Rule]) -> Iterator[RuleResult]:
    """The results of all rules that one pass over the rows can judge."""
    conditions = {rule.id: _broken(rule, scan) for rule in rules if rule.scope == "row"}
    wanted = [
        (
            f"count(*) FILTER (WHERE {conditions[rule.id]})"
            if rule.scope == "row"
            else _measured(rule, scan)
        )
        for rule in rules
    ]
    source = scan.source([name for rule in rules for name in rule.columns])
    # The rows are counted by part, because the parts with breaking rows are read again for their
    # positions.
    query = f"SELECT part, count(*), {', '.join(wanted)} FROM {source} GROUP BY part"
    found = scan.connection.execute(query).fetchall() if rules else []
    rows = sum(by_part[1] for by_part in found)
    for i, rule in enumerate(rules, start=2):
        values = {by_part[0]: by_part[i] for by_part in found if by_part[i] is not None}
        if rule.scope == "batch":
            yield _batch_result(rule, list(values.values()), rows, scan)
            continue
        broken = sorted(int(part) for part, count in values.items() if count)
        positions: tuple[int, ...] = ()
        if broken:
            listed = ", ".join(map(str, broken))
            positions = scan.positions(
                f"SELECT part, row FROM {scan.source(rule.columns)} "
                f"WHERE part IN ({listed}) AND ({conditions[rule.id]})"
            )
        yield RuleResult(rule=rule, success=not broken, positions=positions, found="")


def _broken(rule: Rule, scan: _Scan) -> str:
    """SQL that is true for exactly the rows that break the rule; for a missing value it is not
    true.
    """
    given = rule.arguments
    (at,) = scan.columns(rule)
    column = scan.contract.column(rule.columns[0])
    match rule.check:
        case "not_null":
            return f"{at} IS NULL"
        case "between" if column.logical_type not in ("string", "boolean"):
            low, high = given["min"], given["max"]
            broken = []
            if low is not None:
                broken.append(
                    f"{at} {'<=' if given['strict_min'] else '<'} {_bound(low, column, scan)}"
                )
            if high is not None:
                broken.append(
                    f"{at} {'>=' if given['strict_max'] else '>'} {_bound(high, column, scan)}"
                )
            return " OR ".join(broken)
        case "within_batch":
            start, end = _instant(scan.batch.start), _instant(scan.batch.end)
            return f"{at} < {start} OR {at} >= {end}"
        case "in_set":
            return (
                f"{at} NOT IN"
                f" ({', '.join(_bound(value, column, scan) for value in given['values'])})"
            )
        case "not_in_set":
            return (
                f"{at} IN ({', '.join(_bound(value, column, scan) for value in given['values'])})"
            )
        case "matches":
            return f"NOT regexp_matches({at}, {literal(given['pattern'])})"
        case "length_between":
            shortest, longest = given["min"], given["max"]
            broken = [] if shortest is None else [f"length({at}) < {shortest}"]
            broken += [] if longest is None else [f"length({at}) > {longest}"]
            return " OR ".join(broken)
    raise ValueError(f"rule {rule.id}: the check {rule.check!r} has no scan")


def _measured(rule: Rule, scan: _Scan) -> str:
    """The aggregate over one part that a batch rule is judged by; None means that there was nothing
    to measure.
    """
    at = scan.columns(rule)
    match rule.check:
        case "row_count":
            return "count(*)"
        case "count":
            broken = [f"({_broken(one, scan)})" for one in rule.arguments["rules"]]
            return f"count(*) FILTER (WHERE {' OR '.join(broken) or 'TRUE'})"
        case "null_share":
            return f"count(*) - count({at[0]})"
        case "fresh":
            return f"epoch_us(max({at[0]}) FILTER (WHERE {at[0]} < {_instant(scan.batch.end)}))"
    raise ValueError(f"rule {rule.id}: the check {rule.check!r} has no scan")


def _batch_result(rule: Rule, by_part: Sequence[int], rows: int, scan: _Scan) -> RuleResult:
    """Put the parts' measures together, and judge and show them as Great Expectations does."""
    given = rule.arguments
    found: object
    match rule.check:
        case "row_count":
            low, high = given["min"], given["max"]
            success = (low is None or low <= rows) and (high is None or rows <= high)
            found = rows
        case "count":
            return held(rule, sum(by_part), rows)
        case "null_share":
            missing = sum(by_part)
            # The rounded complement, as for Great Expectations: a share exactly at its limit
            # passes.
            success = (rows - missing) / rows >= round(1 - given["max"], 9)
            return RuleResult(rule, success, (), f"{missing / rows * 100:.1f}% missing")
        case "fresh":
            newest = pd.Timestamp(max(by_part), unit="us", tz="UTC") if by_part else pd.NaT
            oldest = pd.Timestamp(scan.batch.end) - pd.Timedelta(seconds=given["seconds"])
            success = bool(newest >= oldest)
            found = newest
        case _:
            raise ValueError(f"rule {rule.id}: the check {rule.check!r} has no scan")
    return RuleResult(rule, success, (), shown_value(found, rule, scan.contract))


def _unique(scan: _Scan, rule: Rule, none: bool = False) -> RuleResult:
    """The rows whose key another row of any part has too, or their number; ``none`` says that there
    are none.

    A row without any value of the key has none. The first passes group hashes of eight bytes,
    whatever the key: each those that leave one remainder, so that memory does not grow with the
    rows. Equal keys have equal hashes, so when no hash comes twice no key does; only rows whose
    hash does are compared by their values.
    """
    columns = ", ".join(scan.columns(rule))
    source = scan.source(rule.columns)
    valued = " OR ".join(f"{at} IS NOT NULL" for at in scan.columns(rule))
    if not none:
        scan.connection.execute("CREATE OR REPLACE TEMP TABLE doubles (key UBIGINT)")
        passes = max(1, -(-scan.rows // scan.keys_at_once))
        for number in range(passes):
            scan.connection.execute(
                f"INSERT INTO doubles SELECT hash({columns}) AS key FROM {source} WHERE ({valued})"
                f" AND hash({columns}) % {passes} = {number} GROUP BY key HAVING count(*) > 1"
            )
        none = scan.connection.execute("SELECT count(*) FROM doubles").fetchall() == [(0,)]
    candidates = f"FROM {source} WHERE ({valued}) AND hash({columns}) IN (SELECT key FROM doubles)"
    if rule.check == "count":
        groups = f"SELECT count(*) AS rows {candidates} GROUP BY {columns} HAVING count(*) > 1"
        found = (
            [] if none else scan.connection.execute(f"SELECT sum(rows) FROM ({groups})").fetchall()
        )
        return held(rule, int(found[0][0] or 0) if found else 0, scan.rows)
    positions: tuple[int, ...] = ()
    if not none:
        positions = scan.positions(
            f"SELECT part, row {candidates} QUALIFY count(*) OVER (PARTITION BY {columns}) > 1"
        )
    return RuleResult(rule=rule, success=not positions, positions=positions, found="")


def _bound(value: Any, column: Column, scan: _Scan) -> str:  # noqa: ANN401 - a value of any column type
    """The SQL literal of a value that is compared with the column's."""
    match column.logical_type:
        case "timestamp":
            return _instant(moment(value, scan.contract, column.name))
        case "date":
            day = value if isinstance(value, date) else moment(value, scan.contract, column.name)
            return f"DATE '{day.isoformat()}'"
        case "string":
            return literal(value)
        case "boolean":
            return "TRUE" if value else "FALSE"
    if column.logical_type == "integer" and isinstance(value := whole(value), int):
        return str(max(min(value, _MOST), -_MOST))
    # As text, since SQL would read 0.1 as a decimal number.
    return f"'{float(value)!r}'::DOUBLE"


def _instant(value: Any) -> str:  # noqa: ANN401 - a datetime or a pandas Timestamp
    return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"
