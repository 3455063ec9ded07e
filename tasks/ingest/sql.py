"""A table in a database, or what a query of it gives: batches are windows of event time, read with
bound values and streamed into Arrow.

Works by SQLAlchemy; PostgreSQL, SQLite and DuckDB are tested. The account needs to read the table
and nothing else; names are quoted by SQLAlchemy, values are bound. An index on the event time makes
each look and each read cheap.

Which batches there are: the first and the last event time say which windows to look into, and one
query for two hundred windows counts the rows of each. A batch's fingerprint is made of its number
of rows, its newest event, and how many values each column has, so labels that come late are
noticed. A value that is replaced by another is not, unless the contract's server names a column
that says when a row was changed (``changedAt``): its newest value counts too.

A column ``timestamp with time zone`` means itself. One without zone is local time in the contract's
zone, as in files. SQLite has no timestamps: its texts are compared as SQLite's own ``strftime``
reads them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
from sqlalchemy import (
    URL,
    ColumnClause,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    NullPool,
    Select,
    TextClause,
    column,
    create_engine,
    false,
    func,
    inspect,
    literal,
    literal_column,
    select,
    table,
    text,
    union_all,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from data_contracts.contract import Contract
from tasks.addresses import Address, hiding
from tasks.batches import Batch, Every, batch_of, next_batch
from tasks.ingest.rows import Piece, Rows, positions_within
from tasks.ingest.source import SourceError, digest_of, fill_in

ROWS_AT_ONCE = 50_000
"""Rows that are held as Python objects at a time."""
WINDOWS_AT_ONCE = 200
"""Windows in one query; SQLite allows five hundred."""
_FAR = timedelta(days=366 * 200)
"""Event times further apart than this are a mistake: there would be no end of windows to look into.
"""


def open_table(contract: Contract, every: Every, project: Path, home: Path) -> SqlTable:
    """Return the table that the contract's server describes; nothing is connected yet.

    Files of SQLite and DuckDB count from the project directory, and are opened for reading only.
    Raises SourceError when a variable of the environment is not set, the address is none, or its
    driver is not installed.
    """
    server = contract.server
    parts = {
        key: fill_in(value, contract, key, home)
        for key, value in (
            ("url", server.url),
            ("host", server.host),
            ("port", server.port),
            ("database", server.database),
            ("username", server.username),
            ("password", server.password),
        )
    }
    filled = {pair for part in parts.values() for pair in part.filled}
    hidden = hiding(filled)
    try:
        if server.url:
            url = make_url(parts["url"].text)
            if url.password and parts["url"].filled:
                # An error may quote the password alone, without the address around it.
                hidden = hiding({*filled, (str(url.password), parts["url"].filled[0][1])})
        elif server.type == "duckdb":
            url = URL.create("duckdb", database=parts["database"].text)
        else:
            socket = server.host.startswith("/")
            url = URL.create(
                "postgresql+psycopg2",
                username=parts["username"].text or None,
                password=parts["password"].text or None,
                host=None if socket else parts["host"].text,
                port=int(parts["port"].text) if parts["port"].text else None,
                database=parts["database"].text,
                query={"host": parts["host"].text} if socket else {},
            )
        options: dict[str, Any] = {}
        if url.get_backend_name() in ("sqlite", "duckdb"):
            file = project / str(url.database)
            if not file.is_file():
                raise SourceError(
                    f"{hidden.hide(str(file))}: no such database; the contract's server says that"
                    " it is there"
                )
            url = url.set(database=str(file))
            options["connect_args"] = {"read_only": True}
            if url.get_backend_name() == "sqlite":
                address = f"file:{quote(str(file))}?mode=ro"
                options = {"creator": lambda: sqlite3.connect(address, uri=True)}
        elif url.get_backend_name() == "postgresql":
            options = {
                "connect_args": {"connect_timeout": 10},
                "execution_options": {"postgresql_readonly": True},
            }
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, **options)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # Without the cause: it may quote the address, and the account in it.
        raise SourceError(
            f"{contract.file}: {server.where}: expected the address of a database whose driver is"
            f" installed, found {hidden.hide(' '.join(str(error).split())[:200])}"
        ) from None
    return SqlTable(contract, every, engine, hidden)


@dataclass(frozen=True)
class SqlTable:
    """A source in one table, cut into batches by event time."""

    contract: Contract
    every: Every
    engine: Engine = field(repr=False)
    hidden: Address
    """Hides what was filled in from the environment."""
    rows_at_once: int = ROWS_AT_ONCE
    windows_at_once: int = WINDOWS_AT_ONCE

    @property
    def name(self) -> str:
        """Dialect, host, database and table; never an account."""
        url = self.engine.url
        address = URL.create(
            url.get_backend_name(), host=url.host, port=url.port, database=url.database
        )
        return self.hidden.hide(f"{address.render_as_string()}#{self._table_name}")

    @property
    def _table_name(self) -> str:
        server = self.contract.server
        if server.query:
            return "query"
        return f"{server.schema}.{server.table}" if server.schema else server.table

    def batches(self) -> dict[str, str]:
        """Return batch id -> fingerprint of its rows, in the order of the ids."""
        with self._connection() as connection:
            table = self._table(connection)
            has_zone = self._has_zone(connection, table)
            spans = self._windows(connection, table, has_zone)
            found: dict[str, str] = {}
            for start in range(0, len(spans), self.windows_at_once):
                some = spans[start : start + self.windows_at_once]
                found |= self._look(connection, table, some, has_zone)
        return found

    def read(self, batch: Batch) -> Rows:
        """Return the rows of the batch; reading them raises SourceError when they cannot be
        read.
        """
        return Rows(partial(self._pieces, batch), self.contract, self.name)

    def _pieces(self, batch: Batch, as_text: frozenset[str]) -> Iterator[Piece]:
        """Give what one query returns, so the rows of one moment, as the database streams them."""
        found = False
        with self._connection() as connection:
            table = self._table(connection)
            names = [column.name for column in table.columns]
            within = self._within(
                table, batch, self._has_zone(connection, table), margin=timedelta(seconds=1)
            )
            query = select(table).where(within)
            result = connection.execution_options(
                stream_results=True, yield_per=self.rows_at_once
            ).execute(query)
            for rows in result.partitions():
                columns = zip(*rows, strict=True)
                arrays = [
                    self._array(values, name in as_text)
                    for name, values in zip(names, columns, strict=True)
                ]
                piece = pa.table(dict(zip(names, arrays, strict=True)))
                # SQLite counts in milliseconds.
                yield Piece(self.name, piece, positions_within(piece, self.contract, batch))
                found = True
        if not found:
            raise SourceError(
                f"{self.name}: expected rows of batch {batch.id}, found none; were they deleted?"
            )

    # --- the table --------------------------------------------------------------------------------

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection whose errors name the table and what to do, and show neither account nor
        values.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            shown = self.hidden.hide(" ".join(str(cause).split())[:300])
            # Without the cause: a driver may quote the account that it was given.
            raise SourceError(
                f"{self.name}: cannot be read: {type(cause).__name__}: {shown}; is the database up,"
                " and may the account read the table?"
            ) from None

    def _table(self, connection: Connection) -> FromClause:
        """The table, or the query, with the columns that it has now; their types are the driver's
        business.
        """
        server = self.contract.server
        names = self._column_names(connection)
        if self.contract.event_time not in names or (
            server.changed_at and server.changed_at not in names
        ):
            wanted = [name for name in (self.contract.event_time, server.changed_at) if name]
            found = names[:20] or "no such table"
            raise SourceError(
                f"{self.name}: expected a query with the columns {wanted}, found {found}"
                if server.query
                else f"{self.name}: expected a table with the columns {wanted}, found {found}; give"
                " the table's name as physicalName in the contract, and let the account read it"
            )
        columns: list[ColumnClause[Any]] = [column(name) for name in names]
        if server.query:
            return _query(server.query).columns(*columns).subquery("asked")
        return table(server.table, *columns, schema=server.schema or None)

    def _column_names(self, connection: Connection) -> list[str]:
        server = self.contract.server
        if server.query:
            asked = _query(server.query).columns().subquery("asked")
            none: Select[Any] = select(literal_column("*")).select_from(asked).where(false())
            names = list(connection.execute(none).keys())
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise SourceError(
                    f"{self.contract.file}: {server.where}.customProperties.query: expected each"
                    f" column once, found {twice} more than once; name them apart by AS"
                )
            return names
        try:
            columns = inspect(connection).get_columns(server.table, schema=server.schema or None)
        except NoSuchTableError:
            return []
        return [item["name"] for item in columns]

    def _array(self, values: Sequence[Any], as_text: bool) -> pa.Array:
        """The values as Arrow, or all as text."""
        kinds = {type(value) for value in values}
        if UUID in kinds:
            values = [None if value is None else str(value) for value in values]
        try:
            if not as_text:
                return pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass  # no type holds them all
        return pa.array(
            [None if value is None else _text_of(value) for value in values], pa.string()
        )

    # --- the windows ------------------------------------------------------------------------------

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _moment(self, table: FromClause) -> ColumnElement[Any]:
        """The event time as the database compares it."""
        column = table.columns[self.contract.event_time]
        return func.strftime("%Y-%m-%d %H:%M:%f", column) if self._is_sqlite else column

    def _has_zone(self, connection: Connection, table: FromClause) -> bool:
        """Whether the event times carry their zone, as the first one shows; SourceError when it is
        no moment at all.
        """
        column = table.columns[self.contract.event_time]
        found = connection.execute(select(column).where(column.is_not(None)).limit(1)).scalar()
        try:
            moment = datetime.fromisoformat(found) if isinstance(found, str) else found
        except ValueError:
            moment = None
        if found is not None and not isinstance(moment, datetime):
            raise SourceError(
                f"{self.name}: expected moments in {self.contract.event_time}, found a value of"
                f" type {type(found).__name__} that is none; name a view that has them as"
                " physicalName"
            )
        return moment is not None and moment.tzinfo is not None

    def _within(
        self, table: FromClause, batch: Batch, has_zone: bool, margin: timedelta = timedelta(0)
    ) -> ColumnElement[bool]:
        def bound(moment: datetime) -> datetime | str:
            zone = UTC if has_zone else ZoneInfo(self.contract.timezone)
            local = moment.astimezone(zone)
            if self._is_sqlite:
                return f"{local:%Y-%m-%d %H:%M:%S}.000"
            return local if has_zone else local.replace(tzinfo=None)

        moment = self._moment(table)
        return (moment >= bound(batch.start - margin)) & (moment < bound(batch.end + margin))

    def _windows(self, connection: Connection, table: FromClause, has_zone: bool) -> list[Batch]:
        """Every window between the first event and the last; SourceError for rows that lie in
        none.
        """
        moment = self._moment(table)
        first, last, rows, dated = connection.execute(
            select(
                func.min(moment), func.max(moment), func.count(), func.count(moment)
            ).select_from(table)
        ).one()
        if dated < rows:
            raise SourceError(
                f"{self.name}: expected a moment in each row of {self.contract.event_time}, found"
                f" {rows - dated} rows without: they belong to no batch; fill them in, or name a"
                " view without them as physicalName"
            )
        if not rows:
            return []
        try:
            start, end = self._aware(first, has_zone), self._aware(last, has_zone)
            if end - start > _FAR:
                raise OverflowError
            found = [batch_of(start, self.every, self.contract.timezone)]
            while found[-1].end <= end:
                found.append(next_batch(found[-1], self.every, self.contract.timezone))
        except (OverflowError, ValueError):
            raise SourceError(
                f"{self.name}: expected event times within 200 years in {self.contract.event_time},"
                f" found {first} to {last}; have these rows put right"
            ) from None
        return found

    def _aware(self, moment: datetime | str, has_zone: bool) -> datetime:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC if has_zone else ZoneInfo(self.contract.timezone))
        return found.astimezone(UTC)

    def _look(
        self, connection: Connection, table: FromClause, spans: list[Batch], has_zone: bool
    ) -> dict[str, str]:
        """Batch id -> fingerprint for the windows with rows."""
        queries = [
            self._count(table, number, self._within(table, batch, has_zone))
            for number, batch in enumerate(spans)
        ]
        rows = connection.execute(union_all(*queries)).all()
        counted = {spans[row[0]].id: row[1:] for row in rows if row[1]}
        return {
            id: digest_of({str(i): str(value) for i, value in enumerate(counted[id])})
            for id in sorted(counted)
        }

    def _count(self, table: FromClause, number: int, within: ColumnElement[bool]) -> Select[Any]:
        signs: list[ColumnElement[Any]] = [func.max(self._moment(table))]
        if changed_at := self.contract.server.changed_at:
            signs.append(func.max(table.columns[changed_at]))
        signs += [func.count(column) for column in table.columns]
        return select(literal(number), func.count(), *signs).select_from(table).where(within)


def _query(written: str) -> TextClause:
    """The query as it is written: a colon in it binds nothing, a comment ends with it."""
    return text(written.replace(":", r"\:") + "\n")


def _text_of(value: object) -> str:
    """The value as text, to the last digit."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)
