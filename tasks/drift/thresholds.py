"""The population stability index, how large it gets when nothing has changed, and Holm's correction
over columns.

How the null distribution of one column's score is made:

1. Stretches of training time as long as a batch are held against the rest of it (or what else plays
   the reference), thinned to the batch's rows: ``contiguous``, the mean of their scores. The same
   with the time blocks in random order: ``shuffled``, what rows alone give, with the mean and the
   variance of their scores.
2. A gamma distribution is fitted to the shuffled scores by their two moments (the PSI is
   asymptotically chi-squared with ``bins - 1`` degrees of freedom, Yurdakul and Naranjo 2020; few
   rows and rare categories give it fewer, Satterthwaite 1946). So p-values are as small as Holm's
   correction over many columns needs, with a few hundred resamples.
3. ``effect = contiguous / shuffled`` is the design effect of time (Rao and Scott 1984). What it
   adds is taken to lie in one direction, the worst case: of all ways to spread it, this has the
   longest tail.
4. ``contiguous`` is known from few stretches only, so the scaled chi-squared becomes an F
   distribution with ``d * (stretches - 2)`` degrees of freedom in its denominator (Rao and Scott
   1984, Thomas and Rao 1987; a stretch is held against the others, which costs one more: with
   ``stretches - 1``, series whose memory is a tenth of a batch raised 7% false alarms instead of at
   most 5%, see ``benchmarks/drift.py``).
5. Where time says nothing, 3 and 4 only cost power. That is taken for granted when neither of two
   tests finds anything: Pearson's that all blocks have the same shares, and the rank of
   ``contiguous`` among the means of shuffled blocks. The null is then the gamma distribution of 2.
   The rank alone will not do: on six batches of a series with an autocorrelation of 0.98 it missed
   so much that 15% of 60 reports were false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

_SMOOTHING = 0.5
"""Added to every bin so that an empty one gives a large but finite score (Jeffreys' prior for
proportions).
"""
_DRAWS = 300
"""Resamples of the shuffled blocks, and of the contiguous ones where rows are drawn: two moments
are fitted to them.
"""
_ORDERS = 39
"""Random orders of the time blocks among which the true one has its rank."""
_DOUBT = 0.1
"""p-value below which time is taken to matter."""


@dataclass(frozen=True)
class Null:
    """The distribution of a score when nothing has changed: ``mean`` times an F variable."""

    mean: float
    d: float
    """Degrees of freedom of the numerator."""
    freedom: float
    """Degrees of freedom of the denominator; infinite where ``mean`` is known."""

    def p_value(self, score: float) -> float:
        """Return the probability of a score as large as this one."""
        if self.mean <= 0 or score <= 0:
            return 1.0
        if math.isinf(self.freedom):
            return float(special.chdtrc(self.d, self.d * score / self.mean))
        return float(special.fdtrc(self.d, self.freedom, score / self.mean))

    def score_at(self, level: float) -> float:
        """Return the score whose p-value is ``level``."""
        if self.mean <= 0:
            return 0.0
        if math.isinf(self.freedom):
            return float(special.chdtri(self.d, level)) * self.mean / self.d
        # The inverse of the beta distribution's lower tail keeps its digits where that of the upper
        # one loses them.
        low = float(special.betaincinv(self.freedom / 2, self.d / 2, level))
        return math.inf if low <= 0 else self.mean * self.freedom * (1 - low) / (self.d * low)


_UNKNOWN = Null(mean=math.inf, d=1, freedom=math.inf)


def psi(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the population stability index of histograms (..., bins) of counts: (...).

    sum (q - p) ln(q / p): 0 when the shares are the same; it is symmetric, and it is the sum of the
    two Kullback-Leibler divergences (Siddiqi 2006).
    """
    bins = before.shape[-1]
    p = (before + _SMOOTHING) / (before.sum(-1, keepdims=True) + _SMOOTHING * bins)
    q = (after + _SMOOTHING) / (after.sum(-1, keepdims=True) + _SMOOTHING * bins)
    scores: np.ndarray = ((q - p) * np.log(q / p)).sum(-1)
    return scores


def psi_reach(before: np.ndarray, rows: int) -> float:
    """Return the largest score of any batch of ``rows`` rows against the counts ``before`` (bins,).

    The score is convex in the batch's shares, so it is largest where one bin holds every row.
    """
    return float(psi(before, np.eye(len(before)) * rows).max())


