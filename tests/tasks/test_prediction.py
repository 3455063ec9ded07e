"""Tests of how every room asks for predictions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier, DummyRegressor

from tasks.prediction import (
    MOST_CALLS,
    FeatureMismatchError,
    predict,
    predict_frame,
    predict_mixed,
    predict_rows,
    why_no_number,
)
from tasks.records import FeatureSchema
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, loaded_model

ROWS = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})


class ByPosition(FixedProbability):
    """A fitted classifier of two features that takes its columns as they come."""

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """P(negative) and P(positive), (rows, 2)."""
        p, _ = features.to_numpy().T
        return np.column_stack([1 - p, p])


def _classifier(*labels: object) -> DummyClassifier:
    target = np.array(labels, dtype="object" if isinstance(labels[0], str) else None)
    return DummyClassifier(strategy="prior").fit(np.zeros((len(labels), 1)), target)


def test_binary_is_the_probability_of_the_positive_class() -> None:
    """A binary prediction is P(1), one number a row."""
    found = predict(_classifier(0.0, 1.0, 1.0, 1.0), ROWS, "binary")

    assert found.dtype == np.float64
    assert found.tolist() == [0.75] * 4


@pytest.mark.parametrize(("label", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_binary_model_of_one_class(label: float, expected: float) -> None:
    """A model that has seen one class only says so with certainty, whichever it was."""
    assert predict(_classifier(label, label), ROWS, "binary").tolist() == [expected] * 4


def test_multiclass_columns_follow_the_named_classes() -> None:
    """Columns come in the order of the classes asked for; a class that the model never saw has
    probability 0.
    """
    model = _classifier("b", "b", "b", "d")

    found = predict(model, ROWS, "multiclass", ("a", "b", "c", "d"))

    assert found.shape == (4, 4)
    assert found[0].tolist() == [0.0, 0.75, 0.0, 0.25]


def test_regression() -> None:
    """A regression's prediction is a number a row."""
    assert (
        predict(DummyRegressor().fit(ROWS, [1, 2, 3, 6]), ROWS, "regression").tolist() == [3.0] * 4
    )


def test_frame_with_more_features_in_another_order() -> None:
    """The model gets its own features in its own order, whatever else the frame has."""
    frame = frame_of(
        pd.DataFrame({"new": [9.0, 9.0], "q": [5.0, 5.0], "p": [0.2, 0.7]}), [0.0, 1.0], days=[0, 1]
    )
    schema = FeatureSchema(numerical=("p", "q"), categorical=())
    model = loaded_model(ByPosition(), frame, schema_=schema)

    assert predict_frame(model, frame, "binary").tolist() == [0.2, 0.7]


def test_frame() -> None:
    """A frame with the features of the model is predicted."""
    frame = frame_of(pd.DataFrame({"p": [0.2, 0.7]}), [0.0, 1.0], days=[0, 1])

    assert predict_frame(loaded_model(FixedProbability(), frame), frame, "binary").tolist() == [
        0.2,
        0.7,
    ]


@pytest.mark.parametrize(
    ("numerical", "categorical", "named"),
    [
        (("x", "y"), (), r"\['old'\]"),
        (("x",), ("old",), r"\['old'\]"),
        (("y",), (), r"\['old', 'x'\]"),
    ],
)
def test_mismatch_names_the_features(
    numerical: tuple[str, ...], categorical: tuple[str, ...], named: str
) -> None:
    """Features that are missing or of another kind are named, with what to do."""
    names = [*categorical, *numerical]
    frame = frame_of(
        pd.DataFrame({n: [1.0] for n in names}), [0.0], days=[0], categorical=categorical
    )
    model = loaded_model(
        FixedProbability(),
        frame,
        version=4,
        schema_=FeatureSchema(numerical=("x", "old"), categorical=()),
    )

    with pytest.raises(FeatureMismatchError, match=named) as mismatch:
        predict_frame(model, frame, "binary")

    assert str(mismatch.value).startswith("flights version 4: expected 2 features, found ")
    assert "restore the feature code" in str(mismatch.value)


class Limited(FixedValue):
    """A fitted regressor that raises where a value is above 10, and overflows above 5."""

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Ten to the power of a hundred times the value."""
        values = features["x"].to_numpy()
        if (values > 10).any():
            raise ValueError("a value is too large\nfor this model")
        return 10.0 ** (100 * values)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 6.0, 11.0]), min_size=1, max_size=60))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_one_row_does_not_cost_the_others_their_predictions(values: list[float]) -> None:
    """Rows that the model raises for, or gives no finite number for, are NaN."""
    features = pd.DataFrame({"x": values})

    found = predict_rows(Limited(), features, "regression")

    expected = [10.0 ** (100 * value) if value < 5 else np.nan for value in values]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("value", "why"), [(11.0, "ValueError: a value is too large"), (6.0, "")])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_why_a_model_gives_no_number(value: float, why: str) -> None:
    """The first line of what it raises for the rows; nothing where it gives no finite number."""
    frame = frame_of(pd.DataFrame({"x": [value]}), [1.0], days=[0])

    assert why_no_number(loaded_model(Limited(), frame), frame, "regression") == why


def test_a_model_that_raises_for_many_rows_is_not_asked_for_ever() -> None:
    """Among many rows that it raises for, the calls are bounded, and what is left is NaN."""
    calls = []

    class Counted(Limited):
        def predict(self, features: pd.DataFrame) -> np.ndarray:
            calls.append(len(features))
            return super().predict(features)

    values = np.where(np.arange(10_000) % 2 == 0, 0.0, 11.0)

    found = predict_rows(Counted(), pd.DataFrame({"x": values}), "regression")

    assert len(calls) <= 2 * MOST_CALLS + 3
    assert 0 < np.isfinite(found).sum() < 5_000
    assert np.isnan(found[values > 10]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 40), st.randoms(use_true_random=False))
def test_mixtures_are_predicted_as_each_alone(rows, features, cells, random) -> None:
    """Each mixture has the predictions that its own frame has, however many share a call."""
    names = [f"f{i}" for i in range(features)]
    frame, other = (
        pd.DataFrame({name: [random.random() for _ in range(rows)] for name in names})
        for _ in range(2)
    )
    taken = np.array([[random.random() < 0.5 for _ in names] for _ in range(3)])
    calls: list[int] = []

    def ask(asked: pd.DataFrame) -> np.ndarray:
        calls.append(asked.size)
        return asked.to_numpy() @ np.arange(1.0, features + 1)

    found = list(predict_mixed(ask, frame, other, taken, cells=cells))

    for one, some in zip(found, taken, strict=True):
        alone = {n: (other if t else frame)[n] for n, t in zip(names, some, strict=True)}
        np.testing.assert_allclose(one, pd.DataFrame(alone) @ np.arange(1.0, features + 1))
    assert all(size <= max(cells, frame.size) for size in calls)


def test_mixtures_share_calls() -> None:
    """A wide frame costs a few calls, not one a feature; text stays text."""
    frame = pd.DataFrame({"a": ["x", "y"], "n": [1.0, 2.0]})
    other = pd.DataFrame({"a": ["p", "q"], "n": [3.0, 4.0]})
    calls: list[pd.DataFrame] = []

    def ask(asked: pd.DataFrame) -> np.ndarray:
        calls.append(asked)
        return asked["n"].to_numpy()

    found = list(predict_mixed(ask, frame, other, np.eye(2) > 0))

    assert [one.tolist() for one in found] == [[1.0, 2.0], [3.0, 4.0]]
    assert [call["a"].tolist() for call in calls] == [["p", "q", "x", "y"]]
