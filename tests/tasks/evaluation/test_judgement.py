"""Tests of how models did: performance, comparison, importance."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression, LogisticRegression

from tasks.evaluation.compare import SeenRowsError
from tasks.evaluation.config import METRICS, CostsConfig, UtilityConfig
from tasks.evaluation.judgement import compare, importance, performance
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows
from tasks.evaluation.utility import Utility
from tasks.prediction import predict
from tasks.records import Comparison, FeatureFrame, LoadedModel, Problem
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, loaded_model, scored, span
from tests.tasks.evaluation.frames import binary

FRAME = binary()
HELD = (span(20, 40),)


def _compared(
    challenger: LoadedModel,
    champion: LoadedModel,
    frame: FeatureFrame = FRAME,
    problem: Problem = "binary",
    metric: str = "roc_auc",
) -> Comparison:
    rows = (scored(model, frame, problem, metric) for model in (challenger, champion))
    return compare(*rows, HELD)


def test_performance() -> None:
    """Loss, metric and metrics are those of the labelled rows, with intervals around them."""
    target = FRAME.target.copy()
    target.iloc[::10] = np.nan
    frame = FeatureFrame(**(vars(FRAME) | {"target": target}))
    known = target.notna().to_numpy()
    y, p = target[known].to_numpy(), FRAME.features["p"][known].to_numpy()

    model = loaded_model(FixedProbability(), FRAME)

    found = performance(scored(model, frame, metric="roc_auc"), METRICS["binary"])

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
    """One class has no AUC, and is judged by its loss, without the metrics that are not
    defined.
    """
    frame = FRAME.where(FRAME.target.to_numpy() == 1)
    model = loaded_model(FixedProbability(), FRAME)

    by_loss = performance(scored(model, frame), METRICS["binary"])

    assert set(METRICS["binary"]) - set(by_loss.metrics) == {"roc_auc", "average_precision"}
    by_auc = performance(scored(model, frame, metric="roc_auc"), ())

    assert by_auc.score is None
    assert by_auc.loss == by_loss.loss


def test_performance_of_no_numbers_is_refused() -> None:
    """A champion that predicts NaN has no performance, and is not taken for one with a loss."""
    frame = frame_of(FRAME.features.assign(p=np.nan), FRAME.target, days=np.linspace(20, 40, 400))

    with pytest.raises(EvaluationError, match="expected finite predictions"):
        performance(scored(loaded_model(FixedProbability(), FRAME), frame), ())


def test_compare() -> None:
    """The better of two models is found, each loss belongs to its own model, and the better metric
    too.
    """
    better, worse = (
        loaded_model(FixedProbability(), FRAME),
        loaded_model(FixedProbability("noisy"), FRAME),
    )

    found = _compared(better, worse)
    swapped = _compared(worse, better)

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
        _compared(*pair)


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

    found = _compared(gained, same, frame)

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

    found = _compared(*pair, frame)

    losses = {"challenger": found.challenger_loss, "champion": found.champion_loss}
    assert math.isnan(losses.pop(who))
    assert all(map(math.isfinite, losses.values()))
    assert math.isnan(found.challenger_score.value) == (who == "challenger")
    assert math.isnan(found.champion_score.value) == (who == "champion")


def test_compare_on_one_class_has_no_score() -> None:
    """On rows of one class neither has an AUC, and both are compared by their loss."""
    frame = FRAME.where(FRAME.target.to_numpy() == 0)
    challenger, champion = (loaded_model(FixedProbability(name), FRAME) for name in ("p", "noisy"))

    found = _compared(challenger, champion, frame)

    assert (found.challenger_score, found.champion_score) == (None, None)
    assert found.challenger_loss != found.champion_loss


def test_compare_regression() -> None:
    """For regression the losses are absolute errors in the target's unit."""
    rng = np.random.default_rng(0)
    value = rng.normal(50, 10, 300)
    frame = frame_of(
        pd.DataFrame({"p": value + rng.normal(0, 1, 300), "noisy": value + rng.normal(0, 4, 300)}),
        value,
        days=np.linspace(20, 35, 300, endpoint=False),
    )

    found = _compared(
        loaded_model(FixedValue(), frame),
        loaded_model(FixedValue("noisy"), frame),
        frame,
        "regression",
        "rmse",
    )

    assert found.challenger_loss == pytest.approx(0.8, abs=0.1)
    assert found.champion_loss == pytest.approx(3.2, abs=0.4)
    assert found.greater_is_better is False
    assert found.p_better < 1e-6


# --- importance -----------------------------------------------------------------------------------


def _importance(pipeline, frame: FeatureFrame, problem: Problem) -> dict[str, float]:
    def predicts(features: pd.DataFrame) -> np.ndarray:
        return predict(pipeline, features, problem)

    predicted = predicts(frame.features)
    return importance(predicts, LabelledRows(frame), predicted, Objective(problem))


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

    found = _importance(model, frame, "binary")
    again = _importance(model, frame, "binary")

    assert found["strong"] > 5 * found["weak"] > 5 * found["noise"] >= 0
    assert found == again


