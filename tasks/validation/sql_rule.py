"""The rules that are a query over the batch: DuckDB over the snapshot's parts, and over nothing
else.

A query sees one view, the batch. It runs in an in-memory database that may open the snapshot's
files only, may write to none but its own scratch directory, loads no extension, and whose settings
are locked.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from data_contracts.contract import Column, Contract, ContractError, Rule
from data_contracts.limits import holds
from tasks.errors import KingmakerError
from tasks.sql_text import (
    TYPES,
    column_at,
    distinct_names,
    file_pattern,
    identifier,
    literal,
    parquet_rows,
)

_VIEW = "batch"
_PLACEHOLDERS = re.compile(r"\$?(\{(?:table|object|column|property)\})")
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
        _create_empty(connection, contract, contract.columns)
        _bind(connection, rule, contract)


def run_query(rule: Rule, contract: Contract, parts: Sequence[Path]) -> tuple[bool, str]:
    """Return whether the query's number over ``parts`` keeps the rule's limit, and the number for
    people to read.

    A query that reads a classified column may return one of its values, so its number is not shown.
    Raises ContractError for a query that does not bind, QueryFailedError for one that broke off on
    this batch.
    """
    with _database(contract) as connection:
        _create_empty(connection, contract, contract.columns)
        _bind(connection, rule, contract)
    hidden = _reads_classified(rule, contract)
    with _database(contract, parts) as connection:
        present = pq.read_schema(parts[0]).names
        names = ", ".join(
            f"{column_at(present.index(name))} AS {identifier(own)}"
            for name, own in zip(
                contract.column_names, distinct_names(contract.column_names), strict=True
            )
        )
        read = parquet_rows(parts, len(present))
        connection.execute(f"CREATE VIEW {_VIEW} AS SELECT {names} FROM {read}")  # noqa: S608 - quoted
        try:
            rows = connection.execute(_query(rule, contract)).fetchmany(2)
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
        _create_empty(connection, contract, open_columns)
        try:
            _bind(connection, rule, contract)
        except ContractError:
            return True
    return False


def _bind(connection: duckdb.DuckDBPyConnection, rule: Rule, contract: Contract) -> None:
    expected = "one SELECT that returns one number"
    try:
        statements = connection.extract_statements(_query(rule, contract))
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise ContractError(
                contract.file, rule.arguments["where"], expected, f"{_query(rule, contract)!r}"
            )
        types = [str(type_) for type_ in connection.sql(_query(rule, contract)).types]
    except duckdb.Error as error:
        raise ContractError(
            contract.file,
            rule.arguments["where"],
            expected,
            " ".join(str(error).split()) + _alike(contract),
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
            connection.execute(f"SET TimeZone = {literal(contract.timezone)}")
            allowed = [spelt for part in parts for spelt in (str(part), file_pattern(part))]
            connection.execute(f"SET allowed_paths = [{', '.join(map(literal, allowed))}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


def _create_empty(
    connection: duckdb.DuckDBPyConnection, contract: Contract, columns: Sequence[Column]
) -> None:
    names = dict(zip(contract.column_names, distinct_names(contract.column_names), strict=True))
    definitions = ", ".join(
        f"{identifier(names[column.name])} {TYPES[column.logical_type]}" for column in columns
    )
    connection.execute(f"CREATE TABLE {_VIEW} ({definitions})")


def _query(rule: Rule, contract: Contract) -> str:
    own = {"{table}": _VIEW, "{object}": _VIEW}
    if rule.arguments["column"] is not None:
        at = dict(zip(contract.column_names, distinct_names(contract.column_names), strict=True))
        own |= dict.fromkeys(("{column}", "{property}"), identifier(at[rule.arguments["column"]]))
    # In one pass: a column may be called like a placeholder.
    return _PLACEHOLDERS.sub(lambda found: own[found[1]], str(rule.arguments["query"]))


def _alike(contract: Contract) -> str:
    """How a query names columns that differ in case only; empty when none do."""
    pairs = zip(contract.column_names, distinct_names(contract.column_names), strict=True)
    renamed = [f'{name} is "{own}"' for name, own in pairs if own != name]
    told = f"; names that differ in case only are one in SQL: here {', '.join(renamed)}"
    return told if renamed else ""
