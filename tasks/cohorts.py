"""Cohorts: the rows of one batch, and when their labels may be used.

A label that comes early is another kind of label than one that comes late: bookings are cancelled
at once and honoured weeks later. So a batch is judged and trained on as a whole, and only when its
labels are **mature**:

1. ``labels.delay`` has passed since the end of the batch, and
2. where labels come from a contract of their own: they were read up to that moment, and none of
   their batches from the batch's start to that moment was refused, and
3. at least ``labels.min_share`` of the rows have one.

A batch of labels that was not delivered is taken for one without a label; when it comes after all,
the batches that it belongs to are judged anew. Everything here is pure and looks at no row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime

from tasks.batches import Batch
from tasks.model_spec import ManagedModel
from tasks.records import Cohort, Labelled


def why_waiting(
    managed: ManagedModel, cohort: Cohort, labels: Iterable[Cohort], as_of: datetime
) -> str:
    """Return why the labels of ``cohort`` may not be used at ``as_of``, in one sentence; empty when
    they may.

    ``labels`` are the batches of labels, in any order; those that are not closed by ``as_of`` do
    not count.
    """
    if reason := _why_immature(managed, cohort, labels, as_of):
        return reason
    least, found = managed.spec.labels.min_share, cohort.labelled
    if least == 0:
        return ""
    if found is None:
        return "its labels are not counted yet"
    if found.share < least:
        return (
            f"only {found.share:.1%} of {found.rows:,} rows have a label, less than the {least:.1%}"
            " that labels.min_share asks for"
        )
    return ""


def due(managed: ManagedModel, cohort: Cohort, labels: Iterable[Cohort], as_of: datetime) -> bool:
    """Whether the labels of ``cohort`` are mature and were not looked at as they are now."""
    labels = tuple(labels)
    if not cohort.accepted or _why_immature(managed, cohort, labels, as_of):
        return False
    if cohort.labelled is None:
        return True
    return cohort.labelled.read != labels_read(
        managed, cohort.batch, cohort.labelled, labels, as_of
    )


def labels_read(
    managed: ManagedModel, batch: Batch, found: Labelled, labels: Iterable[Cohort], as_of: datetime
) -> str:
    """Return a digest of the batches of labels that what was ``found`` of ``batch`` rests on; empty
    without such batches.

    They reach from its start to the moment it matures, or to ``as_of`` while too few rows have a
    label.
    """
    if managed.labels is None:
        return ""
    short = found.share < managed.spec.labels.min_share
    until = as_of if short else managed.matures(batch)
    known = _read(managed, labels, as_of)
    return _digest(
        {one.batch.id: one.snapshot for one in known if _overlap(one, batch.start, until)}
    )


def _why_immature(
    managed: ManagedModel, cohort: Cohort, labels: Iterable[Cohort], as_of: datetime
) -> str:
    needed = managed.matures(cohort.batch)
    if needed > as_of:
        return f"its labels are mature at {needed:%Y-%m-%d %H:%M} UTC"
    if managed.labels is None:
        return ""
    known = _read(managed, labels, as_of)
    for one in known:
        if not one.accepted and _overlap(one, cohort.batch.start, needed):
            return f"its labels of {one.batch.id} are refused: {one.verdict}"
    until = max((one.batch.end for one in known if one.accepted), default=None)
    if until is None or until < needed:
        so_far = (
            "no labels have come yet"
            if until is None
            else f"labels have come up to {until:%Y-%m-%d %H:%M}"
        )
        return f"{so_far}, and up to {needed:%Y-%m-%d %H:%M} UTC are needed"
    return ""


def _read(managed: ManagedModel, labels: Iterable[Cohort], as_of: datetime) -> list[Cohort]:
    stream = managed.labels
    return [one for one in labels if stream is not None and stream.closed(one.batch, as_of)]


def _overlap(one: Cohort, start: datetime, end: datetime) -> bool:
    return one.batch.start < end and start < one.batch.end


def _digest(snapshots: Mapping[str, str]) -> str:
    text = "\n".join(f"{id}={sha256}" for id, sha256 in sorted(snapshots.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
