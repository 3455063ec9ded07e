"""Tests of the population stability index and of its threshold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.drift.thresholds import psi, psi_threshold

counts = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins)] * 2)
)


@given(counts)
def test_psi(pair: tuple[list[int], list[int]]) -> None:
    """The score is finite with empty bins, never negative, symmetric, and zero for equal counts."""
    before, after = (np.array(side, dtype="float64") for side in pair)

    score = psi(before, after)

    assert math.isfinite(score)
    assert score >= 0
    assert score == pytest.approx(psi(after, before))
    assert psi(before, before) == 0.0


def test_psi_by_hand() -> None:
    """On large counts the score is the sum of (q - p) ln(q / p)."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])

    assert psi(1e9 * p, 1e9 * q) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-6)


def test_threshold_falls_with_the_sample_size() -> None:
    """The larger the batch, the lower the threshold, down to what matters in practice."""
    found = [
        psi_threshold(10, 20_000, m, at_least=0.1, false_alarms=0.005) for m in (50, 100, 200, 500, 5000)
    ]

    assert found == sorted(found, reverse=True)
    assert found[0] > found[1] > found[2]
    assert found[-1] == 0.1
    assert found[0] == pytest.approx(stats.chi2.ppf(0.995, 9) * (1 / 20_000 + 1 / 50))


def test_threshold_rises_with_fewer_false_alarms_and_more_bins() -> None:
    """Fewer false alarms, or more bins, need a higher threshold."""
    base = psi_threshold(10, 1000, 100, at_least=0.0, false_alarms=0.05)

    assert psi_threshold(10, 1000, 100, at_least=0.0, false_alarms=0.005) > base
    assert psi_threshold(20, 1000, 100, at_least=0.0, false_alarms=0.05) > base


@pytest.mark.parametrize(("bins", "before", "after"), [(1, 10, 10), (10, 0, 10), (10, 10, 0)])
def test_nothing_to_calibrate_on(bins: int, before: int, after: int) -> None:
    """Without rows, or with one bin, only what matters in practice is left."""
    assert psi_threshold(bins, before, after, at_least=0.1, false_alarms=0.05) == 0.1
