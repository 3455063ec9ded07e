"""Tests of what the house says of models: performance, comparison, guardrails, importance."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression, LogisticRegression

from tasks.evaluation.compare import SeenRowsError
from tasks.evaluation.config import METRICS
from tasks.evaluation.judgement import compare, importance, performance
from tasks.evaluation.metrics import EvaluationError
from tasks.records import FeatureFrame
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, loaded_model, span


def _binary(rows: int = 400, days: float = 20, seed: int = 0) -> FeatureFrame:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.95, rows)
    target = (rng.random(rows) < p).astype("float64")
    features = pd.DataFrame({"p": p, "noisy": np.clip(p + rng.normal(0, 0.3, rows), 0.01, 0.99)})
    slices = pd.DataFrame({"origin": rng.choice(["JFK", "LGA"], rows)})
    return frame_of(
        features, target, days=np.linspace(20, 20 + days, rows, endpoint=False), slices=slices
    )


FRAME = _binary()
HELD = (span(20, 40),)


def test_performance() -> None:
    """Loss, metric and metrics are those of the labelled rows, with intervals around them."""
    target = FRAME.target.copy()
    target.iloc[::10] = np.nan
    frame = FeatureFrame(**(vars(FRAME) | {"target": target}))
    known = target.notna().to_numpy()
    y, p = target[known].to_numpy(), FRAME.features["p"][known].to_numpy()

    found = performance(
        loaded_model(FixedProbability(), FRAME), frame, "binary", "roc_auc", METRICS["binary"]
    )

    assert (found.rows, found.blocks, found.version) == (360, 20, 1)
    assert found.loss.value == pytest.approx(sk.log_loss(y, p))
    assert found.loss.low < found.loss.value < found.loss.high
    assert found.score.value == pytest.approx(sk.roc_auc_score(y, p))
    assert found.score == found.metrics["roc_auc"]
    assert all(of.low < of.value < of.high for of in found.metrics.values())
    assert all(s.loss.low < s.loss.value < s.loss.high for s in found.slices)
    assert set(found.metrics) == set(METRICS["binary"])
    assert sum(s.rows for s in found.slices) == 360


def test_performance_on_one_class() -> None:
    """One class refuses by AUC; by log loss it is judged, without the metrics that are not
    defined.
    """
    frame = FRAME.where(FRAME.target.to_numpy() == 1)
    model = loaded_model(FixedProbability(), FRAME)

    by_loss = performance(model, frame, "binary", "log_loss", METRICS["binary"])

    assert set(METRICS["binary"]) - set(by_loss.metrics) == {"roc_auc", "average_precision"}
    with pytest.raises(EvaluationError, match="at least two classes"):
        performance(model, frame, "binary", "roc_auc", METRICS["binary"])


def test_performance_without_labels_is_refused() -> None:
    """Where no label is known there is nothing to judge by."""
    frame = FeatureFrame(**(vars(FRAME) | {"target": FRAME.target * np.nan}))

    with pytest.raises(EvaluationError, match="expected labelled rows, found none of 400"):
        performance(loaded_model(FixedProbability(), FRAME), frame, "binary", "roc_auc", ())


def test_performance_of_no_numbers_is_refused() -> None:
    """A champion that predicts NaN has no performance, and is not taken for one with a loss."""
    frame = frame_of(FRAME.features.assign(p=np.nan), FRAME.target, days=np.linspace(20, 40, 400))

    with pytest.raises(EvaluationError, match="expected finite predictions"):
        performance(loaded_model(FixedProbability(), FRAME), frame, "binary", "log_loss", ())


def test_compare() -> None:
    """The better of two models is found, each loss belongs to its own model, and the better metric
    too.
    """
    better, worse = (
        loaded_model(FixedProbability(), FRAME),
        loaded_model(FixedProbability("noisy"), FRAME),
    )

    found = compare(better, worse, FRAME, HELD, "binary", "roc_auc")
    swapped = compare(worse, better, FRAME, HELD, "binary", "roc_auc")

    assert found.challenger_loss == pytest.approx(sk.log_loss(FRAME.target, FRAME.features["p"]))
    assert found.champion_loss == pytest.approx(sk.log_loss(FRAME.target, FRAME.features["noisy"]))
    assert found.difference.value == pytest.approx(found.challenger_loss - found.champion_loss)
    assert found.t < -3
    assert found.p_better < 0.01
    assert found.challenger_score.value > found.champion_score.value
    assert swapped.t == pytest.approx(-found.t)
    assert swapped.p_better == pytest.approx(1 - found.p_better)
    assert swapped.challenger_loss == found.champion_loss
    assert (found.rows, found.blocks, found.block_hours) == (400, 20, 24.0)


@pytest.mark.parametrize("who", ["challenger", "champion"])
def test_compare_refuses_seen_rows(who: str) -> None:
    """When either contender was trained on a row of the holdout, the comparison is refused by its
    version.
    """
    seen = loaded_model(FixedProbability(), FRAME, version=7, trained_on=(span(0, 21),))
    unseen = loaded_model(FixedProbability(), FRAME)
    pair = (seen, unseen) if who == "challenger" else (unseen, seen)

    with pytest.raises(SeenRowsError, match="version 7"):
        compare(*pair, FRAME, HELD, "binary", "roc_auc")


def test_differences_in_the_last_digits_are_none() -> None:
    """A gain of rounding errors, however constant, is no gain."""
    slightly = FRAME.features.assign(
        q=FRAME.features["p"] + np.where(FRAME.target == 1, 1e-14, -1e-14)
    )
    frame = frame_of(slightly, FRAME.target, days=np.linspace(20, 40, 400, endpoint=False))
    same, gained = (
        loaded_model(FixedProbability("p"), frame),
        loaded_model(FixedProbability("q"), frame),
    )

    found = compare(gained, same, frame, HELD, "binary", "roc_auc")

    assert (found.difference.value, found.t, found.p_better) == (0.0, 0.0, 0.5)


@pytest.mark.parametrize("who", ["challenger", "champion"])
def test_compare_with_predictions_that_are_no_numbers(who: str) -> None:
    """A model that predicts NaN has no loss and no score; the other keeps both."""
    frame = frame_of(
        FRAME.features.assign(noisy=np.nan),
        FRAME.target,
        days=np.linspace(20, 40, 400, endpoint=False),
    )
    whole, broken = (
        loaded_model(FixedProbability(), frame),
        loaded_model(FixedProbability("noisy"), frame),
    )
    pair = (broken, whole) if who == "challenger" else (whole, broken)

    found = compare(*pair, frame, HELD, "binary", "roc_auc")

    ours, theirs = (found.challenger_loss, found.champion_loss)[:: 1 if who == "challenger" else -1]
    assert math.isnan(ours)
    assert math.isfinite(theirs)
    assert math.isnan(found.challenger_score.value) == (who == "challenger")
    assert math.isnan(found.champion_score.value) == (who == "champion")


def test_compare_on_one_class_has_no_score() -> None:
    """On rows of one class the metric of both is NaN, so that the gate can refuse with its
    reason.
    """
    frame = FRAME.where(FRAME.target.to_numpy() == 0)
    ours, theirs = (
        loaded_model(FixedProbability(), FRAME),
        loaded_model(FixedProbability("noisy"), FRAME),
    )

    found = compare(ours, theirs, frame, HELD, "binary", "roc_auc")

    assert math.isnan(found.challenger_score.value)
    assert math.isnan(found.champion_score.value)


def test_compare_regression() -> None:
    """For regression the losses are absolute errors in the target's unit."""
    rng = np.random.default_rng(0)
    value = rng.normal(50, 10, 300)
    frame = frame_of(
        pd.DataFrame({"p": value + rng.normal(0, 1, 300), "noisy": value + rng.normal(0, 4, 300)}),
        value,
        days=np.linspace(20, 35, 300, endpoint=False),
    )

    found = compare(
        loaded_model(FixedValue(), frame),
        loaded_model(FixedValue("noisy"), frame),
        frame,
        HELD,
        "regression",
        "rmse",
    )

    assert found.challenger_loss == pytest.approx(0.8, abs=0.1)
    assert found.champion_loss == pytest.approx(3.2, abs=0.4)
    assert found.greater_is_better is False
    assert found.p_better < 1e-6


