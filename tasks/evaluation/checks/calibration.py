"""KM005: whether the label rises with the prediction as much as it says."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from tasks.evaluation.checks.base import CheckContext, ModelCheck, beside, columns
from tasks.evaluation.metrics import Terms, standard_error
from tasks.records import Guardrail, Interval

SLOPE_ROWS = 200
"""Rows below which a slope is not believed: a few clear days have hardly a label that differs."""


class Calibration(ModelCheck):
    """KM005: the label rises with the prediction as it says, as far as the rows can tell.

    The least-squares slope of label over prediction is 1 when E[label | prediction] = prediction,
    since then their covariance is the prediction's variance (Mincer and Zarnowitz 1969); of classes
    it is pooled. Below 1 the model is too sure of itself, below 0 it is upside down. It fails when
    its whole 95% interval is out of bounds. The interval is no narrower than that of a calibrated
    model: on a few clear days the labels hardly vary, and no model is at fault. And it must
    matter: (1 - slope) times the predictions' standard deviation is above the limit of KM004.
    """

    code = "KM005"
    needs_numbers = True

    def check(self, context: CheckContext) -> Guardrail:
        """Compare the slopes of challenger and champion with 1."""
        challenger, champion, config = context.challenger, context.peer, context.config
        limit = f"its interval reaches {1 / config.slope:.3g} to {config.slope:.3g}"
        if challenger.objective.quantile is not None:
            return self.result(True, "a quantile: judged by the share of labels below it", "none")
        blocks, outcomes = challenger.rows.blocks, context.outcomes
        own = slope(challenger.predicted, outcomes, blocks, context.variance)
        alike = bool((outcomes == outcomes[0]).all())
        if len(outcomes) < SLOPE_ROWS or alike or not math.isfinite(own.high):
            found = (
                "too few rows, or predictions or labels too much alike, to tell:"
                f" {len(outcomes):,} rows of {SLOPE_ROWS} in {len(set(blocks.tolist())):,} blocks"
                " of time"
            )
            return self.result(True, found, limit)
        reaches = own.high >= 1 / config.slope and own.low <= config.slope
        spread = float(columns(challenger.predicted).std(axis=0).max())
        off = abs(1 - own.value) * spread / context.scale
        regression = challenger.objective.problem == "regression"
        matters = off > (config.bias_sd if regression else config.bias)
        champion_slope = (
            math.nan if champion is None else slope(champion.predicted, outcomes, blocks, 0.0).value
        )
        no_worse = _from_one(own.value) <= _from_one(champion_slope)
        return self.result(
            reaches or no_worse or not matters,
            f"slope {own}, {off:.3g} off" + beside(champion, f"{champion_slope:.3g}"),
            limit,
        )


def slope(
    predicted: np.ndarray, outcomes: np.ndarray, blocks: np.ndarray, variance: np.ndarray | float
) -> Interval:
    """Return the slope of ``outcomes`` (rows, columns) over ``predicted``, pooled over columns,
    with its 95% interval.

    Its standard error is that of the block jackknife, or what ``variance`` of a row's outcome makes
    by itself, with rows of a block as good as independent or as good as one, whichever is largest.
    NaN, with an endless interval, where all predictions are the same.
    """
    raw = columns(predicted)
    p, y = raw - raw.mean(axis=0), outcomes - outcomes.mean(axis=0)
    least = 1e-20 * float((raw**2).mean())  # below it the variance is what rounding left

    def of(sums: np.ndarray) -> np.ndarray:
        rows, p1, y1, pp, py = sums[..., :1], *np.split(sums[..., 1:], 4, axis=-1)
        varies = (pp - p1**2 / rows).sum(axis=-1)
        together = (py - p1 * y1 / rows).sum(axis=-1)
        return np.where(varies > least * rows[..., 0], together / varies, np.nan)

    size = int(blocks.max()) + 1
    table = Terms((1.0, *p.T, *y.T, *(p * p).T, *(p * y).T), of).table(blocks, size)
    table = table[table[:, 0] > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(of(table.sum(axis=0)))
        error = standard_error(of(table.sum(axis=0) - table))
    if not math.isfinite(value) or not math.isfinite(error):
        return Interval(value=value, low=-math.inf, high=math.inf)
    weighed = p * np.sqrt(variance)
    of_blocks = np.column_stack([np.bincount(blocks, weights=w, minlength=size) for w in weighed.T])
    by_chance = math.sqrt(max((weighed**2).sum(), (of_blocks**2).sum())) / float((p * p).sum())
    half = float(stats.t.ppf(0.975, len(table) - 1)) * max(error, by_chance)
    return Interval(value=value, low=value - half, high=value + half)


def _from_one(slope: float) -> float:
    """How far a slope is from 1, the same for twice and half; NaN stays."""
    return abs(math.log(slope)) if slope > 0 else math.nan if math.isnan(slope) else math.inf
