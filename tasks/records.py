"""The frozen records that pass between rooms. Rooms meet here and nowhere else.

Records are plain values: they validate on construction, compare by value, and go to JSON and back
unchanged, so a decision can be explained from the ledger years later. The classes at the end hold
what lives in memory only; they pass from task to task of one process and are never stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.batches import Batch

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Problem = Literal["binary", "multiclass", "regression"]
WindowKind = Literal["all history", "sliding"]
Form = Literal["skops", "pickle"]


class Record(BaseModel):
    """Base of every record: immutable, and strict about what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def digest(self) -> str:
        """Hex digest of the record's JSON: equal records, equal digests."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


# --- ingest and validation ------------------------------------------------------------------------


class Part(Record):
    """One Parquet file of a snapshot."""

    file: str
    rows: int
    sha256: str
    """Digest of the file's bytes: a changed or truncated file is refused."""


class Snapshot(Record):
    """A batch as it was read: immutable."""

    contract: str
    contract_version: str
    batch: Batch
    sha256: str
    """Digest of the content: the same rows in any order give the same digest."""
    rows: int
    parts: tuple[Part, ...]
    path: str
    """Directory in the lake, relative to it."""
    source: str
    """Where it was read from, for people."""


class RuleOutcome(Record):
    """What became of one rule of the contract."""

    rule: str
    description: str
    scope: Literal["schema", "row", "batch"]
    severity: Literal["error", "warning", "info"]
    outcome: Literal["passed", "failed", "not_run"]
    count: int = 0
    """Rows that break a row rule; 1 for a broken schema or batch rule."""
    found: str = ""
    """What was found instead, with at most three examples; sensitive values are masked."""


class Verdict(Record):
    """The judgement on a snapshot."""

    outcome: Literal["accept", "accept with quarantine", "refuse"]
    reason: str
    rows: int
    quarantined: int
    rules: tuple[RuleOutcome, ...]
    quarantine: str | None = None
    """Lake path of the quarantined rows with their reasons, relative to the lake."""

    @property
    def refused(self) -> bool:
        """Whether nothing may be trained or scored on the batch."""
        return self.outcome == "refuse"


class Labelled(Record):
    """How many rows of a batch had their label when it was looked at; the others wait, they are not
    negative.
    """

    rows: int
    """Accepted rows."""
    labelled: int
    as_of: datetime
    """Labels that became known later did not count."""
    read: str = ""
    """Digest of the batches of labels that were there; empty when the rows carry their labels."""

    @property
    def waiting(self) -> int:
        """Rows without a label."""
        return self.rows - self.labelled

    @property
    def share(self) -> float:
        """Share of the rows that have their label, 0 to 1."""
        return self.labelled / self.rows if self.rows else 0.0


class Cohort(Record):
    """What of a batch says whether its labels may be used: the rows of one period of prediction, or
    one of labels.
    """

    batch: Batch
    snapshot: str
    accepted: bool
    verdict: str
    """The verdict in one sentence."""
    predicted: bool = False
    judged: bool = False
    labelled: Labelled | None = None
    unknown: int | None = None
    """Of a batch of labels: those of rows that nobody has; None until they were counted."""


# --- training -------------------------------------------------------------------------------------


class FeatureSchema(Record):
    """The features that a model was trained on, in order, by kind."""

    numerical: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All features: categorical first, then numerical."""
        return self.categorical + self.numerical


class RowSpan(Record):
    """Labelled rows of one snapshot with ``start <= event time < end``."""

    batch: str
    snapshot: str
    start: datetime
    end: datetime
    rows: int


class LabelSnapshot(Record):
    """One revision of a batch of labels, from a contract of their own, that was read for training
    rows.
    """

    batch: str
    snapshot: str


class Recipe(Record):
    """How a model is made, whatever data it is made of. Same recipe and newer data is a refresh."""

    estimator: str
    """Import path."""
    params: Mapping[str, Any]
    encode: Literal["auto", "onehot", "ordinal"]
    window: str
    features: str
    """Digest of the feature code and the feature schema."""

    @property
    def hash(self) -> str:
        """First twelve digits of the recipe's digest."""
        return self.digest()[:12]


class Trial(Record):
    """One candidate's result on the folds."""

    estimator: str
    params: Mapping[str, Any]
    loss: float
    """Mean over folds, each fold newer than its training rows."""
    loss_by_fold: tuple[float, ...]
    trials: int
    seconds: float


