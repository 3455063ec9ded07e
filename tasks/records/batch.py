"""What the ledger knows of one batch of one model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from tasks.batches import Batch
from tasks.records.base import Record, StreamName, stream_in_words
from tasks.records.change import AnyLossChange
from tasks.records.drift import DriftSummary
from tasks.records.evaluation import Estimate, Interval, Performance
from tasks.records.model import LabelSummary
from tasks.records.served import ServedPerformance, Skew, served_by
from tasks.records.snapshot import Cohort, Labelled, Revision, Snapshot, Verdict


class Predictions(Record):
    """What the champion predicted for one batch, in the lake."""

    model: str
    batch: str
    version: int
    snapshot: str
    rows: int
    path: str
    sha256: str
    adjusted_by: int | None = None
    """The ledger's number of the recalibration in force; None for the model as it was packaged."""
    served: int = 0
    """Rows that had been served before the batch closed: the predictions of then stand."""
    unknown: int = 0
    """Rows for which the model gave no number."""

    @property
    def served_by(self) -> str:
        """Version, and the recalibration in force, in one word: ``v3`` or ``v3.17``."""
        return served_by(self.version, self.adjusted_by)


class BatchFigures(Record):
    """A batch in a few numbers: what a list of many models shows, and can read at once."""

    rows: int
    quarantined: int
    drift_share: float | None
    """Share of the features of which it can be told that are unusual; None where it can be told of
    none.
    """
    metric: str
    """Empty while there is no score."""
    score: Interval | None
    """The champion's; None while labels are not mature."""
    refused: str
    """Why the batch was refused; empty when it was not."""


class KnownBatch(Record):
    """The newest revision of a batch, in a few numbers."""

    batch: str
    completed: bool
    figures: BatchFigures


