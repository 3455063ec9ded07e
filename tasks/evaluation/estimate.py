"""How the champion probably does on a batch whose labels are not known yet: an estimate, and no
ground for a decision.

Its scores are calibrated on mature rows that it was not trained on; the labels that they then lead
one to expect give the metric. It sees that a batch is harder or easier than those before. It is
blind to concept drift: when the same features come to mean another target, calibrated scores are
wrong, and nothing here can tell. What can be told is how far earlier estimates were from what the
labels then said: that, and how far the predictions have moved, is what an interval is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats
from sklearn.linear_model import LogisticRegression

from tasks.evaluation.config import bounds_of
from tasks.evaluation.metrics import EvaluationError, leave_one_out, score, standard_error
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import Scored
from tasks.records import Estimate, FeatureSchema, Interval, Performance, Problem

LEVELS = 5
"""Bins of the prediction that residuals of a regression are drawn from."""
DRAWS = 5
"""Residuals drawn for each row."""


CHECKED = 4
"""Earlier estimates that must have been checked by labels before one is shown ..."""
REMEMBERED = 12
"""... and the newest of them that are looked at."""
MOVED = 1.0
"""The predictions have moved too far when fewer than half of the reference's rows are like the
batch's.
"""
BEYOND = 0.10
"""Share of the batch's rows that may have a feature beyond all that is known of it."""


def estimate(reference: Scored, now: np.ndarray, seed: int = 0) -> Estimate:
    """Estimate loss and metric of a model on rows for which it predicts ``now``, (rows,) or (rows,
    classes), from the ``reference``: labelled rows that it was not trained on.

    Classification: expected metric under calibrated probabilities (CBPE, Garg et al. 2022; Platt
    1999, on the log of all classes). Regression: residuals of reference rows with a like
    prediction, drawn with ``seed``. The 95% interval holds for what the labels will say as long as
    nothing but the features changes: its standard error is that of realised minus expected metric
    on the reference, by the block jackknife, for reference and batch together. Raises
    EvaluationError when the reference cannot calibrate, as one class cannot.
    """
    objective, rows = reference.objective, reference.rows
    target, before, blocks = rows.target, reference.predicted, rows.blocks
    if objective.problem == "regression":
        rng = np.random.default_rng(seed)
        residuals = target.astype("float64") - before
        expected, predicted = _drawn(before, residuals, now, rng), np.tile(now, DRAWS)
        was_expected, was_predicted = _drawn(before, residuals, before, rng), np.tile(before, DRAWS)
        was_blocks = np.tile(blocks, DRAWS)
    else:
        expected, was_expected = _calibrated(target, before, (now, before), objective)
        predicted, was_predicted, was_blocks = now, before, blocks

    def interval(asked: Objective) -> Interval:
        _, realised = leave_one_out(asked, target, before, blocks)
        _, thought = leave_one_out(asked, was_expected, was_predicted, was_blocks)
        value = score(asked, expected, predicted)
        bounds = bounds_of(asked.metric, asked.problem)
        return _around(value, realised - thought, len(rows) / len(now), bounds)

    loss = "log_loss" if objective.problem != "regression" else "mae"
    return Estimate(
        version=reference.version,
        rows=len(now),
        reference=tuple(sorted(set(rows.frame.batch))),
        reference_rows=len(rows),
        metric=objective.metric,
        score=interval(objective),
        loss=interval(objective if objective.quantile or objective.power else objective.by(loss)),
        moved=_moved(watched(before), watched(now)),
    )


def watched(predicted: np.ndarray) -> np.ndarray:
    """One number a row of predictions, (rows,) or (rows, classes): of classes the largest."""
    return predicted.max(axis=1) if predicted.ndim == 2 else predicted


def _moved(before: np.ndarray, now: np.ndarray) -> float:
    """Chi-squared of the predictions ``now`` over those ``before``, in tenths of these.

    The effective share of the reference under importance weights is 1 / (1 + it) (Kish 1965).
    """
    edges = np.unique(np.quantile(before, np.linspace(0, 1, 11)[1:-1]))
    was, is_ = (
        np.bincount(np.searchsorted(edges, of), minlength=len(edges) + 1) / len(of)
        for of in (before, now)
    )
    return float(((is_ - was) ** 2 / np.maximum(was, 1e-3)).sum())


def checked(
    found: Estimate, past: Sequence[tuple[Estimate, Performance]], problem: Problem, beyond: str
) -> Estimate:
    """Return an estimate as far as earlier ones were from the truth, ``past`` being estimates with
    what labels said of the same version, oldest first; ``beyond`` names a feature that is out of
    its known range.

    Errors are taken on the scale on which the metric has no bounds (logit or log), each over the
    square root of 1 + what had moved then. The interval is the wider of the estimate's own and of t
    times their root mean square, but no less than the largest, times the square root of 1 + what
    has moved now. It is withheld, with its reason, when fewer than CHECKED say how wide that is,
    when most of its kind were wrong, and when what moved is beyond what the reference knows.
    """
    pairs = [(one, truth, held) for one, truth in past if (held := one.held_by(truth)) is not None][
        -REMEMBERED:
    ]
    shown = [held for one, _, held in pairs if not one.withheld]
    loss = "log_loss" if problem != "regression" else "mae"
    moved = [one.moved for one, _, _ in pairs]
    score = _widened(
        found.score,
        [(one.score, truth.score) for one, truth, _ in pairs],
        moved,
        found.moved,
        _unbounded(bounds_of(found.metric, problem)),
    )
    of_loss = _widened(
        found.loss,
        [(one.loss, truth.loss) for one, truth, _ in pairs],
        moved,
        found.moved,
        _unbounded(bounds_of(loss, problem)),
    )
    if beyond:
        withheld = f"{beyond} is beyond what is known of it"
    elif found.moved > MOVED:
        share = 1 / (1 + found.moved)
        withheld = f"the predictions have moved: {share:.0%} of the reference's rows are like these"
    elif len(pairs) < CHECKED:
        withheld = (
            f"{len(pairs)} of the {CHECKED} earlier ones that it takes were checked by labels"
        )
    elif len(shown) >= CHECKED and 2 * sum(shown) < len(shown):
        withheld = f"{len(shown) - sum(shown)} of the last {len(shown)} did not hold the truth"
    else:
        withheld = ""
    return found.but(
        score=score,
        loss=of_loss,
        checked=len(shown),
        held=sum(shown),
        withheld=withheld,
    )


