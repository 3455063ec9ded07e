"""Features that look back, declared in the spec: each compiled once to SQL, for training, for
batches, and for rows to be scored.

A row of event time t sees the rows with the same keys in ``[t - cut - over, t - cut)``, or the
newest so many before ``t - cut``, as they were known at t. The cut is the longest of the feature's
own gap, the lateness of the contract and, of a label, ``labels.delay``: what may still have been on
its way at t is seen by none. A row never sees itself, nor another of its own moment. Of rows of one
moment the one with the largest value is the newest.
"""

from __future__ import annotations

# ruff: noqa: S608 - every name in the SQL is quoted, every value a literal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Column, Contract
from tasks.configuration import duration_text
from tasks.features.config import Function, HistoryConfig, Value, looks_at_labels
from tasks.features.past import (
    MEMORY,
    NEVER,
    Asked,
    Names,
    asked_rows,
    contents,
    engine,
    microseconds,
    moment_of,
    rows_of,
    span_of,
    spells,
    with_columns,
)
from tasks.model_spec import ManagedModel
from tasks.records import Past
from tasks.sql_text import literal, unquoted

HOUR = 3_600_000_000
"""Microseconds."""
_OVER: Mapping[Function, str] = {
    "count": "count({})",
    "sum": "fsum({})",
    "mean": "favg({})",
    "share": "favg({})",
    "min": "min({})",
    "max": "max({})",
    "std": "stddev_samp({})",
    "distinct_count": "count(DISTINCT {})",
}
"""Sums are compensated (Kahan, 1965): they must not depend on the order of the rows."""
_NEWEST = ("last", "time_since_last")
_COUNTS = ("count", "distinct_count")


