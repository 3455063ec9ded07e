"""A batch of data as it was read, and the verdict on it: ingest and validation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tasks.batches import Batch
from tasks.records.base import Record


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
    def accepted_rows(self) -> int:
        """Rows that are not in quarantine."""
        return self.rows - self.quarantined

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


class Revision(Record):
    """One content of a batch, and from when on it counts: what features that look back read."""

    snapshot: Snapshot
    accepted: bool
    quarantine: str | None = None
    """Lake path of its rows in quarantine."""
    revised_at: datetime | None = None
    """When it replaced another content, or was let in after it had been refused; None of a first
    content, whose rows count from when the contract promises them.
    """


class Cohort(Record):
    """What of a batch says whether its labels may be used: the rows of one period of prediction, or
    one of labels.
    """

    batch: Batch
    snapshot: str
    accepted: bool
    verdict: str
    """The verdict in one sentence."""
    labelled: Labelled | None = None
    unknown: int | None = None
    """Of a batch of labels: those that belong to no row; None until they were counted."""
