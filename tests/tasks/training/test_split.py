"""Tests of splits by time: nothing of the future is ever seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.compare import SeenRowsError, refuse_seen_rows
from tasks.records import FeatureFrame
from tasks.training.split import (
    NoTrainingRowsError,
    evenly_over_time,
    forward_folds,
    spans,
    split_by_time,
    split_to_judge,
)
from tests.tasks.builders import at, frame_of


def _frame(days: list[float], target: list[float] | None = None) -> FeatureFrame:
    values = np.arange(len(days), dtype="float64")
    return frame_of(pd.DataFrame({"x": values}), values if target is None else target, days=days)


def test_newest_share_of_the_newest_batch_is_held_out() -> None:
    """A fifth of the newest batch is held out; all before it, older batches included, may be
    trained on.
    """
    parts = split_by_time(_frame([*range(20), *range(30, 40)]), 0.2)

    assert parts.holdout.features["x"].tolist() == [28.0, 29.0]
    assert parts.train.features["x"].tolist() == list(range(28))
    assert [(s.batch, s.rows) for s in parts.trained_on] == [("b000", 20), ("b001", 8)]
    assert [(s.batch, s.rows) for s in parts.held_out] == [("b001", 2)]


def test_rows_in_any_order() -> None:
    """The split follows event time, not the order of the rows."""
    parts = split_by_time(_frame([39, 30, 5, 38, 31, 32, 33, 34, 35, 36, 37]), 0.2)

    assert sorted(parts.holdout.features["x"]) == [0.0, 3.0]


def test_ties_at_the_cutoff_stay_together() -> None:
    """Rows of one moment are all held out, though that is somewhat more than the share."""
    parts = split_by_time(_frame([0, 1, 2, 3, 4, 5, 6, 7, 7, 7]), 0.2)

    assert parts.train.event_time.max() == at(6)
    assert set(parts.holdout.event_time) == {at(7)}
    assert len(parts.holdout) == 3


def test_rows_without_labels_are_in_neither_part() -> None:
    """A row whose label is not known neither trains nor judges, and does not count for the
    share.
    """
    target = [0.0] * 8 + [1.0] * 2 + [np.nan] * 10
    parts = split_by_time(_frame(list(range(20)), target), 0.2)

    assert parts.holdout.features["x"].tolist() == [8.0, 9.0]
    assert len(parts.train) == 8


@pytest.mark.parametrize(
    ("days", "target", "found"),
    [
        ([0.0, 1.0], [np.nan, np.nan], "expected labelled rows, found none of 2"),
        ([0.0, 31.0], [1.0, np.nan], "batch b001: expected labelled rows, found none"),
        ([5.0, 5.0, 5.0], [1.0, 0.0, 1.0], "all rows have the same event time"),
    ],
)
def test_nothing_to_train_on(days: list[float], target: list[float], found: str) -> None:
    """Without labels in the newest batch, or with one moment only, the split is refused by name."""
    with pytest.raises(NoTrainingRowsError, match=found):
        split_by_time(_frame(days, target), 0.2)


def test_newest_batch_of_one_moment_is_cut_by_the_hash_of_its_keys() -> None:
    """About a fifth of it judges, in whatever order its rows come, and the spans say which; the
    other rows train.
    """
    frame = _frame([0, 1] + [31] * 500)
    columns = ("features", "target", "event_time", "batch", "slices", "keys")
    backwards = replace(frame, **{name: getattr(frame, name)[::-1] for name in columns})

    parts, again = split_by_time(frame, 0.2), split_by_time(backwards, 0.2)

    assert len(parts.train) + len(parts.holdout) == 502
    assert 75 < len(parts.holdout) < 125
    assert set(parts.holdout.keys["id"]) == set(again.holdout.keys["id"])
    assert (parts.trained_on[-1].hash_until, parts.held_out[0].hash_from) == (0.8, 0.8)
    refuse_seen_rows(parts.held_out, parts.trained_on, "the challenger")
    with pytest.raises(SeenRowsError):
        refuse_seen_rows(parts.held_out, spans(parts.train), "one that may have seen any of them")


def test_rows_of_one_moment_and_key_stay_together() -> None:
    """Without a key that tells them apart the moment is held out whole."""
    frame = _frame([0, 1, 31, 31, 31])
    parts = split_by_time(replace(frame, keys=frame.keys[["event_time"]]), 0.2)

    assert (len(parts.train), len(parts.holdout)) == (2, 3)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.booleans()), min_size=2, max_size=60),
    st.floats(1e-12, 1, exclude_max=True),
)
def test_no_training_row_is_as_new_as_the_holdout(
    rows: list[tuple[int, bool]], share: float
) -> None:
    """Whatever the times, labels and share: both sides hold labelled rows only, and all training
    rows are older.
    """
    frame = _frame([day for day, _ in rows], [1.0 if known else np.nan for _, known in rows])
    try:
        parts = split_by_time(frame, share)
    except NoTrainingRowsError:
        return

    assert len(parts.train)
    assert len(parts.holdout)
    cut = parts.held_out[0].hash_from
    assert parts.train.event_time.max() <= parts.holdout.event_time.min()
    assert cut or parts.train.event_time.max() < parts.holdout.event_time.min()
    assert parts.train.target.notna().all()
    assert parts.holdout.target.notna().all()
    assert set(parts.holdout.batch) == {max(frame.snapshots)}
    assert len(parts.train) + len(parts.holdout) == sum(known for _, known in rows)
    refuse_seen_rows(parts.held_out, parts.trained_on, "the challenger")


def test_spans_end_just_after_the_newest_row() -> None:
    """A span is one batch's rows, half open, in UTC."""
    (only,) = spans(_frame([1, 2, 3]))

    assert (only.start, only.rows, only.snapshot) == (at(1), 3, "b000-snapshot")
    assert (only.end - at(3)).total_seconds() == 1e-6


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.integers(1, 6))
def test_folds_only_look_forward(days: list[int], folds: int) -> None:
    """Every test row is newer than every training row of its fold, and is tested once."""
    times = np.array(days)
    tested: list[int] = []

    for train, test in forward_folds(times, folds):
        assert len(train)
        assert len(test)
        assert times[train].max() < times[test].min()
        assert len(train) == (times < times[test].min()).sum()
        tested += test.tolist()

    assert len(tested) == len(set(tested))


