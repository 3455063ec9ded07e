"""Worlds in which it is known why a champion's loss changed: inputs, base rate or relation, each
alone and in pairs.

A world has numbers that go together, six of them of use, and two categories; its log
odds, or its mean, have an interaction. The champion, boosted trees, is trained once for a world;
holdout and batch are drawn anew. What each cause does to the loss follows from the world itself,
whose relation is known, by many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.drift import frame_of
from tasks.drift.change import Outcome, explain, judge_rows
from tasks.drift.effect import hold, read_held
from tasks.drift.histograms import outside_rows
from tasks.drift.profile import make_profile
from tasks.evaluation.objective import Objective
from tasks.records import BaselineProfile, Cause, LossChange, LossNotSplit

NUMBERS, KINDS = 9, ("a", "b", "c", "d")
"""Numbers of a world, of which six are of use, and the values of its two categories."""
TRAINED, DAYS = 8_000, 20
"""Training rows, and days of holdout and batch."""
DRAWS, MANY = 10, 10_000
"""How often so many rows are drawn for a world's truth."""
POOL = {"binary": 8, "regression": 40}
"""Rows that are drawn for each that a base rate lets through: as many as the rarest weighs."""
GROWS = 0.25
"""How much the logarithm of a number's noise grows with a number that moves."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Rows:
    """Rows of a world."""

    features: pd.DataFrame
    target: np.ndarray
    usual: np.ndarray
    """The log odds, or the mean, by the relation of the training rows."""
    spread: np.ndarray
    """Standard deviation of a number's noise."""


class World:
    """One world, with its champion."""

    def __init__(
        self, problem: Literal["binary", "regression"], seed: int, numbers: int = NUMBERS
    ) -> None:
        self.problem, self.objective = problem, Objective(problem)
        rng = np.random.default_rng(seed)
        self._numbers = numbers
        self._size = 1.0 if problem == "binary" else 0.5
        weights = self._size * rng.uniform(0.3, 0.9, numbers) * rng.choice([-1, 1], numbers)
        weights[rng.permutation(numbers)[6:]] = 0.0
        self._weights = weights
        used = np.flatnonzero(weights)
        self.shifted = rng.permutation(used)[:2]
        self._turned = rng.permutation(used)[:3]
        self._far = rng.uniform(0.8, 1.2, 2) * np.sign(weights[self.shifted])
        self._kinds = rng.normal(0, 0.5 * self._size, len(KINDS))
        self._start = rng.uniform(-2.2, -1.4) if problem == "binary" else 0.0
        self.level = float(rng.choice([-1, 1]) * rng.uniform(0.8, 1.2)) * (
            0.6 if problem == "regression" else 1
        )
        # Rows of a higher mean are the more frequent: as much as under normal noise.
        self.tilt = self.level / np.exp(2 * GROWS**2)
        trained = self.draw(TRAINED, (), rng)
        made = (
            HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=12, random_state=0)
            if problem == "binary"
            else HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=12, random_state=0)
        )
        self._champion = made.fit(_coded(trained.features), trained.target)
        frame = frame_of(trained.features, trained.target, 0, DAYS)
        guessed = self.predict(trained)
        self.profile: BaselineProfile = make_profile(
            frame, frame, guessed, (np.arange(TRAINED), guessed), {}
        )

    def predict(self, rows: Rows) -> np.ndarray:
        """What the champion predicts, (rows,)."""
        coded = _coded(rows.features)
        if self.problem == "binary":
            chances: np.ndarray = self._champion.predict_proba(coded)[:, 1]
            return chances
        return np.asarray(self._champion.predict(coded))

    def draw(self, rows: int, causes: Collection[Cause], rng: Rng) -> Rows:
        """Draw rows of the world in which ``causes`` are at work."""
        pool = rows * POOL[self.problem] if "base rate" in causes else rows
        common = rng.normal(size=(pool, 1))
        numbers = np.sqrt(0.3) * common + np.sqrt(0.7) * rng.normal(size=(pool, self._numbers))
        if "inputs" in causes:
            numbers[:, self.shifted] += self._far
        kinds = rng.choice(len(KINDS), size=(pool, 2), p=(0.4, 0.3, 0.2, 0.1))
        usual = self._relation(numbers, kinds, self._weights)
        now = usual
        if "relation" in causes:
            turned = self._weights.copy()
            turned[self._turned] *= -1
            now = self._relation(numbers, kinds, turned)
            now = now + self._as_often(usual, now)
        # A number's noise grows with what moves, or other inputs would mean no other loss.
        spread = np.exp(GROWS * numbers[:, self.shifted[0]] * np.sign(self._far[0]))
        if self.problem == "binary":
            target = (rng.random(pool) < special.expit(now)).astype("float64")
        else:
            target = now + spread * rng.normal(size=pool)
        taken = np.arange(pool)
        if "base rate" in causes:
            more = self.level * target if self.problem == "binary" else self.tilt * usual
            more = np.exp(more - more.max())
            taken = rng.choice(pool, rows, replace=False, p=more / more.sum())
            if self.problem == "regression":
                target = target + self.level
        names = [f"x{i}" for i in range(self._numbers)]
        features = pd.DataFrame(numbers[taken], columns=names)
        for i in (0, 1):
            features[f"kind{i}"] = pd.Series(np.array(KINDS)[kinds[taken, i]], dtype="str")
        return Rows(features, target[taken], usual[taken], spread[taken])

    def _relation(self, numbers: np.ndarray, kinds: np.ndarray, weights: np.ndarray) -> np.ndarray:
        one, other = self._turned[:2]
        both = 0.3 * self._size * numbers[:, one] * numbers[:, other]
        related: np.ndarray = self._start + numbers @ weights + both + self._kinds[kinds[:, 0]]
        return related

    def _as_often(self, usual: np.ndarray, now: np.ndarray) -> float:
        """What another relation lacks for the outcome to be as frequent as under the usual one."""
        if self.problem == "regression":
            return float(usual.mean() - now.mean())
        return _level(now, float(special.expit(usual).mean()))

    def drawn(
        self, rows: int, causes: Collection[Cause], rng: Rng
    ) -> Callable[[], LossChange | LossNotSplit]:
        """Draw a holdout and a batch, and return the function that splits the change of the
        loss.
        """
        before, after = self.draw(rows, (), rng), self.draw(rows, causes, rng)
        days = np.arange(rows) * DAYS // rows
        guessed, now = self.predict(before), self.predict(after)
        lost, losses = (
            self.objective.losses(own.target, predicted)
            for own, predicted in ((before, guessed), (after, now))
        )
        frame = frame_of(before.features, before.target, 0, DAYS)
        table = hold(self.profile, frame, guessed, (guessed, lost), days, rows, 0)
        beyond = outside_rows(self.profile, after.features)

        def split() -> LossChange | LossNotSplit:
            told = after.target, now, losses
            return explain(
                self.profile,
                read_held(self.profile, table),
                judge_rows(self.profile, after.features, told, days, beyond, 0),
                self.objective.losses,
                Outcome(1, float(losses.mean()), rows),
                binary=self.problem == "binary",
            )

        return split

    def truth(self, causes: Collection[Cause], rng: Rng) -> dict[Cause, float]:
        """Return what each cause does to the mean loss."""
        before, after = (
            _Known(self, [self.draw(MANY, at_work, rng) for _ in range(DRAWS)], rng)
            for at_work in ((), causes)
        )
        level, brought, usual = 0.0, 0.0, before.losses()
        expected = after.losses()
        if "base rate" in causes:
            level = after.level
            brought = float(before.tilted(level) @ usual - usual.mean())
        moved, based = float(expected.mean()), float(after.losses(level).mean())
        return {
            "inputs": moved - float(usual.mean()) - brought,
            "base rate": based - moved + brought,
            "relation": after.lost - based,
        }


