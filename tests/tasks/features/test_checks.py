"""Tests of what features must stand: rows that the contract allows, and a past without its
future.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.features.checks import UNSEEN, AcceptsContract, KnowsNoFuture, allowed_rows
from tasks.features.config import FeaturesConfig
from tasks.features.frame import build_frame
from tasks.records import FeatureFrame, Guardrail
from tests.sample_contract import sample_contract, sample_table


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path)


def _builder(contract: Contract, code: Callable[[pd.DataFrame], pd.DataFrame] | None = None):
    def build(table: pa.Table) -> FeatureFrame:
        return build_frame(
            {"b": table},
            {"b": "digest"},
            contract,
            FeaturesConfig(),
            target="returned",
            problem="binary",
            slices=(),
            code=code,
        )

    return build


def test_rows_hold_what_the_contract_allows(contract: Contract) -> None:
    """What may be empty is empty in a row; what must not be, and the key, never is; a free text is
    one never seen.
    """
    table = sample_table(4)

    rows = allowed_rows(table, contract, "returned")

    assert rows.schema == table.schema
    for column in contract.columns:
        optional = not column.required and column.name != "returned"
        assert (rows[column.name].null_count > table[column.name].null_count) == optional, (
            column.name
        )
    assert UNSEEN in rows["note"].to_pylist()
    assert set(rows["shop"].to_pylist()) <= {*table["shop"].to_pylist(), None}


def _accepts(
    contract: Contract, predict, code: Callable[[pd.DataFrame], pd.DataFrame] | None = None
) -> Guardrail:
    return AcceptsContract().check(
        sample_table(4), contract, "returned", _builder(contract, code), predict
    )


def test_a_model_that_breaks_on_an_unseen_category_fails(contract: Contract) -> None:
    """One that predicts numbers passes; one that raises, or says NaN, for what it never saw does
    not.
    """

    def strict(frame: FeatureFrame) -> np.ndarray:
        if (frame.features["note"] == UNSEEN).any():
            raise KeyError("unknown note")
        return np.zeros(len(frame))

    assert _accepts(contract, lambda frame: np.zeros(len(frame))).outcome == "passed"
    assert _accepts(contract, lambda frame: frame.features["amount"].to_numpy()).outcome == "failed"
    raised = _accepts(contract, strict)
    assert (raised.outcome, raised.found) == ("failed", "KeyError: 'unknown note'")


def test_feature_code_that_breaks_on_a_gap_fails(contract: Contract) -> None:
    """Code that takes every note for a text fails where the contract allows none."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {"length": [len(note) for note in rows["note"].astype("object")]}, index=rows.index
        )

    found = _accepts(contract, lambda frame: np.zeros(len(frame)), code)

    assert found.outcome == "failed"
    assert "TypeError" in found.found


TIMES = [datetime(2013, 5, 17, tzinfo=UTC) + timedelta(minutes=m) for m in range(40)]
PEEKS = {
    "next row": lambda rows, amount: amount.shift(-1),
    "mean of the batch": lambda rows, amount: amount - amount.mean(),
    "rank in the batch": lambda rows, amount: amount.rank(),
}


@pytest.mark.parametrize("how", PEEKS)
def test_features_of_later_rows_are_named(contract: Contract, how: str) -> None:
    """A look at the next row, or at the whole batch, is found and named, unless the spec vouches
    for it.
    """
    table = sample_table(40, sold_at=TIMES, amount=[float(i % 7) for i in range(40)])

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"peek": PEEKS[how](rows, rows["amount"]), "twice": 2 * rows["amount"]})

    found = KnowsNoFuture().check(table, contract.event_time, _builder(contract, code), ())
    vouched = KnowsNoFuture().check(table, contract.event_time, _builder(contract, code), ("peek",))

    assert (found.outcome, found.found) == ("failed", "peek change when later rows are taken away")
    assert vouched.outcome == "passed"


def test_features_of_the_row_and_of_earlier_ones_pass(contract: Contract) -> None:
    """What a row says itself, and what the rows before it said, was known at its time."""
    table = sample_table(40, sold_at=TIMES, amount=[float(i % 7) for i in range(40)])

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": 2 * rows["amount"], "last": rows["amount"].shift(1)})

    assert (
        KnowsNoFuture().check(table, contract.event_time, _builder(contract, code), ()).outcome
        == "passed"
    )


def test_code_that_fails_on_earlier_rows_is_not_proven(contract: Contract) -> None:
    """Code that cannot build the features of earlier rows alone is refused, with its own words."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        if len(rows) < 40:
            raise ValueError("expected the whole month")
        return pd.DataFrame({"twice": 2 * rows["amount"]})

    table = sample_table(40, sold_at=TIMES, amount=[float(i % 7) for i in range(40)])
    found = KnowsNoFuture().check(table, contract.event_time, _builder(contract, code), ())

    assert (found.outcome, found.found) == (
        "not made",
        "with earlier rows alone: ValueError: expected the whole month",
    )
