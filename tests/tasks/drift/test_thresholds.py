"""Tests of the population stability index, of its null distribution, and of Holm's level."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.drift.thresholds import (
    Null,
    holm_level,
    null_by_resampling,
    null_in_theory,
    psi,
    psi_reach,
    thin,
)

counts = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins)] * 2)
)
nulls = st.builds(
    Null,
    mean=st.floats(1e-6, 10),
    d=st.floats(1, 30),
    freedom=st.floats(1, 1000) | st.just(math.inf),
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


@given(counts, st.integers(1, 10_000), st.integers(0, 2**32))
def test_no_batch_scores_beyond_the_reach(
    pair: tuple[list[int], list[int]], rows: int, seed: int
) -> None:
    """Whatever a batch of that many rows holds, its score is not above the largest."""
    before = np.array(pair[0], dtype="float64")
    rng = np.random.default_rng(seed)

    batches = rng.multinomial(rows, rng.dirichlet(np.full(len(before), 0.2), size=50))

    assert (psi(np.tile(before, (50, 1)), batches) <= psi_reach(before, rows) + 1e-9).all()


def test_psi_by_hand() -> None:
    """On large counts the score is the sum of (q - p) ln(q / p)."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])

    assert psi(1e9 * p, 1e9 * q) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-6)


@given(nulls, st.floats(1e-7, 0.5))
def test_threshold_and_p_value_are_each_others_inverse(null: Null, level: float) -> None:
    """The p-value of the score at a level is that level, so a score beyond its threshold is one
    below its level.
    """
    score = null.score_at(level)

    if score < 1e12:
        assert null.p_value(score) == pytest.approx(level, rel=1e-6)


def test_null_by_hand() -> None:
    """The mean times F, and with an infinite denominator chi-squared over its degrees of
    freedom.
    """
    assert Null(2.0, 9, 45).score_at(0.01) == pytest.approx(2 * stats.f.isf(0.01, 9, 45))
    assert Null(2.0, 9, math.inf).score_at(0.01) == pytest.approx(2 * stats.chi2.isf(0.01, 9) / 9)
    assert null_in_theory(10, 20_000, 50).score_at(0.005) == pytest.approx(
        stats.chi2.isf(0.005, 9) * (1 / 20_000 + 1 / 50)
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.5))
def test_one_level_says_what_holms_procedure_rejects(
    p_values: list[float], false_alarms: float
) -> None:
    """Those up to the level, and no others, are rejected step by step from the smallest on."""
    rejected = 0
    for p in sorted(p_values):
        if p > false_alarms / (len(p_values) - rejected):
            break
        rejected += 1

    level = holm_level(p_values, false_alarms)

    assert sum(p <= level for p in p_values) == rejected


def _runs(blocks: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    starts, position = np.arange(blocks - length + 1)[:, None], np.arange(blocks)
    runs = (position >= starts) & (position < starts + length)
    return runs, ~runs


def _null(counts: np.ndarray, rows: int, length: int = 10) -> Null:
    runs, others = _runs(len(counts), length)
    return null_by_resampling(
        counts,
        runs,
        others,
        (int(counts.sum()), rows),
        len(counts) / length,
        np.random.default_rng(0),
    )


def test_independent_rows_give_the_theory() -> None:
    """Where time says nothing, the mean is that of chi-squared, or little above; smaller batches
    have a larger one.
    """
    rng = np.random.default_rng(1)
    counts = rng.multinomial(200, np.full(10, 0.1), size=60)

    found = [_null(counts, rows).mean for rows in (100, 500, 2000)]

    assert found == sorted(found, reverse=True)
    for mean, rows in zip(found, (100, 500, 2000), strict=True):
        assert 0.9 < mean / null_in_theory(10, 10_000, rows).mean < 1.4


def test_swings_that_last_raise_the_threshold_and_lengthen_the_tail() -> None:
    """Blocks that follow each other make a larger threshold than the same blocks in random
    order.
    """
    rng = np.random.default_rng(2)
    swing = np.sin(np.arange(60) / 60 * 4 * np.pi)
    counts = np.array([rng.multinomial(200, [0.5 + 0.3 * s, 0.5 - 0.3 * s]) for s in swing])

    lasting, shuffled = _null(counts, 2000), _null(rng.permutation(counts), 2000)

    assert lasting.mean > 3 * shuffled.mean
    assert lasting.d < 1.5
    assert lasting.score_at(0.005) > 4 * shuffled.score_at(0.005)


def test_a_column_that_never_varied_has_a_null_all_the_same() -> None:
    """One bin holds everything: the null is that of one degree of freedom, and is no division by
    zero.
    """
    counts = np.tile([20, 0], (60, 1))

    null = _null(counts, 200)

    assert null.p_value(0.0) == 1.0
    assert 0 < null.score_at(0.01) < 0.5


def test_time_that_says_nothing_costs_no_power() -> None:
    """Blocks that are alike have the null of rows alone; those with shares of their own, or in an
    order, have not.
    """
    rng = np.random.default_rng(3)
    alike = [rng.multinomial(200, np.full(10, 0.1), size=60) for _ in range(40)]
    own = [rng.multinomial(200, rng.dirichlet(np.full(10, 40))) for _ in range(60)]
    trend = [rng.multinomial(200, [0.4 + i / 600, 0.6 - i / 600]) for i in range(60)]

    known = sum(math.isinf(_null(counts, 2000).freedom) for counts in alike)

    assert known >= 28  # 81% of them pass both tests at a tenth
    assert math.isfinite(_null(np.array(own), 2000).freedom)
    assert math.isfinite(_null(np.array(trend), 2000).freedom)


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_thinned_histograms(seed: int, rows: int) -> None:
    """Each has as many rows as are wanted, or as it has, and no bin more than it had."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 60, (7, 5))

    drawn = thin(counts, rows, rng)

    assert drawn.sum(1).tolist() == np.minimum(counts.sum(1), rows).tolist()
    assert ((drawn >= 0) & (drawn <= counts)).all()


def test_bins_that_training_time_never_held_on_both_sides() -> None:
    """Where no stretch can be held against another, nothing is named."""
    counts = np.zeros((60, 2), dtype="int64")
    counts[:10] = 20

    runs, _ = _runs(60, 10)
    null = null_by_resampling(
        counts, runs, np.roll(runs, 20, axis=1), (400, 200), 6, np.random.default_rng(0)
    )

    assert null.p_value(5.0) == 1.0
    assert null.score_at(0.01) == math.inf


@given(st.integers(0, 2**32), st.integers(1, 8), st.floats(0.5, 8))
def test_few_or_empty_blocks_make_no_null_that_is_none(
    seed: int, full: int, stretches: float
) -> None:
    """Whatever blocks are empty, and however few stretches there are, a p-value is one and a
    threshold is positive.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((20, 4), dtype="int64")
    counts[rng.choice(20, full, replace=False)] = rng.integers(0, 30, (full, 4))
    runs, others = _runs(20, 4)

    null = null_by_resampling(counts, runs, others, (100, 30), stretches, rng)

    assert 0 <= null.p_value(0.2) <= 1
    assert null.score_at(0.01) > 0
