"""Tests of the estimate before labels: it finds what labels later say, and is blind to what it must
be blind to.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from tasks.evaluation.estimate import beyond_known, checked, estimate
from tasks.evaluation.metrics import EvaluationError, score
from tasks.evaluation.objective import Objective
from tasks.prediction import predict_frame
from tasks.records import (
    Estimate,
    Evidence,
    FeatureFrame,
    FeatureSchema,
    Interval,
    LoadedModel,
    Performance,
    PolicyEvidence,
    Problem,
)
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, loaded_model, scored


def _batch(
    rng: np.random.Generator, problem: Problem, start: float, *, days: int = 20, hard: float = 1.0
) -> FeatureFrame:
    """Rows of a model that is twice too sure of itself; ``hard`` below 1 are rows near the
    middle.
    """
    rows = days * 40
    day = np.repeat(np.arange(days), 40)
    x = hard * rng.normal(0, 2, rows)
    if problem == "binary":
        true = 1 / (1 + np.exp(-x / 2 - rng.normal(0, 0.1, days)[day]))
        target, said = (rng.random(rows) < true).astype("float64"), 1 / (1 + np.exp(-x))
    else:
        said = 50 + x
        target = said + (0.5 + (said > 50)) * rng.normal(0, 1, rows) + rng.normal(0, 0.1, days)[day]
    return frame_of(
        pd.DataFrame({"p": said}), target, days=start + day + rng.uniform(0, 0.99, rows)
    )


def _model(problem: Problem, frame: FeatureFrame):
    return loaded_model(FixedValue() if problem == "regression" else FixedProbability(), frame)


def _estimate(
    model: LoadedModel, reference: FeatureFrame, now: FeatureFrame, problem: Problem, metric: str
) -> Estimate:
    return estimate(scored(model, reference, problem, metric), predict_frame(model, now, problem))


@pytest.mark.parametrize(
    ("problem", "metric"), [("binary", "roc_auc"), ("binary", "log_loss"), ("regression", "mae")]
)
def test_intervals_cover_what_the_labels_later_say(problem: Problem, metric: str) -> None:
    """Of simulated batches, harder ones among them, 95% intervals hold what the labels then give
    about that often.
    """
    rng, covered, runs = np.random.default_rng(0), 0, 60
    for run in range(runs):
        reference, now = (
            _batch(rng, problem, 0),
            _batch(rng, problem, 20, hard=0.7 if run % 2 else 1.0),
        )
        found = _estimate(_model(problem, now), reference, now, problem, metric)
        truth = score(
            Objective(problem, metric), now.target.to_numpy(), now.features["p"].to_numpy()
        )
        covered += found.score.low <= truth <= found.score.high

    assert covered / runs >= 0.85


class _Softmax:
    """A fitted classifier of three classes that reads their scores from three features."""

    classes_ = np.array(["a", "b", "c"])

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """The share of each class, (rows, 3)."""
        odds = np.exp(features[["x", "y", "z"]].to_numpy())
        return odds / odds.sum(axis=1, keepdims=True)


def test_of_several_classes_it_covers_what_the_labels_later_say() -> None:
    """A model of three classes that is twice too sure of itself; half of the batches are harder."""
    rng, covered, runs = np.random.default_rng(0), 0, 30

    def batch(start: float, hard: float) -> FeatureFrame:
        rows, days = 1600, 20
        scores = pd.DataFrame(hard * rng.normal(0, 2, (rows, 3)), columns=["x", "y", "z"])
        true = _Softmax().predict_proba(scores / 2)
        label = _Softmax.classes_[
            (rng.random(rows)[:, np.newaxis] > true.cumsum(axis=1)).sum(axis=1)
        ]
        return frame_of(scores, label, days=start + np.sort(rng.uniform(0, days, rows)))

    for run in range(runs):
        reference, now = batch(0, 1.0), batch(20, 0.5 if run % 2 else 1.0)
        model = loaded_model(_Softmax(), now, classes=("a", "b", "c"))
        found = _estimate(model, reference, now, "multiclass", "accuracy")
        said = _Softmax().predict_proba(now.features)
        truth = score(
            Objective("multiclass", "accuracy", ("a", "b", "c")), now.target.to_numpy(), said
        )
        covered += found.score.low <= truth <= found.score.high

    assert covered / runs >= 0.85


def test_a_harder_batch_is_seen_and_miscalibration_is_taken_out() -> None:
    """Rows near the middle have a higher expected loss; that of an overconfident model is not what
    its scores say.
    """
    rng = np.random.default_rng(1)
    reference, easy, hard = (
        _batch(rng, "binary", s, days=60, hard=h) for s, h in ((0, 1.0), (60, 1.0), (120, 0.3))
    )
    model = _model("binary", easy)

    losses = [_estimate(model, reference, f, "binary", "roc_auc").loss.value for f in (easy, hard)]

    for found, frame in zip(losses, (easy, hard), strict=True):
        assert found == pytest.approx(sk.log_loss(frame.target, frame.features["p"]), abs=0.03)
    assert losses[1] > losses[0] + 0.02


def test_it_is_blind_to_concept_drift() -> None:
    """Where the target is turned around, the estimate stays what it was: which is why nothing may
    rest on it.
    """
    rng = np.random.default_rng(2)
    reference, now = _batch(rng, "binary", 0), _batch(rng, "binary", 20)
    turned = FeatureFrame(**(vars(now) | {"target": 1 - now.target}))

    before, after = (
        _estimate(_model("binary", now), reference, f, "binary", "roc_auc") for f in (now, turned)
    )

    assert before == after


def test_one_class_cannot_calibrate() -> None:
    """A reference of one class says nothing."""
    rng = np.random.default_rng(3)
    reference, now = _batch(rng, "binary", 0), _batch(rng, "binary", 20)

    with pytest.raises(EvaluationError, match="at least two classes"):
        _estimate(
            _model("binary", now),
            reference.where(reference.target.to_numpy() == 1),
            now,
            "binary",
            "roc_auc",
        )


@pytest.mark.parametrize("evidence", [Evidence, PolicyEvidence])
def test_no_decision_carries_an_estimate(evidence: type) -> None:
    """Neither what the gate looks at nor what the policy looks at has a place for it."""
    assert not [name for name in evidence.model_fields if "estimate" in name]
    assert "Estimate" not in str(evidence.model_json_schema())


def _told(score: float, loss: float, half: float = 0.01, **more: object) -> Estimate:
    """An estimate of a batch, with narrow intervals of its own."""
    values = {"version": 1, "rows": 100, "reference": ("2020-01",), "reference_rows": 100}
    around = {
        name: Interval(value=value, low=value - half, high=value + half)
        for name, value in (("score", score), ("loss", loss))
    }
    return Estimate(**(values | around | {"metric": "roc_auc"} | more))


def _said(score: float | None, loss: float, version: int = 1) -> Performance:
    """What labels say of it."""
    exactly = Interval(value=loss, low=loss, high=loss)
    return Performance(
        batch="2020-02",
        version=version,
        rows=100,
        blocks=10,
        metric="roc_auc",
        score=None if score is None else Interval(value=score, low=score, high=score),
        loss=exactly,
        metrics={},
    )


def test_an_interval_is_as_wide_as_earlier_estimates_were_wrong() -> None:
    """Half a unit of log odds off each time: the interval reaches t times as far, on that scale; a
    loss that was told exactly keeps its own.
    """
    truth = 1 / (1 + np.exp(-0.5))
    past = [(_told(0.5, 0.4), _said(float(truth), 0.4))] * 6

    found = checked(_told(0.5, 0.4), past, "binary", "")

    reach = stats.t.ppf(0.9875, 6) * 0.5
    assert found.score.high == pytest.approx(1 / (1 + np.exp(-reach)))
    assert found.score.low == pytest.approx(1 / (1 + np.exp(reach)))
    assert (found.loss.low, found.loss.high) == pytest.approx((0.39, 0.41))
    assert (found.checked, found.held) == (6, 0)


def test_what_moved_widens_it() -> None:
    """Where fewer reference rows are like the batch's, errors count for more."""
    past = [(_told(0.7, 0.4), _said(0.75, 0.45))] * 6

    still, moving = (checked(_told(0.7, 0.4, moved=m), past, "binary", "") for m in (0.0, 0.9))

    assert moving.loss.high - moving.loss.value > 1.2 * (still.loss.high - still.loss.value)


