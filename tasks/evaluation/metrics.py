"""The metrics that users ask for, with intervals that respect time.

Every metric here is a function of sums over rows: of losses, of hits and misses, of rows by bin of
their score. So it is known without a block of time as soon as the sums of that block are taken
away, and the jackknife over blocks costs one pass over the rows, however many blocks there are.
scikit-learn gives no sums by block, takes no probabilities for labels, and needs twice as long for
the AUC of ten million rows alone as value and interval take here; the tests hold each value against
scikit-learn's.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.errors import KingmakerError
from tasks.evaluation.config import bounds_of, power_of, quantile_of, top_of
from tasks.evaluation.objective import CLIP, Objective, deviance, log_loss, pinball
from tasks.records import Interval

BINS = 4096
"""Bins of scores that stand for single scores where a block is left out: the interval's width
changes by under 1%.
"""


class EvaluationError(KingmakerError, ValueError):
    """The rows cannot judge a model: too few, one class only, or a prediction that is no number."""


class UndefinedMetricError(EvaluationError):
    """The metric is not defined on these rows, whatever the model, as AUC is not on one class."""


# --- metrics --------------------------------------------------------------------------------------


def score(objective: Objective, target: np.ndarray, predicted: np.ndarray) -> float:
    """Return the objective's metric; classes are cut at 0.5, or at the largest probability.

    The target of a binary problem may hold probabilities, that of a multiclass one may be (rows,
    classes) of them: the metric is then what labels drawn from them would give. ``_ovr`` is the
    mean over the classes that occur in the target, each against the rest; ``_macro`` that over the
    classes that occur or are predicted. Raises EvaluationError when the metric is not defined on
    these rows, as AUC is not on one class.
    """
    _refuse_no_numbers(predicted)
    return _exact(objective, tuple(_parts(objective, target, predicted)), len(target))


def leave_one_out(
    objective: Objective, target: np.ndarray, predicted: np.ndarray, blocks: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the metric, and the metric without each block in turn, (blocks with rows,), in the
    order of ``blocks``.

    ``blocks`` (rows,), whole numbers from 0, is the block of time of each row. Where the metric is
    not defined without a block it is NaN there. Raises as ``score`` does.
    """
    _refuse_no_numbers(predicted)
    parts = tuple(_parts(objective, target, predicted))
    value = _exact(objective, parts, len(target))
    used = np.bincount(blocks) > 0
    without = []
    for part in parts:
        table = part.table(blocks, len(used))[used]
        with np.errstate(divide="ignore", invalid="ignore"):
            without.append(part.value(table.sum(axis=0) - table))
    return value, np.mean(without, axis=0)