# --- panel and recalibration ----------------------------------------------------------------------


class PanelMember(Record):
    """One kept model of a panel, and how it has done."""

    version: int
    window: WindowKind
    standing: float
    """Its discounted loss; what the best member had when it joined, moved by each mature batch
    since.
    """
    losses: tuple[float, ...] = ()
    """Its mean loss on each mature batch since it joined, oldest first."""


class LabelSummary(Record):
    """Labels against predictions on one mature batch, before any recalibration; what recalibration
    looks at.
    """

    batch: str
    rows: int
    labels: tuple[float, ...]
    """Binary: the share of positives.

    Multiclass: the share of each class. Regression: the median, or no number.
    """
    predictions: tuple[float, ...]
    """The same of what was predicted: mean probabilities, or the median."""


class Recalibration(Record):
    """A correction of predictions without a training."""

    problem: Problem
    shift: tuple[float, ...]
    """Binary: added to the logit.

    Multiclass: added to each class's log probability. Regression: log of the factor.
    """
    rows: float
    """Effective rows that it rests on."""
    reason: str


# --- registered versions --------------------------------------------------------------------------


class TrainedModel(Record):
    """A registered version: what it is, what it was trained on, what its bytes are."""

    model: str
    version: int
    run_id: str
    recipe: Recipe
    schema_: FeatureSchema
    classes: tuple[str, ...]
    """Class labels of a multiclass target, in the order of predictions; empty for other problems.
    """
    trained_on: tuple[RowSpan, ...]
    trained_until: datetime
    """No training row is at or after this moment."""
    artifact_sha256: str
    form: Form = "skops"
    """How the model is stored; reading ``pickle`` runs whatever is in it."""
    sample_sha256: str = ""
    """Digest of the baseline's sample; empty for a training from before it was kept."""
    profile_sha256: str = ""
    """Digest of the baseline's profile; empty for a training from before it was kept."""
    spec_sha256: str
    contract_version: str
    contract_text: str = ""
    """The contract's file as it was; empty for a training from before it was kept."""
    seed: int
    code_version: str
    rows: int
    members: tuple[PanelMember, ...] = ()
    """Of a panel: its members as they stood when it was packaged, in its order, the newcomer last.

    Else empty.
    """
    newcomer: Recipe | None = None
    """Of a panel: how its newest member was made ..."""
    newcomer_on: tuple[RowSpan, ...] = ()
    """... and of which rows; ``trained_on`` has those of all members."""
    labelled_by: tuple[LabelSnapshot, ...] = ()
    """Labels from a contract of their own: which were read for this training, of a panel for its
    newcomer. Empty where the rows carry theirs, and for a training from before it was kept.
    """


# --- evaluation -----------------------------------------------------------------------------------


class Interval(Record):
    """An estimate with its two-sided 95% interval."""

    value: float
    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, value: object) -> object:
        """A number alone, as older ledgers hold it, is an estimate whose interval is not known."""
        if isinstance(value, int | float):
            return {"value": value, "low": float("-inf"), "high": float("inf")}
        return value

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


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
    score: Interval
    loss: Interval
    metrics: Mapping[str, Interval]
    slices: tuple[SliceScore, ...] = ()


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


class Comparison(Record):
    """Two models on the same rows, paired and clustered by blocks of time."""

    rows: int
    blocks: int
    block_hours: float
    challenger_loss: float
    champion_loss: float
    difference: Interval
    """Challenger minus champion: negative when the challenger is better."""
    t: float
    """``difference / standard error``, with ``blocks - 1`` degrees of freedom."""
    p_better: float
    """One-sided p-value against 'the challenger is not better'."""
    metric: str
    challenger_score: Interval
    champion_score: Interval
    greater_is_better: bool
    slices: tuple[SliceComparison, ...] = ()
    block_means: tuple[float, ...] = ()
    """Mean difference of each block of time, oldest first: what a test that is looked at repeatedly
    needs.
    """


class Guardrail(Record):
    """One sanity check on the challenger. A check that could not be made has not passed."""

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
    """Why there is no comparison although somebody reigns."""
    guardrails: tuple[Guardrail, ...]
    generalisation: Generalisation | None = None
    """None in evidence from before it was kept, and when it could not be measured."""
    pooled: tuple[str, ...] = ()
    """Batches after the holdout's that were pooled with it, because the holdout alone was too
    little.
    """


