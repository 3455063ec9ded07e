"""The evaluation room's slice of the model spec: metrics by name. Defaults are those of docs/decisions.md."""

from __future__ import annotations

import re

from tasks.records import Problem

METRICS: dict[Problem, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1", "precision", "recall"),
    "multiclass": (
        "log_loss", "brier", "accuracy", "f1_macro", "precision_macro", "recall_macro", "roc_auc_ovr",
        "average_precision_ovr",
    ),
    "regression": ("mae", "rmse", "r2", "mape", "median_absolute_error"),
}  # fmt: skip
"""What is reported of every model. A regression may also be asked for ``pinball_Q``, such as ``pinball_0.9``."""

_GREATER = {"roc_auc", "average_precision", "accuracy", "f1", "precision", "recall", "r2"}


def known_metric(metric: str, problem: Problem) -> bool:
    """Whether a spec with this problem may name ``metric``."""
    return metric in METRICS[problem] or (problem == "regression" and quantile_of(metric) is not None)


def quantile_of(metric: str) -> float | None:
    """Return the quantile, above 0 and below 1, that ``pinball_Q`` asks for; None for any other metric."""
    match = re.fullmatch(r"pinball_(0\.[0-9]+)", metric)
    quantile = float(match[1]) if match else 0.0
    return quantile or None


def greater_is_better(metric: str) -> bool:
    """Whether more of ``metric`` is better."""
    return metric.removesuffix("_macro").removesuffix("_ovr") in _GREATER
