"""Tests of shares of missing values: how far they moved, and how far they swing by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.missing import Gaps, Swing, gaps_of, swings_of


def a_gap(before: float, after: float, rows: int = 1_000, **changes: object) -> Gaps:
    """A column with these shares of missing values, in stretches as long as the batch."""
    values = {
        "before": np.array([1 - before, before]) * 10_000,
        "after": np.array([1 - after, after]) * rows,
        "swings": np.array([0.1, -0.1, 0.1]),
        "stretches": 10.0,
        "stretch": float(rows),
    }
    return Gaps(**(values | changes))


def test_stretches_are_held_against_their_references() -> None:
    """Of four blocks with 10, 20, 30 and 40% missing, the first against the last: -0.3 of the unit
    sqrt(p (1 - p)); a stretch without a row counts nothing.
    """
    blocks = np.array([[90, 10], [80, 20], [70, 30], [60, 40], [0, 0]])
    runs = np.eye(5)[[0, 4]]
    references = np.eye(5)[[3, 3]]

    gaps = gaps_of(np.array([75, 25]), np.array([50, 50]), blocks, runs, references, 4.0)

    assert gaps.shares == (0.25, 0.5)
    assert gaps.swings == pytest.approx([-0.3 / math.sqrt(0.25 * 0.75)])
    assert gaps.stretch == 100


@pytest.mark.parametrize(("stretches", "p_value"), [(2.0, 1.0), (1.0, 1.0)])
def test_of_two_stretches_nothing_is_known(stretches: float, p_value: float) -> None:
    """However far the share moved."""
    gaps = a_gap(0.0, 0.9, stretches=stretches)

    (swing,) = swings_of([gaps])

    assert swing.p_value(gaps) == p_value
    assert swing.score_at(gaps, 0.01) is None


def test_without_stretches_it_is_the_sampling_alone() -> None:
    """As of rows that are drawn one by one: the two-sample test of shares."""
    gaps = a_gap(0.5, 0.55, rows=1_000, swings=np.array([]), stretches=0.0)

    (swing,) = swings_of([gaps])

    assert swing.spread == pytest.approx(math.sqrt(0.25 * (1 / 1_000 + 1 / 10_000)))
    assert swing.p_value(gaps) == pytest.approx(0.0025, abs=1e-4)


def test_a_column_swings_as_the_others_do_or_as_itself_where_that_is_more() -> None:
    """Of columns that have swung the mean, for one that has not as well."""
    wild, calm = a_gap(0.5, 0.6, swings=np.array([0.4, -0.4])), a_gap(0.5, 0.6)
    never = a_gap(0.5, 0.6, swings=np.zeros(3))

    own, shared, none = swings_of([wild, calm, never])

    assert own.spread == pytest.approx(0.5 * 0.4)
    assert shared.spread == none.spread == pytest.approx(0.5 * math.sqrt((0.16 + 0.01) / 2))
    assert own.freedom == 9.0
    (alone,) = swings_of([calm])
    assert alone.spread == pytest.approx(0.5 * 0.1)


def test_fewer_rows_than_a_stretch_swing_more() -> None:
    """By what sampling adds; never less than that."""
    few, (calm,) = a_gap(0.5, 0.6, rows=50, stretch=1_000.0), swings_of([a_gap(0.5, 0.6)])
    (swing,) = swings_of([few])

    assert swing.spread == pytest.approx(0.5 * math.sqrt(1 / 50 + 1 / 50 - 1 / 1_000))
    assert swing.spread > calm.spread


@given(
    before=st.floats(0.0, 0.9),
    after=st.floats(0.0, 0.99),
    spread=st.floats(0.001, 0.2),
    freedom=st.floats(1.0, 50.0),
    level=st.floats(0.001, 0.2),
)
def test_a_share_beyond_the_threshold_is_what_is_unusual(
    before: float, after: float, spread: float, freedom: float, level: float
) -> None:
    """The score lies above that of the level just where the p-value lies below the level."""
    gaps, swing = a_gap(before, after), Swing(spread, freedom)

    threshold, p_value = swing.score_at(gaps, level), swing.p_value(gaps)

    if threshold is None:
        assert p_value >= level, "no share lies so far"
    elif abs(p_value - level) > 1e-6:
        assert (gaps.score > threshold) == (p_value < level)
