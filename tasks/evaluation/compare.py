"""Two models on the same unseen rows: a paired difference with honest uncertainty.

Rows of one day share weather, traffic and customers: tests that take them as independent understate the variance two
to nine times (docs/decisions.md). So rows are summed by blocks of time, and the blocks are what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.records import Interval, RowSpan

if TYPE_CHECKING:
    import numpy as np

MIN_BLOCKS = 10
"""Blocks are days, or shorter when the rows span fewer than this many days (docs/decisions.md, 3)."""
_DAY = 86_400.0


class SeenRowsError(RuntimeError):
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
    """Raise SeenRowsError unless the holdout is newer than every row that the model called ``name`` was trained on.

    Time alone counts: the same row has another batch when the spec cuts time in another way.
    """
    for held in holdout:
        for seen in trained_on:
            if held.start < seen.end:
                raise SeenRowsError(
                    f"{name} was trained on rows of batch {seen.batch} from {seen.start} to {seen.end}, and the "
                    f"holdout is {held.start} to {held.end}; compare on newer rows"
                )


def time_blocks(moments: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the block number of each row, int64 (rows,), and the blocks' length in hours.

    ``moments`` is datetime64 (rows,), in UTC. Blocks are UTC days; when the rows lie on fewer than MIN_BLOCKS of them,
    their span is cut in MIN_BLOCKS equal blocks.
    """
    import numpy as np

    seconds = moments.astype("datetime64[us]").astype("int64") / 1e6
    first, last = float(seconds.min()), float(seconds.max())
    days = np.floor(seconds / _DAY).astype("int64")
    if len(np.unique(days)) >= MIN_BLOCKS or last == first:
        return days - days.min(), 24.0
    length = (last - first) / MIN_BLOCKS
    return np.minimum((seconds - first) // length, MIN_BLOCKS - 1).astype("int64"), length / 3600


def block_test(values: np.ndarray, blocks: np.ndarray) -> BlockTest:
    """Test the mean of ``values`` (rows,) float64, clustered by ``blocks`` (rows,) int64.

    The mean over rows is a ratio of block sums, sum d_b / sum n_b; its variance by linearisation is
    B / (B - 1) * sum (d_b - mean n_b)^2 / (sum n_b)^2 (Cochran 1977, section 6.3), and t has B - 1 degrees of freedom.
    Only sums by block are kept: the memory needed is that of the values.
    """
    import numpy as np
    from scipy import stats

    _, index = np.unique(blocks, return_inverse=True)
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index).astype("float64")
    n, b = counts.sum(), len(counts)
    mean = float(sums.sum() / n)
    means = tuple((sums / counts).tolist())
    if b < 2:
        return BlockTest(Interval(value=mean, low=float("-inf"), high=float("inf")), 0.0, 1.0, b, means)
    with np.errstate(invalid="ignore"):  # infinite values have a mean and no variance: t is NaN, and says so
        residuals = sums - mean * counts
        se = float(np.sqrt(b / (b - 1) * (residuals**2).sum()) / n)
    certain = 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    t = certain if se == 0 else mean / se
    half = float(stats.t.ppf(0.975, b - 1)) * se
    return BlockTest(
        mean=Interval(value=mean, low=mean - half, high=mean + half),
        t=t,
        p_below=float(stats.t.cdf(t, b - 1)),
        blocks=b,
        block_means=means,
    )
