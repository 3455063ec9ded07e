"""A batch in one row, for the pages, the command line and the artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.history import History
from tasks.records import BatchRecord, Estimate, Interval, LedgerEntry, Performance
from tasks.reports.figures import in_words, interval

REFUSED = "refused"
UNDECIDED = "undecided"

_CONSEQUENCE = (
    "Recalibrate",
    "Hold",
    "Retrain",
    "Reject",
    "Shadow",
    "AwaitApproval",
    "Thaw",
    "Promote",
    "RollBack",
    "Freeze",
)
"""From the least to the most consequential."""


@dataclass(frozen=True)
class BatchRow:
    """One batch in one row."""

    batch: str
    rows: int
    quarantined: int
    drift_share: float | None
    """Share of the features of which it can be told that are unusual, 0 to 1; None where it can be
    told of none.
    """
    score: Interval | None
    """The champion's score; None while labels are not mature."""
    first_score: float | None
    """The first champion's score on the same rows; None when it was not scored."""
    decision: str
    """The most consequential decision's kind, ``refused`` or ``undecided``."""
    reason: str


def batch_rows(records: Sequence[BatchRecord], history: History) -> tuple[BatchRow, ...]:
    """Return one row a batch, oldest first, of the newest revision of each; ``history`` is the
    model's.
    """
    return tuple(_row(record, history) for record in newest_revisions(records))


def newest_revisions(records: Sequence[BatchRecord]) -> tuple[BatchRecord, ...]:
    """Return the newest revision of each batch, oldest batch first."""
    newest = {
        record.batch.id: record for record in sorted(records, key=lambda record: record.revision)
    }
    return tuple(sorted(newest.values(), key=lambda record: record.batch.start))


def champion_performance(record: BatchRecord) -> Performance | None:
    """Return how the champion did; None while labels are not mature."""
    return record.performances[0] if record.performances else None


def newest_estimate(records: Sequence[BatchRecord]) -> BatchRecord | None:
    """Return the newest batch if labels cannot say yet how the champion did on it, and an estimate
    can.
    """
    newest = next(reversed([r for r in newest_revisions(records) if r.accepted]), None)
    return (
        newest
        if newest is not None and newest.estimate is not None and not newest.performances
        else None
    )


def estimate_in_words(record: BatchRecord, metric: str) -> str:
    """Return the estimate that stands in for the labels of a batch, with what it cannot see;
    nothing without one.
    """
    found = record.estimate
    if found is None:
        return ""
    if found.withheld:
        return f"{in_words(metric)} of {record.batch.id} has no estimate: {found.withheld}"
    return (
        f"{in_words(metric)} of {record.batch.id} is estimated at {interval(found.score)} until its"
        f" labels come, blind to concept drift; {record_of_estimates(found)}"
    )


def record_of_estimates(found: Estimate) -> str:
    """Return how the earlier estimates that were shown did, as labels then said."""
    if not found.checked:
        return "the first that is shown"
    return f"{found.held} of the last {found.checked} held what the labels then said"


def first_performance(record: BatchRecord, history: History) -> Performance | None:
    """Return how the first champion did on the batch; None when it was not scored."""
    first = history.first_champion
    return next((p for p in record.performances if p.version == first), None)


def _row(record: BatchRecord, history: History) -> BatchRow:
    champion, first = champion_performance(record), first_performance(record, history)
    entry = deciding_entry(record.batch.id, history)
    if record.verdict.refused:
        decision, reason = REFUSED, record.verdict.reason
    elif entry is None:
        decision, reason = UNDECIDED, ""
    else:
        decision, reason = entry.decision.kind, entry.decision.reason
    return BatchRow(
        batch=record.batch.id,
        rows=record.verdict.rows,
        quarantined=record.verdict.quarantined,
        drift_share=record.drift.share if record.drift else None,
        score=champion.score if champion else None,
        first_score=first.score.value if first and first.score else None,
        decision=decision,
        reason=reason,
    )


def deciding_entry(batch: str, history: History) -> LedgerEntry | None:
    """Return the batch's most consequential decision, of equals the newest; None when there is
    none.

    A request for approval that was refused gives way to the refusal, and a decision to retrain that
    could train nothing to the one that says why.
    """
    own = [e for e in history if e.batch == batch and not history.came_to_nothing(e)]
    return max(
        own, key=lambda entry: (_CONSEQUENCE.index(entry.decision.kind), entry.id), default=None
    )
