"""Reasons: the features that moved a prediction most, in units of a probability or of the target.

They explain the model as it is served, with the weights and the recalibration in force. A
prediction differs from the mean prediction for a sample of the training rows; the difference is
shared out among the features by their interventional Shapley values (Lundberg and Lee, 2017).

Where predictions are a sum of one function a feature, as those of linear regression are, the shares
are exact. Elsewhere they are the mean over sampled orders (Strumbelj and Kononenko, 2014): features
are moved one after another from their values in a training row to those of the row, and each gets
what the prediction moved by. Both add up to the prediction by their making; that they do is checked
against what was served. Orders and training rows depend on the model as served alone, so a row has
the same reasons whatever rows stand beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from tasks.errors import KingmakerError
from tasks.prediction import predict_mixed, serve_features
from tasks.records import LoadedModel, Problem, Reasons

SAMPLES = 8
"""Orders, each from a training row of its own: predictions asked for a row and a feature."""
BACKGROUND = 1_000
"""Training rows that the mean prediction is taken over where reasons are exact."""
CHUNK = 50_000
"""Rows at a time: what bounds memory."""
TOLERANCE = 1e-6
"""Of prediction and mean prediction: estimators in float32 answer a row alone and in a batch by
1e-7 apart.
"""

Ask = Callable[[pd.DataFrame], np.ndarray]


class ReasonsError(KingmakerError):
    """Reasons do not add up to the predictions that were served."""


def reasons(
    model: LoadedModel,
    features: pd.DataFrame,
    predicted: np.ndarray,
    problem: Problem,
    k: int,
    *,
    samples: int = SAMPLES,
    chunk: int = CHUNK,
) -> Reasons:
    """Return the ``k`` features that moved each prediction most; all when there are fewer.

    ``features`` is (rows, features) with at least those of the model, ``predicted`` what was served
    for them: (rows,), or (rows, classes), of which the likeliest class is explained. A row without
    a prediction has no reasons: NaN. Raises ReasonsError when they do not add up to ``predicted``,
    to ``TOLERANCE``.
    """
    names = list(model.trained.schema_.names)
    rows = features[names].reset_index(drop=True)
    background = _background(model, problem)
    parts = [
        _explained(
            model, rows[i : i + chunk], predicted[i : i + chunk], problem, k, samples, background
        )
        for i in range(0, max(len(rows), 1), chunk)
    ]
    return Reasons.joined(parts)


def in_json(found: Reasons) -> list[str | None]:
    """Return one JSON text a row, a list of {feature, value, effect}; None for a row that has no
    prediction.
    """
    rows = zip(found.base, found.features, found.inputs, found.effects, strict=True)
    return [
        None
        if np.isnan(base)
        else json.dumps(
            [
                {"feature": str(name), "value": plain(value), "effect": float(effect)}
                for name, value, effect in zip(*row, strict=True)
            ],
            ensure_ascii=False,
        )
        for base, *row in rows
    ]


def plain(value: object) -> float | str | None:
    """Return the value of a feature, a text or a number; None for a number that is missing."""
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]  # a feature is text or a number
    return None if np.isnan(number) else number


def _explained(
    model: LoadedModel,
    rows: pd.DataFrame,
    predicted: np.ndarray,
    problem: Problem,
    k: int,
    samples: int,
    background: pd.DataFrame,
) -> Reasons:
    """Return the reasons for one chunk of rows."""
    likeliest = None if predicted.ndim == 1 else np.nan_to_num(predicted).argmax(axis=1)
    told = predicted if likeliest is None else predicted[np.arange(len(rows)), likeliest]
    known = np.isfinite(told)
    base, effects = np.full(len(rows), np.nan), np.full(rows.shape, np.nan)
    if known.any():
        column = None if likeliest is None else likeliest[known]
        base[known], effects[known] = _shares(
            model, rows[known].reset_index(drop=True), column, problem, samples, background
        )
        _check_sum(model, told[known], base[known], effects[known])
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :k]
    across = np.arange(len(rows))[:, None]
    shown = effects[across, order]
    return Reasons(
        base=base,
        features=np.array(rows.columns, dtype="object")[order],
        inputs=rows.to_numpy(dtype="object")[across, order],
        effects=shown,
        rest=effects.sum(axis=1) - shown.sum(axis=1),
        classes=(
            None
            if likeliest is None
            else np.array(model.trained.classes, dtype="object")[likeliest]
        ),
    )


def _shares(
    model: LoadedModel,
    rows: pd.DataFrame,
    column: np.ndarray | None,
    problem: Problem,
    samples: int,
    background: pd.DataFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean prediction, (rows,), and share of each feature, (rows, features)."""

    def ask(frame: pd.DataFrame) -> np.ndarray:
        return serve_features(model, frame, problem)

    if problem == "regression" and _is_additive(ask, background, model.trained.seed):
        base, effects = _exact(ask, rows, background)
        # A sum on the training rows need not be one far from them.
        odd = ~_adds_up(ask(rows), base, effects)
        if odd.any():
            left = rows[odd].reset_index(drop=True)
            base[odd], effects[odd] = _sampled(
                ask, left, None, background, samples, model.trained.seed
            )
        return base, effects
    return _sampled(ask, rows, column, background, samples, model.trained.seed)