class _Known:
    """Many rows of a world, of which it is known what they should lose under its usual relation."""

    def __init__(self, world: World, drawn: Sequence[Rows], rng: Rng) -> None:
        self._world, self._losses = world, world.objective.losses
        self._binary = world.problem == "binary"
        self._predicted = np.concatenate([world.predict(rows) for rows in drawn])
        self._target = np.concatenate([rows.target for rows in drawn])
        self._usual = np.concatenate([rows.usual for rows in drawn])
        spread = np.concatenate([rows.spread for rows in drawn])
        self._noise = spread * rng.normal(size=len(self._usual))

    @property
    def lost(self) -> float:
        """The mean loss."""
        return float(self._losses(self._target, self._predicted).mean())

    @property
    def level(self) -> float:
        """How far the outcome lies from the usual relation."""
        if self._binary:
            return _level(self._usual, float(self._target.mean()))
        return float((self._target - self._usual).mean())

    def losses(self, level: float = 0.0) -> np.ndarray:
        """What each row should lose at another level of the outcome."""
        if self._binary:  # log loss is linear in the outcome
            return self._losses(special.expit(self._usual + level), self._predicted)
        return self._losses(self._usual + level + self._noise, self._predicted)

    def tilted(self, level: float) -> np.ndarray:
        """How frequent each row is where the outcome is of another level; adds up to 1."""
        if self._binary:
            more = np.log1p(special.expit(self._usual) * np.expm1(level))
        else:
            more = self._world.tilt / self._world.level * level * self._usual
        more = np.exp(more - more.max())
        weights: np.ndarray = more / more.sum()
        return weights


def _level(odds: np.ndarray, share: float) -> float:
    """How far log odds are to move for a share to come."""
    level = 0.0
    for _ in range(20):
        chance = special.expit(odds + level)
        level += (share - float(chance.mean())) / float((chance * (1 - chance)).mean())
    return level


def _coded(features: pd.DataFrame) -> np.ndarray:
    coded = features.copy()
    for name in ("kind0", "kind1"):
        coded[name] = coded[name].map({kind: i for i, kind in enumerate(KINDS)})
    return coded.to_numpy(dtype="float64")
