"""How a batch is distributed against the training rows of the champion."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tasks.records.base import Record

ColumnKind = Literal["numerical", "categorical", "prediction", "target"]
DriftOutcome = Literal["steady", "drifted", "cannot be told", "not evaluable"]
"""``cannot be told``: no batch of this size could score beyond the threshold, so what is known of
its swings says nothing.
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


class Histogram(Record):
    """Shares of rows, bin by bin; they sum to one unless there were no values."""

    labels: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]


class MissingDrift(Record):
    """How far the share of missing values of one column moved from the reference."""

    score: float
    """Population stability index of the two shares, missing and not."""
    threshold: float | None
    p_value: float
    outcome: DriftOutcome


class FeatureDrift(Record):
    """How far one column moved from the reference."""

    feature: str
    kind: ColumnKind
    score: float | None
    """Population stability index of the values that are there; None when it could not be
    computed.
    """
    threshold: float | None
    """The score beyond which it has drifted: the smallest that matters, or what chance and the
    usual swings reach. None where no batch of this size could reach it.
    """
    p_value: float | None = None
    """Probability of such a score when nothing has changed; None when it could not be computed."""
    outcome: DriftOutcome
    """``drifted`` when its values have, or the share of those that are missing."""
    missing_before: float
    missing_after: float
    missing: MissingDrift | None = None
    """None where none is missing on either side, or missing values are not watched."""
    importance: float | None
    """Loss added when the feature is shuffled, in the champion's holdout; None when unknown."""
    histogram: Histogram
    note: str = ""


class DriftReference(Record):
    """What a batch was held against, and how the thresholds were made."""

    kind: Literal["training", "season"] = "training"
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
    """Scores, of values and of missing ones, that the false alarms were shared among; the target's
    is not counted.
    """
    level: float | None = None
    """The p-value below which a column is named in this report, after Holm's correction."""
    psi: float = 0.1
    """The smallest score that matters."""
    seed: int = 0


class DriftSummary(Record):
    """One batch against the baseline that travels with the champion."""

    batch: str
    version: int
    rows: int
    baseline_rows: int
    features: tuple[FeatureDrift, ...]
    reference: DriftReference = DriftReference()

    @property
    def share(self) -> float:
        """Share of the evaluable features that drifted; prediction and target are no features."""
        judged = [f for f in self.inputs if f.outcome != "not evaluable"]
        return sum(f.outcome == "drifted" for f in judged) / len(judged) if judged else 0.0

    @property
    def inputs(self) -> tuple[FeatureDrift, ...]:
        """The features alone."""
        return tuple(f for f in self.features if f.kind in ("numerical", "categorical"))