@pytest.mark.parametrize(
    ("now", "past", "beyond", "why"),
    [
        ({}, [(0.7, 0.7)] * 3, "", "3 of the 4 earlier ones that it takes were checked by labels"),
        ({}, [(0.7, None)] * 6, "", "0 of the 4 earlier ones that it takes were checked by labels"),
        ({}, [(0.7, 0.7)] * 4, "", ""),
        ({}, [(0.7, 0.9)] * 6, "", "6 of the last 6 did not hold the truth"),
        ({"moved": 1.5}, [(0.7, 0.7)] * 6, "", "the predictions have moved: 40% of the reference"),
        ({}, [(0.7, 0.7)] * 6, "heat", "heat is beyond what is known of it"),
    ],
)
def test_it_is_withheld_by_name(
    now: dict[str, float], past: list[tuple[float, float | None]], beyond: str, why: str
) -> None:
    """Where nothing says how wide it must be, where it was wrong, and where what moved is beyond
    what is known.
    """
    told = [(_told(score, 0.4), _said(truth, 0.4)) for score, truth in past]

    found = checked(_told(0.7, 0.4, **now), told, "binary", beyond)

    assert found.withheld.startswith(why)
    assert bool(found.withheld) == bool(why)


def test_what_labels_say_of_another_version_checks_nothing() -> None:
    """An estimate is of the version that predicted the batch."""
    assert _told(0.7, 0.4).held_by(_said(0.7, 0.4, version=2)) is None
    assert _told(0.7, 0.4).held_by(_said(0.7, 0.405)) is True
    assert _told(0.7, 0.4).held_by(_said(0.7, 0.42)) is False


@pytest.mark.parametrize(
    ("heat", "shop", "beyond"),
    [
        ([1.0] * 100, ["a"] * 100, ""),
        ([1.0] * 89 + [9.0] * 11, ["a"] * 100, "heat"),
        ([1.0] * 90 + [9.0] * 10, ["a"] * 100, ""),
        ([np.nan] * 100, ["a"] * 100, ""),
        ([1.0] * 100, ["a"] * 80 + ["c"] * 20, "shop"),
        ([-5.0] * 30 + [1.0] * 70, ["a"] * 80 + ["c"] * 20, "heat"),
    ],
)
def test_the_feature_that_is_beyond_its_known_range_is_named(
    heat: list[float], shop: list[str], beyond: str
) -> None:
    """More than a tenth of the rows, outside of all numbers or categories that were seen."""
    known = [
        pd.DataFrame({"heat": [0.0, 1.0], "shop": ["a", "a"]}),
        pd.DataFrame({"heat": [2.0, np.nan], "shop": ["b", "b"]}),
    ]
    schema = FeatureSchema(numerical=("heat",), categorical=("shop",))

    assert beyond_known(pd.DataFrame({"heat": heat, "shop": shop}), known, schema) == beyond
