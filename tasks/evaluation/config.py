"""The evaluation room's slice of the model spec: metrics by name.

Defaults are those of docs/decisions.md.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from pydantic import Field, model_validator

from tasks.configuration import Config
from tasks.records import Problem

METRICS: dict[Problem, tuple[str, ...]] = {
    "binary": (
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "accuracy",
        "f1",
        "precision",
        "recall",
    ),
    "multiclass": (
        "log_loss",
        "brier",
        "accuracy",
        "f1_macro",
        "precision_macro",
        "recall_macro",
        "roc_auc_ovr",
        "average_precision_ovr",
    ),
    "regression": ("mae", "rmse", "r2", "mape", "median_absolute_error"),
}
"""What is reported of every model.

A regression may also be asked for ``pinball_Q``, such as ``pinball_0.9``, or, of counts and heavy
tails, for ``poisson_deviance``, ``gamma_deviance`` or ``tweedie_deviance_P`` with P between 1 and
2; its loss is then that. A binary problem may be asked for
``precision_at_K`` or ``lift_at_K``, where K is what can be acted on: so many rows, such as
``precision_at_500``, or a share of them, such as ``lift_at_0.05``.
"""

UTILITY = "utility"
"""The name under which one's own utility is reported, per row."""
_GREATER = {"roc_auc", "average_precision", "accuracy", "f1", "precision", "recall", "r2"}


def known_metric(metric: str, problem: Problem) -> bool:
    """Whether a spec with this problem may name ``metric``."""
    if metric in METRICS[problem]:
        return True
    if problem == "regression":
        return quantile_of(metric) is not None or power_of(metric) is not None
    return problem == "binary" and top_of(metric) is not None


def quantile_of(metric: str) -> float | None:
    """Return the quantile, above 0 and below 1, that ``pinball_Q`` asks for; None for any other
    metric.
    """
    match = re.fullmatch(r"pinball_(0\.[0-9]+)", metric)
    quantile = float(match[1]) if match else 0.0
    return quantile or None


def power_of(metric: str) -> float | None:
    """Return the power of the variance function that a deviance is of: 1 of ``poisson_deviance``, 2
    of ``gamma_deviance``, P of ``tweedie_deviance_P``; None for any other metric.
    """
    match = re.fullmatch(r"tweedie_deviance_(1\.[0-9]*[1-9][0-9]*)", metric)
    named = {"poisson_deviance": 1.0, "gamma_deviance": 2.0}
    return float(match[1]) if match else named.get(metric)


def top_of(metric: str) -> tuple[str, float] | None:
    """Return ``precision`` or ``lift`` and K of ``precision_at_K`` or ``lift_at_K``: a whole number
    of rows, or a share below 1; None for any other metric.
    """
    match = re.fullmatch(r"(precision|lift)_at_([1-9][0-9]*|0\.[0-9]+)", metric)
    if match is None or float(match[2]) == 0:
        return None
    return match[1], float(match[2])


def greater_is_better(metric: str) -> bool:
    """Whether more of ``metric`` is better."""
    if metric == UTILITY or top_of(metric) is not None:
        return True
    return metric.removesuffix("_macro").removesuffix("_ovr") in _GREATER


def bounds_of(metric: str, problem: Problem) -> tuple[float, float]:
    """Return the least and the greatest value that ``metric`` can have."""
    if metric == "r2":
        return -math.inf, 1.0
    if metric == UTILITY:
        return -math.inf, math.inf
    if metric.startswith("lift_at_"):
        return 0.0, math.inf
    if greater_is_better(metric):
        return 0.0, 1.0
    if metric == "brier":
        return 0.0, 2.0 if problem == "multiclass" else 1.0
    return 0.0, math.inf