def test_folds_are_expanding_and_as_many_as_asked() -> None:
    """With a moment a row there are all folds, of equal size, over the newer part."""
    found = [(len(train), len(test)) for train, test in forward_folds(np.arange(40)[::-1], 3)]

    assert found == [(10, 10), (20, 10), (30, 10)]


def test_one_moment_has_no_fold() -> None:
    """Rows of one moment cannot be told into older and newer."""
    assert list(forward_folds(np.zeros(10), 3)) == []


def _batches(sizes: list[int]) -> FeatureFrame:
    """Batches of thirty days with so many rows each, evenly in time."""
    return _frame([30 * i + 29 * j / size for i, size in enumerate(sizes) for j in range(size)])


def test_large_batch_is_judged_by_its_newest_share() -> None:
    """Where the newest fifth is enough, the model that will serve is the one that is judged."""
    parts = split_to_judge(_batches([20, 20, 50]), 0.2, at(0), lambda target, _: len(target) >= 10)

    assert (parts.folds, len(parts.holdout), len(parts.train)) == ((), 10, 80)


def test_small_batches_are_pooled_as_many_as_it_takes() -> None:
    """The newest batches are pooled until they are enough; the model trains on all rows."""
    parts = split_to_judge(
        _batches([20, 20, 20, 20]), 0.2, at(0), lambda target, _: len(target) >= 30
    )

    assert [(s.batch, s.rows) for s in parts.held_out] == [("b002", 20), ("b003", 20)]
    assert len(parts.train) == 80
    assert [len(fold.train) for fold in parts.folds] == [40, 60]


def test_many_small_batches_are_pooled_in_few_folds() -> None:
    """As many batches as it takes, whatever their size; neighbours share a fit, so that there are
    no more than so many fits.
    """
    parts = split_to_judge(
        _batches([3] * 20), 0.2, at(0), lambda target, _: len(target) >= 50, most=4
    )

    assert len(parts.holdout) == 51
    assert [len(fold.train) for fold in parts.folds] == [9, 24, 36, 48]
    assert [len(fold.test) for fold in parts.folds] == [15, 12, 12, 12]


def test_what_the_champion_has_seen_judges_nothing() -> None:
    """A batch that begins before what the champion has not seen is left out, though rows lack."""
    parts = split_to_judge(_batches([20, 20, 20]), 0.2, at(40), lambda target, _: len(target) >= 50)

    assert [s.batch for s in parts.held_out] == ["b002"]


def test_first_champion_has_no_folds() -> None:
    """Nothing is compared, so the newest share is held out."""
    parts = split_to_judge(_batches([20, 20]), 0.2, None, lambda *_: False)

    assert (parts.folds, len(parts.holdout)) == ((), 4)


