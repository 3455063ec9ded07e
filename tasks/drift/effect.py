"""What a move is expected to do to the champion: its holdout's rows, weighted as the batch has
them.

One feature alone: each of its bins counts as often as in the batch (post-stratification, Holt and
Smith 1979). All features that moved together: weights that give every one of them the batch's
shares at once (iterative proportional fitting, Deming and Stephan 1940), the champion's predictions
among them, through which the way that features move together is seen as far as the champion looks
at it. Of rows outside of training, and of bins where the holdout has too few rows, nothing is said;
their share is told. Intervals leave out one block of time after the other (Künsch 1989), since rows
of one day share what moves their loss. What labels would show of another relation between features
and target is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tasks.drift.histograms import Spread, codes, places, watched_prediction
from tasks.lake import own_columns
from tasks.records import BaselineProfile, Effect, FeatureFrame, FeatureProfile, Interval

LEAST = 10
"""Rows of the holdout that a bin needs: of fewer nothing is said."""
LEAST_BLOCKS = 3
"""Blocks of time that the holdout needs for an interval."""
MOST_UNKNOWN = 0.5
"""Share of a batch's rows of which the holdout says nothing, above which no effect is told."""
LEAST_WORTH = 30
"""Rows that the weighted holdout must be worth."""
ROUNDS, CLOSE = 30, 1e-3
"""Rounds of fitting, at most, and how close the shares are to be."""
MOST_BLOCKS = 20
"""Blocks of time that are left out in turn: of more, neighbours are joined."""
LOSS, PREDICTED, BLOCK = "(loss)", "(prediction)", "(block)"
UNSEEN, TARGET, PLACE = "(unseen prediction)", "(target)", "(place)"


@dataclass(frozen=True)
class Held:
    """The champion's holdout in its baseline's bins."""

    bins: np.ndarray
    """(rows, columns) int64, of each column of the baseline in its order; missing values have the
    last bin, the target has none: -1.
    """
    loss: np.ndarray
    """(rows,) float64."""
    predicted: np.ndarray
    """(rows,) float64: the prediction, or the surest class's probability."""
    block: np.ndarray
    """(rows,) int64 from 0: blocks of time."""
    places: np.ndarray
    """(rows, columns) uint8: of numbers their places among training's quantiles; 0 of others."""
    unseen: np.ndarray
    """(rows,) float64: the prediction that lost ``loss``, of a model that had not seen the row; NaN
    where there are several classes.
    """
    target: np.ndarray
    """(rows,) float64; NaN where it is no number."""

    def __len__(self) -> int:
        return len(self.loss)


def hold(
    profile: BaselineProfile,
    holdout: FeatureFrame,
    predicted: np.ndarray,
    unseen: tuple[np.ndarray, np.ndarray],
    blocks: np.ndarray,
    rows: int,
    seed: int,
) -> pd.DataFrame:
    """Return at most ``rows`` rows of the holdout, drawn with ``seed``, in the profile's bins, as a
    table that is stored with the version.

    ``predicted`` is (rows,) or (rows, classes), as are the first of ``unseen``, predictions of
    models that had not seen the rows; their losses, the second, and ``blocks`` are (rows,). Rows
    without a finite loss are left out.
    """
    apart, losses = unseen
    watched = watched_prediction(predicted).to_numpy(dtype="float64")
    known = np.flatnonzero(np.isfinite(losses) & np.isfinite(watched))
    if len(known) > rows:
        known = np.sort(np.random.default_rng(seed).choice(known, rows, replace=False))
    drawn = holdout.features.iloc[known]
    columns: dict[str, np.ndarray] = {}
    for f in profile.features:
        if f.kind == "prediction":
            columns[f.feature] = codes(f, pd.Series(watched[known])).astype("uint8")
        elif f.kind != "target":
            columns[f.feature] = codes(f, drawn[f.feature]).astype("uint8")
    numbers = [f for f in profile.features if _has_places(f)]
    named = own_columns(tuple(columns), [f"{PLACE} {f.feature}" for f in numbers])
    for f, name in zip(numbers, named, strict=True):
        columns[name] = places(f, drawn[f.feature])
    loss, mean, block, alone, target = own_columns(
        tuple(columns), (LOSS, PREDICTED, BLOCK, UNSEEN, TARGET)
    )
    names, numbered = np.unique(blocks[known], return_inverse=True)
    if len(names) > MOST_BLOCKS:
        numbered = numbered * MOST_BLOCKS // len(names)
    columns |= {loss: losses[known], mean: watched[known], block: numbered.astype("int32")}
    none = np.full(len(known), np.nan)
    number = pd.api.types.is_numeric_dtype(holdout.target.dtype)
    columns[alone] = apart[known] if apart.ndim == 1 else none
    columns[target] = holdout.target.to_numpy("float64")[known] if number else none
    return pd.DataFrame(columns)


def read_held(profile: BaselineProfile, table: pd.DataFrame) -> Held:
    """Return the holdout that ``hold`` stored."""
    bins = np.full((len(table), len(profile.features)), -1, dtype="int64")
    for i, f in enumerate(profile.features):
        if f.kind != "target":
            bins[:, i] = table[f.feature]
    numbers = [i for i, f in enumerate(profile.features) if _has_places(f)]
    at = np.zeros(bins.shape, dtype="uint8")
    at[:, numbers] = table.iloc[:, -5 - len(numbers) : -5]
    loss, predicted, block, unseen, target = (
        table.iloc[:, i].to_numpy("float64") for i in range(-5, 0)
    )
    return Held(bins, loss, predicted, block.astype("int64"), at, unseen, target)


def _has_places(profile: FeatureProfile) -> bool:
    return profile.kind == "numerical" and bool(profile.quantiles)


