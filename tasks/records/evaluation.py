"""How models did on labelled rows, alone and against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from tasks.records.base import JudgedBy, Record
from tasks.records.model import Errors, LeftOut, RowSpan


class Interval(Record):
    """An estimate with its two-sided 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(
        cls, value: float, half: float, bounds: tuple[float, float] = (-math.inf, math.inf)
    ) -> Interval:
        """Return ``value`` with ``half`` of its interval on either side, within ``bounds``.

        Between two finite bounds the interval is symmetric on the logit scale, with the standard
        error of the delta method (Agresti 2013, section 3.1.6); at one bound it is cut, which
        leaves its coverage as it is. It is endless where ``half`` is no number.
        """
        low, high = bounds
        if not math.isfinite(half) or not math.isfinite(value):
            return cls(value=value, low=-math.inf, high=math.inf)
        share = (value - low) / (high - low) if math.isfinite(high - low) else 0.0
        if not 0 < share < 1:
            return cls(value=value, low=max(value - half, low), high=min(value + half, high))
        reach = half / (high - low) / (share * (1 - share))
        logit = math.log(share / (1 - share))

        def end(of: float) -> float:
            return low + (high - low) * (1 + math.tanh(of / 2)) / 2

        # Rounding moves neither end past the value.
        return cls(
            value=value, low=min(end(logit - reach), value), high=max(end(logit + reach), value)
        )

    @property
    def known(self) -> bool:
        """Whether both ends are finite: on too few blocks of time they are not."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def at_least(self, least: float) -> Interval:
        """Return the interval without what is below ``least``; an endless one as it is."""
        return self.but(low=max(self.low, least)) if self.known else self

    def __str__(self) -> str:
        ends = f"[{self.low:.4g}, {self.high:.4g}]" if self.known else "(interval unknown)"
        return f"{self.value:.4g} {ends}"


class SliceScore(Record):
    """Mean loss and metric on the rows where ``column`` is ``value``."""

    column: str
    value: str
    rows: int
    loss: Interval
    score: Interval | None = None
    """The user's metric; None where it is not defined, as AUC on one class."""


class Performance(Record):
    """How one model did on the mature labels of one batch."""

    batch: str
    version: int
    rows: int
    blocks: int
    metric: str
    score: Interval | None
    """The user's metric; None where it is not defined, as AUC on one class: the loss judges."""
    loss: Interval
    metrics: Mapping[str, Interval]
    slices: tuple[SliceScore, ...] = ()
    errors: Errors | None = None
    """Of a regression."""

    @property
    def loss_error(self) -> float:
        """The standard error of the loss, from its interval; where that is unknown, as if each
        row's loss spread as far as it is large, which an exponential one does.
        """
        if self.loss.known:
            return (self.loss.high - self.loss.value) / 1.96
        return abs(self.loss.value) / math.sqrt(self.rows)


class Estimate(Record):
    """How one model probably does on a batch before its labels are known: blind to concept drift,
    and no evidence.
    """

    version: int
    rows: int
    reference: tuple[str, ...]
    """Batches with mature labels that it rests on."""
    reference_rows: int
    metric: str
    score: Interval
    loss: Interval
    moved: float = 0.0
    """How far the predictions moved from the reference's, chi-squared over ten bins of these:
    1 / (1 + moved) of the reference's rows are like the batch's.
    """
    checked: int = 0
    """Earlier estimates whose truth is known ..."""
    held: int = 0
    """... and those of them whose intervals of score and loss both held it."""
    withheld: str = ""
    """Why it is not shown; kept all the same, to be checked when the labels come."""

    def held_by(self, truth: Performance) -> bool | None:
        """Whether what the labels then said lies in the intervals; None where it says nothing of
        this version or its metric.
        """
        if truth.version != self.version or truth.score is None:
            return None
        told = ((self.score, truth.score), (self.loss, truth.loss))
        return all(one.low <= other.value <= one.high for one, other in told)


class SliceComparison(Record):
    """Challenger against champion on one slice."""

    column: str
    value: str
    rows: int
    blocks: int
    challenger_loss: float
    champion_loss: float
    p_worse: float
    """One-sided p-value against 'the challenger is not worse here'."""


