"""Guardrails: what a challenger must pass, whatever it gains.

They only refuse, and each has evidence of its own.

Where there is a champion, a challenger that is no further off than the champion on the same rows
passes: then it is the world that moved, and a newer model is the answer to that. A check that rows
too few or labels too much alike cannot decide passes, and says so: it would refuse honest models as
often as broken ones. One that could not be made refuses.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from tasks.evaluation.compare import block_test, time_blocks
from tasks.evaluation.config import GuardrailsConfig, quantile_of
from tasks.evaluation.metrics import Terms, row_losses, standard_error
from tasks.prediction import predict, predict_frame
from tasks.records import FeatureFrame, Generalisation, Guardrail, Interval, LoadedModel, Problem

TRAIN_ROWS = 20_000
"""Training rows, drawn with a seed, that are looked at again."""
TIMED_ROWS = 5_000
"""Rows of the holdout that prediction is timed on."""
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
    """A challenger before its guardrails, as it was loaded from the registry."""

    challenger: LoadedModel
    champion: LoadedModel | None
    train: FeatureFrame
    """Its labelled training rows, or a sample of them."""
    holdout: FeatureFrame
    """Labelled rows that neither was trained on."""
    as_fitted: np.ndarray
    """What the pipeline predicted for the holdout before it was stored."""
    problem: Problem
    metric: str
    config: GuardrailsConfig = field(default_factory=GuardrailsConfig)


def prediction_guardrails(exam: CheckContext) -> tuple[Guardrail, ...]:
    """Check the challenger's predictions of the holdout alone."""
    problem, challenger = exam.problem, exam.challenger
    predicted = predict_frame(challenger, exam.holdout, problem)
    finite = bool(np.isfinite(predicted).all())
    theirs = _champion_predictions(exam) if finite else None
    same = predicted.shape == exam.as_fitted.shape and bool(
        np.array_equal(predicted, exam.as_fitted)
    )
    # On its training sample too: a short holdout, such as two clear days, may rightly get one
    # answer.
    wider = predict(challenger.pipeline, challenger.baseline, problem, challenger.trained.classes)
    spread = float(np.ptp(np.concatenate([predicted, wider]), axis=0).max()) if finite else 0.0
    checks = [
        check("finite predictions", finite, f"{np.isfinite(predicted).mean():.1%} finite", "all"),
        check("not constant", spread > 0, f"spread {spread:.4g}", "above 0"),
        check(
            "loads and predicts as fitted",
            same,
            "identical" if same else "different predictions",
            "bit for bit",
        ),
    ]
    if finite:
        checks += [_bias(exam, predicted, theirs), _calibration(exam, predicted, theirs)]
    else:
        checks += [
            Guardrail(
                name=name,
                outcome="not made",
                found="predictions that are no numbers",
                limit="numbers",
            )
            for name in ("mean prediction near mean label", "calibration")
        ]
    return tuple(checks)


def guardrails(exam: CheckContext, generalisation: Generalisation) -> tuple[Guardrail, ...]:
    """Check predictions, calibration, cost and generalisation of the challenger on the holdout."""
    checks = prediction_guardrails(exam)
    finite = checks[0].outcome == "passed"
    theirs = _champion_predictions(exam) if finite else None
    return (*checks, _generalises(exam, generalisation, theirs), _size(exam), _speed(exam))


def check(name: str, passed: bool, found: str, limit: str) -> Guardrail:
    """Return the guardrail's record."""
    return Guardrail(name=name, outcome="passed" if passed else "failed", found=found, limit=limit)


def _too_alike(exam: CheckContext) -> str:
    """Why the holdout's labels cannot tell a sound model from a useless one, in words; empty when
    they can.
    """
    target = exam.holdout.target
    if exam.problem != "regression":
        others = len(target) - int(target.value_counts().max())
        if others >= OTHER_LABELS:
            return ""
        return (
            f"labels too much alike to tell: {others} of {OTHER_LABELS} are not the most"
            " frequent one"
        )
    spread = float(target.std(ddof=0)) / _scale(exam)
    if spread >= LEAST_SPREAD:
        return ""
    return (
        f"labels too much alike to tell: they spread {spread:.0%} of {LEAST_SPREAD:.0%} as far as"
        " those of training"
    )


# --- predictions ----------------------------------------------------------------------------------


def _outcomes(exam: CheckContext) -> np.ndarray:
    """What predictions stand for, (rows, 1), or (rows, classes) of 0 and 1."""
    target = exam.holdout.target.to_numpy()
    column = target[:, np.newaxis]
    if exam.problem == "multiclass":
        column = column == np.array(exam.challenger.trained.classes)
    outcomes: np.ndarray = column.astype("float64")
    return outcomes


