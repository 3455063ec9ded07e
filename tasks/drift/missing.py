"""How far the share of missing values moved, and how far it swings when nothing is wrong.

Stretches of training time as long as a batch are held against their reference. What they differ by,
in units of sqrt(p (1 - p)), is taken to spread as far as the columns of the report do on average,
or as far as the column's own where that is more: a few stretches of one column say little, of many
columns much. Columns are missing together, so they count half. A batch's difference is judged by
Student's t, with what its number of rows adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.drift.thresholds import psi

LEAST_SHARE = 0.01
"""A share is not taken for known better than this: one that was never missing may be, now and
then.
"""


@dataclass(frozen=True)
class Gaps:
    """Values of one column that are there, and that are missing."""

    before: np.ndarray
    """(2,) rows of the reference: there, missing."""
    after: np.ndarray
    """(2,) rows of the batch."""
    swings: np.ndarray
    """(runs,) how far each stretch was from its reference, in units of sqrt(p (1 - p))."""
    stretches: float
    """How many of them do not overlap; 0 when time could not be resampled."""
    stretch: float
    """Rows of a stretch."""

    @property
    def score(self) -> float:
        """Population stability index of the two shares."""
        return float(psi(self.before, self.after))

    @property
    def shares(self) -> tuple[float, float]:
        """The share that is missing, before and after."""
        return float(self.before[1] / self.before.sum()), float(self.after[1] / self.after.sum())

    @property
    def unit(self) -> float:
        """sqrt(p (1 - p)) of the reference."""
        p = min(max(self.shares[0], LEAST_SHARE), 1 - LEAST_SHARE)
        return math.sqrt(p * (1 - p))


@dataclass(frozen=True)
class Swing:
    """How far a share of missing values gets from its reference by itself."""

    spread: float
    """Standard deviation; infinite where it is not known."""
    freedom: float

    def p_value(self, gaps: Gaps) -> float:
        """Return the probability of a difference as large as this one, either way."""
        before, after = gaps.shares
        if math.isinf(self.spread):
            return 1.0
        return float(2 * stats.t.sf(abs(after - before) / self.spread, self.freedom))

    def score_at(self, gaps: Gaps, level: float) -> float | None:
        """Return the score of a share whose p-value is ``level``, on the side where the batch's is;
        None where there is none.
        """
        before, after = gaps.shares
        reach = self.spread * float(stats.t.isf(level / 2, self.freedom))
        share = before + reach if after >= before else before - reach
        if not 0 <= share < 1:
            return None
        rows = float(gaps.after.sum())
        return float(psi(gaps.before, np.array([1 - share, share]) * rows))


def gaps_of(
    before: np.ndarray,
    after: np.ndarray,
    blocks: np.ndarray,
    runs: np.ndarray,
    references: np.ndarray,
    stretches: float,
) -> Gaps:
    """Return what is known of one column's missing values: ``before`` and ``after`` (2,) and
    ``blocks`` (blocks, 2) hold rows that are there and that are missing, ``runs`` and
    ``references`` (pairs, blocks) say which blocks play batch and reference.
    """
    own, rest = (side @ blocks for side in (runs, references))
    full = (own.sum(1) > 0) & (rest.sum(1) > 0)
    own, rest = own[full], rest[full]
    apart = own[:, 1] / own.sum(1) - rest[:, 1] / rest.sum(1)
    gaps = Gaps(before, after, np.array([]), 0.0, 0.0)
    if not len(own):
        return gaps
    return Gaps(before, after, apart / gaps.unit, stretches, float(np.median(own.sum(1))))


def swings_of(columns: Sequence[Gaps]) -> list[Swing]:
    """Return how far the share of each column swings, known from all of them together."""
    told = [float((one.swings**2).mean()) for one in columns if one.swings.any()]
    shared = float(np.mean(told)) if told else 0.0
    return [_swing(one, shared, len(told)) for one in columns]


def _swing(gaps: Gaps, shared: float, columns: int) -> Swing:
    rows = 1 / gaps.after.sum()
    if not gaps.stretches:
        return Swing(gaps.unit * math.sqrt(rows + 1 / gaps.before.sum()), math.inf)
    if gaps.stretches <= 2:
        return Swing(math.inf, 1.0)
    own = float((gaps.swings**2).mean())
    more = max(rows - 1 / gaps.stretch, 0.0)
    return Swing(
        spread=gaps.unit * math.sqrt(max(own, shared, rows) + more),
        freedom=(gaps.stretches - 1) * max(1.0, columns / 2),
    )
