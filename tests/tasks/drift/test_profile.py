"""Tests of profiles and of drift summaries."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.drift.config import DriftConfig
from tasks.drift.histograms import AXIS, OTHER, count_part, count_target
from tasks.drift.profile import (
    BLOCKS,
    CATEGORIES,
    MOST_BLOCKS,
    MOST_EARLIER,
    RARE,
    add_history,
    make_profile,
    time_blocks,
)
from tasks.drift.summary import add_target, summarise_drift
from tasks.records import BaselineProfile, DriftSummary, FeatureDrift, FeatureFrame
from tests.tasks.builders import frame_of

CONFIG = DriftConfig()


def _frame(features: pd.DataFrame, days: object = None) -> FeatureFrame:
    categorical = [name for name in features if not pd.api.types.is_numeric_dtype(features[name])]
    when = np.zeros(len(features)) if days is None else days
    return frame_of(features, np.zeros(len(features)), days=when, categorical=categorical)


def _profile(
    frame: FeatureFrame, predicted: np.ndarray, importance: dict[str, float]
) -> BaselineProfile:
    seen = np.arange(min(len(predicted), len(frame)))
    return make_profile(frame, frame, predicted, (seen, predicted[seen]), importance)


def _summary(profile: BaselineProfile, batch: FeatureFrame, predicted: np.ndarray) -> DriftSummary:
    return summarise_drift(
        profile, 1, "b", count_part(profile, batch, predicted, target=True), CONFIG, seed=0
    )


def _drift(
    before: pd.DataFrame,
    after: pd.DataFrame,
    predictions: tuple[np.ndarray, np.ndarray] = (np.arange(10.0), np.arange(10.0)),
    days: object = None,
) -> DriftSummary:
    return _summary(
        _profile(_frame(before, days), predictions[0], {}), _frame(after), predictions[1]
    )


def _one(before: object, after: object) -> FeatureDrift:
    return _drift(pd.DataFrame({"x": before}), pd.DataFrame({"x": after})).features[0]


def _realistic(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Skewed categories with a long tail, rare categories, normal, zero-inflated, binary and gappy
    numbers.
    """
    tail = 1 / np.arange(1, 201) ** 1.2
    columns = {
        f"c{k}": pd.Series(rng.choice(200, rows, p=tail / tail.sum())).astype("str")
        for k in range(2)
    }
    columns["b"] = pd.Series(rng.choice(["a", "b", "c"], rows, p=[0.97, 0.029, 0.001]))
    columns |= {f"n{k}": rng.normal(size=rows) for k in range(2)}
    columns |= {
        f"z{k}": np.where(rng.random(rows) < 0.95, 0, rng.exponential(size=rows)) for k in range(2)
    }
    columns["i"] = rng.integers(0, 2, rows).astype("float64")
    columns["g"] = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("baseline", "batch"),
    [(500, 50), (500, 5000), (4000, 50), (4000, 200), (4000, 1000), (4000, 5000)],
)
def test_false_alarms_on_shuffled_rows(baseline: int, batch: int) -> None:
    """Where nothing drifted, no more reports name a feature than 5% explains, at any size."""
    rng, reports, alarms = np.random.default_rng(7), 100, 0
    for _ in range(reports):
        rows, p = _realistic(rng, baseline + batch), rng.random(baseline + batch)
        days = np.linspace(0, 180, baseline, endpoint=False)
        summary = _drift(rows[:baseline], rows[baseline:], (p[:baseline], p[baseline:]), days)
        alarms += any(f.outcome == "unusual" for f in summary.features)

    assert stats.binomtest(alarms, reports, 0.05, alternative="greater").pvalue > 0.05


