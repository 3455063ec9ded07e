"""The population stability index, and how large it gets by chance alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_SMOOTHING = 0.5
"""Added to every bin so that an empty one gives a large but finite score (Jeffreys' prior for proportions)."""


def psi(before: np.ndarray, after: np.ndarray) -> float:
    """Return the population stability index of two histograms (bins,) of counts.

    sum (q - p) ln(q / p): 0 when the shares are the same; it is symmetric, and it is the sum of the two
    Kullback-Leibler divergences (Siddiqi 2006).
    """
    import numpy as np

    p = (before + _SMOOTHING) / (before.sum() + _SMOOTHING * len(before))
    q = (after + _SMOOTHING) / (after.sum() + _SMOOTHING * len(after))
    return float(((q - p) * np.log(q / p)).sum())


def psi_threshold(bins: int, before: int, after: int, *, at_least: float, false_alarms: float) -> float:
    """Return the score above which a feature counts as drifted.

    With no drift, PSI / (1/n + 1/m) is asymptotically chi-squared with ``bins - 1`` degrees of freedom (Yurdakul and
    Naranjo 2020), so small batches get a larger threshold; ``at_least`` is what matters in practice.
    """
    from scipy import stats

    if bins < 2 or before == 0 or after == 0:
        return at_least
    by_chance = float(stats.chi2.ppf(1 - false_alarms, bins - 1)) * (1 / before + 1 / after)
    return max(at_least, by_chance)
