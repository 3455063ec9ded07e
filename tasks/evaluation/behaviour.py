"""How a model behaves, for its card: whether its predictions come true, and what moves them.

Nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from tasks.evaluation.compare import block_test
from tasks.evaluation.judgement import importance
from tasks.evaluation.margins import errors_of
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows
from tasks.records import Behaviour, CalibrationBin, MainEffect

BINS = 10
"""Bins of the calibration, each of as many predictions as the next."""
LEAST_IN_BIN = 20
"""Predictions that a bin has at least, where there are so many."""
EFFECTS, GRID, EFFECT_ROWS = 6, 10, 200
"""Features whose effect is told, values of each, and rows that each value is tried on."""
TAILS = (0.025, 0.975)
"""Quantiles of a number between which its effect is told: beyond them few rows say anything."""


def behaviour(
    predict: Callable[[pd.DataFrame], np.ndarray],
    rows: LabelledRows,
    predicted: np.ndarray,
    unseen: np.ndarray,
    objective: Objective,
    seed: int,
) -> Behaviour:
    """Measure a model on the rows held out when it was made.

    ``predict`` goes from features to predictions, ``predicted`` are its predictions for ``rows``,
    and ``unseen`` those that judge it: the same, unless it was trained on these rows. Each is
    (rows,) or (rows, classes).
    """
    weights = importance(predict, rows, predicted, objective, seed=seed)
    effects, column = main_effects(predict, rows.frame.features, weights, seed=seed)
    return Behaviour(
        importance=weights,
        calibration=calibration(rows, unseen, objective),
        effects=effects,
        errors=(
            errors_of(rows.target.astype("float64"), unseen)
            if objective.problem == "regression"
            else None
        ),
        of_class=objective.classes[column] if effects and objective.classes else "",
    )


def calibration(
    rows: LabelledRows, predicted: np.ndarray, objective: Objective
) -> tuple[CalibrationBin, ...]:
    """Return what came where about the same was predicted: bins of equally many of ``predicted``,
    (rows,) or (rows, classes), by rising prediction.

    Of classes every probability counts, against whether its class came.
    """
    target, blocks = rows.target, rows.blocks
    if objective.problem == "multiclass":
        came = (target[:, np.newaxis] == np.array(objective.classes)).astype("float64").ravel()
        predicted, blocks = predicted.ravel(), np.repeat(blocks, len(objective.classes))
    else:
        came = target.astype("float64")
    order = np.argsort(predicted, kind="stable")
    count = max(1, min(BINS, len(order) // LEAST_IN_BIN))
    return tuple(
        _bin(predicted[part], came[part], blocks[part])
        for part in np.array_split(order, count)
        if len(part)
    )


def _bin(predicted: np.ndarray, came: np.ndarray, blocks: np.ndarray) -> CalibrationBin:
    _, own = np.unique(blocks, return_inverse=True)
    seen = block_test(came, own).mean
    return CalibrationBin(
        predicted=float(predicted.mean()),
        seen=seen.value,
        low=seen.low,
        high=seen.high,
        rows=len(came),
    )


def main_effects(
    predict: Callable[[pd.DataFrame], np.ndarray],
    features: pd.DataFrame,
    importance: Mapping[str, float],
    *,
    seed: int = 0,
) -> tuple[tuple[MainEffect, ...], int]:
    """Return the partial dependence (Friedman 2001) on the most important features, and of (rows,
    classes) predictions the number of the class that it is about, the most probable one on average.

    A value is tried on a seeded sample of ``features``; ``predict`` goes from features to
    predictions, and is asked once.
    """
    names = sorted(
        (name for name in importance if importance[name] > 0), key=lambda name: -importance[name]
    )[:EFFECTS]
    drawn = np.sort(np.random.default_rng(seed).permutation(len(features))[:EFFECT_ROWS])
    sample = features.iloc[drawn]
    grids = {name: grid for name in names if len(grid := _grid(features[name])) > 1}
    if not grids:
        return (), 0
    tried = pd.concat(
        [
            sample.assign(**{name: pd.Series(value, sample.index, features[name].dtype)})
            for name, grid in grids.items()
            for value in grid
        ],
        ignore_index=True,
    )
    predicted = predict(tried)
    column = 0 if predicted.ndim == 1 else int(predicted.mean(axis=0).argmax())
    means = predicted.reshape(-1, len(sample), *predicted.shape[1:]).mean(axis=1)
    means = means if means.ndim == 1 else means[:, column]
    effects, done = list[MainEffect](), 0
    for name, grid in grids.items():
        own = means[done : done + len(grid)]
        effects.append(MainEffect(feature=name, grid=tuple(grid), predicted=tuple(own.tolist())))
        done += len(grid)
    return tuple(effects), column


def _grid(values: pd.Series) -> list[float] | list[str]:
    """The values of a feature that are tried: quantiles of a number, or the most frequent ones."""
    known = values.dropna()
    if pd.api.types.is_numeric_dtype(known.dtype):
        finite = known[np.isfinite(known)]
        if finite.empty:
            return []
        levels = np.linspace(*TAILS, GRID)
        return sorted(
            set(finite.quantile(levels, interpolation="nearest").astype("float64").tolist())
        )
    return known.astype("str").value_counts().index[:GRID].tolist()
