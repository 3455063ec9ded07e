"""Splits by time: what a challenger may see, what judges it, and folds that only look forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from tasks.errors import KingmakerError
from tasks.lake import evenly
from tasks.records import FeatureFrame, RowSpan


class NoTrainingRowsError(KingmakerError, ValueError):
    """There is nothing to train on, or nothing left to judge with."""


@dataclass(frozen=True)
class Fold:
    """The rows of one batch, or of some, to judge with, and all rows before them, to fit on."""

    train: FeatureFrame
    test: FeatureFrame
    rows: np.ndarray
    """Where ``test`` lies in the holdout: (rows of the holdout,) bool."""


@dataclass(frozen=True)
class Split:
    """Labelled rows to train on, and rows to judge with.

    Without folds the holdout is newer than all that is trained on, and the trained model itself is
    judged. With folds every row trains the model that will serve, and the holdout is predicted by
    fits of the same recipe that have not seen it, fold by fold.
    """

    train: FeatureFrame
    holdout: FeatureFrame
    trained_on: tuple[RowSpan, ...]
    held_out: tuple[RowSpan, ...]
    folds: tuple[Fold, ...] = ()
    """Oldest first."""

    def bounded(self, rows: int, seed: int, stands_for: Mapping[str, float] | None = None) -> Split:
        """Return the split with at most ``rows`` rows to train on, and to fit for each fold on,
        evenly over time: ``stands_for`` says of batches that were not read whole how many of
        theirs each row stands for.
        """

        def drawn(frame: FeatureFrame) -> FeatureFrame:
            return evenly_over_time(frame, rows, seed, stands_for)

        folds = tuple(replace(fold, train=drawn(fold.train)) for fold in self.folds)
        train = drawn(self.train)
        if train is self.train:
            return self
        left = train.batch.value_counts()
        spans = [span.but(rows=int(left.get(span.batch, 0))) for span in self.trained_on]
        return replace(
            self,
            train=train,
            trained_on=tuple(span for span in spans if span.rows),
            folds=folds,
        )


def evenly_over_time(
    frame: FeatureFrame, rows: int, seed: int, stands_for: Mapping[str, float] | None = None
) -> FeatureFrame:
    """Return the frame itself, or, where it has more than ``rows`` rows, one row of each of as many
    equal stretches of their order in time, drawn with ``seed``.

    Where the rows of a batch stand for more than themselves, by ``stands_for``, stretches are equal
    in what their rows stand for; a row that is drawn for two stands for both.
    """
    if len(frame) <= rows:
        return frame
    order = np.argsort(frame.moments, kind="stable")
    if stands_for is None:
        places = evenly(len(frame), rows, seed)
    else:
        ends = np.cumsum(frame.batch.map(stands_for).to_numpy()[order])
        drawn = (np.arange(rows) + np.random.default_rng(seed).random(rows)) * (ends[-1] / rows)
        places = np.minimum(np.searchsorted(ends, drawn, side="right"), len(frame) - 1)
    chosen = np.zeros(len(frame), dtype=bool)
    chosen[order[places]] = True
    return frame.where(chosen)


def split_to_judge(
    frame: FeatureFrame,
    holdout: float,
    unseen_from: datetime | None,
    enough: Callable[[pd.Series, np.ndarray], bool],
    most: int = 8,
) -> Split:
    """Hold out what it takes to judge a challenger against a champion.

    The newest ``holdout`` share of the newest batch is held out where that is ``enough``, which
    looks at its labels and moments. Where it is not, the newest batches are pooled, as many as it
    takes, of those that begin at ``unseen_from`` or later: the champion has seen no row of them.
    They are the folds of forward cross-fitting, neighbouring ones together where there are more
    than ``most``, so that nothing is kept from the model that will serve. Without a champion
    (``unseen_from`` is None) the single holdout stands. Raises NoTrainingRowsError as
    ``split_by_time`` does.
    """
    labelled = _labelled(frame)
    folds = [] if unseen_from is None else _folds(labelled, unseen_from, enough, most)
    try:
        single = split_by_time(labelled, holdout)
    except NoTrainingRowsError:
        if not folds:
            raise
    else:
        if not folds or enough(single.holdout.target, single.holdout.moments):
            return single
    chosen = np.zeros(len(labelled), dtype=bool)
    for _, test in folds:
        chosen |= test
    held = labelled.where(chosen)
    return Split(
        train=labelled,
        holdout=held,
        trained_on=spans(labelled),
        held_out=spans(held),
        folds=tuple(
            Fold(labelled.where(train), labelled.where(test), test[chosen]) for train, test in folds
        ),
    )


def leave_out(split: Split, excluded: Callable[[FeatureFrame], np.ndarray]) -> Split:
    """Return the split without the training rows that are ``excluded``, (rows,) bool; those that
    judge stay.

    Raises NoTrainingRowsError when none is left.
    """
    train = split.train.where(~excluded(split.train))
    if not len(train):
        raise NoTrainingRowsError(
            f"training.exclude: expected rows that are left to train on, found none of"
            f" {len(split.train):,}"
        )
    cut = {span.batch: span.hash_until for span in split.trained_on}
    return replace(
        split,
        train=train,
        trained_on=tuple(span.but(hash_until=cut[span.batch]) for span in spans(train)),
        folds=tuple(
            replace(fold, train=fold.train.where(~excluded(fold.train))) for fold in split.folds
        ),
    )


def _folds(
    labelled: FeatureFrame,
    unseen_from: datetime,
    enough: Callable[[pd.Series, np.ndarray], bool],
    most: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks of the rows to fit on and to judge with, (rows,) each, the oldest fold first."""
    target, moments, batches = labelled.target, labelled.moments, labelled.batch.to_numpy()
    unseen = np.datetime64(unseen_from.astimezone(UTC).replace(tzinfo=None), "us")
    pooled = list[np.ndarray]()
    chosen = np.zeros(len(labelled), dtype=bool)
    for batch in sorted(set(batches), reverse=True):
        test = batches == batch
        first = moments[test].min()
        if first < unseen or target[moments < first].nunique() < 2:
            break
        pooled.insert(0, test)
        chosen |= test
        if enough(target[chosen], moments[chosen]):
            break
    tests = [
        np.logical_or.reduce([pooled[i] for i in some])
        for some in np.array_split(np.arange(len(pooled)), most)
        if len(some)
    ]
    return [(moments < moments[test].min(), test) for test in tests]