@pytest.mark.parametrize("batch", [100, 1000])
def test_planted_shift_is_found(batch: int) -> None:
    """A number that moved by a standard deviation, and a category that took over, are found; the
    others are steady.
    """
    rng = np.random.default_rng(3)
    before, after = _realistic(rng, 5000), _realistic(rng, batch)
    after["n0"] += 1.0
    after["b"] = rng.choice(["a", "b"], batch)

    found = {f.feature for f in _drift(before, after).inputs if f.outcome == "unusual"}

    assert found == {"n0", "b"}


def test_share_counts_evaluable_features_only() -> None:
    """The share of drifted features leaves out what could not be judged, and the prediction."""
    rng = np.random.default_rng(0)
    before = pd.DataFrame(
        {
            "moved": rng.normal(size=500),
            "still": np.tile([1.0, 2.0], 250),
            "gone": np.zeros(500),
            "never": np.full(500, np.nan),
        }
    )
    after = before.assign(moved=before["moved"] + 3, gone=np.nan)

    summary = _drift(before, after, (np.zeros(100), np.ones(100)))

    assert {f.feature: f.outcome for f in summary.features} == {
        "moved": "unusual",
        "still": "usual",
        "gone": "unusual",
        "prediction": "unusual",
        "target": "usual",
        "never": "not evaluable",
    }
    assert summary.share == 2 / 3


def test_column_without_a_value() -> None:
    """A column that is empty in the batch, or was in training, is not evaluable, and says in
    which.
    """
    values, empty = np.arange(100.0), np.full(100, np.nan)

    gone, new, never = _one(values, empty), _one(empty, values), _one(empty, empty)

    assert [f.outcome for f in (gone, new, never)] == ["unusual", "unusual", "not evaluable"]
    assert gone.missing is not None
    assert gone.missing.outcome == "unusual"
    assert [f.score for f in (gone, new, never)] == [None] * 3
    assert gone.note == "this batch holds no value"
    assert new.note == never.note == "the champion's training data held no value"
    assert (gone.missing_before, gone.missing_after) == (0.0, 1.0)


def test_feature_that_goes_missing_drifts() -> None:
    """Half of the values gone is drift, though the other half is as it was; a steady share of gaps
    is not.
    """
    rng = np.random.default_rng(0)
    whole = rng.normal(size=2000)
    holes = np.where(rng.random(2000) < 0.5, np.nan, whole)

    assert _one(whole, holes).outcome == "unusual"
    assert _one(holes, whole).outcome == "unusual"
    assert (
        _one(holes, np.where(rng.random(2000) < 0.5, np.nan, rng.normal(size=2000))).outcome
        == "usual"
    )


def test_missing_values_have_a_score_of_their_own() -> None:
    """A tenth of the values gone is named as missing values, and the values that are left are
    steady.
    """
    rng = np.random.default_rng(0)
    whole = rng.normal(size=4000)

    found = _one(whole, np.where(rng.random(4000) < 0.1, np.nan, rng.normal(size=4000)))

    assert found.outcome == "unusual"
    assert found.missing is not None
    assert found.missing.outcome == "unusual"
    assert found.score < found.threshold
    assert found.missing.score > found.missing.threshold


def test_what_no_batch_could_show_is_not_steady() -> None:
    """Four months of a season say nothing of the next: the warmest month ever cannot be told, and
    its neighbour, which does not swing, is steady.
    """
    rng = np.random.default_rng(6)
    days = np.linspace(0, 120, 8000, endpoint=False)
    season = pd.DataFrame(
        {"warm": days / 10 + rng.normal(size=8000), "still": rng.normal(size=8000)}
    )
    summer = pd.DataFrame({"warm": 25 + rng.normal(size=2000), "still": rng.normal(size=2000)})

    warm, still = _drift(season, summer, days=days).inputs

    assert (warm.outcome, still.outcome) == ("cannot be told", "usual")
    assert warm.threshold is None


