"""Tests of the rules that are a query: one number over the batch, and nothing but the batch within
reach.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract, ContractError, Rule
from tasks.validation.sql_rule import QueryFailedError, run_query
from tests.sample_contract import sample_contract, sample_table


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Two parts in a directory with an awkward name, three sales each."""
    directory = tmp_path / "the 'lake'"
    directory.mkdir()
    for i in range(2):
        pq.write_table(sample_table(6).slice(3 * i, 3), directory / f"{i}.parquet")
    return [directory / f"{i}.parquet" for i in range(2)]


def query(
    text: str, operator: str = "mustBe", limit: Any = 6, columns: tuple[str, ...] = ()
) -> Rule:
    """A rule that holds what the query returns against a limit."""
    arguments = {
        "query": text,
        "column": "till",
        "operator": operator,
        "limit": limit,
        "where": "schema.0",
    }
    return Rule("batch:sql", "batch", "sql", columns, arguments)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SELECT count(*) FROM {table}", "6"),
        ("SELECT count(*) FROM ${object} WHERE ${column} > 1", "2"),
        ("SELECT sum(amount) / 2 FROM {table}", "11.25"),
        ("SELECT CAST(sum({property}) AS DECIMAL(9, 2)) FROM {table}", "7"),
        ("SELECT hour(min(sold_at)) FROM {table}", "8"),
        ("SELECT max(a.id - b.id) FROM {table} AS a, {table} AS b", "5"),
    ],
)
def test_number_of_the_whole_batch(
    contract: Contract, parts: list[Path], text: str, number: str
) -> None:
    """Over all parts, each placeholder in its place, times in the contract's zone."""
    assert run_query(query(text, "mustBeBetween", (0, 100)), contract, parts) == (True, number)
    assert run_query(query(text, "mustBeGreaterThan", 100), contract, parts) == (False, number)


def test_no_number_keeps_no_limit(contract: Contract, parts: list[Path]) -> None:
    """The mean of nothing is not within any limit."""
    rule = query("SELECT avg(amount) FROM {table} WHERE id > 100", "mustBeLessThan", 5)

    assert run_query(rule, contract, parts) == (False, "no number (NULL)")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT id FROM {table}", "more than one row"),
        ("SELECT id FROM {table} WHERE id < 0", "no row"),
    ],
)
def test_not_one_row_is_no_verdict(
    contract: Contract, parts: list[Path], text: str, found: str
) -> None:
    """Which of several numbers was meant cannot be known."""
    with pytest.raises(QueryFailedError, match=f"expected one row with one number, found {found}"):
        run_query(query(text), contract, parts)


def test_query_that_breaks_off_is_no_verdict(contract: Contract, parts: list[Path]) -> None:
    """A value that cannot be read as the query wants it is an error by name."""
    with pytest.raises(QueryFailedError, match=r"rule batch:sql broke off: Conversion Error.*'A'"):
        run_query(query("SELECT max(CAST(shop AS INTEGER)) FROM {table}"), contract, parts)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT length(max(email)) FROM {table}",
        "SELECT count(DISTINCT EMAIL) FROM {table}",
        'SELECT length(max("e" || "mail")) FROM (SELECT email AS e, email AS mail FROM {table})',
    ],
)
def test_what_a_classified_column_says_is_not_shown(
    contract: Contract, parts: list[Path], text: str
) -> None:
    """A query can return a value, so its number is hidden; whether it keeps the limit is not."""
    assert run_query(query(text, "mustBeGreaterThan", 3), contract, parts) == (
        True,
        "(hidden: the contract classifies the column)",
    )


def test_error_does_not_quote_a_classified_value(contract: Contract, parts: list[Path]) -> None:
    """Neither in the message nor in its cause."""
    with pytest.raises(QueryFailedError, match="hidden") as caught:
        run_query(query("SELECT max(CAST(email AS INTEGER)) FROM {table}"), contract, parts)

    assert "example.org" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM read_csv('{file}')",
        "SELECT count(*) FROM '{file}'",
        "SELECT count(*) FROM read_text('{file}')",
        "SELECT count(*) FROM glob('{file}')",
        "SELECT count(*) FROM read_parquet('https://example.org/x.parquet')",
        "COPY (SELECT 1) TO '{file}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "ATTACH '{file}'",
        "SELECT count(*) FROM frame",
    ],
)
def test_nothing_else_is_within_reach(
    contract: Contract, parts: list[Path], tmp_path: Path, text: str
) -> None:
    """No other file, no network, no write, no setting, no variable of ours."""
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n", encoding="utf-8")
    frame = sample_table()

    with pytest.raises((ContractError, QueryFailedError)):
        run_query(query(text.replace("{file}", str(file))), contract, parts)

    assert file.read_text("utf-8") == "a\n1\n"
    assert frame.num_rows == 6
    assert sorted(path.name for path in parts[0].parent.iterdir()) == ["0.parquet", "1.parquet"]