def jackknife(
    value: float, without: np.ndarray, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Return ``value`` with its 95% interval within ``bounds``, from what it is without each block,
    (blocks,).

    With B blocks and theta_(b) the value without block b: se^2 = (B - 1) / B * sum (theta_(b) -
    mean)^2, and the interval is theta +- t(0.975, B - 1) * se (Efron and Tibshirani 1993, chapter
    11, with blocks for rows, Kunsch 1989). It needs no independence within a block. It is endless
    with fewer than three blocks, and where the value hangs on one.
    """
    se = standard_error(without)
    half = float(stats.t.ppf(0.975, len(without) - 1)) * se if math.isfinite(se) else math.inf
    return Interval.around(value, half, bounds)


def standard_error(without: np.ndarray) -> float:
    """Return the jackknife's standard error; infinite where there is none."""
    if len(without) < 3 or not np.isfinite(without).all():
        return math.inf
    return float(
        np.sqrt((len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum())
    )


def score_interval(
    objective: Objective, target: np.ndarray, predicted: np.ndarray, blocks: np.ndarray
) -> Interval:
    """Return the metric with its 95% interval over blocks of time; raises as ``score`` does."""
    found = leave_one_out(objective, target, predicted, blocks)
    return jackknife(*found, bounds=bounds_of(objective.metric, objective.problem))


def _exact(objective: Objective, parts: Sequence[Terms | _Ranked | _Median], rows: int) -> float:
    value = statistics.fmean(part.exact() for part in parts)
    if not math.isfinite(value):
        raise UndefinedMetricError(
            f"{objective.metric}: expected a number on {rows:,} rows, found {value}"
        )
    return value


def _refuse_no_numbers(predicted: np.ndarray) -> None:
    if not np.isfinite(predicted).all():
        raise EvaluationError(
            f"expected finite predictions, found {int((~np.isfinite(predicted)).sum())} that"
            " are not"
        )


@dataclass(frozen=True)
class Terms:
    """A metric of sums over rows: ``value`` goes from the sums, (..., terms), to the metric,
    (...).
    """

    terms: Sequence[np.ndarray | float]
    """What is summed, each (rows,); a number is the same in each row."""
    value: Callable[[np.ndarray], np.ndarray]

    def table(self, blocks: np.ndarray, size: int) -> np.ndarray:
        """The sums by block, (blocks, terms)."""

        def column(term: np.ndarray | float) -> np.ndarray:
            if isinstance(term, float):
                return term * np.bincount(blocks, minlength=size)
            return np.bincount(blocks, weights=term, minlength=size)

        return np.column_stack([column(term) for term in self.terms])

    def exact(self) -> float:
        """The metric on all rows."""
        rows = next(len(term) for term in self.terms if not isinstance(term, float))
        sums = [
            term * rows if isinstance(term, float) else float(term.sum()) for term in self.terms
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.value(np.array(sums)))


@dataclass(frozen=True)
class _Ranked:
    """A metric of the order of scores: ``of`` goes from the weights by score, rising, (...,
    scores), to the metric.

    As one number it is exact. Without a block the scores are those of at most BINS bins of equal
    counts.
    """

    scores: np.ndarray
    weights: Sequence[np.ndarray]
    """What is counted of each score, each (rows,), such as positives and negatives."""
    of: Callable[..., np.ndarray]

    @functools.cached_property
    def _rising(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """The rows in the order of their scores, and scores and weights in that order, each
        (rows,).
        """
        order = np.argsort(self.scores)
        return order, self.scores[order], tuple(weights[order] for weights in self.weights)

    def exact(self) -> float:
        """The metric on all rows."""
        _, rising, counted = self._rising
        tied = rising[1:] == rising[:-1]
        if tied.any():
            firsts = np.flatnonzero(np.concatenate(([True], ~tied)))
            counted = tuple(np.add.reduceat(weights, firsts) for weights in counted)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.of(*counted))

    def table(self, blocks: np.ndarray, size: int) -> np.ndarray:
        """The weights by block and bin, (blocks, weights x bins)."""
        order, rising, counted = self._rising
        edges = _edges(rising)
        # Rows in the order of their scores lie bin after bin: what remains is to tell their blocks
        # apart.
        bins = np.repeat(
            np.arange(len(edges)), np.diff(np.searchsorted(rising, edges), append=len(rising))
        )
        bins += blocks[order] * len(edges)
        tables = [
            np.bincount(bins, weights=weights, minlength=size * len(edges)).reshape(
                size, len(edges)
            )
            for weights in counted
        ]
        return np.concatenate(tables, axis=1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        return self.of(*np.split(sums, len(self.weights), axis=-1))


@dataclass(frozen=True)
class _Median:
    """The median of ``values`` (rows,).

    Without a block it is read off at most BINS bins of equal counts.
    """

    values: np.ndarray

    def exact(self) -> float:
        """The metric on all rows."""
        return float(np.median(self.values))

    def table(self, blocks: np.ndarray, size: int) -> np.ndarray:
        """The rows by block and bin, (blocks, bins)."""
        return _Ranked(self.values, (self.values * 0 + 1,), self.value).table(blocks, size)

    def value(self, sums: np.ndarray) -> np.ndarray:
        edges = _edges(np.sort(self.values))
        middles = sums.cumsum(axis=-1) - sums / 2
        return np.array(
            [np.interp(row.sum() / 2, at, edges) for row, at in zip(sums, middles, strict=True)]
        )


def _edges(rising: np.ndarray) -> np.ndarray:
    """Lower edges of at most about BINS bins of equal counts, rising; each value is one where there
    are that few.
    """
    return np.unique(rising[:: max(1, len(rising) // BINS)])


def _roc_auc(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The share of pairs in the right order, ties counted half (Hanley and McNeil 1982)."""
    below = negative.cumsum(axis=-1)
    below -= negative / 2
    pairs = np.einsum("...i,...i->...", positive, below)
    auc: np.ndarray = pairs / positive.sum(axis=-1) / negative.sum(axis=-1)
    return auc


def _average_precision(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The mean of the precisions at each positive, from the highest score down."""
    hits = positive[..., ::-1].cumsum(axis=-1)
    found = hits + negative[..., ::-1].cumsum(axis=-1)
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    mean = (positive[..., ::-1] * precision).sum(axis=-1) / positive.sum(axis=-1)
    defined: np.ndarray = np.where(negative.sum(axis=-1) > 0, mean, np.nan)
    return defined


_RANKED = {"roc_auc": _roc_auc, "average_precision": _average_precision}


def _at_top(kind: str, most: float, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Precision, or lift over the share of positives, of the ``most`` highest scores: so many rows,
    or, below 1, that share of them. Of rows that share the last score taken, their mean counts.
    """
    none = [(0, 0)] * (positive.ndim - 1) + [(1, 0)]
    found, others = (np.pad(one[..., ::-1], none).cumsum(axis=-1) for one in (positive, negative))
    rows = found + others
    total = rows[..., -1]
    wanted = np.minimum(most if most >= 1 else most * total, total)
    flat = zip(
        np.atleast_1d(wanted).ravel(),
        rows.reshape(-1, rows.shape[-1]),
        found.reshape(-1, found.shape[-1]),
        strict=True,
    )
    hits = np.array([np.interp(one, at, of) for one, at, of in flat]).reshape(np.shape(total))
    precision: np.ndarray = hits / wanted
    return precision if kind == "precision" else precision / (found[..., -1] / total)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """0 where nothing is counted, as scikit-learn's ``zero_division=0``."""
    ratio: np.ndarray = np.divide(over, under, out=np.zeros_like(over), where=under > 0)
    return ratio


_HITS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "f1": lambda hits, called, there: _ratio(2 * hits, called + there),
    "precision": lambda hits, called, _: _ratio(hits, called),
    "recall": lambda hits, _, there: _ratio(hits, there),
}
"""Of rows that are positive and called so, called so, and positive."""


def _mean(losses: np.ndarray) -> Terms:
    return Terms((losses, 1.0), lambda sums: sums[..., 0] / sums[..., 1])


def _parts(
    objective: Objective, target: np.ndarray, predicted: np.ndarray
) -> Iterator[Terms | _Ranked | _Median]:
    """What the metric is the mean of."""
    if objective.problem == "regression":
        yield _regression(objective.metric, target.astype("float64"), predicted)
    elif objective.problem == "multiclass":
        yield from _multiclass(objective.metric, target, predicted, objective.classes)
    else:
        yield _binary(objective.metric, target.astype("float64"), predicted)


def _binary(metric: str, y: np.ndarray, predicted: np.ndarray) -> Terms | _Ranked:
    top = top_of(metric)
    if top is not None:
        return _Ranked(predicted, (y, 1 - y), functools.partial(_at_top, *top))
    if metric in _RANKED:
        if not 0 < y.sum() < len(y):
            raise UndefinedMetricError(
                f"{metric}: expected at least two classes in the target, found one"
            )
        return _Ranked(predicted, (y, 1 - y), _RANKED[metric])
    called = (predicted >= 0.5).astype("float64")
    if metric in _HITS:
        of = _HITS[metric]
        return Terms(
            (y * called, called, y), lambda sums: of(sums[..., 0], sums[..., 1], sums[..., 2])
        )
    losses: dict[str, Callable[[], np.ndarray]] = {
        "log_loss": lambda: log_loss(y, predicted),
        "brier": lambda: y * (1 - predicted) ** 2 + (1 - y) * predicted**2,
        "accuracy": lambda: y * called + (1 - y) * (1 - called),
    }
    return _mean(losses[metric]())


def _multiclass(
    metric: str, target: np.ndarray, predicted: np.ndarray, classes: Sequence[str]
) -> Iterator[Terms | _Ranked]:
    shares = _class_shares(target, classes)
    name, _, mean = metric.rpartition("_")
    if mean == "ovr":
        there = [i for i in range(len(classes)) if shares[:, i].any()]
        if len(there) < 2:
            raise UndefinedMetricError(
                f"{metric}: expected at least two classes in the target, found one"
            )
        for i in there:
            yield _Ranked(predicted[:, i], (shares[:, i], 1 - shares[:, i]), _RANKED[name])
        return
    # A label that the model does not know is a class that it gives no probability.
    predicted = np.pad(predicted, ((0, 0), (0, shares.shape[1] - predicted.shape[1])))
    called = np.eye(shares.shape[1])[predicted.argmax(axis=1)]
    if mean == "macro":
        of = _HITS[name]

        def macro(sums: np.ndarray) -> np.ndarray:
            hits, calls, there = np.split(sums, 3, axis=-1)
            seen = (calls + there > 0).sum(axis=-1)
            found: np.ndarray = of(hits, calls, there).sum(axis=-1) / seen
            return found

        yield Terms((*(shares * called).T, *called.T, *shares.T), macro)
        return
    losses = {
        "log_loss": lambda: -(shares * np.log(np.clip(predicted, CLIP, 1.0))).sum(axis=1),
        "brier": lambda: (shares * (1 - 2 * predicted)).sum(axis=1) + (predicted**2).sum(axis=1),
        "accuracy": lambda: (shares * called).sum(axis=1),
    }
    yield _mean(losses[metric]())


def _class_shares(target: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The target as (rows, classes) of shares; labels beyond ``classes`` are columns after
    those of ``classes``.
    """
    if target.ndim == 2:
        return target
    labels = target.astype("str")
    known = [*classes, *sorted(set(labels.tolist()) - set(classes))]
    shares: np.ndarray = (labels[:, np.newaxis] == np.array(known)).astype("float64")
    return shares


def _regression(metric: str, y: np.ndarray, predicted: np.ndarray) -> Terms | _Median:
    errors = y - predicted
    if metric == "median_absolute_error":
        return _Median(np.abs(errors))
    if metric == "rmse":
        return Terms((errors**2, 1.0), lambda sums: np.sqrt(sums[..., 0] / sums[..., 1]))
    if metric == "r2":
        centred = y - y.mean()  # R squared does not see the shift, and the sums keep their digits

        def r2(sums: np.ndarray) -> np.ndarray:
            spread = sums[..., 1] - sums[..., 2] ** 2 / sums[..., 3]
            varies = spread > 1e-12 * sums[..., 1]
            return np.where(varies, 1 - sums[..., 0] / np.where(varies, spread, 1.0), np.nan)

        return Terms((errors**2, centred**2, centred, 1.0), r2)
    losses = {
        "mae": lambda: np.abs(errors),
        "mape": lambda: np.abs(errors) / np.maximum(np.abs(y), np.finfo("float64").eps),
    }
    quantile, power = quantile_of(metric), power_of(metric)
    if power is not None:
        return _mean(deviance(y, predicted, power))
    return _mean(losses[metric]() if quantile is None else pinball(errors, quantile))