class GuardrailsConfig(Config):
    """What a challenger must pass, whatever it gains.

    Each limit is generous: a guardrail catches what is broken.
    """

    bias: float = Field(default=0.10, gt=0)
    """Largest distance of the mean prediction from the mean label, in probability ..."""
    bias_sd: float = Field(default=0.50, gt=0)
    """... or, of a regression, in standard deviations of the label."""
    slope: float = Field(default=2.0, gt=1)
    """The slope of the label over the prediction, 1 when calibrated, lies between 1 / this and
    this.
    """
    coverage: float = Field(default=0.10, gt=0, lt=1)
    """Of a regression with ``scoring.interval``: most that the share of labels within the intervals
    may be below the asked one, in any slice.
    """
    worse_than_constant: float = Field(default=0.05, ge=0)
    """Largest share by which the loss on unseen rows may be above that of one answer for all rows.
    """
    slower: float = Field(default=10.0, gt=1)
    """A challenger may take this many times the champion's CPU time to predict the same rows of the
    holdout ...
    """
    slower_from: float = Field(default=1.0, ge=0)
    """... and as many CPU seconds for them, 5,000 at most, as this, whatever the champion takes."""
    larger: float = Field(default=10.0, gt=1)
    """A challenger's file may be this many times the champion's ..."""
    larger_from: int = Field(default=100_000_000, ge=0)
    """... and as many bytes as this, whatever the champion's has."""
    leak: float = Field(default=0.98, gt=0, le=1)
    """Share of the target's variance from which one feature alone is taken for a leak."""
    known_early: tuple[str, ...] = ()
    """Features that look like a leak, and are honestly known at event time: a lag, a timetable."""


class FairnessConfig(Config):
    """Columns that groups are audited by.

    They are no features; personal ones show as numbered groups.
    """

    columns: tuple[str, ...] = ()
    """Columns of the contract whose values form the groups. None: no audit."""
    worse: float = Field(default=0.05, gt=0)
    """Most that a challenger's difference between groups may be above the champion's, beyond
    chance.
    """
    rows: int = Field(default=100, ge=2)
    """Labelled rows that a group needs to be looked at."""


class CostsConfig(Config):
    """What acting on a prediction costs, by what then comes.

    Each is a number, or the name of a column of the rows' contract that holds it for each row; a
    benefit is a cost below 0.
    """

    true_positive: float | str = 0.0
    """Acted, and it came."""
    false_positive: float | str = 0.0
    """Acted in vain."""
    false_negative: float | str = 0.0
    """Not acted, and it came."""
    true_negative: float | str = 0.0
    """Not acted, and nothing came."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold costs, each once."""
        given = (self.true_positive, self.false_positive, self.false_negative, self.true_negative)
        return tuple(dict.fromkeys(one for one in given if isinstance(one, str)))


class UtilityConfig(Config):
    """What predictions are worth to those who act on them: a cost matrix, or code of one's own."""

    costs: CostsConfig | None = None
    """Of a binary problem: what acting costs."""
    threshold: float | Literal["costs", "forward"] = "costs"
    """From which probability on is acted: a number; where acting is expected to cost less (Elkan
    2001); or ``forward``, which costs least on the blocks of time before each.
    """
    code: str | None = None
    """``module.path:function`` from (target, predicted, rows) to what each row is worth, (rows,)
    numbers, more is better; in place of ``costs``.
    """
    columns: tuple[str, ...] = ()
    """Columns of the rows' contract that ``code`` is given as ``rows``, a DataFrame."""

    @model_validator(mode="after")
    def _one_form(self) -> UtilityConfig:
        if (self.costs is None) == (self.code is None):
            raise ValueError("expected either costs or code")
        if self.code is None and self.columns:
            raise ValueError("expected columns beside code only; a cost names its own column")
        if self.costs is None and self.threshold != "costs":
            raise ValueError("expected a threshold beside costs only")
        if isinstance(self.threshold, float) and not 0 < self.threshold < 1:
            raise ValueError(
                f"expected a threshold above 0 and below 1, costs or forward, found"
                f" {self.threshold}"
            )
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return self.columns if self.costs is None else self.costs.columns
