"""Two models on the same unseen rows: a paired difference with honest uncertainty.

Rows of one day share weather, traffic and customers: tests that take them as independent understate
the variance two to nine times (docs/decisions.md). So rows are summed by blocks of time, and the
blocks are what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tasks.errors import KingmakerError
from tasks.evaluation.metrics import standard_error
from tasks.records import Interval, Problem, RowSpan

MIN_BLOCKS = 10
"""Blocks are days, or shorter when the rows lie on fewer than this many (docs/decisions.md, 3)."""
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
"""In microseconds."""
PIECE = 1 << 20
"""Rows that are compared at a time."""


class SeenRowsError(KingmakerError):
    """A comparison on rows that a contender was trained on; it would prove nothing."""


@dataclass(frozen=True)
class BlockTest:
    """A mean over rows, with its uncertainty over blocks."""

    mean: Interval
    t: float
    p_below: float
    """One-sided p-value against 'the mean is not below zero'."""
    blocks: int
    block_means: tuple[float, ...]
    """Mean of each block, in the blocks' order."""


def refuse_seen_rows(holdout: Sequence[RowSpan], trained_on: Sequence[RowSpan], name: str) -> None:
    """Raise SeenRowsError unless the holdout is newer than every row that the model called ``name``
    was trained on.

    Time alone counts: the same row has another batch when the spec cuts time in another way. Within
    one moment the hashes of the keys tell the rows apart.
    """
    for held in holdout:
        for seen in trained_on:
            if held.start < seen.end and not _cut_within(held, seen):
                raise SeenRowsError(
                    f"{name} was trained on rows of batch {seen.batch} from {seen.start} to"
                    f" {seen.end}, and the holdout is {held.start} to {held.end}; compare on newer"
                    " rows"
                )


def _cut_within(held: RowSpan, seen: RowSpan) -> bool:
    """Whether the only moment that both spans have is divided between them."""
    one_moment = held.start + timedelta(microseconds=1) == seen.end
    return one_moment and held.hash_from >= seen.hash_until


