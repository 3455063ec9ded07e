"""Why the champion's loss changed: what its holdout lost, against what a batch's labels show.

The change of the mean loss is split into four parts that add up to it:

    inputs      other inputs, of each of which the holdout says what it should lose
    base rate   an outcome that became more or less frequent at all inputs alike: the log odds of a
                class, or the level of a number, moved by one amount
    relation    what is left: the same inputs mean another outcome
    chance      what rows of this number explain

As Cai, Namkoong and Yadlowsky (2023, DISDE) the holdout's relation is carried to the batch's inputs
first; what the labels say there is split again by one shift of the log odds, so that the two
distributions differ by a factor of the inputs times one of the outcome (He, Yang and Wang 2022,
factorizable joint shift), and a rest. A base rate that moved moves the inputs that go with it: of
that move the inputs get nothing where most of them moved as it alone would have moved them (label
shift, Saerens, Latinne and Decaestecker 2002). The part of the inputs is split by an additive
projection, so that features that only go with one that moved get nothing (Oaxaca 1973, Blinder
1973); which mechanisms cause which needs a causal graph (Budhathoki et al. 2021, Zhang et al.
2023), which a spec does not have.

The holdout's relation is what the champion predicted, corrected by curves of the prediction and of
each number, by categories, and by products of what moved most (ridge regression). Intervals leave
out one block of time of the holdout, or of the batch, after the other (Künsch 1989); of each part
what its own error explains goes to chance (James and Stein 1961), and its interval keeps the whole
estimate.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, special, stats

from tasks.drift.effect import LEAST, LEAST_BLOCKS, MOST_BLOCKS, MOST_UNKNOWN, Held
from tasks.drift.histograms import MISSING, codes, places
from tasks.records import (
    BaselineProfile,
    Cause,
    FeatureProfile,
    Interval,
    LossChange,
    LossNotSplit,
    LossPart,
)

ROWS = 10_000
"""Rows of either side that are looked at, drawn with a seed where there are more."""
LEAST_ROWS = 100
"""Labelled rows that holdout and batch need ..."""
LEAST_RARER = 10
"""... and so many of the rarer class."""
PENALTY = 1.0
"""Of ridge regression: log odds differ from the champion's by a unit or so."""
KNOTS = 0.1, 0.3, 0.5, 0.7, 0.9
"""Quantiles of the holdout between which a number's function is a straight line."""
TOGETHER = 4
"""Columns that moved most, the prediction among them, whose products are looked at."""
FARTHEST = 5.0
"""Standard deviations at which numbers are cut."""
RAREST = 1e-4
"""Probabilities are kept this far from 0 and 1 where their odds are taken."""
STEPS, CLOSE = 8, 1e-4
"""Steps of Newton's method, at most, and the step that is small enough."""
PROJECTED = 2_500
"""Rows of either side by which the part of the inputs is split by feature."""
LEAST_SHARE = 0.2
"""A cause is named when its part is so much of the largest that is told."""
TOLD = 0.99
"""How sure it must be that the part of a cause is not 0, for the cause to be named."""
FOLLOWED = 0.5, 2.0
"""The inputs moved with the base rate when their moves are so many times what it alone makes."""

Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From targets and predictions to the loss of each row, all (rows,)."""


@dataclass(frozen=True)
class Judged:
    """Labelled rows of a batch, and what the champion, as it was packaged, makes of them."""

    bins: np.ndarray
    """(rows, columns) int64, as those of ``Held`` ..."""
    places: np.ndarray
    """... and uint8, as its places."""
    target: np.ndarray
    """(rows,) float64."""
    predicted: np.ndarray
    loss: np.ndarray
    block: np.ndarray
    """(rows,) int64 from 0: blocks of time."""
    beyond: np.ndarray
    """(rows,) bool: outside of what training held in one feature or more."""


@dataclass(frozen=True)
class Outcome:
    """What the two losses are that the change lies between."""

    version: int
    loss: float
    """The champion's mean loss on all labelled rows of the batch, as served."""
    rows: int
    adjusted: Interval | None = None
    """What weights, recalibration and predictions from before the batch closed changed of it."""