# --- drift ----------------------------------------------------------------------------------------


ColumnKind = Literal["numerical", "categorical", "prediction", "target"]


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


class FeatureDrift(Record):
    """How far one column moved from the reference."""

    feature: str
    kind: ColumnKind
    score: float | None
    """Population stability index; None when it could not be computed."""
    threshold: float
    """The score beyond which it has drifted: the smallest that matters, or what chance and the
    usual swings reach.
    """
    p_value: float | None = None
    """Probability of such a score when nothing has changed; None when it could not be computed."""
    outcome: Literal["steady", "drifted", "not evaluable"]
    missing_before: float
    missing_after: float
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


class Predictions(Record):
    """What the champion said about one batch, in the lake."""

    model: str
    batch: str
    version: int
    snapshot: str
    rows: int
    path: str
    sha256: str
    adjusted_by: int | None = None
    """The ledger's number of the recalibration in force; None for the model as it was packaged."""


# --- decisions ------------------------------------------------------------------------------------


class PolicyEvidence(Record):
    """What the retrain policy looks at."""

    model: str
    batch: str
    revision: int
    champion: int | None
    accepted_batches: int
    """Accepted, mature batches so far, this one included."""
    batches_since_training: int
    """Accepted batches since the newest training, this one included."""
    losses: tuple[float, ...]
    """The reigning champion's loss on each earlier judged batch, oldest first."""
    newest_loss: float | None
    """Its loss on this batch; None while labels are not mature."""
    drift_share: float | None
    training_age: timedelta | None = None
    """Time from the newest training to this batch's decision, by the data's clock."""
    rows_since_training: int = 0
    """Accepted rows with mature labels since the newest training, this batch's included."""
    trainings: tuple[int, ...] = ()
    """Accepted batches since each training, this one included, the newest training last."""
    gains: tuple[float, ...] = ()
    """What each judged training realised, as a share of the loss before it, oldest first: measured
    by the watch.
    """


class WatchEvidence(Record):
    """What the watch after a promotion looks at: the previous champion, scored in shadow."""

    model: str
    batch: str
    """The batch that both were held against: that which is answered, or with late labels an earlier
    one.
    """
    revision: int
    """Of the batch that is answered."""
    champion: int
    previous: int
    batches_watched: int
    """Batches since the promotion, this one included."""
    comparison: Comparison
    """The previous champion in the challenger's seat."""


class FreezeEvidence(Record):
    """What calls a person: the rollbacks of late."""

    model: str
    batch: str
    revision: int
    rollbacks: tuple[str, ...]
    """Batches at which the watch rolled back since a person last looked, oldest first."""
    recent: tuple[str, ...]
    """The newest accepted batches, this one included, oldest first: as many as the rule looks at.
    """


class RecalibrationEvidence(Record):
    """What the refresh of weights and recalibration on a mature batch looks at."""

    model: str
    batch: str
    """The mature batch that is news."""
    champion: int
    problem: Problem
    members: tuple[PanelMember, ...]
    """The champion's members as they stood before this batch; empty when it is no panel."""
    losses: Mapping[int, float]
    """Version of a member -> its mean loss on the batch, of those that have not seen it."""
    summaries: tuple[LabelSummary, ...]
    """The newest mature batches, this one included, oldest first."""
    weights: tuple[float, ...]
    """In force."""
    recalibration: Recalibration | None
    """In force."""
    weights_before: tuple[float, ...] = ()
    """In force before those."""
    recalibration_before: Recalibration | None = None
    """In force before that."""
    comparison: Comparison | None = None
    """What was in force before, in the challenger's seat, against what is, on this batch; None
    without either.
    """


class Refusal(Record):
    """Why a batch was refused."""

    model: str
    batch: str
    revision: int
    verdict: Verdict


class Condition(Record):
    """One part of the retrain policy: whether it spoke, by what it found against its limit."""

    name: Literal[
        "never", "first", "clock", "alarm", "staleness", "volume", "drift", "cooldown", "budget"
    ]
    fired: bool
    """Whether it asks for a training or, for the last two and ``never``, forbids one."""
    found: str
    limit: str
    """``off`` when the spec switches it off."""


class Hold(Record):
    """Nothing to do."""

    kind: Literal["Hold"] = "Hold"
    reason: str
    conditions: tuple[Condition, ...] = ()
    """What of the retrain policy fired and what did not; empty when another decision than the
    policy's.
    """


