"""What the holdout lets expect of other rows: their outcome, and what should be lost on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, special

from tasks.drift.sides import Side

PENALTY = 1.0
"""Of ridge regression: log odds differ from the champion's by a unit or so."""
STEPS, CLOSE = 8, 1e-4
"""Steps of Newton's method, at most, and the step that is small enough."""
RAREST = 1e-4
"""Probabilities are kept this far from 0 and 1 where their odds are taken."""

Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From targets and predictions to the loss of each row, all (rows,)."""


class Expected(ABC):
    """What the holdout, or the holdout without one block, says of the target and of the loss."""

    loss: tuple[np.ndarray, np.ndarray]
    """What each row of the holdout, and of the batch, should lose."""

    @abstractmethod
    def level(self, weights: np.ndarray) -> float:
        """Return how far the batch's outcome lies from what its inputs lead one to expect; its rows
        count as ``weights`` says.
        """

    @abstractmethod
    def base(self, level: float, weights: tuple[np.ndarray, np.ndarray]) -> float:
        """Return what this level does to the mean loss; rows of both sides count as ``weights``
        says.
        """

    @abstractmethod
    def tilt(self, level: float) -> np.ndarray:
        """Return the logarithm of how much more frequent such a level makes rows of the holdout,
        (rows,).
        """


class Logistic(Expected):
    """Of a class: its log odds by the champion, corrected by the design's columns."""

    def __init__(
        self, odds: tuple[np.ndarray, np.ndarray], ends: Sequence[_Ends], target: np.ndarray
    ) -> None:
        self._odds, self._ends, self._target = odds, ends, target
        self._chances = [special.expit(one) for one in odds]
        p, q = (
            no + chance * (yes - no) for chance, (no, yes) in zip(self._chances, ends, strict=True)
        )
        self.loss = p, q

    @classmethod
    def fit(cls, p: Side, q: Side, losses: Losses) -> list[Expected]:
        """Fit it to the holdout, then to the holdout without each of its blocks."""
        offsets = [special.logit(np.clip(one.predicted, RAREST, 1 - RAREST)) for one in (p, q)]
        own, penalty = np.zeros(p.design.shape[1]), _penalty(p)
        for _ in range(STEPS):
            chance = special.expit(offsets[0] + p.by(own))
            weighted = p.design * (chance * (1 - chance))[:, np.newaxis].astype("float32")
            factor = linalg.cho_factor((weighted.T @ p.design).astype("float64") + penalty)
            step = linalg.cho_solve(factor, p.onto(p.target - chance) - penalty @ own)
            own = own + step
            if np.abs(step).max() < CLOSE:
                break
        apart = p.sums(p.target - special.expit(offsets[0] + p.by(own)))
        ends = [
            _Ends(*(losses(np.full(len(one.target), y), one.predicted) for y in (0.0, 1.0)))
            for one in (p, q)
        ]

        def of(parameters: np.ndarray) -> Expected:
            odds = offsets[0] + p.by(parameters), offsets[1] + q.by(parameters)
            return cls(odds, ends, q.target)

        return [of(one) for one in (own, *_without(own, factor, apart, p))]

    def level(self, weights: np.ndarray) -> float:
        """Return the shift of the log odds."""
        seen, level = weights @ self._target, 0.0
        for _ in range(STEPS):
            chance = special.expit(self._odds[1] + level)
            step = (seen - weights @ chance) / max(weights @ (chance * (1 - chance)), 1e-9)
            level += float(np.clip(step, -2, 2))
            if abs(step) < CLOSE:
                break
        return level

    def base(self, level: float, weights: tuple[np.ndarray, np.ndarray]) -> float:
        """Return what this shift does to the mean loss."""
        more = special.expit(self._odds[1] + level) - self._chances[1]
        return float(weights[1] @ (more * (self._ends[1].yes - self._ends[1].no)))

    def tilt(self, level: float) -> np.ndarray:
        """Return the logarithm of the weight that the outcomes of a row gain."""
        tilted: np.ndarray = np.log1p(self._chances[0] * np.expm1(level))
        return tilted


