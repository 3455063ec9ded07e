"""What a model predicts and is judged by, and what each of its predictions loses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.evaluation.config import quantile_of
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

    def losses(self, target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the loss of each row, (rows,) float64: log loss in nats, or the absolute error in
        the target's unit.

        ``predicted`` is (rows,), or (rows, classes) of a multiclass problem. These are the primary
        losses of the gate: they have more power than AUC or accuracy. A regression that is asked
        for a quantile, by the metric ``pinball_Q``, has that loss instead: the absolute error would
        prefer the median.
        """
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


def log_loss(target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the log loss of each probability, (rows,), in nats; ``target`` may hold shares."""
    p = np.clip(predicted, CLIP, 1 - CLIP)
    losses: np.ndarray = -(target * np.log(p) + (1 - target) * np.log1p(-p))
    return losses
