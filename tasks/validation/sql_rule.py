"""The rules that are a query over the batch: DuckDB over the snapshot's parts, and over nothing
else.

A query sees one view, the batch. It runs in an in-memory database that may open the snapshot's
files only, may write to none but its own scratch directory, loads no extension, and whose settings
are locked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb

from data_contracts.contract import Column, Contract, ContractError, Rule
from data_contracts.limits import holds
from tasks.errors import KingmakerError

_VIEW = "batch"
_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
}
_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "BIGNUM",
)


class QueryFailedError(KingmakerError):
    """A query broke off on this batch: its rule has neither passed nor failed."""


def check_query(rule: Rule, contract: Contract) -> None:
    """Raise ContractError unless the rule's query binds to the contract's columns and returns one
    number.
    """
    with _database(contract) as connection:
        _create_empty(connection, contract.columns)
        _bind(connection, rule, contract)


def run_query(rule: Rule, contract: Contract, parts: Sequence[Path]) -> tuple[bool, str]:
    """Return whether the query's number over ``parts`` keeps the rule's limit, and the number for
    people to read.

    A query that reads a classified column may return one of its values, so its number is not shown.
    Raises ContractError for a query that does not bind, QueryFailedError for one that broke off on
    this batch.
    """
    with _database(contract) as connection:
        _create_empty(connection, contract.columns)
        _bind(connection, rule, contract)
    hidden = _reads_classified(rule, contract)
    with _database(contract, parts) as connection:
        files = ", ".join(_text(str(part)) for part in parts)
        names = ", ".join(_name(column.name) for column in contract.columns)
        # A directory that is called like a partition (shop=1) must not stand in the place of a
        # column.
        read = f"read_parquet([{files}], hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {_VIEW} AS SELECT {names} FROM {read}")  # noqa: S608 - quoted
        try:
            rows = connection.execute(_query(rule)).fetchmany(2)
        except duckdb.Error as error:
            told = "(hidden: the query reads a classified column)" if hidden else str(error)
            # An exception's text, and that of its cause, may quote a value.
            raise QueryFailedError(f"the query of rule {rule.id} broke off: {told}") from (
                None if hidden else error
            )
    if len(rows) != 1:
        found = "no row" if not rows else "more than one row"
        raise QueryFailedError(
            f"the query of rule {rule.id}: expected one row with one number, found {found}"
        )
    number = float(rows[0][0]) if isinstance(rows[0][0], Decimal) else rows[0][0]
    if number is None:
        return False, "no number (NULL)"
    kept = holds(rule.arguments["operator"], rule.arguments["limit"], number)
    return kept, "(hidden: the contract classifies the column)" if hidden else f"{number:,.10g}"


def _reads_classified(rule: Rule, contract: Contract) -> bool:
    """Whether the query fails to bind once the classified columns are gone: the binder knows better
    than a search.
    """
    open_columns = [column for column in contract.columns if not column.sensitive]
    if len(open_columns) == len(contract.columns):
        return False
    if any(contract.column(name).sensitive for name in rule.columns):
        return True
    with _database(contract) as connection:
        _create_empty(connection, open_columns)
        try:
            _bind(connection, rule, contract)
        except ContractError:
            return True
    return False


def _bind(connection: duckdb.DuckDBPyConnection, rule: Rule, contract: Contract) -> None:
    expected = "one SELECT that returns one number"
    try:
        statements = connection.extract_statements(_query(rule))
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise ContractError(
                contract.file, rule.arguments["where"], expected, f"{_query(rule)!r}"
            )
        types = [str(type_) for type_ in connection.sql(_query(rule)).types]
    except duckdb.Error as error:
        raise ContractError(
            contract.file, rule.arguments["where"], expected, " ".join(str(error).split())
        ) from error
    if len(types) != 1 or not types[0].lstrip("U").startswith(_NUMBERS):
        raise ContractError(
            contract.file, rule.arguments["where"], expected, f"columns of type {types}"
        )


@contextmanager
def _database(
    contract: Contract, parts: Sequence[Path] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that can open ``parts`` and nothing else, in the contract's time
    zone.
    """
    with tempfile.TemporaryDirectory(prefix="kingmaker-query-") as scratch:
        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": (
                    "false"
                ),  # a table's name must not mean a variable of ours
                "temp_directory": scratch,  # where it spills what does not fit into memory
                "enable_external_file_cache": (
                    "false"
                ),  # what it would keep of files grows with the rows
            },
        )
        try:
            connection.execute(f"SET TimeZone = {_text(contract.timezone)}")
            connection.execute(
                f"SET allowed_paths = [{', '.join(_text(str(part)) for part in parts)}]"
            )
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


def _create_empty(connection: duckdb.DuckDBPyConnection, columns: Sequence[Column]) -> None:
    definitions = ", ".join(
        f"{_name(column.name)} {_TYPES[column.logical_type]}" for column in columns
    )
    connection.execute(f"CREATE TABLE {_VIEW} ({definitions})")


def _query(rule: Rule) -> str:
    query, column = str(rule.arguments["query"]), rule.arguments["column"]
    for placeholder in ("{table}", "{object}"):
        query = query.replace(f"${placeholder}", _VIEW).replace(placeholder, _VIEW)
    if column is not None:
        for placeholder in ("{column}", "{property}"):
            query = query.replace(f"${placeholder}", _name(column)).replace(
                placeholder, _name(column)
            )
    return query


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
