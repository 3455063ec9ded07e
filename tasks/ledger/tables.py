"""The ledger's tables, and the way to its database: SQLite embedded, PostgreSQL in production."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
)
from sqlalchemy import Engine as Engine  # noqa: PLC0414 - the layers above import it from here
from sqlalchemy.engine import URL, Dialect, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tasks.errors import KingmakerError
from tasks.records import Record

R = TypeVar("R", bound=Record)
metadata = MetaData()
PATIENCE_SECONDS = 30
"""How long a write waits for another's to end before it fails: SQLite has one writer, and a lease's
row can be locked.
"""

AWAY_SECONDS = 60
"""How long a server of the ledger may be away before a run ends: it outlives a restart, and is as
long as a lease lives.
"""


class LedgerAwayError(KingmakerError):
    """The server that keeps the ledger does not answer, or broke off in the middle."""


class LedgerFormError(KingmakerError):
    """The ledger's tables or records are those of another version of Kingmaker."""


batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(100), nullable=False),
    Column("stream", String(100), nullable=False),
    Column("batch", String(40), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("verdict", String(30), nullable=False),
    Column("completed", Boolean, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("record", JSON, nullable=False),
    UniqueConstraint("model", "stream", "batch", "revision"),
)
"""Every batch of every model, of rows, of labels and of what is joined, each revision of it; the
record is a BatchRecord.

Its figures stand before it: SQLite reads a row up to the last column that is asked for.
"""

trainings = Table(
    "trainings",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("batch", String(40), nullable=False),
    Column("record", JSON, nullable=False),
)
"""Every registered version: which rows it was trained on, and the digest of its bytes; a
TrainedModel.
"""

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(100), nullable=False, index=True),
    Column("batch", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("decision", JSON, nullable=False),
    Column("evidence_sha256", String(64), nullable=False),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("effective_at", DateTime(timezone=True)),
    Column("flow_run", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("rule", JSON(none_as_null=True)),
    Column("evidence", JSON, nullable=False),
)
"""Every decision with its evidence, and the rule that made it where one did.

A decision that changes who is champion is a journal entry until it is effective.
"""

served = Table(
    "served",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(100), nullable=False),
    Column("batch", String(40), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("adjusted_by", Integer),
    Column("rows", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("scored_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("source", Text, nullable=False),
    UniqueConstraint("model", "batch", "sequence"),
)
"""Every part of served predictions, which lie in the lake: a ServedPart. Rows are only added."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("sink", String(40), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("delivered_at", DateTime(timezone=True), nullable=False),
)
"""Which part of served predictions each sink has been given."""

open_batches = Table(
    "open_batches",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("batch", String(40), primary_key=True),
    Column("fingerprint", Text, nullable=False),
)
"""What there was of a batch that has not closed, and who was champion, when it was last scored."""

messages = Table(
    "messages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("model", String(100), nullable=False),
    Column("event", String(60), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("tried_at", DateTime(timezone=True), nullable=False),
    Column("sent", Boolean, nullable=False),
)
"""What people are to be told, and whether it is known that they were."""

leases = Table(
    "leases",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
"""Who may act for a model; the token grows by one with every new holder."""


def as_record(kind: type[R], kept: object) -> R:
    """Return what the ledger keeps, as a record; LedgerFormError when it is another version's."""
    try:
        return kind.model_validate(kept)
    except ValidationError as error:
        raise LedgerFormError(
            f"the ledger: expected a {kind.__name__} as this version of Kingmaker writes it, found"
            f" {first_fault(error)}; use the version that wrote it, or another home or database"
        ) from error


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a record, in one line, and how many more are."""
    faults = error.errors(include_url=False)
    where = ".".join(map(str, faults[0]["loc"]))
    said = f"{where}: {faults[0]['msg']}, not {str(faults[0]['input'])[:60]!r}"
    return said + (f" and {len(faults) - 1} more" if len(faults) > 1 else "")


@functools.cache
def open_ledger(url: str, *, away: float = AWAY_SECONDS) -> Engine:
    """Return the engine for ``url``, with the tables made on first use.

    A server may be ``away`` seconds, after which LedgerAwayError is raised. Raises LedgerFormError
    when a table that is there has other columns than this version's.

    SQLite runs in WAL mode with full synchronisation: a decision that was written survives a power
    cut.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": PATIENCE_SECONDS})

        @event.listens_for(engine, "connect")
        def _durable(connection, _record) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a DBAPI connection
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    else:
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})

        @event.listens_for(engine, "connect")
        def _notice_dead_clients(connection, _record) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a DBAPI connection
            # A machine that lost its power while it held a lock would else be noticed after two
            # hours.
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET"
                    " tcp_keepalives_count = 3"
                )
            connection.commit()

        _outlive_a_restart(engine, away)

    try:
        metadata.create_all(engine)
    except DBAPIError:
        metadata.create_all(
            engine
        )  # another process made a table between our look and our making it
    _check_form(engine)
    return engine