class UtilityComparison(Record):
    """What two models' predictions are worth on the same rows, per row; more is better."""

    challenger: Interval
    champion: Interval
    difference: Interval
    """Challenger minus champion, paired."""


class Comparison(Record):
    """Two models on the same rows, paired and clustered by blocks of time."""

    rows: int
    blocks: int
    minority: int | None = None
    """Rows whose label is not the most frequent one; None for regression."""
    block_hours: float
    """Mean length of a block; 0 where all rows have one moment."""
    challenger_loss: float
    champion_loss: float
    difference: Interval
    """Challenger minus champion: negative when the challenger is better."""
    t: float
    """``difference / standard error``, with ``blocks - 1`` degrees of freedom."""
    p_better: float
    """One-sided p-value against 'the challenger is not better'."""
    metric: str
    challenger_score: Interval | None
    """None where the metric is not defined on these rows; NaN where a prediction is no number."""
    champion_score: Interval | None
    greater_is_better: bool
    slices: tuple[SliceComparison, ...] = ()
    judged_by: JudgedBy = "log_loss"
    """What ``challenger_loss``, ``champion_loss`` and all that follows from them are: the loss that
    the models are trained by; the user's metric, turned round where more of it is better; or what
    a row costs.
    """
    loss_tells: float | None = None
    """Where it is another than the loss that models are trained by: the difference that the same
    rows could tell by that loss, as ``detectable`` is.
    """
    utility: UtilityComparison | None = None
    """What the predictions are worth; None where the spec says nothing of it."""
    block_means: tuple[float, ...] = ()
    """Mean difference of each block of time, oldest first: what a test that is looked at repeatedly
    needs.
    """

    @property
    def detectable(self) -> float:
        """The smallest excess loss, as a share of the champion's, that a one-sided test at 5% finds
        in four of five cases: (1.645 + 0.842) standard errors, which are the half width of the
        interval over 1.96; NaN when the champion has no loss.
        """
        half = self.difference.high - self.difference.value
        if not self.champion_loss:
            return math.nan
        return (1.645 + 0.842) / 1.96 * half / abs(self.champion_loss)


class Guardrail(Record):
    """One sanity check on the challenger. A check that could not be made has not passed."""

    code: str
    """Which check it is, such as KM004 (tasks/check_codes.py)."""
    name: str
    outcome: Literal["passed", "failed", "not made"]
    found: str
    limit: str


class Generalisation(Record):
    """What a model gained over one answer for all rows, on rows that it was trained on and on rows
    that it was not.
    """

    train_loss: float
    holdout_loss: float
    constant_train_loss: float
    """Of the one answer: the base rates, mean or quantile of the training rows."""
    constant_holdout_loss: float
    worse_than_constant: Interval
    """Mean loss on the holdout minus that of the one answer, by blocks of time."""

    @property
    def gap(self) -> float:
        """How much higher the loss is on unseen rows."""
        return self.holdout_loss - self.train_loss


class Evidence(Record):
    """The frozen record that a promotion decision rests on."""

    type: Literal["promotion"] = "promotion"
    model: str
    batch: str
    kind: Literal["first", "refresh", "change of recipe"]
    challenger: int
    champion: int | None
    attempt: int
    """How many changes of recipe were judged since one was promoted, this one included."""
    holdout: tuple[RowSpan, ...]
    comparison: Comparison | None
    """None for the first champion, and when the rows could not judge."""
    not_compared: str = ""
    """Why there is no comparison although there is a champion."""
    guardrails: tuple[Guardrail, ...]
    generalisation: Generalisation | None = None
    """None when it could not be measured."""
    folds: int = 0
    """Fits of the challenger's recipe that predicted the holdout, each for a batch newer than its
    rows; 0 when the challenger itself has not seen the holdout, and predicted it.
    """
    pooled: tuple[str, ...] = ()
    """Batches after the holdout's that were pooled with it, because the holdout alone was too
    little.
    """
    left_out: tuple[LeftOut, ...] = ()
    """Candidates that could not be trained."""
    change: str = ""
    """Why the champion's newest loss is another than on its holdout, in words; it decides
    nothing.
    """