def judge_rows(
    profile: BaselineProfile,
    features: pd.DataFrame,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    blocks: np.ndarray,
    beyond: np.ndarray,
    seed: int,
    most: int = ROWS,
) -> Judged:
    """Return at most ``most`` labelled rows, drawn with ``seed``, in the profile's bins.

    ``rows`` are targets, predictions and losses, (rows,) float64 each.
    """
    drawn = np.flatnonzero(np.isfinite(rows[2]) & np.isfinite(rows[1]))
    if len(drawn) > most:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, most, replace=False))
    own = features.iloc[drawn]
    bins = np.full((len(drawn), len(profile.features)), -1, dtype="int64")
    at = np.zeros(bins.shape, dtype="uint8")
    for i, f in enumerate(profile.features):
        if f.kind in ("numerical", "categorical"):
            bins[:, i] = codes(f, own[f.feature])
        if f.kind == "numerical" and f.quantiles:
            at[:, i] = places(f, own[f.feature])
    target, predicted, loss = (one[drawn].astype("float64") for one in rows)
    return Judged(bins, at, target, predicted, loss, _joined(blocks[drawn]), beyond[drawn])


def explain(
    profile: BaselineProfile,
    held: Held,
    batch: Judged,
    losses: Losses,
    outcome: Outcome,
    *,
    binary: bool,
    factor: bool = False,
) -> LossChange | LossNotSplit:
    """Split the change of the mean loss from the holdout to the batch; or say why it cannot be.

    ``factor``: the level of a number moves by a factor, not by an amount.
    """
    known = np.isfinite(held.target) & np.isfinite(held.unseen)
    before = float(held.loss.mean()) if len(held) else None

    def not_split(why: str) -> LossNotSplit:
        return LossNotSplit(version=outcome.version, before=before, after=outcome.loss, why=why)

    if why := _too_little(held, known, batch, binary=binary):
        return not_split(why)
    columns = [i for i, f in enumerate(profile.features) if f.kind in ("numerical", "categorical")]
    grouped = [_grouped(held.bins[known, i], batch.bins[:, i]) for i in columns]
    far = batch.beyond | np.logical_or.reduce([one.far for one in grouped])
    if far.mean() > MOST_UNKNOWN:
        return not_split(
            f"{far.mean():.0%} of the rows lie where training or the holdout has too few, so what"
            " the inputs do cannot be told from what the relation does"
        )
    cut = int(known.sum())
    predicted = np.concatenate([held.unseen[known], batch.predicted])
    if binary:
        predicted = special.logit(np.clip(predicted, RAREST, 1 - RAREST))
    at = np.concatenate([held.places[known], batch.places])
    score = _bent(predicted, cut)
    features = [
        _numbers(profile.features[i], at[:, i], cut)
        if profile.features[i].quantiles
        else one.columns
        for i, one in zip(columns, grouped, strict=True)
    ]
    also = _products([score, *features], cut)
    design = _Design.of(np.concatenate([score, also], axis=1), features, grouped)
    names = [profile.features[i].feature for i in columns]
    near = ~far
    held_block = _joined(held.block[known])
    p = _Side(
        design.rows[:cut],
        held.target[known],
        held.unseen[known],
        held.loss[known],
        held_block,
        int(held_block.max()) + 1,
    )
    q = _Side(
        design.rows[cut:][near],
        batch.target[near],
        batch.predicted[near],
        batch.loss[near],
        batch.block[near],
        int(batch.block.max()) + 1,
    )
    if why := _too_little_near(q, binary=binary):
        return not_split(why)
    made = _Logistic.fit(p, q, losses) if binary else _Linear.fit(p, q, losses, factor=factor)
    split = _split(made, p, q, design, batch, near)
    return _recorded(split, names, outcome, float(held.loss.mean()), len(held), float(far.mean()))