def beyond_known(
    features: pd.DataFrame, known: Sequence[pd.DataFrame], schema: FeatureSchema
) -> str:
    """Return the feature that most rows of ``features`` have beyond all values in ``known``, when
    they are more than BEYOND: numbers outside its range, or categories that are not there.
    """

    def share(name: str) -> float:
        values, before = features[name].dropna(), pd.concat([one[name] for one in known]).dropna()
        if not len(values) or not len(before):
            return 0.0
        if name in schema.categorical:
            return float((~values.isin(before.unique())).sum() / len(features))
        return float(((values < before.min()) | (values > before.max())).sum() / len(features))

    shares = {name: share(name) for name in schema.names}
    most = max(shares, key=lambda name: shares[name], default="")
    return most if most and shares[most] > BEYOND else ""


@dataclass(frozen=True)
class _Scale:
    """A metric's own scale, and one on which it has no bounds."""

    to: Callable[[float], float]
    back: Callable[[float], float]


def _unbounded(bounds: tuple[float, float]) -> _Scale:
    low, high = bounds
    if math.isfinite(low) and math.isfinite(high):
        return _Scale(
            lambda x: float(special.logit((x - low) / (high - low))),
            lambda y: low + (high - low) * float(special.expit(y)),
        )
    if math.isfinite(low):
        return _Scale(
            lambda x: math.log(x - low) if x > low else -math.inf,
            lambda y: low + math.exp(min(y, 700.0)),
        )
    return _Scale(float, float)


def _widened(
    of: Interval,
    told: Sequence[tuple[Interval, Interval | None]],
    moved: Sequence[float],
    now: float,
    scale: _Scale,
) -> Interval:
    """The interval, widened by what was ``told`` before against what was true, ``moved`` having
    moved then and ``now`` by now.
    """
    errors = [
        (scale.to(truth.value) - scale.to(one.value)) / math.sqrt(1 + then)
        for (one, truth), then in zip(told, moved, strict=True)
        if truth is not None
    ]
    errors, middle = [e for e in errors if math.isfinite(e)], scale.to(of.value)
    if not errors or not math.isfinite(middle):
        return of
    spread = math.sqrt(math.fsum(e * e for e in errors) / len(errors))
    half = max(float(stats.t.ppf(0.9875, len(errors))) * spread, *map(abs, errors))
    half *= math.sqrt(1 + now)
    return of.but(
        low=min(of.low, scale.back(middle - half)), high=max(of.high, scale.back(middle + half))
    )


def _around(
    value: float, without: np.ndarray, ratio: float, bounds: tuple[float, float]
) -> Interval:
    error = standard_error(without)
    half = float(stats.t.ppf(0.975, len(without) - 1)) * error * math.sqrt(1 + ratio)
    return Interval.around(value, half, bounds)


def _calibrated(
    target: np.ndarray,
    before: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    objective: Objective,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of each label that ``scores`` lead one to expect, in their shapes."""
    problem, classes = objective.problem, objective.classes
    labels = target.astype("str") if problem == "multiclass" else target.astype("float64")
    if len(set(labels.tolist())) < 2:
        raise EvaluationError(
            "estimate: expected mature rows of at least two classes to calibrate on, found one"
        )

    def logs(p: np.ndarray) -> np.ndarray:
        clipped = np.clip(p, 1e-6, 1 - 1e-6)
        of: np.ndarray = (
            np.log(clipped) if p.ndim == 2 else np.log(clipped / (1 - clipped))[:, np.newaxis]
        )
        return of

    fitted = LogisticRegression(C=1e3, max_iter=1000).fit(logs(before), labels)

    def probabilities(p: np.ndarray) -> np.ndarray:
        found: np.ndarray = fitted.predict_proba(logs(p))
        if problem == "binary":
            return found[:, 1]
        aligned = np.zeros((len(p), len(classes)))
        for i, label in enumerate(fitted.classes_):
            if label in classes:
                aligned[:, classes.index(label)] = found[:, i]
        return aligned

    return probabilities(scores[0]), probabilities(scores[1])


def _drawn(
    before: np.ndarray, residuals: np.ndarray, now: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Targets for ``DRAWS`` times the rows of ``now``: prediction and residual of a row with a like
    prediction.
    """
    edges = np.unique(np.quantile(before, np.linspace(0, 1, LEVELS + 1)[1:-1]))
    of, level = np.searchsorted(edges, before), np.searchsorted(edges, now)
    drawn = np.empty((DRAWS, len(now)))
    for i in range(len(edges) + 1):
        own = residuals[of == i] if (of == i).any() else residuals
        drawn[:, level == i] = rng.choice(own, (DRAWS, int((level == i).sum())))
    return (now + drawn).ravel()
