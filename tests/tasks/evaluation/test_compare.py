"""Tests of the paired comparison: spans, blocks of time, and the test over blocks."""

import math
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.evaluation.compare import (
    SeenRowsError,
    block_test,
    is_enough,
    jackknife_test,
    refuse_seen_rows,
    time_blocks,
)
from tests.tasks.builders import span


def _moments(days: list[float]) -> np.ndarray:
    return np.datetime64("2020-01-01", "us") + (np.array(days) * 86_400e6).astype("timedelta64[us]")


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 25), (24, 30), (26, 27), (29.9, 40), (0, 24 + 1e-6), (30, 40)],
)
def test_seen_rows_are_refused(start: float, end: float) -> None:
    """Training rows in the holdout, or newer than it, are refused by name."""
    with pytest.raises(SeenRowsError, match="version 1 was trained on rows of batch b000"):
        refuse_seen_rows([span(24, 30)], [span(start, end)], "version 1")


def test_rows_of_another_batch_name_are_seen_all_the_same() -> None:
    """Batches cut in another way do not hide that the rows are the same."""
    with pytest.raises(SeenRowsError):
        refuse_seen_rows(
            [span(24, 30, batch="2020-W05")], [span(20, 26, batch="2020-01")], "version 1"
        )


def test_adjacent_rows_are_unseen() -> None:
    """A training that ends where the holdout begins has seen nothing of it."""
    refuse_seen_rows([span(24, 30)], [span(0, 10), span(10, 24)], "version 1")
    refuse_seen_rows([], [span(0, 24)], "version 1")
    refuse_seen_rows([span(24, 30)], [], "version 1")


def test_one_microsecond_is_too_much() -> None:
    """The end of a span is exclusive, to the microsecond."""
    held = span(24, 30)
    seen = span(0, 24).model_copy(update={"end": held.start + timedelta(microseconds=1)})

    with pytest.raises(SeenRowsError):
        refuse_seen_rows([held], [seen], "version 1")


@pytest.mark.parametrize(("held_from", "refused"), [(0.8, False), (0.79, True), (0.0, True)])
def test_one_moment_is_divided_by_hashes(held_from: float, *, refused: bool) -> None:
    """Rows of the only moment that both have are told apart by their hashes, and no other rows."""
    held = span(24, 30).but(hash_from=held_from)
    seen = span(0, 24).but(end=held.start + timedelta(microseconds=1), hash_until=0.8)
    longer = seen.but(end=held.start + timedelta(microseconds=2))

    with pytest.raises(SeenRowsError) if refused else nullcontext():
        refuse_seen_rows([held], [seen], "version 1")
    with pytest.raises(SeenRowsError):
        refuse_seen_rows([held], [longer], "version 1")


def test_blocks_are_days() -> None:
    """Rows on ten days or more are blocked by UTC day."""
    blocks, hours = time_blocks(_moments([0.0, 0.99, 1.0, 5.5, *range(6, 14)]))

    assert hours == 24.0
    assert blocks.tolist() == [0, 0, 1, 5, *range(6, 14)]


def test_blocks_of_a_short_span() -> None:
    """Rows on fewer than ten days are cut in ten equal blocks; the last row belongs to the last
    block.
    """
    blocks, hours = time_blocks(_moments(list(np.linspace(0, 5, 101))))

    assert hours == pytest.approx(12.0)
    assert sorted(set(blocks.tolist())) == list(range(10))
    assert np.bincount(blocks).tolist() == [10] * 9 + [11]


