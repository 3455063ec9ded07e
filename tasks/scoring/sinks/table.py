"""A table in a database: one row a key and version, and a view with the newest prediction of each
key.

Works by SQLAlchemy; PostgreSQL, SQLite and DuckDB are tested. Names are quoted by SQLAlchemy,
values are bound. A part is one transaction. A row is updated only by the same part or a newer one,
so that in whatever order several runs deliver, the newest stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    Float,
    Insert,
    Inspector,
    MetaData,
    NullPool,
    String,
    Table,
    Text,
    and_,
    bindparam,
    create_engine,
    exists,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from tasks.records import ServedPart
from tasks.scoring.delivered import BATCH, PART, VERSION, delivered_names
from tasks.scoring.served import REASONS
from tasks.scoring.sinks.sink import Place

ROWS_AT_ONCE = 5_000
"""Rows of a statement."""
_WITH_CONFLICTS = ("postgresql", "sqlite", "duckdb")
"""Databases whose insert says what to do with a row that is there."""
_KINDS: dict[str, TypeEngine[Any]] = {
    "bool": Boolean(),
    "int64": BigInteger(),
    "double": Float(53),
    "string": String().with_variant(String(191), "mysql", "mariadb"),
    "timestamp[us, tz=UTC]": DateTime(timezone=True),
    "date32[day]": Date(),
}
_ALIKE = ({"int", "Decimal", "float"}, {"bool", "int"}, {"datetime", "str"}, {"date", "str"})
"""Python types of columns that may stand for each other: SQLite has fewer types than we do."""


class TableSink:
    """A table of served predictions."""

    by_part = True

    def __init__(
        self,
        place: Place,
        rows_at_once: int = ROWS_AT_ONCE,
        with_conflicts: tuple[str, ...] = _WITH_CONFLICTS,
    ) -> None:
        self.place, self.rows_at_once, self.with_conflicts = place, rows_at_once, with_conflicts
        schema, _, self.name = place.config.table.rpartition(".")
        self.schema = schema or None
        self.view = f"{self.name}_current"
        names = delivered_names(place.contract, place.contract.key)
        self.key = (*names.values(), VERSION)
        self._looked_at: frozenset[str] = frozenset()

    def deliver(
        self,
        part: ServedPart,  # noqa: ARG002 - what a file is named by
        rows: pa.Table,
        batch: tuple[ServedPart, ...],  # noqa: ARG002 - the same
    ) -> None:
        """Write the rows in one transaction; the table and its view are made when they are not
        there.

        Raises SinkError, before anything is written, when either is something else.
        """
        table = self._table(rows.schema)
        with self._named_errors():
            self._prepare(table)
            with self.engine.begin() as connection:
                for piece in rows.to_batches(self.rows_at_once):
                    self._write(connection, table, piece.to_pylist())

    # --- the rows ---------------------------------------------------------------------------------

    def _write(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        if connection.dialect.name in self.with_conflicts:
            connection.execute(self._upsert(connection, table), rows)
            return
        # Any other database: update what is there and older, insert what is not there.
        bound: dict[str, Any] = {c.name: bindparam(f"_{c.name}") for c in table.columns}
        same = and_(*(table.columns[name] == bound[name] for name in self.key))
        older = table.columns[PART] <= bound[PART]
        values = {name: value for name, value in bound.items() if name not in self.key}
        change = update(table).where(same, older).values(values)
        absent = select(*bound.values()).where(~exists().where(same))
        add = insert(table).from_select(list(bound), absent)
        given = [{f"_{name}": value for name, value in row.items()} for row in rows]
        connection.execute(change, given)
        connection.execute(add, given)

    def _upsert(self, connection: Connection, table: Table) -> Insert:
        make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        new = make(table)
        values = {c.name: c for c in new.excluded if c.name not in self.key}
        return new.on_conflict_do_update(
            index_elements=list(self.key),
            set_=values,
            where=table.columns[PART] <= new.excluded[PART],
        )

    # --- the table and its view -------------------------------------------------------------------

    def _table(self, schema: pa.Schema) -> Table:
        columns = [
            Column(
                field.name,
                Text() if field.name == REASONS else _KINDS[str(field.type)],
                primary_key=field.name in self.key,
                autoincrement=False,
                nullable=field.name not in self.key,
            )
            for field in schema
        ]
        return Table(self.name, MetaData(), *columns, schema=self.schema)

    def _prepare(self, table: Table) -> None:
        """Make the table and the view, or see that they are what is expected."""
        if self._looked_at == frozenset(table.columns.keys()):
            return
        found = inspect(self.engine)
        names = {name: found.has_table(name, schema=self.schema) for name in (self.name, self.view)}
        views = {name for name in names if self._is_view(found, name)}
        if self.name in views:
            raise self.place.error(
                f"expected {self.name} to be a table, found a view that someone else made; give the"
                " sink another table"
            )
        if names[self.name]:
            self._check_table(found, table)
        if self.view in views:
            self._check_view(found, table)
        elif names[self.view]:
            raise self.place.error(
                f"expected {self.view} to be the view that Kingmaker makes, found a table that"
                " someone else made; rename it, or give the sink another table"
            )
        table.create(self.engine, checkfirst=True)
        if self.view not in views:
            with self.engine.begin() as connection:
                connection.execute(text(self._view_text(table)))
        self._looked_at = frozenset(table.columns.keys())

    def _is_view(self, found: Inspector, name: str) -> bool:
        return name in found.get_view_names(schema=self.schema)

    def _check_table(self, found: Inspector, table: Table) -> None:
        there = {c["name"]: c["type"] for c in found.get_columns(self.name, schema=self.schema)}
        for column in table.columns:
            if column.name not in there:
                raise self.place.error(
                    f"expected the table {self.name} to have the column {column.name!r}, found"
                    f" {sorted(there)}; add it, or give the sink another table"
                )
            if not _alike(column.type, there[column.name]):
                raise self.place.error(
                    f"expected the column {column.name!r} of the table {self.name} to be of type"
                    f" {column.type}, found {there[column.name]}; change it, or give the sink"
                    " another table"
                )
        key = self._key_of(found)
        if set(key) != set(self.key):
            raise self.place.error(
                f"expected the table {self.name} to have the primary key {list(self.key)}, found"
                f" {key}; change it, or give the sink another table"
            )

    def _key_of(self, found: Inspector) -> list[str]:
        if self.engine.dialect.name != "duckdb":
            return found.get_pk_constraint(self.name, schema=self.schema)["constrained_columns"]
        # duckdb-engine asks for it as PostgreSQL is asked, in a type that DuckDB does not have.
        query = text(
            "SELECT unnest(constraint_column_names) FROM duckdb_constraints() WHERE table_name = :t"
            " AND constraint_type = 'PRIMARY KEY' AND schema_name = coalesce(:s, current_schema())"
        )
        with self.engine.connect() as connection:
            return list(connection.scalars(query, {"t": self.name, "s": self.schema}))

    def _check_view(self, found: Inspector, table: Table) -> None:
        names = {c["name"] for c in found.get_columns(self.view, schema=self.schema)}
        definition = found.get_view_definition(self.view, schema=self.schema) or ""
        if not names <= set(table.columns.keys()) or not _reads(definition, self.name):
            raise self.place.error(
                f"expected {self.view} to be the view that Kingmaker makes of {self.name}, found"
                f" one that someone else made, with the columns {sorted(names)}; rename it, or give"
                " the sink another table"
            )

    def _view_text(self, table: Table) -> str:
        """The newest prediction of each key: of the rows that have it, that of the newest part."""
        shown = [c for c in table.columns if c.name != PART]
        key = [table.columns[name] for name in self.key if name != VERSION]
        order = (table.columns[PART].desc(), table.columns[BATCH].desc())
        newest = func.row_number().over(partition_by=key, order_by=order).label("newest_first")
        ranked = select(*shown, newest).subquery("ranked")
        query = select(*(ranked.columns[c.name] for c in shown)).where(
            ranked.columns.newest_first == literal(1)
        )
        dialect = self.engine.dialect
        body = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        quote = dialect.identifier_preparer
        name = quote.quote_identifier(self.view)
        if self.schema:
            name = f"{quote.quote_identifier(self.schema)}.{name}"
        return f"CREATE VIEW {name} AS {body}"

    # --- the database -----------------------------------------------------------------------------

    @cached_property
    def engine(self) -> Engine:
        """The database; a file of SQLite or DuckDB is made when it is not there."""
        settings = self.place.managed.settings
        url = make_url(self.place.address.text)
        options: dict[str, Any] = {}
        if url.get_backend_name() in ("sqlite", "duckdb"):
            file = settings.project / str(url.database)
            file.parent.mkdir(parents=True, exist_ok=True)
            url = url.set(database=str(file))
        elif url.get_backend_name() == "postgresql":
            options = {"connect_args": {"connect_timeout": 10}}
        return create_engine(url, poolclass=NullPool, hide_parameters=True, **options)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn what the database says into one sentence without an account or a value."""
        try:
            yield
        except (SQLAlchemyError, ImportError, OSError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            # Without the cause: a driver may quote the account that it was given.
            raise self.place.error(
                f"table {self.name}: cannot be written: {type(cause).__name__}: {str(cause)[:300]};"
                " it is delivered at the next run"
            ) from None


def _alike(ours: TypeEngine[Any], theirs: TypeEngine[Any]) -> bool:
    try:
        kinds = {ours.python_type.__name__, theirs.python_type.__name__}
    except NotImplementedError:  # a type of the database's own
        return True
    return len(kinds) == 1 or any(kinds <= alike for alike in _ALIKE)


def _reads(definition: str, table: str) -> bool:
    return table.lower() in definition.lower() and "newest_first" in definition.lower()
