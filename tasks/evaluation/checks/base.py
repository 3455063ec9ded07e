"""What the checks of a challenger look at, and what they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import ClassVar

import numpy as np

from tasks.checks import Check
from tasks.evaluation.config import FairnessConfig, GuardrailsConfig
from tasks.evaluation.judgement import generalisation
from tasks.evaluation.scored import Scored
from tasks.records import Generalisation, Guardrail

OTHER_LABELS = 10
"""Labels of the holdout, of classes, that must not be the most frequent one, so that it can tell a
class from another.
"""
LEAST_SPREAD = 0.25
"""Least standard deviation of the holdout's labels, of a regression, as a share of the training
target's.
"""


@dataclass(frozen=True)
class CheckContext:
    """A challenger as it was loaded from the registry: what it predicts, each made once."""

    challenger: Scored
    """On the holdout, which neither model was trained on."""
    champion: Scored | None
    """On the same rows; None when there is no champion that can be a measure."""
    train: Scored
    """The challenger on its labelled training rows, or a sample of them."""
    as_fitted: np.ndarray
    """What the pipeline predicted for the holdout before it was stored."""
    as_loaded: np.ndarray
    """What it predicts for the holdout as it came back from the registry."""
    config: GuardrailsConfig = field(default_factory=GuardrailsConfig)
    fairness: FairnessConfig = field(default_factory=FairnessConfig)
    interval: float | None = None
    """The share of labels that intervals around a regression's predictions are to hold; None where
    the spec asks for none.
    """
    seconds_again: Callable[[int], float] = lambda _: inf
    """CPU seconds in which the challenger predicts up to so many holdout rows once more; infinite
    for stored predictions, which are not made again.
    """

    @cached_property
    def peer(self) -> Scored | None:
        """The champion, where both predict numbers for the same classes."""
        champion = self.champion
        if champion is None or champion.objective.classes != self.challenger.objective.classes:
            return None
        return champion if self.challenger.finite and champion.finite else None

    @cached_property
    def generalisation(self) -> Generalisation:
        """The challenger's losses on training rows and on the holdout."""
        return generalisation(self.challenger, self.train)

    @cached_property
    def outcomes(self) -> np.ndarray:
        """What predictions stand for, (rows, 1), or (rows, classes) of 0 and 1."""
        column = self.challenger.rows.target[:, np.newaxis]
        if self.challenger.objective.problem == "multiclass":
            column = column == np.array(self.challenger.objective.classes)
        outcomes: np.ndarray = column.astype("float64")
        return outcomes

    @cached_property
    def scale(self) -> float:
        """The unit of an error: the standard deviation of the training target, or a whole
        probability.
        """
        if self.challenger.objective.problem != "regression":
            return 1.0
        return float(self.train.rows.frame.target.std(ddof=0)) or 1.0

    @cached_property
    def variance(self) -> np.ndarray | float:
        """The variance of a row's label around the prediction of a calibrated model: p (1 - p),
        (rows, columns), or that of training errors.
        """
        if self.challenger.objective.problem != "regression":
            p = columns(self.challenger.predicted)
            variance: np.ndarray = p * (1 - p)
            return variance
        errors = self.train.rows.target.astype("float64") - self.train.predicted
        return float(errors.var())

    @cached_property
    def too_alike(self) -> str:
        """Why the holdout's labels cannot tell a sound model from a useless one, in words; empty
        when they can.
        """
        target = self.challenger.rows.frame.target
        if self.challenger.objective.problem != "regression":
            others = len(target) - int(target.value_counts().max())
            if others >= OTHER_LABELS:
                return ""
            return (
                f"labels too much alike to tell: {others} of {OTHER_LABELS} are not the most"
                " frequent one"
            )
        spread = float(target.std(ddof=0)) / self.scale
        if spread >= LEAST_SPREAD:
            return ""
        return (
            f"labels too much alike to tell: they spread {spread:.0%} of {LEAST_SPREAD:.0%} as far"
            " as those of training"
        )


class ModelCheck(Check, ABC):
    """A check that looks at what a challenger predicts."""

    needs_numbers: ClassVar[bool] = False
    """Whether it can be made only where every prediction is a number."""

    @abstractmethod
    def check(self, context: CheckContext) -> Guardrail:
        """Make the check."""

    def guardrail(self, context: CheckContext) -> Guardrail:
        """Make the check where it can be made."""
        if self.needs_numbers and not context.challenger.finite:
            return self.result("not made", "predictions that are no numbers", "numbers")
        return self.check(context)


def columns(predicted: np.ndarray) -> np.ndarray:
    """Return predictions as (rows, columns): one column, or one a class."""
    return predicted.reshape(len(predicted), -1)


def beside(champion: Scored | None, found: str) -> str:
    """Return what the champion has, to follow what the challenger has; empty without one."""
    return "" if champion is None else f"; the champion {found}"
