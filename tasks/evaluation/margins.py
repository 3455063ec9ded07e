"""Intervals around the predictions of a regression, from how far labels lay from earlier ones.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018) with signed errors, so that an
interval need not be symmetric: where rows of now are like those that the errors were seen on, at
least the asked share of labels lies within. The errors are those of the newest mature batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tasks.records import Errors

LEVELS = np.linspace(0.0, 1.0, 201)
"""Levels at which errors are kept: half a percent apart."""


def errors_of(target: np.ndarray, predicted: np.ndarray) -> Errors:
    """Return the errors of predictions, both (rows,) float64."""
    found = np.quantile(target - predicted, LEVELS, method="inverted_cdf")
    return Errors(rows=len(target), quantiles=tuple(found.tolist()))


def interval_margins(known: Sequence[Errors], coverage: float) -> tuple[float, float] | None:
    """Return what is added to a prediction for the lower and the upper end of an interval that
    ``coverage`` of all labels, a share, lie within; None when the errors are of too few rows for
    such a claim.

    Each end leaves out half of the rest, with the correction for the number of rows: the upper one
    is the quantile at level ``ceil((rows + 1) (1 + coverage) / 2) / rows``.
    """
    rows = sum(one.rows for one in known)
    level = math.ceil((rows + 1) * (1 + coverage) / 2) / rows if rows else math.inf
    if level > 1:
        return None
    values = np.concatenate([one.quantiles for one in known])
    weights = np.concatenate(
        [np.full(len(one.quantiles), one.rows / len(one.quantiles)) for one in known]
    )
    return -_quantile(-values, weights, level), _quantile(values, weights, level)


def _quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The least value that values of at least the share ``level`` of all weights do not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    at = min(int(np.searchsorted(reached, level - 1e-9)), len(order) - 1)
    return float(values[order][at])
