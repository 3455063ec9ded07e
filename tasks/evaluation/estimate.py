"""How the champion probably does on a batch whose labels are not known yet: an estimate, and no
ground for a decision.

Its scores are calibrated on mature rows that it was not trained on; the labels that they then lead
one to expect give the metric. It sees that a batch is harder or easier than those before. It is
blind to concept drift: when the same features come to mean another target, calibrated scores are
wrong, and nothing here can tell.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

from tasks.evaluation.config import bounds_of
from tasks.evaluation.metrics import EvaluationError, leave_one_out, score, standard_error
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import Scored
from tasks.records import Estimate, Interval

LEVELS = 5
"""Bins of the prediction that residuals of a regression are drawn from."""
DRAWS = 5
"""Residuals drawn for each row."""


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
        loss=interval(objective if objective.quantile else objective.by(loss)),
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