def _sampled(
    ask: Ask,
    rows: pd.DataFrame,
    column: np.ndarray | None,
    background: pd.DataFrame,
    samples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Move features one after another from a training row to the row, in each of ``samples``
    orders.
    """

    def asked(frame: pd.DataFrame) -> np.ndarray:
        return _of_class(ask(frame), column)

    starts = background.iloc[_middles(len(background), samples)]
    at_start, at_end = ask(starts), asked(rows)
    base, effects = np.zeros(len(rows)), np.zeros(rows.shape)
    for i, order in enumerate(_orders(rows.shape[1], len(starts), seed)):
        start = starts.iloc[np.full(len(rows), i)]
        before = _of_class(np.repeat(at_start[i : i + 1], len(rows), axis=0), column)
        base += before
        place = np.empty(len(order), dtype="int64")
        place[order] = np.arange(len(order))
        moved = place[np.newaxis] <= np.arange(len(order) - 1)[:, np.newaxis]
        for j, found in zip(order, predict_mixed(ask, start, rows, moved), strict=False):
            after = _of_class(found, column)
            effects[:, j] += after - before
            before = after
        effects[:, order[-1]] += at_end - before
    return base / len(starts), effects / len(starts)


def _exact(ask: Ask, rows: pd.DataFrame, background: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of predictions that are a sum of one function a feature."""
    effects = _alone(ask, rows, background) - _alone(ask, background, background).mean(axis=0)
    return np.full(len(rows), ask(background).mean()), effects


def _alone(ask: Ask, rows: pd.DataFrame, background: pd.DataFrame) -> np.ndarray:
    """Return by how much each feature alone moves the prediction for one training row, (rows,
    features).
    """
    middle = background.iloc[[len(background) // 2]]
    start = middle.iloc[np.zeros(len(rows), dtype="int64")]
    found = predict_mixed(ask, start, rows, np.eye(rows.shape[1]) > 0)
    moves: np.ndarray = np.stack(list(found), axis=1) - ask(middle)[0]
    return moves


def _is_additive(ask: Ask, background: pd.DataFrame, seed: int) -> bool:
    """Whether predictions for training rows whose features were shuffled apart are sums of one
    function a feature.
    """
    random = np.random.default_rng(seed)
    apart = pd.DataFrame(
        {name: random.permutation(background[name].array) for name in background.columns}
    ).astype(background.dtypes)
    return bool(_adds_up(ask(apart), *_exact(ask, apart, background)).all())


def _background(model: LoadedModel, problem: Problem) -> pd.DataFrame:
    """Return training rows from the version's sample, in the order of their predictions and evenly
    spread over them.
    """
    sample = model.baseline[list(model.trained.schema_.names)]
    found = serve_features(model, sample, problem)
    # By class, then by probability, where there are classes.
    key = found if found.ndim == 1 else found.argmax(axis=1) + found.max(axis=1) / 2
    order = np.argsort(key, kind="stable")[: int(np.isfinite(key).sum())]
    chosen = order[_middles(len(order), BACKGROUND)]
    spread: pd.DataFrame = sample.iloc[chosen].reset_index(drop=True)
    return spread


def _middles(rows: int, parts: int) -> np.ndarray:
    """The middle of each of ``parts`` equal parts of ``rows`` rows; each row when they are
    fewer.
    """
    parts = min(rows, parts)
    middles: np.ndarray = ((np.arange(parts) + 0.5) * rows / parts).astype("int64")
    return middles


def _orders(features: int, count: int, seed: int) -> Sequence[np.ndarray]:
    """Orders of the features; every second is the one before it turned round, which cancels much of
    the error.
    """
    random = np.random.default_rng(seed)
    drawn = [random.permutation(features) for _ in range((count + 1) // 2)]
    return [order[::step] for order in drawn for step in (1, -1)][:count]


def _of_class(predicted: np.ndarray, column: np.ndarray | None) -> np.ndarray:
    if column is None:
        return predicted
    chosen: np.ndarray = predicted[np.arange(len(predicted)), column]
    return chosen


def _adds_up(predicted: np.ndarray, base: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Whether mean prediction and shares are the prediction, (rows,) bool."""
    missed = np.abs(base + effects.sum(axis=1) - predicted)
    near: np.ndarray = missed <= TOLERANCE * (np.abs(predicted) + np.abs(base))
    return near


def _check_sum(
    model: LoadedModel, predicted: np.ndarray, base: np.ndarray, effects: np.ndarray
) -> None:
    wrong = ~_adds_up(predicted, base, effects)
    if wrong.any():
        found = (base + effects.sum(axis=1))[wrong][0]
        raise ReasonsError(
            f"{model.trained.model} version {model.trained.version}: expected reasons that add up"
            f" to the predictions, found {int(wrong.sum()):,} of {len(wrong):,} rows where they do"
            f" not, such as {found:.6g} for {predicted[wrong][0]:.6g}: the model predicts otherwise"
            " than when these rows were scored, or a row's prediction depends on other rows"
        )