def time_blocks(moments: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the block number of each row, int64 (rows,) from 0, and the blocks' length in hours.

    ``moments`` is datetime64 (rows,), in UTC. Blocks are UTC days; when the rows lie on fewer than
    MIN_BLOCKS of them, their span is cut in MIN_BLOCKS equal blocks. Where rows lie so unevenly
    that some of these are empty, the blocks are of as many rows instead, oldest first, cut between
    moments; rows of so few moments that this leaves too few are cut within them, in their order,
    since no time tells them apart. The length is then the mean one.
    """
    since = moments.astype("datetime64[us]", copy=False).view("int64")
    first, last = int(since.min()), int(since.max())
    blocks: np.ndarray = since // _DAY
    blocks -= first // _DAY
    # Counted, not sorted: block numbers are small, and np.unique would sort ten million rows.
    if np.count_nonzero(np.bincount(blocks)) >= MIN_BLOCKS:
        return blocks, 24.0
    rows, span = len(since), last - first
    np.subtract(since, first, out=blocks)
    blocks *= MIN_BLOCKS
    blocks //= max(span, 1)
    np.minimum(blocks, MIN_BLOCKS - 1, out=blocks)
    if np.count_nonzero(np.bincount(blocks)) < MIN_BLOCKS:
        cuts = np.arange(1, MIN_BLOCKS) * rows // MIN_BLOCKS
        blocks = np.searchsorted(np.partition(since, cuts)[cuts], since, side="right")
    if np.count_nonzero(np.bincount(blocks)) < min(rows, MIN_BLOCKS):
        blocks[np.argsort(since, kind="stable")] = np.arange(rows) * MIN_BLOCKS // rows
    return blocks, span / MIN_BLOCKS / _HOUR


def minority(target: pd.Series, problem: Problem) -> int | None:
    """Return the number of rows whose label is not the most frequent one; None for regression."""
    if problem == "regression":
        return None
    return len(target) - int(target.value_counts().max())


def is_enough(
    target: pd.Series,
    moments: np.ndarray,
    problem: Problem,
    *,
    rows: int,
    blocks: int,
    rarer: int,
) -> bool:
    """Return whether labels and moments, (rows,) each, are those of so many rows and blocks of time
    at least, ``rarer`` of the rows having another label than the most frequent one.
    """
    found = minority(target, problem)
    if len(target) < rows or (found is not None and found < rarer):
        return False
    return len(np.unique(time_blocks(moments)[0])) >= blocks


def block_test(values: np.ndarray, blocks: np.ndarray) -> BlockTest:
    """Test the mean of ``values`` (rows,) float64, clustered by ``blocks`` (rows,), whole numbers
    from 0.
    """
    return ratio_test(np.bincount(blocks, weights=values), np.bincount(blocks))


def paired_test(challenger: np.ndarray, champion: np.ndarray, blocks: np.ndarray) -> BlockTest:
    """Test the mean difference of two models' losses (rows,), challenger minus champion, clustered
    by ``blocks``.
    """
    one = np.broadcast_to(np.zeros(1, dtype="int32"), blocks.shape)
    sums = paired_sums(challenger, champion, blocks, one, 1)
    return ratio_test(sums.difference[0], sums.rows[0])


class PairedSums(NamedTuple):
    """Sums over rows, each (groups, blocks)."""

    difference: np.ndarray
    """Challenger minus champion."""
    challenger: np.ndarray
    champion: np.ndarray
    rows: np.ndarray


def paired_sums(
    challenger: np.ndarray, champion: np.ndarray, blocks: np.ndarray, groups: np.ndarray, size: int
) -> PairedSums:
    """Sum two models' losses (rows,) by group and block; ``groups`` (rows,) numbers groups from 0
    to ``size - 1``.

    Losses that agree to the last digits are equal: sums in another order prove nothing, however
    constant the gain. Rows go through in pieces: no more memory is needed than that of the losses.
    """
    width = int(blocks.max()) + 1
    sums = np.zeros((4, size * width))
    for start in range(0, len(blocks), PIECE):
        rows = slice(start, start + PIECE)
        own, other = challenger[rows], champion[rows]
        with np.errstate(invalid="ignore"):  # infinite minus infinite is NaN, and says so
            difference = own - other
        difference[np.abs(difference) <= 1e-12 + 1e-9 * np.abs(other)] = 0.0
        cells = groups[rows] * np.int64(width) + blocks[rows]
        for table, weights in zip(sums, (difference, own, other, None), strict=True):
            table += np.bincount(cells, weights=weights, minlength=size * width)
    return PairedSums(*sums.reshape(4, size, width))


def ratio_test(sums: np.ndarray, counts: np.ndarray) -> BlockTest:
    """Test a mean over rows, given its sums and numbers of rows (blocks,) by block; blocks without
    rows are left out.

    The mean over rows is a ratio of block sums, sum d_b / sum n_b; its variance by linearisation is
    B / (B - 1) * sum (d_b - mean n_b)^2 / (sum n_b)^2 (Cochran 1977, section 6.3), and t has B - 1
    degrees of freedom.
    """
    sums, counts = sums[counts > 0], counts[counts > 0].astype("float64")
    n, b = counts.sum(), len(counts)
    mean = float(sums.sum() / n)
    means = tuple((sums / counts).tolist())
    if b < 2:
        return BlockTest(
            Interval(value=mean, low=float("-inf"), high=float("inf")), 0.0, 1.0, b, means
        )
    with np.errstate(
        invalid="ignore"
    ):  # infinite values have a mean and no variance: t is NaN, and says so
        residuals = sums - mean * counts
        se = float(np.sqrt(b / (b - 1) * (residuals**2).sum()) / n)
    return _tested(mean, se, means)


def _tested(value: float, error: float, means: tuple[float, ...]) -> BlockTest:
    """A value with its standard error over blocks, by Student's t."""
    freedom = len(means) - 1
    certain = 0.0 if value == 0 else float(np.copysign(np.inf, value))
    t = certain if error == 0 else value / error
    half = float(stats.t.ppf(0.975, freedom)) * error
    return BlockTest(
        mean=Interval(value=value, low=value - half, high=value + half),
        t=t,
        p_below=float(stats.t.cdf(t, freedom)),
        blocks=len(means),
        block_means=means,
    )


def jackknife_test(difference: float, without: np.ndarray) -> BlockTest:
    """Test a difference of two metrics, given what it is without each block, (blocks,).

    The variance is the delete-one-block jackknife's (Efron and Tibshirani 1993, chapter 11), t has
    B - 1 degrees of freedom, and the blocks' means are its pseudo-values, B d - (B - 1) d_(b).
    """
    blocks = len(without)
    error = standard_error(without)
    if not math.isfinite(error):
        unknown = Interval(value=difference, low=float("-inf"), high=float("inf"))
        return BlockTest(unknown, 0.0, 1.0, blocks, (difference,) * blocks)
    pseudo = blocks * difference - (blocks - 1) * without
    return _tested(difference, error, tuple(pseudo.tolist()))
