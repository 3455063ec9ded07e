"""Intervals by conformal prediction: as many labels lie within as were asked for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.margins import LEVELS, errors_of, interval_margins


def test_each_end_leaves_out_half_of_the_rest() -> None:
    """Of errors that are not symmetric the ends are not either: quantiles, a little further out for
    the rows being finite.
    """
    errors = np.concatenate([np.linspace(-1, 0, 500), np.linspace(0, 9, 500)])

    low, high = interval_margins([errors_of(errors, np.zeros(1000))], 0.9)

    assert low == pytest.approx(np.quantile(errors, 0.05), abs=0.02)
    assert high == pytest.approx(np.quantile(errors, 0.95), abs=0.2)


@pytest.mark.parametrize(("rows", "known"), [(18, False), (19, True), (0, False)])
def test_too_few_rows_make_no_claim(rows: int, known: bool) -> None:
    """For nine of ten at least 19 rows: fewer have no error that lies far enough out."""
    errors = [errors_of(np.arange(rows, dtype="float64"), np.zeros(rows))] if rows else []

    assert (interval_margins(errors, 0.9) is not None) == known


@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(60, 400), min_size=1, max_size=5),
    coverage=st.sampled_from([0.5, 0.8, 0.9, 0.95]),
)
def test_labels_of_the_same_kind_lie_within(seed: int, sizes: list[int], coverage: float) -> None:
    """Errors of several batches, drawn from one skewed distribution: of many labels more the asked
    share lies within, but for what a sample of so many rows can miss (three standard errors) and
    the half percent between two levels.
    """
    draw = np.random.default_rng(seed).gamma
    known = [errors_of(draw(2.0, size=rows), np.ones(rows)) for rows in sizes]

    low, high = interval_margins(known, coverage)

    labels = draw(2.0, size=20_000) - 1
    within = np.mean((labels >= low) & (labels <= high))
    missed = 3 * math.sqrt(coverage * (1 - coverage) / sum(sizes))
    assert within >= coverage - missed - 2 * (LEVELS[1] - LEVELS[0])


def test_a_wider_claim_is_a_wider_interval() -> None:
    """And the same errors in other portions are the same interval."""
    errors = np.random.default_rng(1).normal(size=2000)
    whole = [errors_of(errors, np.zeros(2000))]
    halves = [errors_of(half, np.zeros(1000)) for half in np.split(errors, 2)]

    wide, narrow = interval_margins(whole, 0.95), interval_margins(whole, 0.5)

    assert wide[0] < narrow[0] < 0 < narrow[1] < wide[1]
    assert interval_margins(halves, 0.9) == pytest.approx(interval_margins(whole, 0.9), abs=0.1)