# --- importance -----------------------------------------------------------------------------------


def test_importance_finds_the_feature_that_matters() -> None:
    """Shuffling the feature that the target was made of costs most; shuffling noise costs next to
    nothing.
    """
    rng = np.random.default_rng(4)
    features = pd.DataFrame(rng.normal(size=(3000, 3)), columns=["strong", "weak", "noise"])
    target = (
        rng.random(3000) < 1 / (1 + np.exp(-2 * features["strong"] - 0.5 * features["weak"]))
    ).astype(float)
    frame = frame_of(features, target, days=np.linspace(0, 30, 3000))
    model = LogisticRegression().fit(features, target)

    found = importance(model, (), frame, "binary")
    again = importance(model, (), frame, "binary")

    assert found["strong"] > 5 * found["weak"] > 5 * found["noise"] >= 0
    assert found == again


def test_importance_for_regression_and_few_rows() -> None:
    """A feature that is not used has importance 0, and the frame is left as it was."""
    features = pd.DataFrame({"x": np.arange(50.0), "unused": np.tile([1.0, 2.0], 25)})
    frame = frame_of(features, 3 * np.arange(50.0), days=np.linspace(0, 30, 50))
    before = features.copy()

    found = importance(
        LinearRegression().fit(features[["x", "unused"]], frame.target), (), frame, "regression"
    )

    assert found["x"] > 10
    assert found["unused"] == pytest.approx(0.0, abs=1e-9)
    pd.testing.assert_frame_equal(frame.features, before)