@dataclass(frozen=True)
class Definition:
    """A feature that looks back, compiled."""

    config: HistoryConfig
    column: Column | None
    """What it is taken of."""
    cut: timedelta
    """How long before its row the window ends."""
    cut_by: str
    """What makes it so long: the gap, the contract's lateness, or the delay of labels."""
    of_labels: bool
    """Whether it is taken of labels from a contract of their own."""
    delay: timedelta | None
    """How long after its event time the value of a row is known at the latest; None when with
    it.
    """
    names: Names

    @property
    def reach(self) -> timedelta | None:
        """How far back it looks in all; None: as far as there is anything."""
        return None if self.config.over is None else self.cut + self.config.over

    def in_words(self) -> str:
        """Return what the feature means, in one sentence."""
        config = self.config
        match config.function:
            case "count":
                what = "number of rows" if config.column is None else f"number with {config.column}"
            case "share":
                what = f"share of {config.column} = {config.value}"
            case "time_since_last":
                rows = "row" if config.column is None else f"row with {config.column}"
                what = f"hours since the last {rows}"
            case "distinct_count":
                what = f"number of different {config.column}"
            case function:
                what = f"{function} of {config.column}"
        window = f"the newest {config.rows} rows"
        if config.over is not None:
            window = duration_text(config.over)
        return (
            f"{what} over {window}, with the same {', '.join(config.by)};"
            f" ends {duration_text(self.cut)} before the row ({self.cut_by})"
        )

    def sql(self, *, revised: bool = False) -> str:
        """Return the query for the feature of the rows in ``asked``, in their order; the rows that
        it looks back on are in ``past`` or ``labelled``.

        ``revised`` says that some of them did not count all the time.
        """
        n, facts = self.names, "facts" if not revised else "current"
        queries = {"facts": self._facts()}
        if revised:
            queries = {
                "counted": self._facts(times=True),
                "facts": spells("counted", [*self._keys, n.moment, n.value], n, self.cut),
                "current": f"SELECT * FROM facts WHERE {n.until} = {NEVER}",
                **self._changed(),
            }
        queries |= self._fast(facts)
        found = f"SELECT {n.position}, {n.value} FROM fast"
        if revised:
            found = f"{found} ANTI JOIN changed USING ({n.position}) UNION ALL FROM exact"
        gaps = " OR ".join(f"{key} IS NULL" for key in self._keys)
        return (
            f"WITH {', '.join(f'{name} AS ({text})' for name, text in queries.items())}"
            f" SELECT {n.value} FROM ({found}"
            f" UNION ALL SELECT {n.position}, NULL FROM asked WHERE {gaps}) ORDER BY {n.position}"
        )

    @property
    def _keys(self) -> list[str]:
        return [self.names.columns[key] for key in self.config.by]

    @property
    def _own_value(self) -> str:
        """What of an earlier row the function is taken of."""
        config, names = self.config, self.names
        if self.column is None:
            return names.moment if config.function == "time_since_last" else "true"
        column = names.columns[self.column.name]
        known = ""
        if self.delay is not None:
            known = f"{names.moment} + {span_of(self.delay)} <= getvariable('as_of')"
        match config.function:
            case "time_since_last":
                value = f"CASE WHEN {column} IS NOT NULL THEN {names.moment} END"
            case "share":
                value = f"({column} = {_literal(config.value)})::DOUBLE"
            case "last" | "count" | "distinct_count":
                value = column
            case _:
                value = f"{column}::DOUBLE"
        return value if not known else f"CASE WHEN {known} THEN {value} END"

    def _facts(self, *, times: bool = False) -> str:
        """The earlier rows that have a value and keys that are asked about."""
        n, keys = self.names, ", ".join(self._keys)
        more = f", {n.known}, {n.until}" if times else ""
        return (
            f"SELECT {keys}, {n.moment}, {self._own_value} AS {n.value}{more}"
            f" FROM {'labelled' if self.of_labels else 'past'}"
            f" SEMI JOIN (SELECT DISTINCT {keys} FROM asked) AS wanted USING ({keys})"
            f" WHERE {self._own_value} IS NOT NULL"
        )

    def _fast(self, facts: str) -> dict[str, str]:
        """For every row that is asked about, of facts that counted all the time: a window over
        both, in which the rows that are asked about have no value.
        """
        n, keys = self.names, ", ".join(self._keys)
        queries, source, value = dict[str, str](), facts, n.value
        furthest = "UNBOUNDED"
        if self.config.over is not None:
            furthest = str(span_of(self.cut + self.config.over))
        if self.config.over is None or self.config.function in _NEWEST:
            # A window, since an ASOF join over many keys is slow; packed, since the newest value
            # may itself be missing.
            queries, source = {"newest": self._newest(facts)}, "newest"
            value = f"{{'newest': {n.value}}}"
            found = f"(last_value({n.value} IGNORE NULLS) OVER earlier).newest"
        else:
            found = self._aggregate("OVER earlier")
        if self.config.function == "time_since_last":
            found = f"({n.moment} - {found}) / {HOUR}"
        if self.config.function in _COUNTS:
            found = f"coalesce({found}, 0)"
        queries["both_kinds"] = (
            f"SELECT NULL::BIGINT AS {n.position}, {keys}, {n.moment}, {value} AS {n.value}"
            f" FROM {source} UNION ALL SELECT {n.position}, {keys}, {n.moment}, NULL FROM asked"
            f" WHERE {' AND '.join(f'{key} IS NOT NULL' for key in self._keys)}"
        )
        queries["fast"] = (
            f"SELECT {n.position}, {found} AS {n.value} FROM both_kinds"
            f" WINDOW earlier AS (PARTITION BY {keys} ORDER BY {n.moment} RANGE BETWEEN {furthest}"
            f" PRECEDING AND {span_of(self.cut) + 1} PRECEDING) QUALIFY {n.position} IS NOT NULL"
        )
        return queries

    def _newest(self, facts: str) -> str:
        """At each moment with a fact: the newest value, or the function of the newest rows up to
        it.
        """
        n, keys = self.names, ", ".join(self._keys)
        if self.config.function in _NEWEST:
            return (
                f"SELECT {keys}, {n.moment}, max({n.value}) AS {n.value} FROM {facts}"
                f" GROUP BY {keys}, {n.moment}"
            )
        assert self.config.rows is not None  # noqa: S101 - over or rows
        return (
            f"SELECT {keys}, {n.moment}, {self._aggregate('OVER so_many')} AS {n.value}"
            f" FROM (SELECT *, row_number() OVER (PARTITION BY {keys}"
            f" ORDER BY {n.moment}, {n.value}) AS {n.position} FROM {facts})"
            f" WINDOW so_many AS (PARTITION BY {keys} ORDER BY {n.position}"
            f" ROWS BETWEEN {self.config.rows - 1} PRECEDING AND CURRENT ROW)"
            f" QUALIFY lead({n.moment}) OVER (PARTITION BY {keys} ORDER BY {n.position})"
            f" IS DISTINCT FROM {n.moment}"
        )

    def _aggregate(self, over: str) -> str:
        value = self.names.value
        found = f"{_OVER[self.config.function].format(value)} {over}"
        if self.config.function == "std":
            # Of equal values exactly 0, whatever the sums of their squares lose.
            same = f"min({value}) {over} = max({value}) {over} AND count({value}) {over} > 1"
            return f"CASE WHEN {same} THEN 0 ELSE {found} END"
        return found

    def _changed(self) -> dict[str, str]:
        """The rows that are asked about for which other facts counted than count now, and their
        feature.
        """
        n, on = self.names, [f"asked.{key} = facts.{key}" for key in self._keys]
        on.append(f"facts.{n.moment} < asked.{n.moment} - {span_of(self.cut)}")
        if self.config.over is not None:
            reach = span_of(self.cut + self.config.over)
            on.append(f"facts.{n.moment} >= asked.{n.moment} - {reach}")
        counted = f"facts.{n.known} <= asked.{n.moment} AND asked.{n.moment} < facts.{n.until}"
        newest = f"facts.{n.moment} DESC, facts.{n.value} DESC"
        rows = (
            ""
            if self.config.rows is None
            else (
                f" QUALIFY row_number() OVER (PARTITION BY asked.{n.position} ORDER BY {newest})"
                f" <= {self.config.rows}"
            )
        )
        match self.config.function:
            case "last":
                value = f"first({n.value} ORDER BY moment DESC, {n.value} DESC)"
            case "time_since_last":
                value = f"(any_value(asked_at) - max({n.value})) / {HOUR}"
            case _:
                value = self._aggregate("")
        return {
            "changed": (
                f"SELECT DISTINCT asked.{n.position} FROM asked JOIN facts ON {' AND '.join(on)}"
                f" WHERE CASE WHEN facts.{n.until} = {NEVER}"
                f" THEN facts.{n.known} > asked.{n.moment} ELSE {counted} END"
            ),
            "exact": (
                f"SELECT {n.position}, {value} AS {n.value} FROM (SELECT asked.{n.position},"
                f" asked.{n.moment} AS asked_at, facts.{n.moment} AS moment, facts.{n.value}"
                f" FROM (FROM asked SEMI JOIN changed USING ({n.position})) AS asked"
                f" LEFT JOIN facts ON {' AND '.join([*on, counted])}{rows}) GROUP BY {n.position}"
            ),
        }


