"""Tests of what a delivered row holds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.scoring.config import DecisionCosts, ScoringConfig
from tasks.scoring.delivered import delivered_names, delivered_rows
from tests.sample_contract import column
from tests.tasks.scoring.served_sales import sales_contract, scored_sales, served_sales


def test_row_holds_what_is_promised(tmp_path: Path) -> None:
    """Key, event time, what is passed through, prediction, decision, reasons, and by whom when."""
    contract = sales_contract(tmp_path)
    config = ScoringConfig(include=("shop",), decision_threshold=0.03, explain=2)
    scored = scored_sales(contract, reasons=[f"[{i}]" for i in range(6)], adjusted_by=4)
    part = served_sales(tmp_path, contract, scored, number=9)

    rows = delivered_rows(tmp_path, part, contract, config).to_pylist()

    assert list(rows[3]) == [
        "sold_at",
        "id",
        "shop",
        "prediction",
        "decision",
        "reasons",
        "version",
        "batch",
        "scored_at",
        "part",
    ]
    assert [row["decision"] for row in rows] == [False] * 3 + [True] * 3
    assert (rows[3]["reasons"], rows[3]["version"], rows[3]["part"]) == ("[3]", "v1.4", 9)
    assert (rows[3]["batch"], rows[3]["shop"]) == ("2013-05-17", "A")


@pytest.mark.parametrize("kept", [None, ["[1]"] * 6])
@pytest.mark.parametrize("explain", [0, 2])
def test_reasons_are_a_column_where_the_spec_asks_for_them(
    tmp_path: Path, kept: list[str] | None, explain: int
) -> None:
    """Whatever parts were written with: a table has the same columns for all of them."""
    contract = sales_contract(tmp_path)
    part = served_sales(tmp_path, contract, scored_sales(contract, reasons=kept))

    rows = delivered_rows(tmp_path, part, contract, ScoringConfig(explain=explain)).to_pylist()

    expected = ("[1]" if kept else None) if explain else "no column"
    assert [row.get("reasons", "no column") for row in rows] == [expected] * 6


@pytest.mark.parametrize("margins", [None, (-0.01, 0.02), (math.nan, math.nan)])
@pytest.mark.parametrize("interval", [None, 0.9])
def test_an_interval_is_two_columns_where_the_spec_asks_for_it(
    tmp_path: Path, margins: tuple[float, float] | None, interval: float | None
) -> None:
    """Whatever parts were written with; missing while the margins are not known."""
    contract = sales_contract(tmp_path)
    scored = replace(scored_sales(contract), margins=margins)
    part = served_sales(tmp_path, contract, scored)

    rows = delivered_rows(tmp_path, part, contract, ScoringConfig(interval=interval)).to_pylist()

    ends = [rows[3].get(name, "no column") for name in ("prediction_low", "prediction_high")]
    if interval is None:
        assert ends == ["no column"] * 2
    elif margins == (-0.01, 0.02):
        assert ends == pytest.approx([0.02, 0.05])
    else:
        assert ends == [None, None]


def test_costs_say_from_which_probability_on(tmp_path: Path) -> None:
    """Missing one that costs nine times a false alarm: yes from ten percent on."""
    assert ScoringConfig(
        costs=DecisionCosts(false_positive=1.0, false_negative=9.0)
    ).threshold == pytest.approx(0.1)


def test_names_that_clash_are_prefixed(tmp_path: Path) -> None:
    """A column called as one of ours, whatever its case, gets another name; ours stay."""

    def clash(document):
        column(document, "id")["name"] = "Prediction"
        column(document, "shop")["name"] = "version"
        column(document, "till")["name"] = "row_version"
        column(document, "note")["name"] = "probability_low"

    contract = sales_contract(tmp_path, clash)

    names = delivered_names(
        contract, ["Prediction", "version", "row_version", "probability_low", "amount"]
    )

    assert names == {
        "Prediction": "row_Prediction",
        "version": "row_row_version",
        "row_version": "row_version",
        "probability_low": "row_probability_low",
        "amount": "amount",
    }


def test_classified_columns_never_leave(tmp_path: Path) -> None:
    """Not even as a part of the key."""
    contract = sales_contract(
        tmp_path, lambda d: column(d, "id").update(classification="confidential")
    )
    part = served_sales(tmp_path, contract, scored_sales(contract))

    rows = delivered_rows(tmp_path, part, contract, ScoringConfig())

    assert "id" not in rows.column_names
    assert delivered_names(contract, ["email", "id", "shop"]) == {"shop": "shop"}


def test_a_column_that_is_passed_through_since_is_missing_before(tmp_path: Path) -> None:
    """A part that was written without it is delivered all the same."""
    contract = sales_contract(tmp_path)
    part = served_sales(tmp_path, contract, scored_sales(contract))

    rows = delivered_rows(tmp_path, part, contract, ScoringConfig(include=("shop", "till")))

    assert rows["till"].to_pylist() == [None] * 6
    assert rows["shop"].to_pylist()[:2] == ["A", "B"]
