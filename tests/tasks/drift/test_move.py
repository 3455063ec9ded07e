"""Tests of how far a column moved, in its own unit."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.drift.config import DriftConfig
from tasks.drift.histograms import count_part, outside_rows
from tasks.drift.profile import SEEN_CATEGORIES, make_profile
from tasks.drift.summary import summarise_drift
from tasks.records import BaselineProfile, DriftSummary, FeatureFrame, Move
from tests.tasks.builders import frame_of

RNG = np.random.default_rng(5)


def _frame(features: pd.DataFrame) -> FeatureFrame:
    words = [c for c in features if not pd.api.types.is_numeric_dtype(features[c])]
    days = np.linspace(0, 150, len(features), endpoint=False)
    return frame_of(features, np.zeros(len(features)), days=days, categorical=words)


def _profile(features: pd.DataFrame) -> BaselineProfile:
    frame = _frame(features)
    ones = np.ones(len(features))
    return make_profile(frame, frame, ones, (np.arange(len(features)), ones), {})


def _report(before: pd.DataFrame, after: pd.DataFrame) -> DriftSummary:
    profile = _profile(before)
    counts = count_part(profile, _frame(after), np.ones(len(after)))
    return summarise_drift(profile, 1, "b", counts, DriftConfig(), 0)


def _move(before: object, after: object) -> Move:
    move = _report(pd.DataFrame({"x": before}), pd.DataFrame({"x": after})).features[0].move
    assert move is not None
    return move


def test_a_number_moves_in_its_own_unit() -> None:
    """The medians of training and batch, and the share of rows beyond either end of training."""
    move = _move(np.arange(1, 102.0), np.arange(51, 152.0))

    assert move.median == pytest.approx((51.0, 101.0))
    assert (move.below, move.above) == (0.0, pytest.approx(50 / 101))
    assert move.moved
    assert move.outside == pytest.approx(50 / 101)


def test_a_category_that_training_never_held_is_unseen() -> None:
    """A rare category of training, which shares a bin with the unseen, is not one of them."""
    move = _move(["a"] * 90 + ["rare"], ["a"] * 70 + ["rare"] * 10 + ["new"] * 20)

    assert move.unseen == 0.2
    assert move.median is None


def test_too_many_categories_to_keep_are_not_called_unseen() -> None:
    """Where their names are not kept, nothing is said of them."""
    ids = [f"id {i}" for i in range(SEEN_CATEGORIES + 1)]

    assert _move(ids + ["a"] * 20, [f"other {i}" for i in range(50)]).unseen == 0.0


def test_missing_values_move_apart_from_values() -> None:
    """A third of the values gone moves the missing share, and leaves the values where they were."""
    whole = RNG.normal(size=3000)

    move = _move(whole, np.where(RNG.random(3000) < 0.3, np.nan, RNG.normal(size=3000)))

    told = move.model_dump()
    assert (told["values"], told["gaps"], told["missing"]) == (False, True, 0.0)


def test_chance_moves_few() -> None:
    """Rows drawn from training itself do not move, at any size: in few of a hundred reports of ten
    features is one called moved.
    """
    moved = 0
    for size in (40, 200, 2_000):
        for _ in range(50):
            rows = RNG.normal(size=(4_000 + size, 10))
            before, after = (pd.DataFrame(part).add_prefix("n") for part in np.split(rows, [4_000]))
            moved += any(f.moved for f in _report(before, after).inputs)

    assert stats.binomtest(moved, 150, 0.05, alternative="greater").pvalue > 0.05


def test_the_median_of_parts_is_that_of_the_whole() -> None:
    """Parts of one batch give its median, to half a percent of its rows, and what lies outside."""
    values = np.sort(RNG.normal(size=9_000))
    profile = _profile(pd.DataFrame({"x": values[:6_000]}))
    parts = [pd.DataFrame({"x": part}) for part in np.split(values, [1_000, 7_500])]

    counted = [count_part(profile, _frame(p), np.ones(len(p))) for p in parts]
    whole = counted[0] + counted[1] + counted[2]

    spread = whole.spreads[0]
    assert spread is not None
    assert spread.median is not None
    assert abs(np.searchsorted(values, spread.median) - 4_500) <= 0.005 * 9_000
    assert spread.mean == pytest.approx(values.mean())
    assert whole.outside == spread.above == 3_000


def test_rows_outside_in_any_feature_count_once() -> None:
    """A row that two features call outside is one row."""
    profile = _profile(pd.DataFrame({"x": [0.0, 1.0], "w": ["a", "b"]}))
    batch = pd.DataFrame({"x": [0.5, 2.0, -1.0, np.nan], "w": ["a", "c", "b", "d"]})

    outside = outside_rows(profile, batch)

    assert outside.tolist() == [False, True, True, True]
    assert count_part(profile, _frame(batch), np.ones(4)).outside == 3
