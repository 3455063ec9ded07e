"""Tests of the dry run: what only an engine can compile is refused before there is a batch."""

import sys
from pathlib import Path
from typing import Any

import pytest

from data_contracts.contract import ContractError
from tasks.validation.dry_run import check_rules
from tests.sample_contract import column, sample_contract


def test_contract_without_such_rules_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No engine is imported for it."""
    monkeypatch.setitem(sys.modules, "duckdb", None)

    check_rules(sample_contract(tmp_path))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"type": "sql", "query": "SELECT max(amuont) FROM {table}", "mustBe": 0},
            (
                "quality.0.query: expected one SELECT that returns one number, found Binder Error:"
                ' Referenced column "amuont" not found'
            ),
        ),
        (
            {"type": "sql", "query": "SELECT id, till FROM {table}", "mustBe": 0},
            (
                "expected one SELECT that returns one number, found columns of type ['BIGINT',"
                " 'BIGINT']"
            ),
        ),
        (
            {"type": "sql", "query": "SELECT max(note) FROM {table}", "mustBe": 0},
            "found columns of type ['VARCHAR']",
        ),
        (
            {"type": "sql", "query": "SELECT 1 FROM {table}; DROP TABLE {table}", "mustBe": 0},
            "expected one SELECT that returns one number, found",
        ),
        (
            {
                "type": "sql",
                "query": "WITH x AS (SELECT 1) INSERT INTO {table} SELECT * FROM x",
                "mustBe": 0,
            },
            "expected one SELECT that returns one number, found",
        ),
        (
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": "expect_column_vals_to_be_null"},
            },
            (
                "quality.0.implementation.type: expected the name of an expectation, found"
                " 'expect_column_vals_to_be_null' (did you mean 'expect_column_values_to_be_null'?)"
            ),
        ),
        (
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {
                    "type": "expect_column_max_to_be_between",
                    "kwargs": {"min_valu": 1},
                },
            },
            (
                "quality.0.implementation.kwargs: expected the arguments of"
                " expect_column_max_to_be_between, found"
            ),
        ),
    ],
)
def test_refused_by_name(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    """File, key path, what was expected and found."""
    contract = sample_contract(tmp_path, lambda d: column(d, "till").update(quality=[entry]))

    with pytest.raises(ContractError) as caught:
        check_rules(contract)

    assert str(caught.value).startswith(f"{contract.file}: schema.0.properties.5.")
    assert message in str(caught.value)