def test_rows_of_one_moment_are_cut_in_their_order() -> None:
    """No time tells them apart, so blocks of as many rows do."""
    blocks, hours = time_blocks(_moments([3.3] * 30))

    assert blocks.tolist() == [i // 3 for i in range(30)]
    assert hours == 0.0


def test_blocks_of_rows_in_bursts() -> None:
    """An hour a day on two days: ten blocks of as many rows, in the order of time, none in both
    days.
    """
    bursts = [day + minute / 1440 for day in (1, 0) for minute in range(60)]

    blocks, _ = time_blocks(_moments(bursts))

    assert blocks.tolist() == [5 + i // 12 for i in range(60)] + [i // 12 for i in range(60)]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=80))
def test_blocks_are_in_the_order_of_time(hours: list[int]) -> None:
    """However the rows lie: ten blocks or more where there are as many rows, and an older row is in
    no later block.
    """
    blocks, _ = time_blocks(_moments([hour / 24 for hour in hours]))

    assert len(set(blocks.tolist())) >= min(len(hours), 10)
    ordered = blocks[np.argsort(hours, kind="stable")]
    assert (np.diff(ordered) >= 0).all()


@pytest.mark.parametrize(
    ("labels", "problem", "rarer", "enough"),
    [
        ([1.0] * 30, "binary", 1, False),
        ([1.0] * 29 + [0.0], "binary", 1, True),
        ([1.0] * 29 + [0.0], "binary", 2, False),
        (["a", "b", "c"] * 10, "multiclass", 20, True),
        ([1.0] * 30, "regression", 10, True),
        ([1.0] * 29, "regression", 10, False),
    ],
)
def test_what_is_enough(labels: list[object], problem: Any, rarer: int, *, enough: bool) -> None:
    """Rows, blocks of time, and rows of another label than the most frequent one; a regression has
    none.
    """
    target, moments = pd.Series(labels), _moments(list(np.linspace(0, 9, len(labels))))
    least = {"rows": 30, "blocks": 10, "rarer": rarer}

    assert is_enough(target, moments, problem, **least) == enough
    assert not is_enough(target, moments, problem, **(least | {"blocks": 11}))


def test_block_test_is_the_ratio_estimator() -> None:
    """Mean, standard error and p are those of Cochran's ratio estimator, written out row by row."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 7, 100)
    values = rng.normal(0.1, 1, 100)
    names = sorted(set(blocks.tolist()))
    b, n, mean = len(names), len(values), sum(values) / len(values)
    squares = sum(
        sum(v - mean for v, block in zip(values, blocks, strict=True) if block == k) ** 2
        for k in names
    )
    se = math.sqrt(b / (b - 1) * squares) / n

    found = block_test(values, blocks)

    assert found.blocks == b
    assert found.mean.value == pytest.approx(mean)
    assert found.t == pytest.approx(mean / se)
    assert found.p_below == pytest.approx(stats.t.cdf(mean / se, b - 1))
    assert found.mean.high - mean == pytest.approx(stats.t.ppf(0.975, b - 1) * se)


def test_single_rows_as_blocks_are_a_t_test() -> None:
    """With one row a block it is the one-sample t test."""
    values = np.random.default_rng(3).normal(0.2, 1, 50)

    found = block_test(values, np.arange(50))

    assert found.t == pytest.approx(stats.ttest_1samp(values, 0).statistic)


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_order_of_rows_and_the_names_of_blocks_do_not_matter(
    rows: list[tuple[float, int]],
) -> None:
    """Rows in another order, and blocks by other numbers, give the same p."""
    values, blocks = np.array([v for v, _ in rows]), np.array([b for _, b in rows])

    forward = block_test(values, blocks)
    backward = block_test(values[::-1], 17 * (10 - blocks[::-1]))

    assert forward.blocks == backward.blocks
    assert 0 <= forward.p_below <= 1
    assert forward.mean.value == pytest.approx(backward.mean.value, abs=1e-9)


@pytest.mark.parametrize("mean", [-1.0, 0.0, 1.0])
def test_one_block_proves_nothing(mean: float) -> None:
    """A single block has no variance that could be estimated: p is 1 and the interval endless."""
    found = block_test(np.full(10, mean), np.zeros(10, "int64"))

    assert (found.t, found.p_below, found.blocks) == (0.0, 1.0, 1)
    assert (found.mean.low, found.mean.high) == (-math.inf, math.inf)


def test_zero_differences_prove_nothing() -> None:
    """Identical models: differences of exactly zero have t 0 and p one half."""
    found = block_test(np.zeros(100), np.arange(100) // 10)

    assert (found.t, found.p_below) == (0.0, 0.5)
    assert (found.mean.low, found.mean.value, found.mean.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("value", "p"), [(-0.25, 0.0), (0.25, 1.0)])
def test_same_difference_everywhere_is_certain(value: float, p: float) -> None:
    """A difference without any variance is as certain as can be, in its own direction."""
    found = block_test(np.full(80, value), np.arange(80) // 10)

    assert found.t == math.copysign(math.inf, value)
    assert found.p_below == p


def test_level_and_coverage_on_correlated_blocks() -> None:
    """Equal models on days that share their luck: 5% win and 95% are covered by blocks; by rows far
    more win.
    """
    rng, runs, days = np.random.default_rng(11), 2000, 20
    by_block, by_row, covered = 0, 0, 0
    counts = rng.integers(20, 60, days)
    blocks = np.repeat(np.arange(days), counts)
    rows = np.arange(len(blocks))

    for _ in range(runs):
        values = np.repeat(rng.normal(0, 0.5, days), counts) + rng.normal(0, 1, len(blocks))
        test = block_test(values, blocks)
        by_block += test.p_below < 0.05
        covered += test.mean.low <= 0 <= test.mean.high
        by_row += block_test(values, rows).p_below < 0.05

    assert 0.035 <= by_block / runs <= 0.070
    assert 0.93 <= covered / runs <= 0.965
    assert by_row / runs > 0.2


def test_jackknife_of_a_mean_is_the_block_test() -> None:
    """With as many rows in each block both are the same test, and the pseudo-values are the blocks'
    means.
    """
    rng = np.random.default_rng(0)
    blocks = np.arange(600) // 20
    values = rng.normal(0.05, 1, 600)
    without = np.array([values[blocks != b].mean() for b in range(30)])

    by_blocks, found = block_test(values, blocks), jackknife_test(values.mean(), without)

    assert found.t == pytest.approx(by_blocks.t)
    assert found.p_below == pytest.approx(by_blocks.p_below)
    assert found.mean.high == pytest.approx(by_blocks.mean.high)
    assert found.block_means == pytest.approx(by_blocks.block_means)


@pytest.mark.parametrize("without", [[0.1, 0.2], [0.1, math.nan, 0.3]])
def test_jackknife_of_too_little_tells_nothing(without: list[float]) -> None:
    """Two blocks, or one without which there is no metric."""
    found = jackknife_test(0.1, np.array(without))

    assert (found.t, found.p_below) == (0.0, 1.0)
    assert not found.mean.known
