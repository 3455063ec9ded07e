"""Tests of numbers that are made of dates and times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from data_contracts.contract import Contract
from tasks.features.config import FeaturesConfig
from tasks.features.dates import date_features
from tasks.features.frame import build_frame, inputs, with_later
from tasks.lake import to_frame
from tests.sample_contract import sample_contract, sample_table


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """Sales in New York."""
    return sample_contract(tmp_path)


def test_parts_are_those_of_the_clock_of_the_zone(contract: Contract) -> None:
    """The same hour in UTC is another one after the clocks have changed, and may lie on another
    day.
    """
    moments = [
        datetime(2013, 3, 9, 17, 30, tzinfo=UTC),
        datetime(2013, 3, 10, 17, 30, tzinfo=UTC),
        datetime(2013, 4, 1, 3, 0, tzinfo=UTC),
    ]
    rows = to_frame(sample_table(3, sold_at=moments))

    made = date_features(rows, {"sold_at": ("hour", "weekday", "day", "month")}, contract)

    assert made.to_dict("list") == {
        "sold_at_hour": [12.5, 13.5, 23.0],
        "sold_at_weekday": [5.0, 6.0, 6.0],
        "sold_at_day": [9.0, 10.0, 31.0],
        "sold_at_month": [3.0, 3.0, 3.0],
    }


def test_age_is_in_days_to_the_event(contract: Contract) -> None:
    """From the midnight of a date; negative for what lies ahead, missing for what is missing."""
    noon = datetime(2013, 5, 17, 16, tzinfo=UTC)
    dates = [date(2013, 5, 17), date(2013, 5, 1), date(2013, 5, 18), None]
    rows = to_frame(sample_table(4, sold_at=[noon] * 4, paid_on=dates))

    made = date_features(rows, {"paid_on": ("age", "month")}, contract)

    assert made["paid_on_age"].tolist()[:3] == [0.5, 16.5, -0.5]
    assert made["paid_on_month"].tolist()[:3] == [5.0, 5.0, 5.0]
    assert made.iloc[3].isna().all()
    assert (made.dtypes == "float64").all()


def test_they_are_features_of_batches_and_of_rows_elsewhere(contract: Contract) -> None:
    """Numbers beside the columns, made of what a package is told to bring, whether a row is alone
    or not.
    """
    config = FeaturesConfig(
        include=("amount",), dates={"sold_at": ("hour",), "paid_on": ("age", "day")}
    )
    table = sample_table(6, paid_on=[date(2013, 5, 3), None] * 3)
    needed = inputs(contract, config, "returned")

    def built(rows):
        frame = build_frame(
            {"b": rows},
            {"b": ""},
            contract,
            config,
            target="returned",
            problem="binary",
            slices=(),
            code=None,
        )
        assert frame.schema.numerical == (
            "amount",
            "sold_at_hour",
            "paid_on_age",
            "paid_on_day",
        )
        return frame.features.to_numpy()

    whole = built(table)
    elsewhere = built(with_later(table.select(list(needed)), contract, "returned"))
    alone = np.concatenate([built(table.slice(i, 1)) for i in range(6)])

    assert needed == ("amount", "sold_at", "paid_on")
    np.testing.assert_array_equal(elsewhere, whole)
    np.testing.assert_array_equal(alone, whole)
