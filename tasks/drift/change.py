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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, special, stats

from tasks.drift.effect import LEAST_BLOCKS, MOST_UNKNOWN, Held
from tasks.drift.expected import RAREST, Expected, Linear, Logistic, Losses
from tasks.drift.histograms import codes, places
from tasks.drift.sides import (
    Design,
    Side,
    curve,
    group_bins,
    join_blocks,
    number_columns,
    products,
    weights_without,
)
from tasks.records import (
    BaselineProfile,
    Cause,
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
PROJECTED = 2_500
"""Rows of either side by which the part of the inputs is split by feature."""
LARGEST = 1e30
"""The largest target, prediction or loss: sums of them are single precision."""
LEAST_SHARE = 0.2
"""A cause is named when its part is so much of the largest that is told."""
TOLD = 0.99
"""How sure it must be that the part of a cause is not 0, for the cause to be named."""
FOLLOWED = 0.5, 2.0
"""The inputs moved with the base rate when their moves are so many times what it alone makes."""


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
    return Judged(bins, at, target, predicted, loss, join_blocks(blocks[drawn]), beyond[drawn])


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

    if why := _too_little(held, known, batch, binary=binary) or _too_large(held, known, batch):
        return not_split(why)
    columns = [i for i, f in enumerate(profile.features) if f.kind in ("numerical", "categorical")]
    grouped = [group_bins(held.bins[known, i], batch.bins[:, i]) for i in columns]
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
    score = curve(predicted, cut)
    features = [
        number_columns(profile.features[i], at[:, i], cut)
        if profile.features[i].quantiles
        else one.columns
        for i, one in zip(columns, grouped, strict=True)
    ]
    also = products([score, *features], cut)
    design = Design.of(np.concatenate([score, also], axis=1), features, grouped)
    names = [profile.features[i].feature for i in columns]
    near = ~far
    held_block = join_blocks(held.block[known])
    p = Side(
        design.rows[:cut],
        held.target[known],
        held.unseen[known],
        held.loss[known],
        held_block,
        int(held_block.max()) + 1,
    )
    q = Side(
        design.rows[cut:][near],
        batch.target[near],
        batch.predicted[near],
        batch.loss[near],
        batch.block[near],
        int(batch.block.max()) + 1,
    )
    if why := _too_little_near(q, binary=binary):
        return not_split(why)
    made = Logistic.fit(p, q, losses) if binary else Linear.fit(p, q, losses, factor=factor)
    split = _split(made, p, q, design, batch, near)
    return _recorded(split, names, outcome, float(held.loss.mean()), len(held), float(far.mean()))


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


def _too_large(held: Held, known: np.ndarray, batch: Judged) -> str:
    sides = {
        "holdout": (held.target[known], held.unseen[known], held.loss),
        "batch": (batch.target, batch.predicted, batch.loss),
    }
    for name, values in sides.items():
        most = max(float(np.abs(one).max()) for one in values)
        if not most <= LARGEST:
            return f"the {name} has targets, predictions or losses of {most:.3g}, too large to add"
    return ""


def _too_little_near(q: Side, *, binary: bool) -> str:
    rarer = int(min((q.target > 0).sum(), (q.target <= 0).sum()))
    enough = len(q.target) >= LEAST_ROWS and len(np.unique(q.block)) >= LEAST_BLOCKS
    if enough and (rarer >= LEAST_RARER or not binary):
        return ""
    return f"{len(q.target):,} labelled rows of the batch lie where the holdout has some: too few"


# --- the parts ---

INPUTS, BASE, RELATION, FAR, JOINTLY, WHOLE = range(6)
"""Places of the parts; those of the features come after them."""


class _Split(NamedTuple):
    """Parts of the change, (6 + features,), with their standard errors and degrees of freedom."""

    parts: np.ndarray
    error: np.ndarray
    freedom: np.ndarray


def _split(
    made: Sequence[Expected], p: Side, q: Side, design: Design, batch: Judged, near: np.ndarray
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
        before, after = wp @ p.loss, weights_without(batch.block, without_q) @ batch.loss
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

    def __init__(self, p: Side, q: Side, design: Design) -> None:
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
) -> LossChange | LossNotSplit:
    """Return the split as a record; or, where the parts that are told lie farther from the whole
    change than chance takes it, that they cannot be told apart.
    """
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
    if abs(chance) > reach:
        told_together = sum(values.values())
        return LossNotSplit(
            version=outcome.version,
            before=before,
            after=outcome.loss,
            why=(
                f"what the parts are told to have done adds up to {told_together:+.2g}, and the"
                f" change is {told_together + chance:+.2g}: on {outcome.rows:,} rows, and"
                f" {held:,} of the holdout, they cannot be told apart"
            ),
        )
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
