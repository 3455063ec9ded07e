"""Reasons add up to what is served, are exact where they can be, and name what moved it."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.explanation.reasons import TOLERANCE, ReasonsError, reasons
from tasks.mixing import Ensemble
from tasks.prediction import predict_frame
from tasks.records import EnsembleMember, FeatureFrame, LoadedModel, Problem, Recalibration
from tasks.training.pipeline import make_pipeline
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, loaded_model
from tests.tasks.candidates import KINDS, candidate

ROWS = 120
LINEAR = "sklearn.linear_model.LinearRegression"
LOGISTIC = "sklearn.linear_model.LogisticRegression"
BOOSTED = "sklearn.ensemble.HistGradientBoosting"
CLASSES = ("a", "b", "c")


def _frame(problem: Problem) -> FeatureFrame:
    """Rows of three numbers, gaps among them, and a category of five values."""
    random = np.random.default_rng(3)
    numbers = {name: random.normal(size=ROWS) for name in "xyz"}
    features = pd.DataFrame(
        {"kind": pd.Series(random.choice(list("pqrst"), ROWS), dtype="str"), **numbers}
    )
    score = 2 * features["x"] - features["y"] + 3 * (features["kind"] == "q") + features["x"] ** 2
    features.loc[::7, "z"] = np.nan
    target = {
        "regression": score + 10,
        "binary": (score > 1).astype("float64"),
        "multiclass": pd.Series(np.array(CLASSES)[np.digitize(score, [0, 2])], dtype="str"),
    }[problem]
    return frame_of(features, target, days=np.arange(ROWS), categorical=["kind"])


def _fitted(estimator: str, frame: FeatureFrame, seed: int, **params: Any) -> Any:
    pipeline = make_pipeline(estimator, params, frame.schema, encode="auto", seed=seed)
    half = frame.where(np.random.default_rng(seed).random(ROWS) < 0.7)
    return pipeline.fit(half.features, half.target)


@functools.cache
def _members(problem: Problem) -> tuple[Any, Any]:
    """A linear and a boosted pipeline."""
    frame = _frame(problem)
    kind = "Regressor" if problem == "regression" else "Classifier"
    return (
        _fitted(LINEAR if problem == "regression" else LOGISTIC, frame, 1),
        _fitted(BOOSTED + kind, frame, 2, max_iter=3),
    )


def _ensemble(problem: Problem, weight: float, shift: float) -> tuple[LoadedModel, FeatureFrame]:
    """Both, with weights and a recalibration in force."""
    frame, members = _frame(problem), _members(problem)
    model = loaded_model(
        Ensemble(members, (0.5, 0.5)),
        frame,
        classes=CLASSES if problem == "multiclass" else (),
        members=tuple(
            EnsembleMember(version=i, window="all history", discounted_loss=1.0) for i in range(2)
        ),
    )
    shifts = (shift, 0.0, -shift) if problem == "multiclass" else (shift,)
    recalibration = Recalibration(problem=problem, shift=shifts, rows=100, reason="a test")
    weights = (weight, 1 - weight)
    return replace(model, weights=weights, recalibration=recalibration), frame


@settings(max_examples=12, deadline=None)
@given(
    problem=st.sampled_from(["regression", "binary", "multiclass"]),
    weight=st.floats(0, 1),
    shift=st.floats(-1, 1),
    k=st.integers(1, 6),
    samples=st.integers(1, 2),
)
def test_reasons_add_up_to_what_is_served(
    problem: Problem, weight: float, shift: float, k: int, samples: int
):
    """Mean prediction, reasons and the rest are the prediction, whatever weights and recalibration
    are in force.
    """
    model, frame = _ensemble(problem, weight, shift)
    served = predict_frame(model, frame, problem)

    found = reasons(model, frame.features, served, problem, k, samples=samples)

    told = served if problem != "multiclass" else served.max(axis=1)
    assert found.effects.shape == (ROWS, min(k, 4))
    total = found.base + found.effects.sum(axis=1) + found.rest
    np.testing.assert_allclose(total, told, rtol=2 * TOLERANCE, atol=TOLERANCE)
    assert (np.diff(np.abs(found.effects), axis=1) <= 0).all()


@pytest.mark.parametrize("problem", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_candidate_has_reasons(kind: str, problem: Problem):
    """They add up, under a recalibration too, whatever numbers the library reckons with."""
    frame, one = _frame(problem), candidate(kind, problem)
    classes = CLASSES if problem == "multiclass" else ()
    pipeline = make_pipeline(one.estimator, one.params, frame.schema, encode="auto", seed=1)
    model = loaded_model(pipeline.fit(frame.features, frame.target), frame, classes=classes)
    shift = (0.3, 0.0, -0.3) if problem == "multiclass" else (0.3,)
    recalibration = Recalibration(problem=problem, shift=shift, rows=100, reason="a test")
    model = replace(model, recalibration=recalibration)
    served = predict_frame(model, frame, problem)

    found = reasons(model, frame.features, served, problem, 4)

    told = served if problem != "multiclass" else served.max(axis=1)
    total = found.base + found.effects.sum(axis=1) + found.rest
    np.testing.assert_allclose(total, told, rtol=2 * TOLERANCE, atol=TOLERANCE)


def test_reasons_of_a_linear_regression_are_exact():
    """The share of a feature is its coefficient times its distance from the mean."""
    frame = _frame("regression")
    frame = frame_of(frame.features[["x", "y"]], frame.target, days=np.arange(ROWS))
    pipeline = _fitted(LINEAR, frame, 1)
    model = loaded_model(pipeline, frame)

    found = reasons(model, frame.features, pipeline.predict(frame.features), "regression", 2)

    scaler = pipeline[0].named_transformers_["numbers"].named_steps["scale"]
    slopes = pipeline[-1].coef_ / scaler.scale_
    expected = (frame.features - frame.features.mean()).to_numpy() * slopes
    by_name = np.take_along_axis(found.effects, np.argsort(found.features, axis=1), axis=1)
    np.testing.assert_allclose(by_name, expected, atol=1e-9)


def test_sampled_reasons_come_near_the_exact_ones():
    """For a product of two features, each gets half of what both do together."""
    random = np.random.default_rng(0)
    frame = frame_of(
        pd.DataFrame({"x": random.normal(size=400), "y": random.normal(size=400)}),
        np.zeros(400),
        days=np.arange(400),
    )

    class Product:
        def predict(self, features: pd.DataFrame) -> np.ndarray:
            return features["x"].to_numpy() * features["y"].to_numpy()

    row = pd.DataFrame({"x": [2.0], "y": [3.0]})

    found = reasons(
        loaded_model(Product(), frame), row, np.array([6.0]), "regression", 2, samples=400
    )

    np.testing.assert_allclose(found.effects, [[3.0, 3.0]], atol=0.35)


def test_the_feature_that_moves_it_comes_first_by_its_value():
    """A model that reads one feature has that as its only reason; a category has its name."""
    frame = _frame("regression")

    class Kind:
        def predict(self, features: pd.DataFrame) -> np.ndarray:
            return np.where(features["kind"] == "q", 7.0, 1.0)

    served = Kind().predict(frame.features)

    found = reasons(loaded_model(Kind(), frame), frame.features, served, "regression", 2)

    assert set(found.features[:, 0]) == {"kind"}
    assert list(found.inputs[:, 0]) == list(frame.features["kind"])
    assert (found.effects[:, 1] == 0).all()


@pytest.mark.parametrize("chunk", [5, 1_000])
def test_a_row_has_the_same_reasons_whatever_stands_beside_it(chunk):
    """Chunks of any size give the same reasons."""
    model, frame = _ensemble("binary", 0.3, 0.2)
    few = frame.where(np.arange(ROWS) < 15)
    served = predict_frame(model, few, "binary")

    found = reasons(model, few.features, served, "binary", 3, samples=2, chunk=chunk)
    whole = reasons(model, few.features, served, "binary", 3, samples=2)

    np.testing.assert_allclose(found.effects, whole.effects, rtol=1e-9)
    assert (found.features == whole.features).all()


def test_a_row_without_a_prediction_has_no_reasons():
    """NaN was served; the other rows have theirs."""
    frame = frame_of(pd.DataFrame({"p": [0.2, 0.4, 0.9]}), [0.0, 0.0, 1.0], days=[0, 1, 2])
    served = np.array([0.2, np.nan, 0.9])

    found = reasons(loaded_model(FixedProbability(), frame), frame.features, served, "binary", 1)

    assert np.isnan(found.effects[1]).all()
    np.testing.assert_allclose(found.base[[0, 2]] + found.effects[[0, 2], 0], [0.2, 0.9])


def test_no_rows_have_no_reasons():
    """An empty frame gives an empty answer."""
    frame = frame_of(pd.DataFrame({"p": [0.2, 0.4]}), [0.0, 1.0], days=[0, 1])

    found = reasons(
        loaded_model(FixedProbability(), frame), frame.features[:0], np.empty(0), "binary", 1
    )

    assert found.effects.shape == (0, 1)


def test_predictions_of_another_model_are_not_explained():
    """Reasons that do not add up to what was served are refused."""
    frame = frame_of(pd.DataFrame({"p": [1.0, 2.0, 5.0]}), [0.0, 0.0, 1.0], days=[0, 1, 2])

    with pytest.raises(ReasonsError, match="found 1 of 3 rows"):
        reasons(
            loaded_model(FixedValue(), frame),
            frame.features,
            np.array([1.0, 2.0, 6.0]),
            "regression",
            1,
        )


def test_a_model_that_is_a_sum_on_its_training_rows_only_is_sampled_beyond():
    """Far from the training rows two features work together: the reasons add up there too."""
    frame = frame_of(
        pd.DataFrame({"x": np.linspace(0, 1, 50), "y": np.linspace(1, 0, 50)}),
        np.zeros(50),
        days=np.arange(50),
    )

    class Bent:
        def predict(self, features: pd.DataFrame) -> np.ndarray:
            x, y = features["x"].to_numpy(), features["y"].to_numpy()
            return x + y + np.where((x > 2) & (y > 2), 100.0, 0.0)

    rows = pd.DataFrame({"x": [0.5, 3.0], "y": [0.5, 4.0]})
    served = Bent().predict(rows)

    found = reasons(loaded_model(Bent(), frame), rows, served, "regression", 2)

    np.testing.assert_allclose(found.base + found.effects.sum(axis=1), served)
    assert found.effects[1].min() > 40