def definitions(managed: ManagedModel) -> tuple[Definition, ...]:
    """Return the features of the spec that look back, in its order."""
    spec, contract = managed.spec, managed.contract
    labels = None if managed.labels is None else managed.labels.contract
    names = Names.of(contract, spec.target)
    found = []
    for config in spec.features.history:
        later = looks_at_labels(config, contract, spec.target)
        own = labels is not None and config.column == spec.target
        column = None
        if config.column is not None:
            column = (labels if own and labels else contract).column(config.column)
        delay = spec.labels.delay if later else timedelta(0)
        cuts = {
            "its gap": config.gap,
            "lateness of the contract": contract.lateness,
            "labels.delay": delay,
        }
        cut_by = max(cuts, key=lambda name: cuts[name])
        found.append(
            Definition(
                config=config,
                column=column,
                cut=cuts[cut_by],
                cut_by=cut_by,
                of_labels=own,
                delay=delay if later and not own else None,
                names=names,
            )
        )
    return tuple(found)


def reach(managed: ManagedModel) -> timedelta | None:
    """Return how far back the features look that look back at all; None: as far as there is
    anything.
    """
    reaches = [one.reach for one in definitions(managed)]
    return None if None in reaches else max(filter(None, reaches), default=timedelta(0))


def later_columns(managed: ManagedModel) -> tuple[str, ...]:
    """Return the columns of the rows that become known later and are looked back on."""
    found = definitions(managed)
    return tuple(one.column.name for one in found if one.column and one.delay is not None)


def add_history(
    managed: ManagedModel, tables: Mapping[str, pa.Table], past: Past, memory: str = MEMORY
) -> dict[str, pa.Table]:
    """Return the rows of each batch with a column for each feature of the spec that looks back, in
    the order of the rows.

    Raises DamagedFileError when a part of the lake is not what was written.
    """
    found = definitions(managed)
    if not found or not any(table.num_rows for table in tables.values()):
        return dict(tables)
    keys = dict.fromkeys(key for one in found for key in one.config.by)
    asked = asked_rows(managed.contract, tables.values(), found[0].names, keys)
    with engine(managed.settings.lake, memory) as connection, ExitStack() as stack:
        revised = _look_back(connection, managed, past, found, asked, stack)
        connection.register("asked", asked)
        columns = {
            one.config.name: connection.execute(
                one.sql(revised=one.of_labels or revised)
            ).to_arrow_table()[0]
            for one in found
        }
    return with_columns(tables, columns)


