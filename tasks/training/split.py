"""Splits by time: what a challenger may see, what judges it, and folds that only look forward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

import numpy as np
import pandas as pd

from tasks.errors import KingmakerError
from tasks.records import FeatureFrame, RowSpan


class NoTrainingRowsError(KingmakerError, ValueError):
    """There is nothing to train on, or nothing left to judge with."""


@dataclass(frozen=True)
class Split:
    """Labelled rows before a moment to train on, and the newest rows, from that moment on, to judge
    with.
    """

    train: FeatureFrame
    holdout: FeatureFrame
    trained_on: tuple[RowSpan, ...]
    held_out: tuple[RowSpan, ...]


def split_by_time(frame: FeatureFrame, holdout: float) -> Split:
    """Hold out the newest ``holdout`` share of the newest batch's labelled rows; train on all
    before them.

    The cut is a moment: rows of the same moment stay together. Raises NoTrainingRowsError when a
    side is empty.
    """
    labelled = frame.where(frame.target.notna().to_numpy())
    if not len(labelled):
        raise NoTrainingRowsError(
            f"batches {sorted(frame.snapshots)}: expected labelled rows, found none of"
            f" {len(frame):,}"
        )
    moments = labelled.moments
    newest = (labelled.batch == max(frame.snapshots)).to_numpy()
    times = np.sort(moments[newest])
    if not len(times):
        raise NoTrainingRowsError(
            f"batch {max(frame.snapshots)}: expected labelled rows, found none"
        )
    cutoff = times[min(int((1 - holdout) * len(times)), len(times) - 1)]
    held, seen = newest & (moments >= cutoff), moments < cutoff
    if not seen.any():
        raise NoTrainingRowsError(
            f"batch {max(frame.snapshots)}: all rows have the same event time, so nothing is left"
            " to train on"
        )
    return Split(
        train=labelled.where(seen),
        holdout=labelled.where(held),
        trained_on=spans(labelled.where(seen)),
        held_out=spans(labelled.where(held)),
    )


def spans(frame: FeatureFrame) -> tuple[RowSpan, ...]:
    """Return one span of event time a batch; its end is just after the newest row."""
    found = []
    for batch in sorted(set(frame.batch)):
        times = frame.event_time[frame.batch == batch]
        found.append(
            RowSpan(
                batch=batch,
                snapshot=frame.snapshots[batch],
                start=times.min().to_pydatetime().astimezone(UTC),
                end=(times.max() + pd.Timedelta(microseconds=1)).to_pydatetime().astimezone(UTC),
                rows=len(times),
            )
        )
    return tuple(found)


def forward_folds(times: np.ndarray, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (train, test) index arrays over rows ordered by ``times`` (rows,), each test newer than
    its train.

    Expanding windows as in scikit-learn's TimeSeriesSplit, but cut between moments, never through
    one.
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    cuts = [
        int(np.searchsorted(ordered, ordered[len(ordered) * k // (folds + 1)]))
        for k in range(1, folds + 1)
    ]
    for start, end in zip(cuts, [*cuts[1:], len(ordered)], strict=True):
        if 0 < start < end:
            yield order[:start], order[start:end]