class _Ends(NamedTuple):
    """What each row would lose without, and with, what is predicted."""

    no: np.ndarray
    yes: np.ndarray


class Linear(Expected):
    """Of a number: its loss, and how far it lies from the prediction, by the design's columns."""

    def __init__(self, fitted: _Fitted, parameters: np.ndarray) -> None:
        """``parameters`` are (width, 2): of the loss, and of the error."""
        self._fitted = fitted
        p, q = fitted.sides
        self.loss = p.by(parameters[:, 0]), q.by(parameters[:, 0])
        self._expected = [one.predicted + one.by(parameters[:, 1]) for one in (p, q)]

    @classmethod
    def fit(cls, p: Side, q: Side, losses: Losses, *, factor: bool) -> list[Expected]:
        """Fit it to the holdout, then to the holdout without each of its blocks."""
        both = np.stack([p.loss, p.target - p.predicted], axis=1)
        solve = linalg.cho_factor((p.design.T @ p.design).astype("float64") + _penalty(p))
        own = linalg.cho_solve(solve, np.stack([p.onto(one) for one in both.T], axis=1))
        left = both - np.stack([p.by(one) for one in own.T], axis=1)
        apart = [_without(own[:, i], solve, p.sums(left[:, i]), p) for i in (0, 1)]
        fitted = _Fitted((p, q), losses, factor, solve, float(left[:, 1].var()))
        every = [own, *(np.stack(one, axis=1) for one in zip(*apart, strict=True))]
        return [cls(fitted, one) for one in every]

    def level(self, weights: np.ndarray) -> float:
        """Return the amount, or the logarithm of the factor."""
        seen, expected = weights @ self._fitted.sides[1].target, weights @ self._expected[1]
        if self._fitted.factor:
            return float(np.log(max(seen, 1e-12) / max(expected, 1e-12)))
        return float(seen - expected)

    def base(self, level: float, weights: tuple[np.ndarray, np.ndarray]) -> float:
        """Return what this move does to the mean loss."""
        p, q = self._fitted.sides
        moved = p.target * np.exp(level) if self._fitted.factor else p.target + level
        more = self._fitted.losses(moved, p.predicted) - p.loss
        # Rows of the holdout, weighted so that their columns have the batch's means.
        like = weights[0] * p.by(linalg.cho_solve(self._fitted.solve, q.onto(weights[1])))
        return float(like @ more / like.sum())

    def tilt(self, level: float) -> np.ndarray:
        """Return the logarithm of the weight that a row gains by its expected outcome."""
        expected = self._expected[0]
        amount = float(expected.mean()) * np.expm1(level) if self._fitted.factor else level
        along = (expected - expected.mean()) * amount / max(self._fitted.spread, 1e-12)
        tilted: np.ndarray = np.clip(along, -20, 20)
        return tilted


class _Fitted(NamedTuple):
    """What every ``Linear`` of a holdout has in common."""

    sides: tuple[Side, Side]
    losses: Losses
    factor: bool
    solve: tuple[np.ndarray, bool]
    """The factored matrix of its equations."""
    spread: float
    """Variance of what is not explained of the target."""


def _penalty(p: Side) -> np.ndarray:
    """Of ridge regression, (width, width): none for the intercept."""
    penalty = np.full(p.design.shape[1], PENALTY)
    penalty[0] = 1e-6
    return np.diag(penalty)


def _without(
    own: np.ndarray, factor: tuple[np.ndarray, bool], scores: np.ndarray, p: Side
) -> list[np.ndarray]:
    """Parameters without one block each: a step of Newton's method by the block's scores (blocks,
    width).
    """
    rows = np.bincount(p.block, minlength=p.blocks)
    more = rows.sum() / (rows.sum() - rows)
    return list(own - (linalg.cho_solve(factor, scores.T) * more).T)