def _champion_predictions(exam: CheckContext) -> np.ndarray | None:
    """What the champion predicts; None when it predicts other classes, or no numbers."""
    champion = exam.champion
    if champion is None or champion.trained.classes != exam.challenger.trained.classes:
        return None
    predicted = predict_frame(champion, exam.holdout, exam.problem)
    return predicted if np.isfinite(predicted).all() else None


def _columns(predicted: np.ndarray) -> np.ndarray:
    return predicted.reshape(len(predicted), -1)


def _bias(exam: CheckContext, predicted: np.ndarray, champion: np.ndarray | None) -> Guardrail:
    """Whether the mean prediction is near the mean label, of each class, as far as the rows can
    tell.

    The limit is widened by the mean's own 95% half-width over blocks of time: a few rows lie off by
    chance. Where labels are too much alike to show how far, or there is one block only, it is what
    a calibrated model would lie off. Of a quantile it is the share of labels below the prediction
    that must be near the quantile.
    """
    outcomes, quantile = _outcomes(exam), quantile_of(exam.metric)
    limit, unit, scale = exam.config.bias, "in probability", 1.0
    if exam.problem == "regression" and quantile is None:
        limit, unit = exam.config.bias_sd, "standard deviations of the training target"
        scale = _scale(exam)
    blocks, _ = time_blocks(exam.holdout.moments)

    def means(predictions: np.ndarray) -> list[Interval]:
        apart = (_columns(predictions) - outcomes) / scale
        if quantile is not None:
            apart = (apart >= 0) - quantile
        return [block_test(column, blocks).mean for column in apart.T]

    ours = means(predicted)
    theirs = [0.0] * len(ours) if champion is None else [abs(m.value) for m in means(champion)]
    chance = [m.high - m.value if math.isfinite(m.high) else 0.0 for m in ours]
    alike = _too_alike(exam)
    if alike or not all(math.isfinite(m.high) for m in ours):
        known = (
            quantile * (1 - quantile)
            if quantile is not None
            else _variance(exam, predicted) / scale**2
        )
        expected = _calibrated_half_width(_columns(predicted).shape, known, blocks)
        chance = [max(by, float(its)) for by, its in zip(chance, expected, strict=True)]
    passed = all(
        abs(m.value) <= max(limit + by, its)
        for m, by, its in zip(ours, chance, theirs, strict=True)
    )
    worst = max(range(len(ours)), key=lambda i: abs(ours[i].value) - chance[i])
    return check(
        "mean prediction near mean label",
        passed,
        f"{abs(ours[worst].value):.3f} apart, {unit}"
        + _beside(champion, f"{theirs[worst]:.3f}")
        + (f"; {alike}" if alike else ""),
        f"at most {limit}, and {chance[worst]:.3f} for chance",
    )


SLOPE_ROWS = 200
"""Rows below which a slope is not believed: a few clear days have hardly a label that differs."""


def _calibration(
    exam: CheckContext, predicted: np.ndarray, champion: np.ndarray | None
) -> Guardrail:
    """Whether the label rises with the prediction as it says, as far as the rows can tell.

    The least-squares slope of label over prediction is 1 when E[label | prediction] = prediction,
    since then their covariance is the prediction's variance (Mincer and Zarnowitz 1969); of classes
    it is pooled. Below 1 the model is too sure of itself, below 0 it is upside down. It fails when
    its whole 95% interval is out of bounds. The interval is no narrower than that of a calibrated
    model: on a few clear days the labels hardly vary, and that is nobody's fault. And it must
    matter: (1 - slope) times the predictions' standard deviation is above the limit of the bias.
    """
    most = exam.config.slope
    limit = f"its interval reaches {1 / most:.3g} to {most:.3g}"
    if quantile_of(exam.metric) is not None:
        return check(
            "calibration", True, "a quantile: judged by the share of labels below it", "none"
        )
    blocks, _ = time_blocks(exam.holdout.moments)
    outcomes = _outcomes(exam)
    ours = slope(predicted, outcomes, blocks, _variance(exam, predicted))
    alike = bool((outcomes == outcomes[0]).all())
    if len(predicted) < SLOPE_ROWS or alike or not math.isfinite(ours.high):
        rows = (
            f"{len(predicted):,} rows of {SLOPE_ROWS} in {len(set(blocks.tolist())):,} blocks of"
            " time"
        )
        why = f"too few rows, or predictions or labels too much alike, to tell: {rows}"
        return check("calibration", True, why, limit)
    reaches = ours.high >= 1 / most and ours.low <= most
    off = abs(1 - ours.value) * float(_columns(predicted).std(axis=0).max()) / _scale(exam)
    matters = off > (exam.config.bias_sd if exam.problem == "regression" else exam.config.bias)
    theirs = math.nan if champion is None else slope(champion, outcomes, blocks, 0.0).value
    no_worse = _from_one(ours.value) <= _from_one(theirs)
    return check(
        "calibration",
        reaches or no_worse or not matters,
        f"slope {ours}, {off:.3g} off" + _beside(champion, f"{theirs:.3g}"),
        limit,
    )