# --- what is compared ---


def _too_little(held: Held, known: np.ndarray, batch: Judged, *, binary: bool) -> str:
    for name, target in (("holdout", held.target[known]), ("batch", batch.target)):
        if len(target) < LEAST_ROWS:
            return f"the {name} has {len(target)} labelled rows, and it takes {LEAST_ROWS}"
        rarer = int(min((target > 0).sum(), (target <= 0).sum()))
        if binary and rarer < LEAST_RARER:
            return (
                f"{rarer} of {len(target):,} labelled rows of the {name} are of the rarer class,"
                f" and it takes {LEAST_RARER}"
            )
    for name, block in (("holdout", held.block[known]), ("batch", batch.block)):
        if (blocks := len(np.unique(block))) < LEAST_BLOCKS:
            return f"the {name} spans {blocks} blocks of time, and it takes {LEAST_BLOCKS}"
    return ""


def _too_little_near(q: _Side, *, binary: bool) -> str:
    rarer = int(min((q.target > 0).sum(), (q.target <= 0).sum()))
    enough = len(q.target) >= LEAST_ROWS and len(np.unique(q.block)) >= LEAST_BLOCKS
    if enough and (rarer >= LEAST_RARER or not binary):
        return ""
    return f"{len(q.target):,} labelled rows of the batch lie where the holdout has some: too few"


def _joined(block: np.ndarray) -> np.ndarray:
    """Numbers of blocks from 0; of more than ``MOST_BLOCKS`` neighbours are joined."""
    names, numbered = np.unique(block, return_inverse=True)
    return numbered * min(MOST_BLOCKS, len(names)) // max(len(names), 1)


class _Grouped(NamedTuple):
    """One column of both sides, in groups of which the holdout has enough rows."""

    group: np.ndarray
    """(rows of the holdout, then of the batch,) int64 from 0; the most frequent one is 0."""
    groups: int
    far: np.ndarray
    """(rows of the batch,) bool: in a bin that the holdout hardly has, and the batch often."""

    @property
    def columns(self) -> np.ndarray:
        """A column for each group but the first, (rows, columns) float32."""
        columns: np.ndarray = self.group[:, np.newaxis] == np.arange(1, self.groups)
        return columns.astype("float32")


def _grouped(held: np.ndarray, batch: np.ndarray) -> _Grouped:
    """Bins of which the holdout has too few rows count as the nearest one that has enough."""
    width = int(max(held.max(), batch.max(initial=0))) + 1
    counts = np.bincount(held, minlength=width)
    full = np.flatnonzero(counts >= LEAST)
    if not len(full):
        full = np.array([counts.argmax()])
    nearest = np.abs(np.arange(width)[:, np.newaxis] - full).argmin(axis=1)
    order = np.argsort(-np.bincount(nearest, counts), kind="stable")
    place = np.empty(len(full), dtype="int64")
    place[order] = np.arange(len(full))
    often = np.bincount(batch, minlength=width) / max(len(batch), 1) > 2 * LEAST / len(held)
    far = ((counts < LEAST) & often)[batch]
    return _Grouped(place[nearest][np.concatenate([held, batch])], len(full), far)


def _bent(values: np.ndarray, cut: int) -> np.ndarray:
    """Columns for a function of a number that is straight between knots, (rows, columns) float32;
    the first ``cut`` rows are those of the holdout.
    """
    spread = values[:cut].std()
    if not spread > 0:
        return np.zeros((len(values), 0), dtype="float32")
    scaled = np.clip((values - values[:cut].mean()) / spread, -FARTHEST, FARTHEST)
    knots = np.unique(np.quantile(scaled[:cut], KNOTS))
    columns = [scaled, *(np.maximum(scaled - knot, 0) for knot in knots)]
    bent: np.ndarray = np.stack(columns, axis=1).astype("float32")
    return bent