def test_importance_for_regression_and_few_rows() -> None:
    """A feature that is not used has importance 0, and the frame is left as it was."""
    features = pd.DataFrame({"x": np.arange(50.0), "unused": np.tile([1.0, 2.0], 25)})
    frame = frame_of(features, 3 * np.arange(50.0), days=np.linspace(0, 30, 50))
    before = features.copy()

    model = LinearRegression().fit(features[["x", "unused"]], frame.target)
    found = _importance(model, frame, "regression")

    assert found["x"] > 10
    assert found["unused"] == pytest.approx(0.0, abs=1e-9)
    pd.testing.assert_frame_equal(frame.features, before)


def _judged(by: str, metric: str = "roc_auc", **costs: float) -> Comparison:
    """A sound model against a noisy one, compared by something else than the loss."""
    utility = Utility(UtilityConfig(costs=CostsConfig(**costs))) if costs else None
    both = []
    for name in ("p", "noisy"):
        told = scored(loaded_model(FixedProbability(name), FRAME), FRAME, metric=metric)
        objective = replace(told.objective, utility=utility, judged_by=by)
        both.append(replace(told, objective=objective))
    return compare(*both, HELD)


def test_compared_by_a_metric_it_is_the_jackknife_of_the_difference() -> None:
    """Turned round where more of it is better; the error is that of the paired difference, not of
    both apart, and beside it stands what the loss would tell.
    """
    plain, found = _judged("log_loss"), _judged("metric")
    y, days = FRAME.target.to_numpy(), (FRAME.moments.astype("datetime64[D]")).astype("int64")

    def difference(kept: np.ndarray) -> float:
        return sk.roc_auc_score(y[kept], FRAME.features["noisy"][kept]) - sk.roc_auc_score(
            y[kept], FRAME.features["p"][kept]
        )

    without = np.array([difference(days != day) for day in np.unique(days)])
    blocks = len(without)
    error = np.sqrt((blocks - 1) / blocks * ((without - without.mean()) ** 2).sum())

    assert found.judged_by == "metric"
    assert found.challenger_loss == pytest.approx(1 - plain.challenger_score.value)
    assert found.difference.value == pytest.approx(difference(days > -1))
    assert found.t == pytest.approx(found.difference.value / error, rel=1e-3)
    assert found.p_better < 0.001
    assert np.mean(found.block_means) == pytest.approx(found.difference.value, abs=1e-3)
    assert found.loss_tells == pytest.approx(plain.detectable)
    assert plain.loss_tells is None


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_metric_of_row_losses_is_the_block_test(metric: str) -> None:
    """Where the metric is a mean over rows both ways say nearly the same."""
    plain, found = _judged("log_loss"), _judged("metric", metric)
    if metric == "log_loss":
        assert found.t == pytest.approx(plain.t, rel=0.05)
        assert found.challenger_loss == pytest.approx(plain.challenger_loss)
    assert found.t < -3


def test_compared_by_utility_it_is_what_rows_cost() -> None:
    """Losses, slices and test are of the costs; the loss and what it tells stand beside them."""
    found = _judged("utility", false_positive=1.0, false_negative=4.0)
    y = FRAME.target.to_numpy()
    cost = {
        name: np.where(FRAME.features[name] > 0.2, (y == 0) * 1.0, (y == 1) * 4.0)
        for name in ("p", "noisy")
    }

    assert found.judged_by == "utility"
    assert found.challenger_loss == pytest.approx(cost["p"].mean())
    assert found.champion_loss == pytest.approx(cost["noisy"].mean())
    assert found.utility.difference.value == pytest.approx(-found.difference.value)
    assert found.loss_tells == pytest.approx(_judged("log_loss").detectable)
    rows = sum(one.rows * one.challenger_loss for one in found.slices if one.column == "origin")
    assert rows == pytest.approx(cost["p"].sum())


def test_utility_is_reported_and_decides_nothing_by_itself() -> None:
    """Beside the loss that is compared, and beside the metrics of a batch."""
    found = _judged("log_loss", false_positive=1.0, false_negative=4.0)
    utility = Utility(UtilityConfig(costs=CostsConfig(false_positive=1.0)))
    told = scored(loaded_model(FixedProbability(), FRAME), FRAME, metric="roc_auc")
    judged = performance(replace(told, objective=replace(told.objective, utility=utility)), ())

    assert (found.judged_by, found.loss_tells) == ("log_loss", None)
    assert found.t == _judged("log_loss").t
    assert found.utility.challenger.value > found.utility.champion.value
    assert judged.metrics["utility"].value <= 0


def test_no_numbers_are_compared_by_the_loss() -> None:
    """A prediction that is no number has neither metric nor worth; its loss says so."""
    told = scored(loaded_model(FixedProbability(), FRAME), FRAME, metric="roc_auc")
    objective = replace(told.objective, judged_by="metric")
    sound = replace(told, objective=objective)
    broken = replace(sound, members=[np.full(len(FRAME), np.nan)])

    found = compare(broken, sound, HELD)

    assert found.judged_by == "log_loss"
    assert math.isnan(found.challenger_loss)
