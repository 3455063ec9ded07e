"""Losses a row, and the metrics that users ask for, with intervals that respect time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks.records import Interval, Problem

if TYPE_CHECKING:
    import numpy as np

GREATER_IS_BETTER = {
    "roc_auc": True, "average_precision": True, "log_loss": False, "brier": False, "accuracy": True, "f1": True,
    "precision": True, "recall": True, "f1_macro": True, "roc_auc_ovr": True, "mae": False, "rmse": False,
    "r2": True, "mape": False, "median_absolute_error": False,
}  # fmt: skip

_CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1: one row may cost at most -log(1e-7) = 16 in log loss."""


class EvaluationError(ValueError):
    """The rows cannot judge a model: too few, one class only, or a prediction that is no number."""


def row_losses(
    target: np.ndarray, predicted: np.ndarray, problem: Problem, classes: Sequence[str] = ()
) -> np.ndarray:
    """Return the loss of each row, shape (rows,): log loss in nats, or the absolute error in the target's unit.

    These are the primary losses of the gate: they have more power than AUC or accuracy.
    """
    import numpy as np

    losses: np.ndarray
    if problem == "regression":
        losses = np.abs(target.astype("float64") - predicted)
        return losses
    if problem == "binary":
        p = np.clip(predicted, _CLIP, 1 - _CLIP)
        y = target.astype("float64")
        losses = -(y * np.log(p) + (1 - y) * np.log1p(-p))
        return losses
    position = {label: i for i, label in enumerate(classes)}
    columns = np.array([position.get(str(label), -1) for label in target])
    own = np.where(columns >= 0, predicted[np.arange(len(columns)), columns], 0.0)
    losses = -np.log(np.clip(own, _CLIP, 1.0))
    return losses


def mean_loss(problem: Problem, classes: Sequence[str] = ()) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the function from target and prediction to the mean loss."""

    def loss(target: np.ndarray, predicted: np.ndarray) -> float:
        return float(row_losses(target, predicted, problem, classes).mean())

    return loss


def score(
    metric: str, target: np.ndarray, predicted: np.ndarray, problem: Problem, classes: Sequence[str] = ()
) -> float:
    """Return one metric by scikit-learn; classes are cut at 0.5, or at the largest probability.

    ``roc_auc_ovr`` is the mean over the classes that occur in the target. Raises EvaluationError when the metric is
    not defined on these rows, as AUC is not on one class.
    """
    import math

    import numpy as np

    if not np.isfinite(predicted).all():
        raise EvaluationError(
            f"expected finite predictions, found {int((~np.isfinite(predicted)).sum())} that are not"
        )
    if problem == "regression":
        value = _regression(metric, target.astype("float64"), predicted)
    elif problem == "multiclass":
        value = _multiclass(metric, target, predicted, classes)
    else:
        value = _binary(metric, target.astype("float64"), predicted)
    if not math.isfinite(value):
        raise EvaluationError(f"{metric}: expected a number on {len(target):,} rows, found {value}")
    return value


def _refuse_one_class(metric: str, target: np.ndarray) -> None:
    if metric in ("roc_auc", "average_precision", "roc_auc_ovr") and len(set(target.tolist())) < 2:
        raise EvaluationError(f"{metric}: expected at least two classes in the target, found one")


def _multiclass(metric: str, target: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> float:
    import numpy as np
    from sklearn import metrics as sk

    _refuse_one_class(metric, target)
    chosen = np.array(classes, dtype="object")[predicted.argmax(axis=1)]

    def one_against_rest() -> float:
        present = [i for i, label in enumerate(classes) if (target == label).any()]
        return float(np.mean([sk.roc_auc_score(target == classes[i], predicted[:, i]) for i in present]))

    functions: dict[str, Callable[[], float]] = {
        "log_loss": lambda: float(row_losses(target, predicted, "multiclass", classes).mean()),
        "accuracy": lambda: sk.accuracy_score(target, chosen),
        "f1_macro": lambda: sk.f1_score(target, chosen, average="macro", zero_division=0.0),
        "roc_auc_ovr": one_against_rest,
    }
    return float(functions[metric]())


def _binary(metric: str, y: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn import metrics as sk

    _refuse_one_class(metric, y)
    hard = (predicted >= 0.5).astype("float64")
    functions: dict[str, Callable[[], float]] = {
        "roc_auc": lambda: sk.roc_auc_score(y, predicted),
        "average_precision": lambda: sk.average_precision_score(y, predicted),
        "log_loss": lambda: float(row_losses(y, predicted, "binary").mean()),
        "brier": lambda: sk.brier_score_loss(y, predicted),
        "accuracy": lambda: sk.accuracy_score(y, hard),
        "f1": lambda: sk.f1_score(y, hard, zero_division=0.0),
        "precision": lambda: sk.precision_score(y, hard, zero_division=0.0),
        "recall": lambda: sk.recall_score(y, hard, zero_division=0.0),
    }
    return float(functions[metric]())


def _regression(metric: str, target: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn import metrics as sk

    functions: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "mae": sk.mean_absolute_error,
        "rmse": sk.root_mean_squared_error,
        "r2": sk.r2_score,
        "mape": sk.mean_absolute_percentage_error,
        "median_absolute_error": sk.median_absolute_error,
    }
    return float(functions[metric](target, predicted))


def score_interval(
    metric: str,
    target: np.ndarray,
    predicted: np.ndarray,
    blocks: np.ndarray,
    problem: Problem,
    classes: Sequence[str] = (),
) -> Interval:
    """Return the metric with a 95% interval by the delete-one-block jackknife.

    ``blocks`` (rows,) int64 numbers the block of time of each row. With B blocks and theta_(b) the metric without
    block b: se^2 = (B - 1) / B * sum (theta_(b) - mean)^2, and the interval is theta +- t(0.975, B - 1) * se (Efron
    and Tibshirani 1993, chapter 11, with blocks for rows, Kunsch 1989). It holds for any smooth metric and needs no
    independence within a block.
    """
    import numpy as np
    from scipy import stats

    theta = score(metric, target, predicted, problem, classes)
    labels = np.unique(blocks)
    if len(labels) < 3:
        return Interval(value=theta, low=float("-inf"), high=float("inf"))
    without = []
    for label in labels:
        keep = blocks != label
        try:
            without.append(score(metric, target[keep], predicted[keep], problem, classes))
        except EvaluationError:
            return Interval(value=theta, low=float("-inf"), high=float("inf"))
    values = np.array(without)
    se = float(np.sqrt((len(labels) - 1) / len(labels) * ((values - values.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.975, len(labels) - 1)) * se
    return Interval(value=theta, low=theta - half, high=theta + half)