@pytest.mark.parametrize(("before", "after"), [(1.0, 2.0), (1.0, 0.0), (0.0, 1e-9)])
def test_constant_that_changes(before: float, after: float) -> None:
    """A number that was always the same, and is always another, drifted, up or down."""
    assert _one(np.full(200, before), np.full(200, after)).outcome == "unusual"
    assert _one(np.full(200, before), np.full(200, before)).outcome == "usual"


def test_flag_that_takes_a_third_value() -> None:
    """Values above the largest that training knew are seen, where many rows hold the largest."""
    flags = np.tile([0.0, 1.0], 200)

    assert _one(flags, np.where(flags == 1, 2.0, 0.0)).outcome == "unusual"
    assert _one(flags, flags).outcome == "usual"


def test_unseen_categories_count_as_other() -> None:
    """Categories that training did not have fall in the last bin."""
    found = _one(["a"] * 60 + ["b"] * 40, ["a"] * 50 + ["new"] * 30 + ["newer"] * 20)

    assert found.histogram.labels == ("a", "b", OTHER)
    assert found.histogram.before == (0.6, 0.4, 0.0)
    assert found.histogram.after == (0.5, 0.0, 0.5)
    assert found.outcome == "unusual"


def test_rare_categories_share_a_bin() -> None:
    """A category of fewer than ten training rows is not told apart; nor are more than thirty."""
    rows = [f"c{i:02d}" for i in range(40) for _ in range(RARE + i)] + ["rare"] * (RARE - 1)

    profile = _profile(_frame(pd.DataFrame({"x": rows})), np.arange(3.0), {}).features[0]

    assert len(profile.categories) == CATEGORIES
    assert profile.categories == tuple(f"c{i:02d}" for i in range(10, 40))
    assert sum(profile.counts) == len(rows)


def test_identifiers_are_not_evaluable() -> None:
    """A category that is another in every row cannot be compared, and says so."""
    found = _one([f"id {i}" for i in range(500)], [f"id {i}" for i in range(500, 900)])

    assert found.outcome == "not evaluable"
    assert "no category had 10 training rows" in found.note


def test_histograms_sum_to_one() -> None:
    """The shares of each side sum to one, with a label for each category."""
    rng = np.random.default_rng(1)
    for found in _drift(_realistic(rng, 1000), _realistic(rng, 300)).features:
        labels = found.histogram.labels
        assert len(found.histogram.before) == len(found.histogram.after) == (len(labels) or AXIS)
        assert len(set(labels)) == len(labels)
        assert sum(found.histogram.before) == pytest.approx(1)
        assert sum(found.histogram.after) == pytest.approx(1)


def test_order_of_rows_does_not_matter() -> None:
    """The same rows in another order give the same profile and the same drift, ties between
    categories included.
    """
    rng = np.random.default_rng(5)
    tied = pd.DataFrame({"t": [f"c{i:02d}" for i in range(60)] * RARE})
    rows = pd.concat([_realistic(rng, len(tied)), tied], axis=1)
    shuffled = rows.sample(frac=1, random_state=1).reset_index(drop=True)
    predicted = rng.random(len(rows))

    profiles = [
        _profile(_frame(frame), p, {"n0": 0.5})
        for frame, p in ((rows, predicted), (shuffled, predicted[::-1]))
    ]

    assert profiles[0] == profiles[1]
    assert _summary(profiles[0], _frame(rows), predicted) == _summary(
        profiles[1], _frame(shuffled), predicted[::-1]
    )


def test_multiclass_predictions_are_profiled_by_their_surest_class() -> None:
    """Of several probabilities a row, the largest is watched."""
    sure, unsure = np.tile([0.9, 0.05, 0.05], (200, 1)), np.tile([0.4, 0.3, 0.3], (200, 1))
    values = pd.DataFrame({"x": np.arange(200.0)})

    moved, same = (
        _drift(values, values, (sure, unsure)),
        _drift(values, values, (sure, sure[:, ::-1])),
    )

    assert moved.features[-1].kind == "prediction"
    assert [f.outcome for f in (moved.features[-1], same.features[-1])] == ["unusual", "usual"]