@functools.cache
def read_only_ledger(url: str) -> Engine:
    """Return the engine of a ledger that is there, which refuses every write and, between two
    reads, keeps no file open. Raises LedgerFormError as ``open_ledger`` does.
    """
    engine = create_engine(url, poolclass=NullPool)
    embedded = engine.url.get_backend_name() == "sqlite"

    @event.listens_for(engine, "connect")
    def _refuse_writes(connection, _record) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a DBAPI connection
        cursor = connection.cursor()
        cursor.execute(
            "PRAGMA query_only=ON" if embedded else "SET default_transaction_read_only = on"
        )
        cursor.close()
        connection.commit()

    _check_form(engine)
    return engine


def _check_form(engine: Engine) -> None:
    found = inspect(engine).get_multi_columns(filter_names=list(metadata.tables))
    columns_of = {name: {one["name"] for one in columns} for (_, name), columns in found.items()}
    for name, table in metadata.tables.items():
        wanted, there = set(table.columns.keys()), columns_of.get(name, set())
        if there != wanted:
            absent, beside = sorted(wanted - there), sorted(there - wanted)
            raise LedgerFormError(
                f"the ledger {_where(engine.url)}: expected table {name} with the columns of this"
                f" version of Kingmaker, found {absent} missing and {beside} beside them; use the"
                " version that made the ledger, or another home or database"
            )


def _outlive_a_restart(engine: Engine, away: float) -> None:
    """Wait a bounded time for a server that is away; what it broke off in the middle ends by
    name.
    """

    @event.listens_for(engine, "do_connect")
    def _connect(
        dialect: Dialect, _record: object, arguments: list[Any], settings: dict[str, Any]
    ) -> object:
        give_up = time.monotonic() + away
        while True:
            try:
                return dialect.connect(*arguments, **settings)
            except dialect.loaded_dbapi.OperationalError as error:
                if not _is_away(str(error)):
                    raise
                if time.monotonic() > give_up:
                    found = f"no answer for {away:g} s ({str(error).strip()})"
                    raise LedgerAwayError(_away(engine.url, found)) from error
            time.sleep(0.5)

    @event.listens_for(engine, "handle_error")
    def _name(context: ExceptionContext) -> None:
        if context.is_disconnect and not context.is_pre_ping:
            found = f"that it broke off in the middle ({str(context.original_exception).strip()})"
            raise LedgerAwayError(_away(engine.url, found)) from context.original_exception


def _is_away(said: str) -> bool:
    """Whether it is the server that is missing, and not a password, a database or a right: then
    waiting may help.
    """
    return "FATAL" not in said or "the database system is" in said or "too many clients" in said


def _away(url: URL, found: str) -> str:
    return (
        f"the ledger {_where(url)}: expected its server to answer, found {found}; start it, and run"
        " again: what was written stays, and what waits is done then"
    )


def _where(url: URL) -> str:
    """The database in words; the rest of its address may hold a password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.database} at {url.host or 'a local socket'}"