def _numbers(profile: FeatureProfile, at: np.ndarray, cut: int) -> np.ndarray:
    """Columns for a function of a feature that is a number, by its places; missing values have a
    column of their own.
    """
    missing = at == MISSING
    known = np.array(profile.quantiles)[np.where(missing, 0, at)]
    there = known[:cut][~missing[:cut]]
    values = np.where(missing, there.mean() if len(there) else 0.0, known)
    bent = _bent(values, cut)
    if missing[:cut].sum() < LEAST:
        return bent
    return np.concatenate([bent, missing[:, np.newaxis].astype("float32")], axis=1)


def _products(columns: Sequence[np.ndarray], cut: int) -> np.ndarray:
    """Products of the first columns of those that moved most, (rows, products) float32: what they
    do together is asked about.
    """
    first = np.stack([one[:, 0] for one in columns if one.shape[1]], axis=1)
    moved = np.abs(first[:cut].mean(axis=0) - first[cut:].mean(axis=0)) / (first.std(axis=0) + 1e-9)
    most = np.argsort(-moved)[:TOGETHER]
    pairs = [first[:, i] * first[:, j] for i, j in itertools.combinations(most, 2)]
    return np.stack(pairs, axis=1) if pairs else np.zeros((len(first), 0), dtype="float32")


@dataclass(frozen=True)
class _Design:
    """Both sides as a matrix: 1, the columns of the prediction, then those of each feature."""

    rows: np.ndarray
    """(rows, width) float32."""
    columns: tuple[np.ndarray, ...]
    """Of each feature the places of its columns."""
    groups: tuple[np.ndarray, ...]
    """Of each feature the group of each row."""

    @classmethod
    def of(
        cls, predicted: np.ndarray, features: Sequence[np.ndarray], grouped: Sequence[_Grouped]
    ) -> _Design:
        """Put columns, (rows, columns) float32 of each, beside each other."""
        one = np.ones((len(predicted), 1), dtype="float32")
        ends = 1 + predicted.shape[1] + np.cumsum([0, *(own.shape[1] for own in features)])
        return cls(
            np.concatenate([one, predicted, *features], axis=1),
            tuple(np.arange(start, end) for start, end in itertools.pairwise(ends)),
            tuple(own.group for own in grouped),
        )


