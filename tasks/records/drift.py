"""How a batch is distributed against the training rows of the champion."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tasks.records.base import Record
from tasks.records.evaluation import Interval

ColumnKind = Literal["numerical", "categorical", "prediction", "target"]
DriftOutcome = Literal["usual", "unusual", "cannot be told", "not evaluable"]
"""``cannot be told``: no batch of this size could score beyond the threshold, so what is known of
its swings says nothing. It is an answer of its own, and never counted as usual.
"""


class TimeBlock(Record):
    """A stretch of training time; a feature's counts in each say how much it swings when nothing is
    wrong.
    """

    start: datetime
    end: datetime
    """Just after the newest row."""
    rows: int


class FeatureProfile(Record):
    """How one column was distributed over the champion's training rows."""

    feature: str
    kind: ColumnKind
    edges: tuple[float, ...] = ()
    """Inner bin edges of a number, increasing: ``len(edges) + 1`` bins."""
    categories: tuple[str, ...] = ()
    """The named bins of a category; a last bin holds everything else."""
    counts: tuple[int, ...]
    missing: int
    quantiles: tuple[float, ...] = ()
    """Of a number's finite values, at equal steps from the smallest to the largest."""
    rare: tuple[str, ...] | None = ()
    """Categories of training rows that share the last bin; None where they are too many to keep."""
    blocks: tuple[tuple[int, ...], ...] = ()
    """Counts in each of the baseline's time blocks, the missing values last: (blocks, bins + 1)."""
    earlier: tuple[tuple[int, ...], ...] = ()
    """The same in each of its earlier blocks; all zero in batches that are no reference of this
    column.
    """
    left_out: tuple[str, ...] = ()
    """Those batches, oldest first: the column had moved in them against the same season of a year
    before.
    """
    span: int | None = None
    """Length, in time blocks, of what ``counts`` were counted on when it is not the training rows:
    the prediction's are those of the holdout.
    """
    importance: float | None = None


class RelationProfile(Record):
    """What the other columns say that a number should be, and how far it was from that."""

    feature: str
    weights: tuple[float, ...]
    """First the constant, then of each bin of each of the baseline's related columns, in their
    order, then of their standardised values; the column's own are 0.
    """
    edges: tuple[float, ...]
    """Inner bin edges of the standardised value minus the expected one."""
    blocks: tuple[tuple[int, ...], ...]
    """Counts of later training rows in these bins by time block, each by a model of the rows before
    its fold: (blocks, bins).
    """


class BaselineProfile(Record):
    """What travels with a model so that later batches can be held against its training data."""

    rows: int
    features: tuple[FeatureProfile, ...]
    blocks: tuple[TimeBlock, ...] = ()
    """Oldest first, bounded in number; they need not cover all training time."""
    blocks_per_batch: int = 1
    earlier: tuple[TimeBlock, ...] = ()
    """Accepted batches older than the training rows, oldest first: no training data, but seasons to
    compare with.
    """
    related: tuple[str, ...] = ()
    """Features that say what the others should be."""
    relations: tuple[RelationProfile, ...] = ()
    """Of the numbers among them."""


class Histogram(Record):
    """Shares of rows, bin by bin, to be drawn; they sum to one unless there were no values."""

    labels: tuple[str, ...]
    """Of categories; none of a number's bins."""
    before: tuple[float, ...]
    """Of the training rows; of predictions, those for the holdout."""
    after: tuple[float, ...]
    ends: tuple[float, float] | None = None
    """Where the axis of a number's bins, all of one width, begins and ends; what lies beyond is in
    the first and the last.
    """


class Move(Record):
    """How far one column is from what the champion was trained on. It alarms nobody."""

    score: float | None
    """Population stability index against all training rows; None without a value on either side."""
    chance: float
    """The score that sampling alone reaches, at the batch's size, in independent rows."""
    values: bool
    """Whether the values moved: beyond chance, and beyond the smallest score that matters."""
    gaps: bool
    """The same of the share of missing values."""
    missing: float
    """Share of missing values in training."""
    median: tuple[float, float] | None = None
    """Of training and of the batch, in the column's own unit; None where there is none."""
    below: float = 0.0
    """Share of the batch's rows below anything in training."""
    above: float = 0.0
    unseen: float = 0.0
    """Share of rows whose category training never held."""

    @property
    def moved(self) -> bool:
        """Whether values or missing values moved."""
        return self.values or self.gaps

    @property
    def outside(self) -> float:
        """Share of the batch's rows that lie outside of what training held."""
        return self.below + self.above + self.unseen


class Relation(Record):
    """A number against what the other columns say that it should be."""

    score: float
    """Population stability index of how far it is from that, against training rows."""
    threshold: float | None
    p_value: float
    outcome: DriftOutcome
    expected: float
    """The median that the other columns lead one to expect, in the column's own unit."""
    found: float
    leans_on: tuple[str, ...] = ()
    """Columns that are unusual, and whose values were replaced by the expected ones before."""