def _calibrated_half_width(
    shape: tuple[int, ...], variance: np.ndarray | float, blocks: np.ndarray
) -> np.ndarray:
    """95% half-width of the mean error of a calibrated model, (columns,), with rows of a block as
    good as one if that is more.
    """
    sd = np.sqrt(np.broadcast_to(variance, shape))
    of_blocks = np.column_stack([np.bincount(blocks, weights=column) for column in sd.T])
    summed: np.ndarray = np.maximum((sd**2).sum(axis=0), (of_blocks**2).sum(axis=0))
    half: np.ndarray = 1.96 * np.sqrt(summed) / len(sd)
    return half


def _scale(exam: CheckContext) -> float:
    """The unit of an error: the standard deviation of the training target, or a whole
    probability.
    """
    return (float(exam.train.target.std(ddof=0)) or 1.0) if exam.problem == "regression" else 1.0


def _variance(exam: CheckContext, predicted: np.ndarray) -> np.ndarray | float:
    """The variance of a row's label around the prediction of a calibrated model: p (1 - p), or that
    of training errors.
    """
    if exam.problem != "regression":
        p = _columns(predicted)
        variance: np.ndarray = p * (1 - p)
        return variance
    errors = exam.train.target.to_numpy(dtype="float64") - predict_frame(
        exam.challenger, exam.train, exam.problem
    )
    return float(errors.var())