def null_in_theory(bins: int, before: int, after: int) -> Null:
    """Return the null of independent rows: (1/before + 1/after) chi-squared (Yurdakul and Naranjo
    2020).
    """
    d = max(bins - 1, 1)
    return Null(mean=d * (1 / before + 1 / after), d=d, freedom=math.inf)


def null_by_resampling(
    blocks: np.ndarray,
    runs: np.ndarray,
    references: np.ndarray,
    rows: tuple[int, int],
    stretches: float,
    rng: np.random.Generator,
) -> Null:
    """Return the null of one column, by resampling its time blocks as this module's text says.

    ``blocks`` (blocks, bins) holds counts. ``runs`` and ``references`` (pairs, blocks), boolean,
    say which blocks play batch and reference; ``rows`` is the size of the reference and of the
    batch; ``stretches`` how many runs there are that do not overlap. Of bins that training time
    hardly held on both sides nothing is known, and nothing is named.
    """

    def scores(order: np.ndarray, repeat: int) -> np.ndarray:
        # As floats, because numpy multiplies matrices of whole numbers slowly; the counts stay
        # exact.
        counts = blocks[order].astype("float64")
        before, after = ((side @ counts).astype("int64") for side in (references, runs))
        full = (before.sum(1) > 0) & (after.sum(1) > 0)
        before, after = (np.repeat(side[full], repeat, axis=0) for side in (before, after))
        return psi(thin(before, rows[0], rng), thin(after, rows[1], rng))

    order = np.arange(len(blocks))
    thinned = bool(
        ((runs @ blocks.sum(1)) > rows[1]).any() or ((references @ blocks.sum(1)) > rows[0]).any()
    )
    contiguous = scores(order, max(1, _DRAWS // len(runs)) if thinned else 1)
    even = _homogeneous(blocks) > _DOUBT
    orders = _ORDERS if even else math.ceil(_DRAWS / len(runs))
    shuffled = [one for _ in range(orders) if len(one := scores(rng.permutation(order), 1))]
    if not len(contiguous) or not shuffled:
        return _UNKNOWN
    pooled = np.concatenate(shuffled)
    most = max(blocks.shape[1] - 1, 1)
    # One degree of freedom at least: a column that never varied must not alarm at a trifle.
    alone = max(float(pooled.mean()), 1 / rows[0] + 1 / rows[1])
    variance = float(pooled.var())
    d = min(2 * alone**2 / variance, most) if variance > 0 else most
    lasting = float(contiguous.mean())
    if even and sum(float(one.mean()) >= lasting for one in shuffled) >= _DOUBT * (orders + 1):
        return Null(mean=alone, d=d, freedom=math.inf)
    if stretches <= 2:
        return _UNKNOWN
    effect = max(lasting / alone, 1.0)
    # tr(S)^2 / tr(S^2) of d equal eigenvalues, to one of which all that exceeds independent rows is
    # added.
    d = max(effect**2 / (1 / d + 2 * (effect - 1) / d + (effect - 1) ** 2), 1.0)
    return Null(mean=effect * alone, d=d, freedom=d * (stretches - 2))


def _homogeneous(blocks: np.ndarray) -> float:
    """The p-value of Pearson's test that all blocks (blocks, bins) have the same shares."""
    counts = blocks[blocks.sum(1) > 0][:, blocks.sum(0) > 0]
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    if freedom < 1:
        return 1.0
    expected = counts.sum(1, keepdims=True) * (counts.sum(0) / counts.sum())
    return float(special.chdtrc(freedom, ((counts - expected) ** 2 / expected).sum()))


def thin(counts: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``rows`` rows without replacement from each histogram (histograms, bins) that has
    more.
    """
    total = counts.sum(1)
    left, wanted = total.copy(), np.minimum(total, rows)
    if (left == wanted).all():
        return counts
    thin = np.empty_like(counts)
    # Bin by bin for all histograms at once: what a bin gives is hypergeometric among what is left.
    for i in range(counts.shape[1]):
        thin[:, i] = rng.hypergeometric(counts[:, i], left - counts[:, i], wanted)
        left, wanted = left - counts[:, i], wanted - thin[:, i]
    return thin


def holm_level(p_values: Sequence[float], false_alarms: float) -> float:
    """Return the level such that exactly the hypotheses with a p-value up to it are rejected (Holm
    1979).

    With k of m rejected that is ``false_alarms / (m - k)``: the next p-value is above it, by the
    procedure's end, and the k below it.
    """
    ordered = sorted(p_values)
    for rejected, p in enumerate(ordered):
        level = false_alarms / (len(ordered) - rejected)
        if p > level:
            return level
    return false_alarms