def test_importance_travels_with_the_profile() -> None:
    """What the champion's holdout said of a feature stands beside its drift; unknown stays
    unknown.
    """
    frame = _frame(pd.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0)}))

    profile = _profile(frame, np.arange(5.0), {"x": 0.25})

    assert {f.feature: f.importance for f in profile.features} == {
        "x": 0.25,
        "y": None,
        "target": None,
        "prediction": None,
    }


def test_features_called_as_our_own_columns() -> None:
    """Each has its own line, and so have the champion's output and the target."""
    rows = pd.DataFrame({"prediction": np.arange(40.0), "Target": np.arange(40.0) * 2})

    drift = _drift(rows, rows)

    assert [(f.feature, f.kind) for f in drift.features] == [
        ("prediction", "numerical"),
        ("Target", "numerical"),
        ("kingmaker_target", "target"),
        ("kingmaker_prediction", "prediction"),
    ]


@pytest.mark.filterwarnings("error")
def test_the_largest_double_is_a_bin_of_its_own() -> None:
    """A profile with it is the same when it is read back, and no warning is printed."""
    rows = pd.DataFrame({"x": [np.finfo("float64").max] * 20 + [1.0] * 20})
    profile = _profile(_frame(rows), np.arange(10.0), {})

    assert profile.features[0].edges[-2:] == (np.finfo("float64").max, np.inf)
    assert [n for n in profile.features[0].counts if n] == [20, 20]
    assert BaselineProfile.model_validate_json(profile.model_dump_json()) == profile


def test_infinite_values_do_not_break_the_bins() -> None:
    """An infinity lies in the outermost bin, and the edges are numbers."""
    values = np.concatenate([np.arange(100.0), [np.inf, -np.inf]])

    found = _one(values, values)

    assert found.score == 0.0
    assert not any("nan" in label or "inf" in label for label in found.histogram.labels)


def test_blocks_of_time_hold_every_row_once() -> None:
    """Blocks are in order of time, do not overlap, and their counts add up to those of the
    whole.
    """
    rng = np.random.default_rng(2)
    frame = _frame(_realistic(rng, 3000), days=rng.uniform(0, 90, 3000))

    profile = _profile(frame, rng.random(3000), {})

    assert len(profile.blocks) == BLOCKS // 3 * 3
    assert profile.blocks_per_batch == BLOCKS // 3
    assert all(one.end <= other.start for one, other in itertools.pairwise(profile.blocks))
    assert sum(block.rows for block in profile.blocks) == 3000
    for feature in profile.features:
        assert np.sum(feature.blocks, axis=0).tolist() == [*feature.counts, feature.missing]


def test_some_of_many_batches_stand_for_all() -> None:
    """The profile of a long history is no larger, and its batches are not all of one phase: every
    24th of 3,072 hours would be.
    """
    days = np.arange(3072.0) * 30

    block, blocks, per_batch = time_blocks(_frame(pd.DataFrame({"x": days}), days))

    assert len(blocks) == MOST_BLOCKS
    assert per_batch == 1
    assert (block.max(), (block >= 0).sum()) == (MOST_BLOCKS - 1, MOST_BLOCKS)
    assert len(set(np.flatnonzero(block >= 0) % 24)) > 12