def slope(
    predicted: np.ndarray, outcomes: np.ndarray, blocks: np.ndarray, variance: np.ndarray | float
) -> Interval:
    """Return the slope of ``outcomes`` (rows, columns) over ``predicted``, pooled over columns,
    with its 95% interval.

    Its standard error is that of the block jackknife, or what ``variance`` of a row's outcome makes
    by itself, with rows of a block as good as independent or as good as one, whichever is largest.
    NaN, with an endless interval, where all predictions are the same.
    """
    raw = _columns(predicted)
    p, y = raw - raw.mean(axis=0), outcomes - outcomes.mean(axis=0)
    least = 1e-20 * float((raw**2).mean())  # below it the variance is what rounding left

    def of(sums: np.ndarray) -> np.ndarray:
        rows, p1, y1, pp, py = sums[..., :1], *np.split(sums[..., 1:], 4, axis=-1)
        varies = (pp - p1**2 / rows).sum(axis=-1)
        together = (py - p1 * y1 / rows).sum(axis=-1)
        found: np.ndarray = np.where(varies > least * rows[..., 0], together / varies, np.nan)
        return found

    size = int(blocks.max()) + 1
    table = Terms((1.0, *p.T, *y.T, *(p * p).T, *(p * y).T), of).table(blocks, size)
    table = table[table[:, 0] > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(of(table.sum(axis=0)))
        error = standard_error(of(table.sum(axis=0) - table))
    if not math.isfinite(value) or not math.isfinite(error):
        return Interval(value=value, low=-math.inf, high=math.inf)
    weighed = p * np.sqrt(variance)
    of_blocks = np.column_stack([np.bincount(blocks, weights=w, minlength=size) for w in weighed.T])
    by_chance = math.sqrt(max((weighed**2).sum(), (of_blocks**2).sum())) / float((p * p).sum())
    half = float(stats.t.ppf(0.975, len(table) - 1)) * max(error, by_chance)
    return Interval(value=value, low=value - half, high=value + half)


def _from_one(slope: float) -> float:
    """How far a slope is from 1, the same for twice and half; NaN stays."""
    return abs(math.log(slope)) if slope > 0 else math.nan if math.isnan(slope) else math.inf


def _beside(champion: np.ndarray | None, found: str) -> str:
    return "" if champion is None else f"; the champion {found}"


# --- generalisation -------------------------------------------------------------------------------


def measure_generalisation(exam: CheckContext) -> Generalisation:
    """Return the losses on training rows and on the holdout, of the challenger and of one answer
    for all rows.

    The one answer is made from the training rows: the base rates, the mean, or the quantile that is
    asked for.
    """
    classes = exam.challenger.trained.classes
    seen, unseen = exam.train.target.to_numpy(), exam.holdout.target.to_numpy()
    if exam.problem == "multiclass":
        answer = (seen[:, np.newaxis] == np.array(classes)).mean(axis=0)[np.newaxis]
    elif (quantile := quantile_of(exam.metric)) is not None:
        answer = np.array([np.quantile(seen.astype("float64"), quantile)])
    else:
        answer = np.array([seen.astype("float64").mean()])

    def losses(target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return row_losses(target, predicted, exam.problem, classes, exam.metric)

    def constant(target: np.ndarray) -> np.ndarray:
        return losses(target, np.repeat(answer, len(target), axis=0))

    ours = losses(unseen, predict_frame(exam.challenger, exam.holdout, exam.problem))
    theirs = constant(unseen)
    blocks, _ = time_blocks(exam.holdout.moments)
    return Generalisation(
        train_loss=float(
            losses(seen, predict_frame(exam.challenger, exam.train, exam.problem)).mean()
        ),
        holdout_loss=float(ours.mean()),
        constant_train_loss=float(constant(seen).mean()),
        constant_holdout_loss=float(theirs.mean()),
        worse_than_constant=block_test(ours - theirs, blocks).mean,
    )


def _generalises(
    exam: CheckContext, found: Generalisation, champion: np.ndarray | None
) -> Guardrail:
    """Whether what was learned is of use on unseen rows: not clearly worse there than one answer
    for all rows.

    The gap between training and holdout is reported and not bounded by itself: a forest knows its
    training rows by heart, has a large gap, and predicts well. What a gap costs is known only
    against something useful.
    """
    most = exam.config.worse_than_constant
    limit = f"not clearly more than {most:.0%} above one answer for all"
    target, alike = exam.holdout.target.to_numpy(), _too_alike(exam)
    if alike and math.isfinite(found.holdout_loss):
        return check("generalises", True, alike, limit)
    theirs = math.nan
    if champion is not None:
        classes = exam.challenger.trained.classes
        theirs = float(row_losses(target, champion, exam.problem, classes, exam.metric).mean())
    worse = found.worse_than_constant
    low = worse.low if math.isfinite(worse.low) else worse.value
    clearly = worse.value > most * found.constant_holdout_loss and low > 0
    passed = math.isfinite(worse.value) and (not clearly or found.holdout_loss <= theirs)
    return check(
        "generalises",
        passed,
        f"loss {found.holdout_loss:.4g} on unseen rows, {found.train_loss:.4g} on training rows"
        f" (gap {found.gap:.4g}); one answer for all has {found.constant_holdout_loss:.4g}"
        + _beside(champion, f"{theirs:.4g}"),
        limit,
    )


# --- cost -----------------------------------------------------------------------------------------


def _size(exam: CheckContext) -> Guardrail:
    ours = exam.challenger.size
    if not ours:
        return Guardrail(
            name="size",
            outcome="not made",
            found="the stored model has no known size",
            limit="some bytes",
        )
    found = f"{ours / 1e6:,.2f} MB"
    if exam.champion is None:
        return check("size", True, found, "none: there is no champion to be larger than")
    most = max(exam.config.larger_from, exam.config.larger * exam.champion.size)
    return check("size", ours <= most, found, f"at most {most / 1e6:,.1f} MB")


def _speed(exam: CheckContext) -> Guardrail:
    """The least of three predictions of the same rows each, in turns, in CPU time: other work on
    the machine is no fault.
    """
    rows = exam.holdout.where(np.arange(len(exam.holdout)) < TIMED_ROWS)

    def taken(model: LoadedModel) -> float:
        began = time.process_time()
        predict_frame(model, rows, exam.problem)
        return time.process_time() - began

    models = [model for model in (exam.challenger, exam.champion) if model is not None]
    least = [
        min(its) for its in zip(*([taken(one) for one in models] for _ in range(3)), strict=True)
    ]
    found = f"{least[0] / len(rows) * 1e6:,.1f} microseconds a row"
    if len(least) == 1:
        return check("prediction time", True, found, "none: there is no champion to be slower than")
    most = max(exam.config.slower_from, exam.config.slower * least[1])
    return check(
        "prediction time", least[0] <= most, found, f"at most {most / len(rows) * 1e6:,.1f}"
    )
