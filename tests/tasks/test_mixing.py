"""Tests of what an ensemble does with rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from tasks.decisions.config import RecalibrationConfig
from tasks.decisions.recalibration import recalibrate
from tasks.mixing import Ensemble, correct, mix, summarise
from tasks.prediction import predict
from tasks.records import Recalibration

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(60, 2)), columns=["a", "b"])
PROBABILITIES = hnp.arrays("float64", st.integers(1, 30), elements=st.floats(0, 1))


def recalibration(problem: str, *shift: float) -> Recalibration:
    """A correction by ``shift``."""
    return Recalibration(problem=problem, shift=shift, rows=100, reason="test")


def test_mix_by_hand() -> None:
    """Weights apply row by row, and class by class."""
    one, other = np.array([[0.2, 0.8], [1.0, 0.0]]), np.array([[0.6, 0.4], [0.5, 0.5]])

    assert mix([one, other], (0.75, 0.25)) == pytest.approx(np.array([[0.3, 0.7], [0.875, 0.125]]))


def test_member_without_weight_is_not_heard() -> None:
    """Predictions that are no numbers, weighted by nothing, leave the mix as it is."""
    assert mix([np.array([0.3]), np.array([np.nan])], (1.0, 0.0)) == pytest.approx([0.3])


@given(PROBABILITIES, st.floats(-3, 3))
def test_binary_shift_is_one_of_the_logit(p: np.ndarray, shift: float) -> None:
    """Probabilities stay probabilities, 0 and 1 stay, and the log odds move by the shift."""
    moved = correct(p, recalibration("binary", shift))

    assert ((moved >= 0) & (moved <= 1)).all()
    inside = (p > 1e-6) & (p < 1 - 1e-6)
    odds = np.log(moved[inside] / (1 - moved[inside])) - np.log(p[inside] / (1 - p[inside]))
    assert odds == pytest.approx(shift, abs=1e-6)


@given(PROBABILITIES, st.floats(-3, 3))
def test_multiclass_of_two_is_binary(p: np.ndarray, shift: float) -> None:
    """Two classes whose shifts differ by the binary one get the same probabilities, which sum to
    one.
    """
    both = correct(np.column_stack([1 - p, p]), recalibration("multiclass", 0.5, 0.5 + shift))

    assert both.sum(axis=1) == pytest.approx(1)
    assert both[:, 1] == pytest.approx(correct(p, recalibration("binary", shift)), abs=1e-9)


def test_factor() -> None:
    """A regression is multiplied."""
    assert correct(
        np.array([10.0, -2.0]), recalibration("regression", np.log(1.5))
    ) == pytest.approx([15, -3])


def test_summaries() -> None:
    """Shares, shares of the classes, and medians or means, of labels and of predictions."""
    binary = summarise(
        "b", np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.6, 0.8]), "binary"
    )
    several = summarise(
        "b",
        np.array(["x", "y", "x", "x"]),
        np.array([[0.5, 0.5]] * 3 + [[1.0, 0.0]]),
        "multiclass",
        ("x", "y"),
    )
    regression = summarise("b", np.array([1.0, 2.0, 90.0]), np.array([4.0, 5.0, 6.0]), "regression")

    mean = summarise(
        "b", np.array([1.0, 2.0, 90.0]), np.array([4.0, 5.0, 6.6]), "regression", mean=True
    )

    assert (mean.labels, mean.predictions) == ((31.0,), pytest.approx((5.2,)))
    assert (binary.rows, binary.labels, binary.predictions) == (4, (0.75,), pytest.approx((0.5,)))
    assert (several.labels, several.predictions) == ((0.75, 0.25), pytest.approx((0.625, 0.375)))
    assert (regression.labels, regression.predictions) == ((2.0,), (5.0,))


@given(st.integers(0, 2**32 - 1), st.floats(-1.5, 1.5))
def test_whole_correction_brings_the_mean_near_the_labels(seed: int, bias: float) -> None:
    """Where every logit is off by one number, the correction at full strength takes most of it
    away.
    """
    rng = np.random.default_rng(seed)
    truth = 1 / (1 + np.exp(-rng.normal(-0.5, 0.5, 4000)))
    target = (rng.random(4000) < truth).astype("float64")
    predicted = correct(truth, recalibration("binary", bias))
    found = recalibrate(
        [summarise("b", target, predicted, "binary")],
        "binary",
        RecalibrationConfig(strength=1.0, rows=0.0),
    )

    assert abs(correct(predicted, found).mean() - target.mean()) < 0.05


def _classifier(*labels: object) -> Pipeline:
    target = np.array([labels[i % len(labels)] for i in range(len(ROWS))])
    return Pipeline([("estimator", LogisticRegression())]).fit(
        ROWS + RNG.normal(size=ROWS.shape), target
    )


def test_ensemble_of_regressors_is_their_weighted_mean() -> None:
    """Values are mixed by the weights, to the letter."""
    one, two = (Pipeline([("e", Ridge())]).fit(ROWS, ROWS["a"] * k) for k in (1, 3))

    found = predict(Ensemble([one, two], [0.25, 0.75]), ROWS, "regression")

    assert found == pytest.approx(0.25 * one.predict(ROWS) + 0.75 * two.predict(ROWS), rel=1e-12)


def test_ensemble_of_classifiers_is_their_weighted_mean() -> None:
    """P(positive) is mixed."""
    one, two = _classifier(0.0, 1.0), _classifier(0.0, 1.0, 1.0)

    mixed = predict(Ensemble([one, two], [0.5, 0.5]), ROWS, "binary")

    assert mixed == pytest.approx(
        (one.predict_proba(ROWS)[:, 1] + two.predict_proba(ROWS)[:, 1]) / 2
    )


def test_members_that_know_other_classes() -> None:
    """A class that one member never saw has its share from the others; probabilities still sum to
    one.
    """
    ensemble = Ensemble([_classifier("a", "b"), _classifier("b", "c")], [0.4, 0.6])

    found = predict(ensemble, ROWS, "multiclass", ("a", "b", "c", "never"))

    assert found.sum(axis=1) == pytest.approx(1)
    assert (found[:, 0] < 0.4).all()
    assert (found[:, 2] < 0.6).all()
    assert (found[:, 3] == 0).all()
