"""One PostgreSQL server for all three stores: a database each for the ledger, Prefect and MLflow,
made when missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError

from tasks.errors import KingmakerError

_DEFAULT = "kingmaker"
_MADE_BY_ANOTHER = ("42P04", "23505")
"""SQLSTATE of a database that is there, and of two processes making it at the same moment."""


class ExtensionMissingError(KingmakerError):
    """The PostgreSQL server lacks an extension that one of the stores needs."""


@dataclass(frozen=True)
class Stores:
    """Addresses of the three databases, each for the driver of the program that opens it."""

    ledger: str
    prefect: str
    mlflow: str


def make_stores(server: str) -> Stores:
    """Make what is missing of the databases ``<name>_ledger``, ``<name>_prefect`` and
    ``<name>_mlflow``.

    ``server`` is a PostgreSQL URL; ``<name>`` is the database in it, or ``kingmaker`` when that is
    ``postgres`` or none. What the URL leaves out, a password above all, comes from PGPASSWORD and
    its like, or from ``~/.pgpass``. Raises ValueError when it is no PostgreSQL URL,
    ExtensionMissingError when Prefect could not use the server, and SQLAlchemy's OperationalError
    when it cannot be reached.
    """
    try:
        url = make_url(server)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in ("postgresql", "postgres"):
        found = "no URL" if url is None else url.drivername
        raise ValueError(f"database: expected postgresql://user@host:port, found {found}")
    url = url.set(drivername="postgresql+psycopg2")
    name = url.database if url.database not in (None, "", "postgres") else _DEFAULT
    urls = [url.set(database=f"{name}_{part}") for part in ("ledger", "prefect", "mlflow")]
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            _check_extension(connection, url)
            known = set(connection.scalars(text("SELECT datname FROM pg_database")))
            for missing in (one.database for one in urls if one.database not in known):
                quoted = engine.dialect.identifier_preparer.quote_identifier(str(missing))
                try:
                    connection.execute(text(f"CREATE DATABASE {quoted}"))
                except (ProgrammingError, IntegrityError) as error:
                    if getattr(error.orig, "pgcode", None) not in _MADE_BY_ANOTHER:
                        raise
    finally:
        engine.dispose()
    ledger, prefect, mlflow = urls
    return Stores(_plain(ledger), _plain(_for_asyncpg(prefect)), _plain(mlflow))


def _check_extension(connection: Connection, url: URL) -> None:
    """Prefect's migrations need an extension that comes with every PostgreSQL, but in a package of
    its own.
    """
    available = text("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
    if not connection.scalar(available):
        raise ExtensionMissingError(
            f"PostgreSQL on {url.host or url.query.get('host') or 'this machine'}: expected the"
            " extension pg_trgm, which Prefect's tables need, found none; install the server's"
            " package postgresql-contrib"
        )


def _for_asyncpg(url: URL) -> URL:
    """The same database for asyncpg, which knows ``sslmode`` by another name."""
    query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
    return url.set(drivername="postgresql+asyncpg", query=query)


def _plain(url: URL) -> str:
    return url.render_as_string(hide_password=False)
