"""Features from another contract, declared in the spec: each join compiled once to SQL, for
training, for batches, and for rows to be scored.

A row of event time t gets the newest row with the same keys whose event time lies at or before
``t - cut``, as it was known at t. The cut is the longer of the join's own gap and the lateness of
its contract: what may still have been on its way at t is not seen. A row that is older than
``max_age``, or whose ``valid_until`` has come at t, is none.
"""

from __future__ import annotations

# ruff: noqa: S608 - every name in the SQL is quoted, every value a literal
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from tasks.configuration import duration_text
from tasks.features.join_config import JoinConfig
from tasks.features.past import (
    MEMORY,
    NEVER,
    Asked,
    Content,
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
from tasks.sql_text import identifier, unquoted


@dataclass(frozen=True)
class Join:
    """A join of the spec, compiled."""

    config: JoinConfig
    contract: Contract
    view: str
    """What its rows are called in SQL."""
    own: Names
    theirs: Names

    @property
    def cut(self) -> timedelta:
        """How long before its row the joined row lies at least."""
        return max(self.config.gap, self.contract.lateness)

    def in_words(self) -> str:
        """Return what the features mean, in one sentence."""
        config, cut = self.config, self.cut
        by_gap = config.gap > self.contract.lateness
        why = "its gap" if by_gap else "lateness of the contract"
        same = [a if a == b else f"{a} as {b}" for a, b in config.keys.items()]
        parts = [f"newest row with the same {', '.join(same)}"]
        if cut:
            parts.append(f"at least {duration_text(cut)} before the row ({why})")
        if config.max_age is not None:
            parts.append(f"at most {duration_text(config.max_age)}")
        if config.valid_until is not None:
            parts.append(f"valid until {config.valid_until}")
        return ", ".join(parts)

    def sql(self, *, revised: bool = False) -> str:
        """Return the query for the join's features of the rows in ``asked``, in their order.

        ``revised`` says that some of the rows that are joined did not count all the time.
        """
        n = self.theirs
        queries, current, found = {"facts": self._facts(times=revised)}, "facts", "FROM fast"
        if revised:
            queries = {
                "counted": queries["facts"],
                "facts": spells("counted", [*self._columns, n.moment], n, self.cut),
                "current": f"SELECT * FROM facts WHERE {n.until} = {NEVER}",
                **self._changed(),
            }
            current = "current"
            found = f"FROM fast ANTI JOIN changed USING ({n.position}) UNION ALL FROM exact"
        queries["fast"] = (
            f"SELECT {self._asked_for}, facts.*"
            f" FROM asked ASOF LEFT JOIN {current} AS facts ON {self._same_keys}"
            f" AND asked.{self.own.moment} - {span_of(self.cut)} >= facts.{n.moment}"
        )
        made = ", ".join(
            f"CASE WHEN {self._holds} THEN {n.columns[column]} END AS {identifier(feature)}"
            for feature, column in self.config.features.items()
        )
        return (
            f"WITH {', '.join(f'{name} AS ({text})' for name, text in queries.items())}"
            f" SELECT {made} FROM ({found}) ORDER BY {n.position}"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of the contract."""
        config = self.config
        until = () if config.valid_until is None else (config.valid_until,)
        return tuple(dict.fromkeys([*config.keys.values(), *config.columns, *until]))

    @property
    def _columns(self) -> list[str]:
        return [self.theirs.columns[name] for name in self.columns]

    @property
    def _asked_for(self) -> str:
        """Place and moment of the row that is asked about, under names that the contract has
        free.
        """
        own, theirs = self.own, self.theirs
        return f"asked.{own.position} AS {theirs.position}, asked.{own.moment} AS {theirs.value}"

    @property
    def _same_keys(self) -> str:
        return " AND ".join(
            f"asked.{self.own.columns[own]} = facts.{self.theirs.columns[other]}"
            for own, other in self.config.keys.items()
        )

    @property
    def _holds(self) -> str:
        """Whether the row that was found is one at the moment that is asked about."""
        config, n = self.config, self.theirs
        holds = ["true"]
        if config.max_age is not None:
            holds.append(f"{n.value} - {n.moment} <= {span_of(config.max_age)}")
        if config.valid_until is not None:
            until = f"epoch_us({n.columns[config.valid_until]})"
            holds.append(f"coalesce({until} > {n.value}, true)")
        return " AND ".join(holds)

    def _facts(self, *, times: bool) -> str:
        """The rows of the contract with keys that are asked about."""
        n = self.theirs
        wanted = [*self._columns, n.moment, *([n.known, n.until] if times else [])]
        return (
            f"SELECT {', '.join(wanted)} FROM {self.view} AS facts"
            f" WHERE EXISTS (FROM asked WHERE {self._same_keys})"
        )

    def _changed(self) -> dict[str, str]:
        """The rows that are asked about for which other rows counted than count now, and what they
        find.
        """
        n, now = self.theirs, f"asked.{self.own.moment}"
        on = f"{self._same_keys} AND facts.{n.moment} <= {now} - {span_of(self.cut)}"
        if self.config.max_age is not None:
            on = f"{on} AND facts.{n.moment} >= {now} - {span_of(self.config.max_age)}"
        counted = f"facts.{n.known} <= {now} AND {now} < facts.{n.until}"
        place = f"asked.{self.own.position}"
        return {
            "changed": (
                f"SELECT DISTINCT {place} AS {n.position} FROM asked JOIN facts ON {on}"
                f" WHERE CASE WHEN facts.{n.until} = {NEVER}"
                f" THEN facts.{n.known} > {now} ELSE {counted} END"
            ),
            "exact": (
                f"SELECT {self._asked_for}, facts.* FROM asked"
                f" SEMI JOIN changed ON {place} = changed.{n.position}"
                f" LEFT JOIN facts ON {on} AND {counted}"
                f" QUALIFY row_number() OVER (PARTITION BY {place}"
                f" ORDER BY facts.{n.moment} DESC) = 1"
            ),
        }


def joins(managed: ManagedModel) -> tuple[Join, ...]:
    """Return the joins of the spec, in its order."""
    own = Names.of(managed.contract, managed.spec.target)
    places = {name: place for place, name in enumerate(managed.joined)}
    found = []
    for config in managed.spec.features.join:
        contract = managed.joined[config.contract].contract
        theirs = Names.of(contract, contract.event_time)
        view = f"joined_{places[config.contract]}"
        found.append(Join(config, contract, view, own, theirs))
    return tuple(found)


def join_reach(managed: ManagedModel, contract: str) -> timedelta | None:
    """Return how far back rows of a contract are joined; None: as far as there is anything."""
    ages = [one.max_age for one in managed.spec.features.join if one.contract == contract]
    return None if None in ages else max(filter(None, ages), default=timedelta(0))


def joined_contents(
    managed: ManagedModel, contract: str, past: Past, first: datetime, last: datetime
) -> list[Content]:
    """Return what of a contract counted for rows from ``first`` to ``last``."""
    # A joined row may happen at the very moment of the row.
    asked = Asked(first, last + last.resolution, join_reach(managed, contract))
    return list(contents(past.joined.get(contract, ()), asked, managed.settings.lake))


def add_joined(
    managed: ManagedModel, tables: Mapping[str, pa.Table], past: Past, memory: str = MEMORY
) -> dict[str, pa.Table]:
    """Return the rows of each batch with a column for each feature of the spec from another
    contract, in the order of the rows.

    Raises DamagedFileError when a part of the lake is not what was written.
    """
    found = joins(managed)
    if not found or not any(table.num_rows for table in tables.values()):
        return dict(tables)
    keys = dict.fromkeys(key for one in found for key in one.config.keys)
    asked = asked_rows(managed.contract, tables.values(), found[0].own, keys)
    moments = pc.min_max(asked[unquoted(found[0].own.moment)]).as_py()
    first, last = moment_of(moments["min"]), moment_of(moments["max"])
    columns: dict[str, pa.ChunkedArray] = {}
    with engine(managed.settings.lake, memory) as connection, ExitStack() as stack:
        connection.register("asked", asked)
        for name in managed.joined:
            same = [one for one in found if one.config.contract == name]
            counted = joined_contents(managed, name, past, first, last)
            read = rows_of(
                connection,
                managed.settings.lake,
                counted,
                past.open_joined.get(name, ()),
                same[0].contract,
                tuple(dict.fromkeys(column for one in same for column in one.columns)),
                same[0].theirs,
                stack,
            )
            before = (
                ""
                if past.before is None
                else f" WHERE {same[0].theirs.moment} < {microseconds(past.before)}"
            )
            connection.execute(f"CREATE VIEW {same[0].view} AS SELECT * FROM ({read}){before}")
            revised = any(one.known is not None or one.until < NEVER for one in counted)
            for one in same:
                made = connection.execute(one.sql(revised=revised)).to_arrow_table()
                columns |= dict(zip(one.config.features, made.columns, strict=True))
    return with_columns(
        tables, {name: columns[name] for one in found for name in one.config.features}
    )