class Retrain(Record):
    """Train a challenger."""

    kind: Literal["Retrain"] = "Retrain"
    reason: str
    conditions: tuple[Condition, ...] = ()
    dry_run: bool = False
    """Whether nothing is to be done: ``retrain.dry_run`` only wants to know what would be."""


class Promote(Record):
    """Crown the challenger."""

    kind: Literal["Promote"] = "Promote"
    reason: str
    version: int
    previous: int | None


class Reject(Record):
    """Keep the champion."""

    kind: Literal["Reject"] = "Reject"
    reason: str
    version: int


class Shadow(Record):
    """Too little to judge by: the challenger predicts the next batch in shadow, and is judged
    again.
    """

    kind: Literal["Shadow"] = "Shadow"
    reason: str
    version: int


class AwaitApproval(Record):
    """The gate says yes; a person has the last word."""

    kind: Literal["AwaitApproval"] = "AwaitApproval"
    reason: str
    version: int
    previous: int | None


class RollBack(Record):
    """Bring the previous champion back."""

    kind: Literal["RollBack"] = "RollBack"
    reason: str
    version: int
    """The version that reigns again."""
    previous: int
    """The version that is deposed."""


class Recalibrate(Record):
    """Serve the same champion with other weights and another recalibration."""

    kind: Literal["Recalibrate"] = "Recalibrate"
    reason: str
    version: int
    members: tuple[PanelMember, ...]
    weights: tuple[float, ...]
    """One a member; empty when the champion is no panel."""
    recalibration: Recalibration | None
    taken_back: bool = False
    """Whether the one before did harm, and what was in force before it is in force again."""


class Freeze(Record):
    """Change nothing by oneself until a person has looked."""

    kind: Literal["Freeze"] = "Freeze"
    reason: str


class Thaw(Record):
    """A person has looked: go on."""

    kind: Literal["Thaw"] = "Thaw"
    reason: str


Decision = Annotated[
    Hold
    | Retrain
    | Promote
    | Reject
    | Shadow
    | AwaitApproval
    | RollBack
    | Recalibrate
    | Freeze
    | Thaw,
    Field(discriminator="kind"),
]


class LedgerEntry(Record):
    """A decision as the ledger keeps it."""

    id: int
    model: str
    batch: str
    decision: Decision
    evidence: Mapping[str, Any]
    evidence_sha256: str
    as_of: datetime
    """The moment in the data's time at which it was decided."""
    recorded_at: datetime
    """When it was written down, by the clock of the machine."""
    effective_at: datetime | None
    """When it took effect; None while it is only journalled."""
    flow_run: str
    decided_by: str


class BatchRecord(Record):
    """What the ledger knows of one batch of one model."""

    model: str
    batch: Batch
    revision: int
    snapshot: Snapshot
    verdict: Verdict
    fingerprint: str
    spec_sha256: str
    """Digest of the model spec and the contract that the batch was judged by."""
    as_of: datetime
    drift: DriftSummary | None = None
    summary: LabelSummary | None = None
    """Labels against the served predictions before recalibration; None while labels are not mature.
    """
    estimate: Estimate | None = None
    """Of the champion that scored the batch, made while its labels were out; no decision reads it.
    """
    performances: tuple[Performance, ...] = ()
    """The reigning champion's first, then the first champion's when it is another."""
    predictions: Predictions | None = None
    labelled: Labelled | None = None
    """None until its labels were mature, or have come again since."""
    unknown: int | None = None
    """Of a batch of labels: those of rows that nobody has; None until they were counted."""
    mlflow_run: str | None = None
    completed: bool = False
    """Whether the monitor has come to its end with this revision; if not, the next run takes it up
    again.
    """

    @property
    def accepted(self) -> bool:
        """Whether the batch may be trained and scored on."""
        return not self.verdict.refused

    @property
    def cohort(self) -> Cohort:
        """What of it says whether its labels may be used."""
        return Cohort(
            batch=self.batch,
            snapshot=self.snapshot.sha256,
            accepted=self.accepted,
            verdict=self.verdict.reason,
            predicted=self.predictions is not None,
            judged=bool(self.performances),
            labelled=self.labelled,
            unknown=self.unknown,
        )