@dataclass(frozen=True)
class _Side:
    """Rows of the holdout, or of the batch that are near it."""

    design: np.ndarray
    target: np.ndarray
    predicted: np.ndarray
    loss: np.ndarray
    block: np.ndarray
    blocks: int
    """How many there are; some may have no row."""

    def by(self, parameters: np.ndarray) -> np.ndarray:
        """Return the design times parameters (width,): (rows,)."""
        found: np.ndarray = (self.design @ parameters.astype("float32")).astype("float64")
        return found

    def onto(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of the design's columns times values (rows,): (width,)."""
        found: np.ndarray = (values.astype("float32") @ self.design).astype("float64")
        return found

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the same by block, (blocks, width)."""
        apart = np.zeros((self.blocks, len(self.block)), dtype="float32")
        apart[self.block, np.arange(len(self.block))] = values
        found: np.ndarray = (apart @ self.design).astype("float64")
        return found

    def weights(self, without: int | None = None) -> np.ndarray:
        """Return a weight for each row, adding up to 1, without one block."""
        return _weights(self.block, without)

    def means(self, without: int | None = None) -> np.ndarray:
        """Return the means of the design's columns, (width,), without one block."""
        sums, rows = self._sums
        left, of = sums.sum(0), rows.sum()
        if without is not None:
            left, of = left - sums[without], of - rows[without]
        means: np.ndarray = left / of
        return means

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.bincount(self.block, minlength=self.blocks)
        return self.sums(np.ones(len(self.block))), rows


def _weights(block: np.ndarray, without: int | None) -> np.ndarray:
    kept = block != (-1 if without is None else without)
    weights: np.ndarray = kept / kept.sum()
    return weights


# --- what the holdout knows of the target ---


class _Relation(ABC):
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


class _Logistic(_Relation):
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
    def fit(cls, p: _Side, q: _Side, losses: Losses) -> list[_Relation]:
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

        def of(parameters: np.ndarray) -> _Relation:
            odds = offsets[0] + p.by(parameters), offsets[1] + q.by(parameters)
            return cls(odds, ends, q.target)

        return [of(one) for one in (own, *_without(own, factor, apart, p))]

    def level(self, weights: np.ndarray) -> float:
        seen, level = weights @ self._target, 0.0
        for _ in range(STEPS):
            chance = special.expit(self._odds[1] + level)
            step = (seen - weights @ chance) / max(weights @ (chance * (1 - chance)), 1e-9)
            level += float(np.clip(step, -2, 2))
            if abs(step) < CLOSE:
                break
        return level

    def base(self, level: float, weights: tuple[np.ndarray, np.ndarray]) -> float:
        more = special.expit(self._odds[1] + level) - self._chances[1]
        return float(weights[1] @ (more * (self._ends[1].yes - self._ends[1].no)))

    def tilt(self, level: float) -> np.ndarray:
        tilted: np.ndarray = np.log1p(self._chances[0] * np.expm1(level))
        return tilted


class _Ends(NamedTuple):
    """What each row would lose without, and with, what is predicted."""

    no: np.ndarray
    yes: np.ndarray


class _Linear(_Relation):
    """Of a number: its loss, and how far it lies from the prediction, by the design's columns."""

    def __init__(self, fitted: _Fitted, parameters: np.ndarray) -> None:
        """``parameters`` are (width, 2): of the loss, and of the error."""
        self._fitted = fitted
        p, q = fitted.sides
        self.loss = p.by(parameters[:, 0]), q.by(parameters[:, 0])
        self._expected = [one.predicted + one.by(parameters[:, 1]) for one in (p, q)]

    @classmethod
    def fit(cls, p: _Side, q: _Side, losses: Losses, *, factor: bool) -> list[_Relation]:
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
        seen, expected = weights @ self._fitted.sides[1].target, weights @ self._expected[1]
        if self._fitted.factor:
            return float(np.log(max(seen, 1e-12) / max(expected, 1e-12)))
        return float(seen - expected)

    def base(self, level: float, weights: tuple[np.ndarray, np.ndarray]) -> float:
        p, q = self._fitted.sides
        moved = p.target * np.exp(level) if self._fitted.factor else p.target + level
        more = self._fitted.losses(moved, p.predicted) - p.loss
        # Rows of the holdout, weighted so that their columns have the batch's means.
        like = weights[0] * p.by(linalg.cho_solve(self._fitted.solve, q.onto(weights[1])))
        return float(like @ more / like.sum())

    def tilt(self, level: float) -> np.ndarray:
        expected = self._expected[0]
        amount = float(expected.mean()) * np.expm1(level) if self._fitted.factor else level
        along = (expected - expected.mean()) * amount / max(self._fitted.spread, 1e-12)
        tilted: np.ndarray = np.clip(along, -20, 20)
        return tilted


class _Fitted(NamedTuple):
    """What every ``_Linear`` of a holdout has in common."""

    sides: tuple[_Side, _Side]
    losses: Losses
    factor: bool
    solve: tuple[np.ndarray, bool]
    """The factored matrix of its equations."""
    spread: float
    """Variance of what is not explained of the target."""


def _penalty(p: _Side) -> np.ndarray:
    """Of ridge regression, (width, width): none for the intercept."""
    penalty = np.full(p.design.shape[1], PENALTY)
    penalty[0] = 1e-6
    return np.diag(penalty)


def _without(
    own: np.ndarray, factor: tuple[np.ndarray, bool], scores: np.ndarray, p: _Side
) -> list[np.ndarray]:
    """Parameters without one block each: a step of Newton's method by the block's scores (blocks,
    width).
    """
    rows = np.bincount(p.block, minlength=p.blocks)
    more = rows.sum() / (rows.sum() - rows)
    return list(own - (linalg.cho_solve(factor, scores.T) * more).T)


# --- the parts ---

INPUTS, BASE, RELATION, FAR, JOINTLY, WHOLE = range(6)
"""Places of the parts; those of the features come after them."""


class _Split(NamedTuple):
    """Parts of the change, (6 + features,), with their standard errors and degrees of freedom."""

    parts: np.ndarray
    error: np.ndarray
    freedom: np.ndarray


def _split(
    made: Sequence[_Relation], p: _Side, q: _Side, design: _Design, batch: Judged, near: np.ndarray
) -> _Split:
    """``made`` are the relations of the holdout, and of it without each of its blocks."""
    split_by = _Projection(p, q, design)
    coefficients = [split_by.coefficients(*one.loss) for one in made]
    cut = len(p.target)
    groups = [(one[:cut], one[cut:][near]) for one in design.groups]
    followed = _follows(made[0].tilt(made[0].level(q.weights())), groups)

    def parts(at: int, without_p: int | None = None, without_q: int | None = None) -> np.ndarray:
        own, wp, wq = made[at], p.weights(without_p), q.weights(without_q)
        means, level = q.means(without_q), own.level(wq)
        base = own.base(level, (wp, wq))
        like, tilted = p.means(without_p), wp
        if followed:
            tilted = wp * np.exp(own.tilt(level))
            tilted = tilted / tilted.sum()
            like = p.onto(tilted)
        before, after = wp @ p.loss, _weights(batch.block, without_q) @ batch.loss
        brought = (tilted - wp) @ own.loss[0]
        moved = wq @ own.loss[1] - wp @ own.loss[0] - brought
        relation = wq @ (q.loss - own.loss[1]) - base
        far = after - wq @ q.loss
        features = split_by.features(coefficients[at], means - like)
        found = [moved + far, base + brought, relation, far, moved - sum(features)]
        return np.array([*found, after - before, *features])

    by_p = np.array([parts(b + 1, without_p=b) for b in range(p.blocks)])
    by_q = np.array([parts(0, without_q=b) for b in range(q.blocks)])
    variances = [_jackknife(one) for one in (by_p, by_q)]
    both = variances[0] + variances[1]
    each = variances[0] ** 2 / (p.blocks - 1) + variances[1] ** 2 / (q.blocks - 1)
    freedom = np.maximum(both**2 / np.maximum(each, 1e-300), 1.0)  # Welch 1947
    return _Split(parts(0), np.sqrt(both), freedom)


def _jackknife(without: np.ndarray) -> np.ndarray:
    """The variances of parts (blocks, parts) without one block each."""
    blocks = len(without)
    variances: np.ndarray = (blocks - 1) / blocks * ((without - without.mean(0)) ** 2).sum(0)
    return variances


class _Projection:
    """What should be lost, as a sum of what each feature adds."""

    def __init__(self, p: _Side, q: _Side, design: _Design) -> None:
        self._columns = design.columns
        self._own = np.concatenate([np.array([0]), *design.columns])
        self._drawn = [_evenly(len(side.target), PROJECTED) for side in (p, q)]
        drawn = zip((p, q), self._drawn, strict=True)
        self._rows = np.concatenate([side.design[rows][:, self._own] for side, rows in drawn])
        gram = (self._rows.T @ self._rows).astype("float64") + np.eye(len(self._own)) * 1e-2
        self._factor = linalg.cho_factor(gram)
        self._width = p.design.shape[1]

    def coefficients(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Of the design's columns, (width,), for what rows of both sides should lose."""
        losses = np.concatenate([p[self._drawn[0]], q[self._drawn[1]]]).astype("float32")
        found = np.zeros(self._width)
        found[self._own] = linalg.cho_solve(self._factor, (self._rows.T @ losses).astype("float64"))
        return found

    def features(self, coefficients: np.ndarray, moved: np.ndarray) -> list[float]:
        """Of each feature what its move, of the design's columns (width,), adds."""
        added = coefficients * moved
        return [float(added[columns].sum()) for columns in self._columns]


def _evenly(rows: int, most: int) -> np.ndarray:
    return np.linspace(0, rows - 1, min(rows, most)).astype("int64")


def _follows(tilt: np.ndarray, groups: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether most features moved as rows do that become so much more frequent, ``tilt`` being the
    logarithm (rows of the holdout,): by the weighted median of their moves along it, so that a few
    that moved by themselves change nothing.
    """
    more = np.exp(tilt - tilt.max())
    more /= more.sum()
    times, weights = list[float](), list[float]()
    for p, q in groups:
        score = np.bincount(p, tilt) / np.maximum(np.bincount(p), 1)
        mean = score[p].mean()
        alone, seen = more @ score[p] - mean, score[q].mean() - mean
        error = score[p].std() * np.sqrt(1 / len(p) + 1 / len(q))
        if alone * error > 0:
            times.append(float(seen / alone))
            weights.append(float(alone / error))
    if not times:
        return False
    order = np.argsort(times)
    reached = np.cumsum(np.array(weights)[order])
    median = np.array(times)[order][np.searchsorted(reached, reached[-1] / 2)]
    return bool(FOLLOWED[0] < median < FOLLOWED[1])


# --- in a record ---


def _recorded(
    split: _Split, names: Sequence[str], outcome: Outcome, before: float, held: int, far: float
) -> LossChange:
    parts, error = split.parts, split.error
    half = stats.t.ppf(0.975, split.freedom) * error
    sure = stats.t.ppf((1 + TOLD) / 2, split.freedom) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(parts != 0, parts * np.maximum(0, 1 - (error / parts) ** 2), 0.0)

    def part(i: int, value: float | None = None) -> Interval:
        own = float(kept[i]) if value is None else value
        low, high = float(parts[i] - half[i]), float(parts[i] + half[i])
        return Interval(value=own, low=min(low, own), high=max(high, own))

    features = [LossPart(feature=name, change=part(1 + WHOLE + i)) for i, name in enumerate(names)]
    inputs = float(kept[1 + WHOLE :].sum() + kept[FAR] + kept[JOINTLY])
    values = {"inputs": inputs, "base rate": float(kept[BASE]), "relation": float(kept[RELATION])}
    told = {
        name: abs(value)
        for i, (name, value) in enumerate(values.items())
        if value and abs(parts[i]) > sure[i]
    }
    most = max(told.values(), default=0.0)
    causes: tuple[Cause, ...] = ("inputs", "base rate", "relation")
    adjusted = 0.0 if outcome.adjusted is None else outcome.adjusted.value
    chance = outcome.loss - before - adjusted - sum(values.values())
    reach = float(half[WHOLE])
    return LossChange(
        version=outcome.version,
        before=before,
        after=outcome.loss,
        rows=outcome.rows,
        holdout_rows=held,
        inputs=part(INPUTS, inputs),
        features=tuple(sorted(features, key=lambda one: -abs(one.change.value))),
        jointly=part(JOINTLY),
        far=part(FAR),
        far_share=far,
        base_rate=part(BASE),
        relation=part(RELATION),
        adjusted=outcome.adjusted,
        chance=Interval(value=chance, low=min(-reach, chance), high=max(reach, chance)),
        named=tuple(one for one in causes if told.get(one, 0.0) >= LEAST_SHARE * most > 0),
    )