class Effect(Record):
    """What a move is expected to do to the champion, from what its holdout says of such rows."""

    loss: Interval | None
    """Expected loss minus the holdout's; None where the holdout says nothing of most rows."""
    prediction: Interval | None
    """The same of the mean prediction, of several classes that of the surest one's probability."""
    unknown: float
    """Share of the batch's rows that lie outside of training, or where the holdout has too few."""
    rows: float
    """Rows that the holdout is worth, weighted as the batch is (Kish 1965)."""


class MissingDrift(Record):
    """How far the share of missing values of one column moved from the reference."""

    score: float
    """Population stability index of the two shares, missing and not."""
    threshold: float | None
    p_value: float
    outcome: DriftOutcome


class FeatureDrift(Record):
    """Three answers about one column, kept apart: whether it moved, whether that is unusual, and
    what it is expected to do to the champion.
    """

    feature: str
    kind: ColumnKind
    score: float | None
    """Population stability index of the values that are there; None when it could not be
    computed.
    """
    threshold: float | None
    """The score beyond which it is unusual: the smallest that matters, or what chance and the
    usual swings reach. None where no batch of this size could reach it.
    """
    p_value: float | None = None
    """Probability of such a score when nothing has changed; None when it could not be computed."""
    outcome: DriftOutcome
    """``unusual`` when its values are, or the share of those that are missing, or what it is to the
    other columns.
    """
    missing_before: float
    """Of the reference."""
    missing_after: float
    missing: MissingDrift | None = None
    """None where none is missing on either side, or missing values are not watched."""
    importance: float | None
    """Loss added when the feature is shuffled, in the champion's holdout; None when unknown."""
    histogram: Histogram
    move: Move | None = None
    """Against all training rows; None where the batch has no rows to compare."""
    relation: Relation | None = None
    """None for what is no number, and where training held too little to learn it from."""
    effect: Effect | None = None
    """None for what is no feature, and where the holdout says nothing."""
    note: str = ""

    @property
    def moved(self) -> bool:
        """Whether it moved, unusual or not."""
        return self.move is not None and self.move.moved


class DriftReference(Record):
    """What a batch was held against, and how the thresholds were made."""

    kind: Literal["training", "season"] = "training"
    like: str = ""
    """What a season's rows have in common with the batch, for people."""
    spans: tuple[tuple[datetime, datetime], ...] = ()
    """From when to when, stretch by stretch."""
    rows: int = 0
    earlier: int = 0
    """How many of the rows are older than the champion's training rows."""
    reason: str = ""
    """Why this one, for people."""
    runs: float = 0
    """How many stretches as long as a batch the training time held; 0 when time could not be
    resampled.
    """
    false_alarms: float = 0.05
    """Probability that a report names anything when nothing has changed."""
    tests: int = 0
    """Scores, of values, of missing ones and of relations, that the false alarms were shared among;
    the target's is not counted.
    """
    level: float | None = None
    """The p-value below which a column is named in this report, after Holm's correction."""
    psi: float = 0.1
    """The smallest score that matters."""
    seed: int = 0


class Outside(Record):
    """Rows outside of what training held in one feature or more, and the champion's loss there."""

    rows: int
    share: float
    inside: Interval | None = None
    """Loss of the rows within, once labels are mature; None where there are none."""
    outside: Interval | None = None


class DriftSummary(Record):
    """One batch against the baseline that travels with the champion."""

    batch: str
    version: int
    rows: int
    baseline_rows: int
    features: tuple[FeatureDrift, ...]
    reference: DriftReference = DriftReference()
    outside: Outside | None = None
    together: Effect | None = None
    """Of all features that moved, with what is predicted now; None where nothing moved, or the
    holdout says nothing.
    """
    predicted: tuple[float, float] | None = None
    """The mean prediction for the holdout and for the batch; of several classes that of the surest
    one's probability.
    """

    @property
    def share(self) -> float | None:
        """Share of the features of which it can be told that are unusual; None where it can be told
        of none. Prediction and target are no features.
        """
        told = [f for f in self.inputs if f.outcome in ("usual", "unusual")]
        return sum(f.outcome == "unusual" for f in told) / len(told) if told else None

    @property
    def inputs(self) -> tuple[FeatureDrift, ...]:
        """The features alone."""
        return tuple(f for f in self.features if f.kind in ("numerical", "categorical"))

    def judged(self, inside: Interval | None, outside: Interval | None) -> DriftSummary:
        """Return the summary with the champion's loss within and outside of what training held."""
        if self.outside is None:
            return self
        return self.but(outside=self.outside.but(inside=inside, outside=outside))