class Superseded(Record):
    """A revision of a batch whose content a newer one has replaced, and what rests on it."""

    batch: str
    revision: int
    newest: int
    """The revision that replaced it."""
    rows: int
    newest_rows: int
    versions: tuple[int, ...]
    """Versions of the model that were trained on rows of it."""
    predictions: str | None
    """Lake path of what the champion said about it."""
    labels: bool = False
    """Whether it is a batch of labels, from a contract of their own."""

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.versions))
        parts = [f"trained on it: version {numbers}"] if numbers else []
        if self.predictions:
            parts.append(f"predictions: {self.predictions}")
        return (
            f"{'labels of ' if self.labels else ''}{self.batch} revision {self.revision}"
            f" ({self.rows:,} rows), now revision {self.newest} ({self.newest_rows:,} rows);"
            f" {'; '.join(parts)}"
        )


# --- in memory only -------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnownLabels:
    """The batches of labels that were read by a moment; what became known later does not count."""

    batches: tuple[BatchRecord, ...]
    """Newest revisions, oldest batch first, refused ones among them."""
    as_of: datetime


@dataclass(frozen=True)
class FeatureFrame:
    """Features of the accepted rows of some batches, row for row with target, time and slices."""

    features: pd.DataFrame
    """(rows, features): float64 for numerical features, str for categorical ones."""
    target: pd.Series
    """(rows,): float64, or str when multiclass; missing where the label is not known."""
    event_time: pd.Series
    """(rows,): datetime64[us, UTC]."""
    batch: pd.Series
    """(rows,): id of the batch."""
    slices: pd.DataFrame
    """(rows, slice columns): str."""
    keys: pd.DataFrame
    """(rows, key columns), to join predictions with."""
    schema: FeatureSchema
    snapshots: Mapping[str, str]
    """Batch id -> snapshot digest."""
    audit: pd.DataFrame | None = None
    """(rows, audited columns): str, personal values as numbered groups; None when fairness is not
    audited.
    """
    labelled_by: tuple[LabelSnapshot, ...] = ()
    """What was read for the target where it comes from a contract of its own, oldest batch first.
    """

    @property
    def moments(self) -> np.ndarray:
        """Event times as datetime64[us] in UTC, (rows,): NumPy knows no zones."""
        naive = self.event_time.dt.tz_convert("UTC").dt.tz_localize(None)
        moments: np.ndarray = naive.to_numpy(dtype="datetime64[us]")
        return moments

    def where(self, mask: np.ndarray) -> FeatureFrame:
        """Return the rows where the boolean ``mask`` of shape (rows,) is true."""
        return FeatureFrame(
            features=self.features[mask],
            target=self.target[mask],
            event_time=self.event_time[mask],
            batch=self.batch[mask],
            slices=self.slices[mask],
            keys=self.keys[mask],
            schema=self.schema,
            snapshots=self.snapshots,
            audit=None if self.audit is None else self.audit[mask],
            labelled_by=self.labelled_by,
        )

    def sample(self, rows: int, seed: int) -> FeatureFrame:
        """Return at most ``rows`` rows, drawn with ``seed``, in their order."""
        import numpy as np

        if len(self) <= rows:
            return self
        chosen = np.zeros(len(self), dtype=bool)
        chosen[np.random.default_rng(seed).choice(len(self), rows, replace=False)] = True
        return self.where(chosen)

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class LoadedModel:
    """A registered version, fetched, verified and ready to predict."""

    trained: TrainedModel
    pipeline: Any
    """A fitted scikit-learn pipeline over the features of ``trained.schema_``."""
    baseline: pd.DataFrame
    """Sample of the training rows' features."""
    profile: BaselineProfile
    weights: tuple[float, ...] = ()
    """The members' weights in force; empty when it is no panel."""
    recalibration: Recalibration | None = None
    """In force; None: predictions are served as they are."""
    adjusted_by: int | None = None
    """The ledger's number of the decision that put weights and recalibration in force."""
    size: int = 0
    """Bytes of the stored pipeline."""


class RegistryAwayError(RuntimeError):
    """MLflow could not be reached, or did not answer in time."""


@dataclass(frozen=True)
class Fence:
    """What keeps a run that lost its lease from writing where the ledger cannot refuse it: registry
    and pages.
    """

    token: int
    """The fencing token of the run's lease."""
    hold: Callable[[], AbstractContextManager[None]]
    """Gives a block in which the lease cannot pass to another; entering it raises LeaseLostError
    once it has.
    """
