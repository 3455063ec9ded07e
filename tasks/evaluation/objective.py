"""What a model predicts and is judged by, and what each of its predictions loses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from tasks.evaluation.config import power_of, quantile_of
from tasks.evaluation.utility import Utility
from tasks.records import JudgedBy, Problem

CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1: one row may cost at most -log(1e-7) = 16 in log
loss.
"""


@dataclass(frozen=True)
class Objective:
    """What is predicted, and the metric that was asked for."""

    problem: Problem
    metric: str = ""
    classes: tuple[str, ...] = ()
    """Class labels of a multiclass target, in the order of predictions; empty for other problems.
    """
    utility: Utility | None = None
    """What a prediction is worth, where the spec says so."""
    judged_by: JudgedBy = "log_loss"
    """What two models are compared by."""

    def by(self, metric: str) -> Objective:
        """Return the same with another metric."""
        return replace(self, metric=metric)

    @property
    def quantile(self) -> float | None:
        """The quantile that the metric asks for; None for any other metric."""
        return quantile_of(self.metric)

    @property
    def power(self) -> float | None:
        """The power of the variance function that the metric asks for; None for any other
        metric.
        """
        return power_of(self.metric)

    def losses(self, target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the loss of each row, (rows,) float64: log loss in nats, or the absolute error in
        the target's unit.

        ``predicted`` is (rows,), or (rows, classes) of a multiclass problem. These are the primary
        losses of the gate: they have more power than AUC or accuracy. A regression that is asked
        for a quantile, by the metric ``pinball_Q``, or for a deviance has that loss instead: the
        absolute error would prefer the median.
        """
        if self.problem == "regression" and self.power is not None:
            return deviance(target.astype("float64"), predicted, self.power)
        if self.problem == "regression":
            return pinball(target.astype("float64") - predicted, self.quantile)
        if self.problem == "binary":
            return log_loss(target.astype("float64"), predicted)
        position = {label: i for i, label in enumerate(self.classes)}
        columns = np.array([position.get(str(label), -1) for label in target])
        own = np.where(columns >= 0, predicted[np.arange(len(columns)), columns], 0.0)
        losses: np.ndarray = -np.log(np.clip(own, CLIP, 1.0))
        return losses

    def mean_loss(self, target: np.ndarray, predicted: np.ndarray) -> float:
        """Return the mean loss over the rows."""
        return float(self.losses(target, predicted).mean())


def pinball(errors: np.ndarray, quantile: float | None) -> np.ndarray:
    """Return the pinball loss of target minus prediction (Koenker and Bassett 1978), (rows,);
    without a quantile, the absolute error.
    """
    losses: np.ndarray = (
        np.abs(errors)
        if quantile is None
        else np.where(errors >= 0, quantile, quantile - 1) * errors
    )
    return losses


def deviance(target: np.ndarray, predicted: np.ndarray, power: float) -> np.ndarray:
    """Return the unit deviance of each row, (rows,), for variances that grow as the mean to the
    ``power``, 1 to 2 (Jorgensen 1997, section 2.2); NaN where a target is none of it: below 0, or 0
    where the power is 2.

    Predictions are kept above a millionth of the mean target.
    """
    least = max(1e-6 * float(np.mean(target)), np.finfo("float64").tiny)
    y, mu = np.where(target < 0, np.nan, target), np.maximum(predicted, least)
    with np.errstate(divide="ignore", invalid="ignore"):
        if power == 1:
            found = special.xlogy(y, y / mu) - y + mu
        elif power == 2:
            found = np.where(y > 0, np.log(mu / y) + y / mu - 1, np.nan)
        else:
            found = (
                y ** (2 - power) / ((1 - power) * (2 - power))
                - y * mu ** (1 - power) / (1 - power)
                + mu ** (2 - power) / (2 - power)
            )
    losses: np.ndarray = np.where(np.isnan(predicted), np.nan, 2 * found)
    return losses


def log_loss(target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the log loss of each probability, (rows,), in nats; ``target`` may hold shares."""
    p = np.clip(predicted, CLIP, 1 - CLIP)
    losses: np.ndarray = -(target * np.log(p) + (1 - target) * np.log1p(-p))
    return losses