def _look_back(
    connection: duckdb.DuckDBPyConnection,
    managed: ManagedModel,
    past: Past,
    found: Sequence[Definition],
    asked: pa.Table,
    stack: ExitStack,
) -> bool:
    """Give the engine the views that the features are made of; return whether some earlier row did
    not count all the time.
    """
    contract, labels, names = managed.contract, managed.labels, found[0].names
    moments = pc.min_max(asked[unquoted(names.moment)]).as_py()
    window = Asked(moment_of(moments["min"]), moment_of(moments["max"]), reach(managed))
    columns = dict.fromkeys(key for one in found for key in one.config.by)
    columns |= dict.fromkeys(
        one.column.name for one in found if one.column is not None and not one.of_labels
    )
    if any(one.of_labels for one in found):
        columns |= dict.fromkeys(managed.label_key)
    counted = list(contents(past.rows, window, managed.settings.lake))
    rows = rows_of(
        connection,
        managed.settings.lake,
        counted,
        past.open_rows,
        contract,
        tuple(columns),
        names,
        stack,
    )
    before = "true" if past.before is None else f"{names.moment} < {microseconds(past.before)}"
    connection.execute(f"SET VARIABLE as_of = {microseconds(past.as_of)}")
    connection.execute(f"CREATE VIEW past AS SELECT * FROM ({rows}) WHERE {before}")
    if labels is not None and any(one.of_labels for one in found):
        read = rows_of(
            connection,
            managed.settings.lake,
            contents(past.labels, window, managed.settings.lake),
            past.open_labels,
            labels.contract,
            tuple(dict.fromkeys([*managed.label_key, managed.spec.target])),
            Names.of(labels.contract, managed.spec.target),
            stack,
        )
        keys = dict.fromkeys(key for one in found if one.of_labels for key in one.config.by)
        connection.execute(_labelled(managed, labels.contract, keys, names, read))
    return any(one.known is not None or one.until < NEVER for one in counted)


def _labelled(
    managed: ManagedModel, labels: Contract, keys: Iterable[str], names: Names, read: str
) -> str:
    """SQL that makes ``labelled``: rows with ``keys`` and their labels, and when each label was the
    newest that was known.
    """
    theirs = Names.of(labels, managed.spec.target)
    own, target = managed.label_key, theirs.columns[managed.spec.target]
    on = ", ".join(theirs.columns[key] for key in own)
    known, until, moment = theirs.known, theirs.until, theirs.moment
    told_at = f"greatest({known}, {moment} + {span_of(labels.lateness)})"
    same = [f"past.{names.columns[key]} = chosen.{theirs.columns[key]}" for key in own]
    wanted = "".join(f"past.{names.columns[key]}, " for key in keys)
    return f"""CREATE TEMP TABLE labelled AS
        WITH told AS (
            SELECT * REPLACE ({told_at} AS {known}) FROM ({read})
            WHERE {told_at} <= getvariable('as_of')
        ), times AS (
            SELECT {on}, {known} FROM told UNION SELECT {on}, {until} FROM told
        ), spells AS (
            SELECT {on}, {known} AS begins, lead({known}) OVER
            (PARTITION BY {on} ORDER BY {known}) AS ends FROM times
        ), chosen AS (
            SELECT {on}, begins, ends, {target} AS label FROM spells JOIN told USING ({on})
            WHERE {known} <= begins AND begins < {until} AND ends IS NOT NULL
            QUALIFY row_number() OVER
            (PARTITION BY {on}, begins ORDER BY {moment} DESC, {target} DESC) = 1
        )
        SELECT {wanted}label AS {names.columns[managed.spec.target]}, past.{names.moment},
        greatest(past.{names.known}, begins) AS {names.known},
        least(past.{names.until}, ends) AS {names.until} FROM past JOIN chosen
        ON {" AND ".join(same)} AND past.{names.known} < ends AND begins < past.{names.until}"""


def _literal(value: Value | None) -> str:
    return literal(value) if isinstance(value, str) else str(value)
