"""Tests of what a model's card tells of it: calibration by bins, and main effects."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.behaviour import BINS, EFFECTS, behaviour, calibration, main_effects
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows
from tests.tasks.evaluation.frames import binary


def test_what_was_predicted_stands_against_what_came() -> None:
    """Each bin has its mean prediction, the share of positives and an interval around it."""
    frame = binary(rows=2000)
    rows = LabelledRows(frame)
    predicted = frame.features["p"].to_numpy()

    bins = calibration(rows, predicted, Objective("binary"))

    order = np.argsort(predicted, kind="stable")
    first = order[: len(order) // BINS]
    assert len(bins) == BINS
    assert sum(one.rows for one in bins) == 2000
    assert bins[0].predicted == pytest.approx(predicted[first].mean())
    assert bins[0].seen == pytest.approx(rows.target[first].mean())
    assert all(one.low <= one.seen <= one.high for one in bins)


@given(rows=st.integers(1, 300), classes=st.integers(2, 4))
def test_no_row_is_lost_and_bins_rise(rows: int, classes: int) -> None:
    """However few rows: every probability of every class is in one bin, by rising prediction."""
    frame = binary(rows=max(rows, 2))
    labels = tuple(f"c{i}" for i in range(classes))
    target = np.array(labels)[np.arange(len(frame)) % classes]
    labelled = LabelledRows(frame)
    labelled.__dict__["target"] = target
    raw = np.random.default_rng(rows).random((len(frame), classes))

    bins = calibration(
        labelled, raw / raw.sum(axis=1, keepdims=True), Objective("multiclass", "", labels)
    )

    assert sum(one.rows for one in bins) == len(frame) * classes
    assert [one.predicted for one in bins] == sorted(one.predicted for one in bins)


def test_a_main_effect_is_the_mean_over_rows_that_all_have_the_value() -> None:
    """Of a product of a number and a category it is the number times the other's mean; what moves
    nothing is left out, and the most important comes first.
    """
    features = pd.DataFrame(
        {
            "x": np.linspace(0.0, 1.0, 101),
            "kind": pd.Series(["a", "b"] * 50 + ["a"], dtype="str"),
            "idle": 0.0,
        }
    )
    factor = {"a": 1.0, "b": 3.0}

    def predict(rows: pd.DataFrame) -> np.ndarray:
        return rows["x"].to_numpy() * rows["kind"].map(factor).to_numpy(dtype="float64")

    effects, _ = main_effects(predict, features, {"kind": 0.1, "x": 0.2, "idle": 0.0})

    by_number, by_kind = effects
    assert (by_number.feature, by_kind.feature) == ("x", "kind")
    mean_factor = features["kind"].map(factor).mean()
    assert by_number.predicted == pytest.approx([x * mean_factor for x in by_number.grid])
    assert by_kind.grid == ("a", "b")
    assert by_kind.predicted == pytest.approx([0.5, 1.5])


def test_a_wide_model_is_asked_once_for_a_few_features() -> None:
    """Of many features the most important ones are told, by one call; what is missing or infinite
    is no value of the grid.
    """
    features = pd.DataFrame({f"x{i}": np.linspace(0, i + 1, 50) for i in range(30)})
    features.loc[0, "x29"], features.loc[1, "x29"] = np.inf, np.nan
    asked: list[int] = []

    def predict(rows: pd.DataFrame) -> np.ndarray:
        asked.append(len(rows))
        return rows.sum(axis=1).to_numpy()

    effects, _ = main_effects(predict, features, {name: float(name[1:]) for name in features})

    assert [one.feature for one in effects] == [f"x{i}" for i in range(29, 29 - EFFECTS, -1)]
    assert np.isfinite(effects[0].grid).all()
    assert len(asked) == 1


def test_a_model_that_saw_the_rows_is_told_by_what_had_not() -> None:
    """The calibration is that of the predictions that judge; importance is the model's own."""
    rows = LabelledRows(binary(rows=1000))

    def predict(features: pd.DataFrame) -> np.ndarray:
        return features["p"].to_numpy()

    own = predict(rows.frame.features)
    found = behaviour(predict, rows, own, np.full(1000, 0.25), Objective("binary", "log_loss"), 1)

    assert {one.predicted for one in found.calibration} == {0.25}
    assert found.importance["p"] > 0
    assert found.effects[0].feature == "p"
