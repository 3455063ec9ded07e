"""Tests of the contract without what comes later."""

from __future__ import annotations

from pathlib import Path

from data_contracts.open_rows import open_contract
from tests.sample_contract import column, sample_contract


def test_what_comes_later_is_left_out(tmp_path: Path) -> None:
    """Columns that are known later, the target, and the rules about either."""

    def change(document):
        column(document, "note")["quality"] = [
            {
                "metric": "invalidValues",
                "arguments": {"validValues": ["x"]},
                "mustBe": 0,
            }
        ]

    contract = sample_contract(tmp_path, change)

    found = open_contract(contract, "note")

    assert set(contract.column_names) - set(found.column_names) == {"returned", "note"}
    assert not [r for r in found.rules if {"returned", "note"} & set(r.columns)]
    assert found.key == contract.key
    kept = {rule.id for rule in found.rules}
    assert {"id:not_null", "shop:in_set", "amount:between"} <= kept


def test_rules_about_a_whole_batch_are_left_out(tmp_path: Path) -> None:
    """How many rows a day has, and that a row lies in its day, says nothing of rows to come."""
    contract = sample_contract(tmp_path)

    found = open_contract(contract, "returned")

    assert {rule.scope for rule in contract.rules} == {"schema", "row", "batch"}
    assert {rule.scope for rule in found.rules} == {"schema", "row"}
    assert "within_batch" in {rule.check for rule in contract.rules}
    assert "within_batch" not in {rule.check for rule in found.rules}