def effect_of(
    held: Held, column: int, profile: FeatureProfile, counts: np.ndarray, spread: Spread
) -> Effect | None:
    """Return what the batch's counts (bins + 1,) of one column are expected to do, if nothing else
    had moved; None without a holdout, or without rows.
    """
    if not len(held) or not counts.sum():
        return None
    wanted = _known(profile, counts, spread, held.bins[:, column])
    unknown = 1 - wanted.sum() / counts.sum()
    if unknown > MOST_UNKNOWN:
        return Effect(loss=None, prediction=None, unknown=float(unknown), rows=0.0)
    wanted = wanted / wanted.sum()
    own, width, blocks = held.bins[:, column], len(counts), int(held.block.max()) + 1

    def by_block(values: np.ndarray | None) -> np.ndarray:
        flat = held.block * width + own
        return np.bincount(flat, values, minlength=blocks * width).reshape(blocks, width)

    rows, losses, predicted = by_block(None), by_block(held.loss), by_block(held.predicted)

    def expected(rows: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """The weighted mean minus the plain one, (...,), of rows and sums (..., bins)."""
        there = np.where(rows > 0, wanted, 0.0)  # a bin may be empty without a block
        means = sums / np.maximum(rows, 1)
        weighted = (there * means).sum(-1) / np.maximum(there.sum(-1), 1e-12)
        change: np.ndarray = weighted - sums.sum(-1) / np.maximum(rows.sum(-1), 1)
        return change

    def interval(sums: np.ndarray) -> Interval:
        whole = float(expected(rows.sum(0), sums.sum(0)))
        return _jackknifed(whole, expected(rows.sum(0) - rows, sums.sum(0) - sums))

    shares = rows.sum(0) / len(held)
    weights = np.where(wanted > 0, wanted / np.maximum(shares, 1e-12), 0.0)
    worth = len(held) * float((shares * weights).sum() ** 2 / (shares * weights**2).sum())
    return Effect(
        loss=interval(losses), prediction=interval(predicted), unknown=float(unknown), rows=worth
    )


def effect_together(
    held: Held,
    columns: Sequence[int],
    baseline: BaselineProfile,
    counts: Sequence[np.ndarray | None],
    spreads: Sequence[Spread | None],
) -> Effect | None:
    """Return what the moves of all ``columns`` are expected to do together; None without a holdout
    or columns.

    ``counts`` and ``spreads`` are those of the batch, of each column of the baseline.
    """
    wanted, unknown = dict[int, np.ndarray](), 0.0
    for i in columns:
        own, spread = counts[i], spreads[i]
        if own is None or spread is None or not own.sum():
            continue
        known = _known(baseline.features[i], own, spread, held.bins[:, i])
        unknown = max(unknown, float(1 - known.sum() / own.sum()))
        if known.sum():
            wanted[i] = known / known.sum()
    if not wanted or not len(held):
        return None
    weights = np.ones(len(held))
    for (
        i,
        target,
    ) in wanted.items():  # rows of bins that the batch is not known to have count nothing
        weights[target[held.bins[:, i]] == 0] = 0.0
    weights = _fitted(held, wanted, weights)
    worth = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
    if unknown > MOST_UNKNOWN or worth < LEAST_WORTH:
        return Effect(loss=None, prediction=None, unknown=unknown, rows=worth)
    blocks = int(held.block.max()) + 1
    without = []
    for block in range(blocks):
        left = np.where(held.block == block, 0.0, weights)
        without.append(_fitted(held, wanted, left) if left.any() else left)

    def interval(values: np.ndarray) -> Interval:
        whole = float(weights @ values / weights.sum() - values.mean())
        each = [
            (w @ values / w.sum()) - values[held.block != block].mean()
            for block, w in enumerate(without)
            if w.any()
        ]
        return _jackknifed(whole, np.array(each))

    return Effect(
        loss=interval(held.loss), prediction=interval(held.predicted), unknown=unknown, rows=worth
    )


def _known(
    profile: FeatureProfile, counts: np.ndarray, spread: Spread, own: np.ndarray
) -> np.ndarray:
    """The batch's rows in each bin (bins + 1,) of which the holdout, whose bins are ``own``, says
    something.
    """
    known = counts.astype("float64")
    known[0] -= spread.below
    known[len(profile.counts) - 1] -= spread.above + spread.unseen
    known[np.bincount(own, minlength=len(counts)) < LEAST] = 0.0
    enough: np.ndarray = np.maximum(known, 0.0)
    return enough


def _fitted(held: Held, wanted: dict[int, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weights (rows,) that give columns the shares ``wanted``, as far as their rows can."""
    weights = weights / weights.sum() if weights.any() else weights
    for _ in range(ROUNDS):
        farthest = 0.0
        for i, target in wanted.items():
            own = np.bincount(held.bins[:, i], weights, minlength=len(target))
            reached = np.where(own > 0, target, 0.0)
            reached = reached / max(reached.sum(), 1e-12)
            farthest = max(farthest, float(np.abs(reached - own).max()))
            weights = weights * (reached / np.maximum(own, 1e-300))[held.bins[:, i]]
        if farthest < CLOSE:
            break
    return weights


def _jackknifed(whole: float, without: np.ndarray) -> Interval:
    """``whole`` with the interval of the values without one block of time each, (blocks,)."""
    blocks = len(without)
    if blocks < LEAST_BLOCKS:
        return Interval.around(whole, float("nan"))
    error = np.sqrt((blocks - 1) / blocks * ((without - without.mean()) ** 2).sum())
    return Interval.around(whole, float(stats.t.ppf(0.975, blocks - 1) * error))