def _labelled(frame: FeatureFrame) -> FeatureFrame:
    """The rows whose label is known; NoTrainingRowsError when there are none."""
    known = frame.target.notna().to_numpy()
    labelled = frame if known.all() else frame.where(known)
    if not len(labelled):
        raise NoTrainingRowsError(
            f"batches {sorted(frame.snapshots)}: expected labelled rows, found none of"
            f" {len(frame):,}"
        )
    return labelled


def split_by_time(frame: FeatureFrame, holdout: float) -> Split:
    """Hold out the newest ``holdout`` share of the newest batch's labelled rows; train on all
    before them.

    The cut is a moment, and rows of the same moment stay together; only where more than twice the
    share would be held out is the moment itself cut, by the hash of the rows' keys, so that a batch
    of one moment is not held out whole. Raises NoTrainingRowsError when a side is empty.
    """
    labelled = _labelled(frame)
    moments = labelled.moments
    newest = (labelled.batch == max(frame.snapshots)).to_numpy()
    times = np.sort(moments[newest])
    if not len(times):
        raise NoTrainingRowsError(
            f"batch {max(frame.snapshots)}: expected labelled rows, found none"
        )
    cutoff = times[min(int((1 - holdout) * len(times)), len(times) - 1)]
    held, cut = newest & (moments >= cutoff), 0.0
    if not (moments < cutoff).any():
        raise NoTrainingRowsError(
            f"batch {max(frame.snapshots)}: all rows have the same event time, so nothing is left"
            " to train on"
        )
    if held.sum() > 2 * holdout * len(times):
        at = newest & (moments == cutoff)
        after = held & ~at
        share = (holdout * len(times) - after.sum()) / at.sum()
        hashed = at.copy()
        hashed[at] = _hashes(labelled.keys[at]) >= 1 - share
        if hashed.any() and not hashed[at].all():
            held, cut = after | hashed, 1 - share
    train, held_rows = labelled.where((moments <= cutoff) & ~held), labelled.where(held)
    trained_on, held_out = spans(train), spans(held_rows)
    if cut:
        trained_on = (*trained_on[:-1], trained_on[-1].but(hash_until=cut))
        held_out = tuple(span.but(hash_from=cut) for span in held_out)
    return Split(train=train, holdout=held_rows, trained_on=trained_on, held_out=held_out)


def _hashes(keys: pd.DataFrame) -> np.ndarray:
    """A number from 0 to 1 of each row's key, (rows,), the same wherever the row lies."""
    return pd.util.hash_pandas_object(keys, index=False).to_numpy() / 2.0**64


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