def test_the_target_is_watched_once_its_labels_are_mature() -> None:
    """Before that it is not evaluable and says why; then its classes are compared like any
    category.
    """
    rng = np.random.default_rng(4)
    features, predicted = pd.DataFrame({"x": rng.normal(size=2000)}), rng.random(2000)
    days = np.linspace(0, 180, 2000, endpoint=False)
    before, same, more = (
        frame_of(features, (rng.random(2000) < share).astype("float64"), days=days)
        for share in (0.2, 0.2, 0.6)
    )
    profile = _profile(before, predicted, {})

    early = summarise_drift(profile, 1, "b", count_part(profile, more, predicted), CONFIG, seed=0)
    late = {
        name: _summary(profile, batch, predicted).features[1]
        for name, batch in (("same", same), ("more", more))
    }

    assert [f.kind for f in early.features] == ["numerical", "target", "prediction"]
    assert (early.features[1].outcome, early.features[1].note) == (
        "not evaluable",
        "labels are not mature yet",
    )
    assert {name: f.outcome for name, f in late.items()} == {"same": "usual", "more": "unusual"}
    assert late["more"].histogram.labels == ("0", "1", OTHER)
    added = add_target(early, profile, count_target(profile, more), CONFIG)
    assert added.features[1] == late["more"]
    assert added.features[0] == early.features[0]


def _year_before(fault: bool, *, moved: frozenset[str] = frozenset()) -> DriftSummary:
    """A summer after half a year of training, with the summer before in the lake; ``fault`` in both
    summers.
    """
    rng = np.random.default_rng(4)

    def rows(first: float, days: float) -> FeatureFrame:
        at = np.sort(rng.uniform(first, first + days, int(days * 20)))
        summer = np.cos((at - 180) / 365.2425 * 2 * np.pi) > 0.9
        features = pd.DataFrame(
            {"temp": 3 * summer + rng.normal(size=len(at)), "sensor": rng.normal(size=len(at))}
        )
        if fault and days == 30:
            features["sensor"] += 2
        return _frame(features, at)

    train, batch, before = rows(365.2425, 150), rows(365.2425 + 165, 30), rows(165, 30)
    predicted = rng.random(len(train))
    profile = make_profile(train, train, predicted, (np.arange(len(train)), predicted), {})
    profile = add_history(profile, [(before, moved)])
    return _summary(profile, batch, rng.random(len(batch)))


def test_history_before_training_is_the_season() -> None:
    """What comes every summer is steady once a summer is known, and its note says what training
    rows would have said.
    """
    found = {f.feature: f for f in _year_before(fault=False).features}

    assert found["temp"].outcome == found["sensor"].outcome == "usual"
    assert "as in this season of 2020" in found["temp"].note
    assert found["sensor"].note == ""
    assert _year_before(fault=False).reference.earlier == 600


def test_a_fault_that_lasts_is_not_what_is_usual() -> None:
    """A column that had moved against its season is no reference; what nobody had named is told in
    a note at least.
    """
    known = {f.feature: f for f in _year_before(fault=True, moved=frozenset({"sensor"})).features}
    unknown = {f.feature: f for f in _year_before(fault=True).features}

    assert known["sensor"].outcome == "unusual"
    assert "held against all training rows: in b005" in known["sensor"].note
    assert unknown["sensor"].outcome == "usual"
    assert "it has moved against the training rows" in unknown["sensor"].note


def test_history_is_asked_for_no_more_than_is_kept() -> None:
    """The newest batches are kept, oldest first, and those before them are not read."""
    frame = _frame(
        pd.DataFrame({"x": np.arange(300.0)}), np.linspace(1000, 1100, 300, endpoint=False)
    )
    profile = _profile(frame, np.arange(300.0), {})
    asked = []

    def history() -> Iterator[tuple[FeatureFrame, frozenset[str]]]:
        for month in range(30, 0, -1):
            asked.append(month)
            days = np.linspace(month * 30, month * 30 + 30, 300, endpoint=False)
            yield _frame(pd.DataFrame({"x": np.arange(300.0)}), days), frozenset()

    kept = add_history(profile, history())

    assert len(asked) == -(-MOST_EARLIER // profile.blocks_per_batch) < 30
    assert list(kept.earlier) == sorted(kept.earlier, key=lambda b: b.start)
    assert len(kept.features[0].earlier) == len(kept.earlier) >= MOST_EARLIER
    assert kept.features[-1].earlier == ()
