"""Tests of KM016: feature code that looks at other rows is named, with rows; other code passes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from tasks.features.checks import KnowsNoFuture
from tasks.features.config import FeaturesConfig
from tasks.features.frame import build_frame
from tasks.features.neighbours import SameAlone
from tasks.records import FeatureFrame, Guardrail
from tests.sample_contract import sample_contract, sample_table

MAY = datetime(2013, 5, 1, tzinfo=UTC)
JUNE = datetime(2013, 6, 1, tzinfo=UTC)


def _rows(start: datetime, count: int = 200) -> pa.Table:
    """Sales, one an hour: those of 200 in a row are of 200 notes, which stand for customers."""
    return sample_table(
        count,
        sold_at=[start + timedelta(hours=i) for i in range(count)],
        amount=[float(i % 7) for i in range(count)],
        note=[f"customer {i % 200}" for i in range(count)],
    )


def _builder(tmp_path: Path, code: Callable[[pd.DataFrame], pd.DataFrame]):
    contract = sample_contract(tmp_path)

    def build(tables: Mapping[str, pa.Table]) -> FeatureFrame:
        return build_frame(
            tables,
            dict.fromkeys(tables, "digest"),
            contract,
            FeaturesConfig(),
            target="returned",
            problem="binary",
            slices=(),
            code=code,
        )

    return build


def _check(tmp_path: Path, code: Callable[[pd.DataFrame], pd.DataFrame]) -> Guardrail:
    before = {"2013-05": _rows(MAY)}
    return SameAlone().check("2013-06", _rows(JUNE), before, _builder(tmp_path, code))


def _previous(rows: pd.DataFrame) -> pd.DataFrame:
    """The amount that the customer paid before: of the past only."""
    return rows.groupby("note")["amount"].shift(1).to_frame("previous")


def test_a_past_that_is_there_in_training_only_is_refused(tmp_path: Path) -> None:
    """Missing in every row when scored, there in training: KM010 passes it, KM016 names three
    rows.
    """
    guardrail = _check(tmp_path, _previous)

    build = _builder(tmp_path, _previous)
    future = KnowsNoFuture().check(
        _rows(JUNE), "sold_at", lambda table: build({"2013-06": table}), ()
    )
    assert future.outcome == "passed"
    assert (guardrail.code, guardrail.outcome) == ("KM016", "failed")
    assert guardrail.found == (
        "previous differs in 200 of 200 rows (row 0: nan alone, 0 beside 2013-05,"
        " row 1: nan alone, 1 beside 2013-05, row 2: nan alone, 2 beside 2013-05)"
    )


LOOKS = {
    "the row before": lambda amount: amount.shift(1),
    "the size of the batch": lambda amount: amount / len(amount),
    "the place in the batch": lambda amount: amount.cumsum(),
}


@pytest.mark.parametrize("how", LOOKS)
def test_a_look_at_other_rows_is_refused_in_a_first_batch_too(tmp_path: Path, how: str) -> None:
    """Where there is no batch before, another order and halves find it."""
    build = _builder(tmp_path, lambda rows: LOOKS[how](rows["amount"]).to_frame("looks"))

    guardrail = SameAlone().check("2013-06", _rows(JUNE), {}, build)

    assert guardrail.outcome == "failed"
    assert guardrail.found.startswith("looks differs in ")


def test_features_that_rest_on_the_order_of_rows_are_refused(tmp_path: Path) -> None:
    """Rows in another order are the same rows."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        return (rows["amount"] + rows["sold_at"].is_monotonic_increasing).to_frame("ordered")

    guardrail = _check(tmp_path, code)

    assert guardrail.found == (
        "ordered differs in 200 of 200 rows (row 0: 1 alone, 0 in the opposite order,"
        " row 1: 2 alone, 1 in the opposite order, row 2: 3 alone, 2 in the opposite order)"
    )


def test_features_of_the_row_alone_pass(tmp_path: Path) -> None:
    """Numbers and texts, with gaps."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        weekday = rows["sold_at"].dt.day_name().astype("str")
        amount = rows["amount"].where(rows["amount"] > 2)
        return pd.DataFrame({"weekday": weekday, "large": amount}, index=rows.index)

    guardrail = _check(tmp_path, code)

    assert (guardrail.outcome, guardrail.found) == ("passed", "200 rows of 2013-06, none differs")


def test_a_feature_that_comes_and_goes_is_refused(tmp_path: Path) -> None:
    """One that is made only of a long frame."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        own = pd.DataFrame({"twice": 2 * rows["amount"]}, index=rows.index)
        return own.assign(thrice=3 * rows["amount"]) if len(rows) > 150 else own

    guardrail = _check(tmp_path, code)

    assert guardrail.found == "thrice is made only alone"


def test_code_that_fails_on_a_half_is_not_proven(tmp_path: Path) -> None:
    """Its own words are told."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        if len(rows) < 150:
            raise ValueError("expected the whole month")
        return pd.DataFrame({"twice": 2 * rows["amount"]}, index=rows.index)

    guardrail = _check(tmp_path, code)

    assert (guardrail.outcome, guardrail.found) == (
        "not made",
        "ValueError: expected the whole month",
    )