class BatchRecord(Record):
    """What the ledger knows of one batch of one model."""

    model: str
    stream: StreamName = "rows"
    batch: Batch
    revision: int
    snapshot: Snapshot
    verdict: Verdict
    fingerprint: str
    spec_sha256: str
    """Digest of the model spec and the contract that the batch was judged by."""
    as_of: datetime
    revised_at: datetime | None = None
    """When this content replaced another, or was let in after it had been refused."""
    drift: DriftSummary | None = None
    summary: LabelSummary | None = None
    """Labels against the served predictions before recalibration; None while labels are not mature.
    """
    estimate: Estimate | None = None
    """Of the champion that scored the batch, made while its labels were out; no decision reads it.
    """
    performances: tuple[Performance, ...] = ()
    """The champion's first, then the first champion's when it is another."""
    change: AnyLossChange | None = None
    """Why the champion's loss is another than on its holdout; None while labels are not mature, or
    when it cannot be judged.
    """
    predictions: Predictions | None = None
    skew: Skew | None = None
    """Features against those that the rows were served by; None when none was served."""
    apart: ServedPerformance | None = None
    """How the served rows and the others did, each for itself; None while labels are not mature, or
    when none was served.
    """
    labelled: Labelled | None = None
    """None until its labels were mature, or have come again since."""
    unknown: int | None = None
    """Of a batch of labels: those that belong to no row; None until they were counted."""
    mlflow_run: str | None = None
    over_time: Mapping[str, float] = Field(default_factory=dict)
    """What the model's own run in MLflow has of the batch: metric -> value."""
    completed: bool = False
    """Whether the monitor has come to its end with this revision; if not, the next run takes it up
    again.
    """

    @property
    def name(self) -> str:
        """Model, stream and batch, for people."""
        return f"{self.model} {stream_in_words(self.stream)}{self.batch.id}"

    @property
    def figures(self) -> BatchFigures:
        """The batch in a few numbers."""
        champion = self.performances[0] if self.performances else None
        return BatchFigures(
            rows=self.verdict.rows,
            quarantined=self.verdict.quarantined,
            drift_share=None if self.drift is None else self.drift.share,
            metric=champion.metric if champion else "",
            score=champion.score if champion else None,
            refused=self.verdict.reason if self.verdict.refused else "",
        )

    @property
    def accepted(self) -> bool:
        """Whether the batch may be trained and scored on."""
        return not self.verdict.refused

    def numbered(self, revision: int) -> BatchRecord:
        """Return the record as the revision that the ledger counts."""
        return self.but(revision=revision)

    def read_again(self, fingerprint: str, spec_sha256: str, verdict: Verdict) -> BatchRecord:
        """Return what is known of the batch, whose content was found unchanged, with today's
        verdict.
        """
        return self.but(fingerprint=fingerprint, spec_sha256=spec_sha256, verdict=verdict)

    def with_results_of(self, earlier: BatchRecord) -> BatchRecord:
        """Return the record with what was predicted of an earlier revision, which differs in labels
        alone: what predicted those rows is judged by these labels.
        """
        return self.but(
            as_of=earlier.as_of,
            drift=earlier.drift,
            estimate=earlier.estimate,
            skew=earlier.skew,
            predictions=earlier.predictions,
            mlflow_run=earlier.mlflow_run,
            over_time=earlier.over_time,
            completed=earlier.completed,
        )

    def served(self, predictions: Predictions) -> BatchRecord:
        """Return the record with its predictions.

        With the first, labels that a run counted before it died are to be counted anew: what
        predicted the batch is judged by them.
        """
        labelled = None if self.predictions is None else self.labelled
        return self.but(predictions=predictions, labelled=labelled)

    def scored(
        self,
        predictions: Predictions,
        drift: DriftSummary,
        estimate: Estimate | None,
        skew: Skew | None = None,
    ) -> BatchRecord:
        """Return the record with its predictions, its drift, what is estimated until labels come,
        and its skew.
        """
        return self.served(predictions).but(drift=drift, estimate=estimate, skew=skew)

    def counted(self, labelled: Labelled) -> BatchRecord:
        """Return the record with its labels counted, and not judged by them yet."""
        return self.but(labelled=labelled, performances=(), summary=None, apart=None, change=None)

    def judged(
        self,
        performances: tuple[Performance, ...],
        summary: LabelSummary | None,
        drift: DriftSummary | None,
        apart: ServedPerformance | None = None,
        change: AnyLossChange | None = None,
    ) -> BatchRecord:
        """Return the record judged by its labels, its drift with that of the target, the rows that
        were served apart from the others, and why the loss changed.
        """
        return self.but(
            performances=performances, summary=summary, drift=drift, apart=apart, change=change
        )

    def with_unknown(self, labels: int) -> BatchRecord:
        """Return the record of a batch of labels, with the count of those that belong to no row."""
        return self.but(unknown=labels)

    def logged_over_time(self, metrics: Mapping[str, float]) -> BatchRecord:
        """Return the record as one of which the model's own run in MLflow has these metrics."""
        return self.but(over_time=metrics)

    def completed_by(self, mlflow_run: str | None) -> BatchRecord:
        """Return the record as one that the monitor has come to its end with; a batch of labels has
        no run in MLflow.
        """
        return self.but(completed=True, mlflow_run=mlflow_run)

    @property
    def content(self) -> Revision:
        """What of it features that look back read."""
        return Revision(
            snapshot=self.snapshot,
            accepted=self.accepted,
            quarantine=self.verdict.quarantine,
            revised_at=self.revised_at,
        )

    @property
    def cohort(self) -> Cohort:
        """What of it says whether its labels may be used."""
        return Cohort(
            batch=self.batch,
            snapshot=self.snapshot.sha256,
            accepted=self.accepted,
            verdict=self.verdict.reason,
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
    """Lake path of the champion's predictions for it."""
    stream: StreamName = "rows"
    looking_back: tuple[str, ...] = ()
    """Features of training rows that look back on it, each with the versions that have it."""

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.versions))
        parts = [f"trained on it: version {numbers}"] if numbers else []
        if self.looking_back:
            parts.append(f"features look back on it: {', '.join(self.looking_back)}")
        if self.predictions:
            parts.append(f"predictions: {self.predictions}")
        of = "" if self.stream == "rows" else f"{stream_in_words(self.stream)}of "
        return (
            f"{of}{self.batch} revision {self.revision}"
            f" ({self.rows:,} rows), now revision {self.newest} ({self.newest_rows:,} rows);"
            f" {'; '.join(parts)}"
        )