def test_batches_of_one_moment_are_judged_whole_and_trained_on() -> None:
    """Every row of each batch has the same event time: forward folds judge, and no row is lost."""
    frame = _frame([float(30 * i) for i in range(3) for _ in range(30)])

    parts = split_to_judge(frame, 0.2, at(15), lambda target, _: len(target) >= 40)

    assert [s.rows for s in parts.held_out] == [30, 30]
    assert len(parts.train) == 90


@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=6),
    st.integers(0, 180),
    st.integers(1, 60),
    st.randoms(use_true_random=False),
)
def test_no_fold_has_seen_what_it_judges(sizes, seen, least, dice) -> None:
    """In any order of rows: each fold is newer than its fit, the folds are the holdout, and no row
    of it is one that the champion has seen.
    """
    days = [30 * i + 29 * j / size for i, size in enumerate(sizes) for j in range(size)]
    dice.shuffle(days)

    try:
        parts = split_to_judge(_frame(days), 0.2, at(seen), lambda target, _: len(target) >= least)
    except NoTrainingRowsError:
        return

    if not parts.folds:
        refuse_seen_rows(parts.held_out, parts.trained_on, "the challenger")
        return
    assert parts.holdout.event_time.min() >= at(seen)
    assert len(parts.train) == len(days)
    assert sum(fold.rows.astype(int) for fold in parts.folds).tolist() == [1] * len(parts.holdout)
    for fold in parts.folds:
        assert fold.train.event_time.max() < fold.test.event_time.min()
        refuse_seen_rows(spans(fold.test), spans(fold.train), "the fold")
        assert fold.test.features.equals(parts.holdout.features[fold.rows])


@given(
    rows=st.integers(1, 300),
    most=st.integers(1, 300),
    seed=st.integers(0, 3),
    days=st.floats(0, 90),
)
def test_rows_are_drawn_evenly_over_time(rows: int, most: int, seed: int, days: float) -> None:
    """Never more than asked for; of any stretch of time its share, to a row; the same seed draws
    the same, in the order of the frame.
    """
    moments = np.random.default_rng(seed).permutation(np.linspace(0, days, rows))
    frame = frame_of(pd.DataFrame({"x": np.arange(rows) * 1.0}), np.zeros(rows), days=moments)

    drawn, again = (evenly_over_time(frame, most, seed) for _ in range(2))

    assert len(drawn) == min(rows, most)
    assert drawn.features.equals(again.features)
    assert drawn.features["x"].is_monotonic_increasing
    half = np.sort(frame.moments)[rows // 2]
    share = (frame.moments < half).sum() * len(drawn) / rows
    assert abs((drawn.moments < half).sum() - share) <= 1


def test_rows_that_stand_for_others_count_for_them() -> None:
    """Of a batch that was thinned to a tenth as many rows are drawn as of a whole one, where it
    had as many; never more than asked for.
    """
    thin, whole = np.linspace(0, 1, 100, endpoint=False), np.linspace(1, 2, 1000)
    moments = np.concatenate([thin, whole])
    frame = frame_of(pd.DataFrame({"x": moments}), np.zeros(1100), days=moments)
    frame = replace(frame, batch=pd.Series(["a"] * 100 + ["b"] * 1000, dtype="str"))

    drawn = evenly_over_time(frame, 100, 0, {"a": 10.0, "b": 1.0})

    counts = drawn.batch.value_counts()
    assert len(drawn) <= 100
    assert 40 <= counts["a"] <= counts["b"] == 50
    alike = evenly_over_time(frame, 100, 0, {"a": 1.0, "b": 1.0})
    assert alike.batch.value_counts()["b"] == pytest.approx(91, abs=1)


def test_bounded_split_leaves_what_judges() -> None:
    """Rows to train on are fewer, and counted where they lie; the holdout, what was trained on in
    time, and the folds stay.
    """
    days, target = np.linspace(0, 149, 300).tolist(), [0.0, 1.0] * 150
    parts = split_to_judge(_frame(days, target), 0.2, at(0), lambda held, _: len(held) >= 100)

    found = parts.bounded(50, seed=0)

    assert parts.folds
    assert len(found.train) == 50
    assert sum(span.rows for span in found.trained_on) == 50
    assert [span.end for span in found.trained_on] == [span.end for span in parts.trained_on]
    assert found.holdout is parts.holdout
    assert [len(fold.test) for fold in found.folds] == [len(fold.test) for fold in parts.folds]
    assert all(len(fold.train) <= 50 for fold in found.folds)
    assert parts.bounded(10_000, seed=0) is parts
