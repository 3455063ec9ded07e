"""What an ensemble does with rows: mix its members' predictions, correct them, and sum them up
against the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.records import LabelSummary, Problem, Recalibration


@dataclass(frozen=True)
class Ensemble:
    """Fitted pipelines over the same features and their weights, asked as one pipeline is.

    Classes are those of any member, in their order; one that a member has never seen has
    probability 0 there.
    """

    members: Sequence[Any]
    weights: Sequence[float]
    """The members' shares, summing to 1."""

    @property
    def classes_(self) -> np.ndarray:
        """Class labels of all members, sorted, (classes,)."""
        return np.unique(np.concatenate([member.classes_ for member in self.members]))

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: ANN401 - what the members take
        """Return probabilities, (rows, classes) float64, in the order of ``classes_``."""
        return mix([self._aligned(member, X) for member in self.members], self.weights)

    def predict(self, X: Any) -> np.ndarray:  # noqa: ANN401 - what the members take
        """Return the values of regressors, (rows,) float64."""
        return mix([member.predict(X) for member in self.members], self.weights)

    def _aligned(self, member: Any, X: Any) -> np.ndarray:  # noqa: ANN401 - a fitted pipeline and what it takes
        probabilities = np.asarray(member.predict_proba(X), dtype="float64")
        aligned = np.zeros((len(probabilities), len(self.classes_)))
        aligned[:, np.searchsorted(self.classes_, member.classes_)] = probabilities
        return aligned


def mix(predictions: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Return the weighted mean of the members' ``predictions``, each (rows,) or (rows, classes)
    float64.
    """
    # A member that counts nothing is left out: nothing times a value that is no number is no number
    # either.
    counted = [(w, p) for w, p in zip(weights, predictions, strict=True) if w > 0]
    return np.asarray(sum(w * p for w, p in counted), dtype="float64")


def correct(predicted: np.ndarray, recalibration: Recalibration) -> np.ndarray:
    """Return ``predicted``, (rows,) or (rows, classes) float64, after ``recalibration``; see
    decisions/recalibration.py.
    """
    shift = np.array(recalibration.shift)
    corrected: np.ndarray
    if not shift.any():
        return predicted
    if recalibration.problem == "regression":
        corrected = predicted * np.exp(shift[0])
    elif recalibration.problem == "multiclass":
        moved = predicted * np.exp(shift - shift.max())
        corrected = moved / moved.sum(axis=1, keepdims=True)
    else:
        odds = np.exp(
            shift[0]
        )  # p odds / (1 - p + p odds): the logit plus the shift, exact at 0 and 1
        corrected = predicted * odds / (1 - predicted + predicted * odds)
    return corrected


def summarise(
    batch: str,
    target: np.ndarray,
    predicted: np.ndarray,
    problem: Problem,
    classes: Sequence[str] = (),
    *,
    mean: bool = False,
) -> LabelSummary:
    """Return what recalibration needs of one mature batch: its labelled rows and the predictions
    before correction. Of a regression that is their median, or their ``mean`` where that is what
    its loss asks for.
    """
    if problem == "multiclass":
        labels = [float(np.mean(target.astype("str") == label)) for label in classes]
        found = predicted.mean(axis=0).tolist()
    else:
        middle = np.median if problem == "regression" and not mean else np.mean
        labels, found = [float(middle(target.astype("float64")))], [float(middle(predicted))]
    return LabelSummary(
        batch=batch, rows=len(target), labels=tuple(labels), predictions=tuple(found)
    )
