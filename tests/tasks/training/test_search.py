"""Tests of the search over candidates."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from tasks.evaluation.objective import Objective
from tasks.records import FeatureFrame
from tasks.training.config import Candidate, Range, TrainingConfig, Tuning
from tasks.training.search import Found, SearchFailedError, search, search_is_due
from tasks.training.split import NoTrainingRowsError
from tests.tasks.builders import frame_of, recipe, trained_model

LINEAR = Candidate(
    estimator="sklearn.linear_model.LogisticRegression",
    search={"C": Range(low=0.001, high=10.0, log=True)},
)
STUMP = Candidate(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 1})
BOOSTING = Candidate(
    estimator="sklearn.ensemble.HistGradientBoostingClassifier",
    params={"max_iter": 10},
    search={
        "max_leaf_nodes": Range(low=3, high=15),
        "early_stopping": Range(choices=(False, True)),
    },
)
FEW = Tuning(trials=3, folds=2, rows=500)
LOSS = Objective("binary").mean_loss


def _frame(rows: int = 800, seed: int = 0) -> FeatureFrame:
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "c"])
    target = (rng.random(rows) < 1 / (1 + np.exp(-features.sum(axis=1)))).astype("float64")
    return frame_of(features, target, days=np.linspace(0, 30, rows, endpoint=False))


def _without_time(found: tuple[Found, ...]) -> list[dict[str, object]]:
    return [item.trial.model_dump(exclude={"seconds"}) for item in found]


def test_same_inputs_same_result() -> None:
    """The search is a function of its inputs and its seed; another seed tries other values."""
    config = TrainingConfig(candidates=(LINEAR, STUMP, BOOSTING), tuning=FEW)

    first, second = (search(_frame(), config, "binary", LOSS).found for _ in range(2))
    other = search(_frame(), config.model_copy(update={"seed": 1}), "binary", LOSS).found

    assert _without_time(first) == _without_time(second)
    assert _without_time(first) != _without_time(other)


def test_best_first() -> None:
    """Candidates come back with their best parameters, the best candidate first."""
    config = TrainingConfig(candidates=(STUMP, LINEAR), tuning=FEW)

    found = search(_frame(), config, "binary", LOSS).found

    assert [item.candidate for item in found] == [LINEAR, STUMP]
    assert found[0].trial.loss < found[1].trial.loss
    assert found[0].trial.loss == pytest.approx(np.mean(found[0].trial.loss_by_fold))
    assert [item.trial.trials for item in found] == [3, 1]
    assert set(found[0].trial.params) == {"C"}


def test_incumbent_is_tried() -> None:
    """With one trial only, it is the incumbent's."""
    config = TrainingConfig(candidates=(LINEAR,), tuning=Tuning(trials=1, folds=2, rows=500))

    found = search(
        _frame(),
        config,
        "binary",
        LOSS,
        incumbent=recipe(params={"C": 0.123}),
    ).found

    assert found[0].trial.params == {"C": 0.123}


def test_search_ends_after_its_seconds() -> None:
    """With no time at all each candidate has its one trial, the incumbent's parameters; with enough
    it has all.
    """
    tuning = Tuning(trials=3, folds=2, rows=500, seconds=1e-9)
    config = TrainingConfig(candidates=(LINEAR, BOOSTING), tuning=tuning)
    ample = TrainingConfig(candidates=(LINEAR,), tuning=Tuning(**{**dict(tuning), "seconds": 1e9}))

    found = search(_frame(), config, "binary", LOSS, incumbent=recipe(params={"C": 0.123})).found
    unhurried = search(_frame(), ample, "binary", LOSS).found

    assert [item.trial.trials for item in found] == [1, 1]
    assert {"C": 0.123} in [item.trial.params for item in found]
    assert unhurried[0].trial.trials == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("params", [{"C": 99.0}, {"C": "strong"}, {"max_iter": 5}, {}])
def test_incumbent_that_the_spec_no_longer_allows(params: dict[str, object]) -> None:
    """A value out of the range is left to the sampler."""
    config = TrainingConfig(candidates=(LINEAR,), tuning=Tuning(trials=1, folds=2, rows=500))

    found = search(_frame(), config, "binary", LOSS, incumbent=recipe(params=params)).found

    assert 0.001 <= found[0].trial.params["C"] <= 10.0


def test_incumbent_with_a_choice_that_is_gone() -> None:
    """A choice that was taken out of the spec does not end every later training."""
    config = TrainingConfig(candidates=(BOOSTING,), tuning=Tuning(trials=1, folds=2, rows=500))
    old = recipe(
        estimator=BOOSTING.estimator, params={"early_stopping": "auto", "max_leaf_nodes": 7}
    )

    found = search(_frame(), config, "binary", LOSS, incumbent=old).found

    assert found[0].trial.params["max_leaf_nodes"] == 7
    assert found[0].trial.params["early_stopping"] in (False, True)


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_incumbent_with_a_choice_of_several_numbers() -> None:
    """A tuple that came back from the ledger as a list is the same choice."""
    layers = Range(choices=((4,), (5, 2)))
    net = Candidate(
        estimator="sklearn.neural_network.MLPClassifier",
        params={"max_iter": 5},
        search={"hidden_layer_sizes": layers},
    )
    config = TrainingConfig(candidates=(net,), tuning=Tuning(trials=1, folds=1, rows=200))

    for sizes in ([4], [5, 2]):
        old = recipe(estimator=net.estimator, params={"hidden_layer_sizes": sizes})
        found = search(_frame(), config, "binary", LOSS, incumbent=old).found
        assert list(found[0].trial.params["hidden_layer_sizes"]) == sizes


def test_candidate_without_a_loss_is_left_out() -> None:
    """A candidate whose loss is never a number is left out, and the others go on; with none left,
    it is said.
    """
    said: list[str] = []

    def loss(_: np.ndarray, predicted: np.ndarray) -> float:
        return math.nan if len(np.unique(predicted)) > 2 else 0.5  # the stump predicts two values

    both = TrainingConfig(candidates=(LINEAR, STUMP), tuning=FEW)
    found = search(_frame(), both, "binary", loss, say=said.append).found

    assert [item.candidate for item in found] == [STUMP]
    assert "left out: LogisticRegression: no trial has a finite loss" in said
    with pytest.raises(SearchFailedError, match="expected a candidate with a finite loss"):
        search(_frame(), TrainingConfig(candidates=(LINEAR,), tuning=FEW), "binary", loss)


class Raises(LogisticRegression):
    """Raises in ``fit``, ``predict_proba``, or as one that cannot stand a value of its rows."""

    def __init__(self, where: str = "fit", limit: float = math.inf) -> None:
        super().__init__()
        self.where, self.limit = where, limit

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: None = None) -> "Raises":
        """Fit, unless it is here that it raises."""
        if self.where == "fit":
            raise MemoryError("no room\nfor what comes in a second line")
        return super().fit(X, y)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict, unless it is here that it raises, or a value is above the limit."""
        if self.where == "predict" or (np.abs(X) > self.limit).any():
            raise ValueError("a value is too large")
        return super().predict_proba(X)


@pytest.mark.parametrize(
    ("where", "why"),
    [("fit", "MemoryError: no room"), ("predict", "ValueError: a value is too large")],
)
def test_candidate_that_raises_is_left_out(where: str, why: str) -> None:
    """By name, with the first line of its error; the others go on, and with none left it is
    said.
    """
    raises = Candidate(estimator=f"{__name__}.Raises", params={"where": where})

    searched = search(
        _frame(), TrainingConfig(candidates=(raises, STUMP), tuning=FEW), "binary", LOSS
    )

    assert [item.candidate for item in searched.found] == [STUMP]
    assert [str(one) for one in searched.left_out] == [f"Raises: {why}"]
    with pytest.raises(SearchFailedError, match=f"found none; Raises: {why}"):
        search(_frame(), TrainingConfig(candidates=(raises,), tuning=FEW), "binary", LOSS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_that_are_too_large_for_one_candidate() -> None:
    """A linear model cannot stand the largest double, trees can."""
    frame = _frame()
    features = frame.features.copy()
    features.loc[::50, "a"] = np.finfo("float64").max
    frame = FeatureFrame(**(vars(frame) | {"features": features}))

    searched = search(
        frame, TrainingConfig(candidates=(LINEAR, BOOSTING), tuning=FEW), "binary", LOSS
    )

    assert [item.candidate for item in searched.found] == [BOOSTING]
    said = str(searched.left_out[0])
    assert said.startswith("LogisticRegression: numbers too large for its arithmetic in a (")
    assert "such as 1.7976931348623157e+308); give the column limits" in said


def test_one_class_is_refused() -> None:
    """Where the target holds one class there is nothing to learn."""
    frame = _frame()
    alike = FeatureFrame(**(vars(frame) | {"target": frame.target * 0}))

    with pytest.raises(NoTrainingRowsError, match="expected at least two classes"):
        search(
            alike,
            TrainingConfig(candidates=(LINEAR,), tuning=FEW),
            "binary",
            LOSS,
        )


def test_folds_that_start_with_one_class_are_passed_over() -> None:
    """Where the oldest rows are of one class, the folds that would learn from them alone are left
    out.
    """
    frame = _frame()
    target = frame.target.where(np.arange(800) >= 400, 0.0)
    late = FeatureFrame(**(vars(frame) | {"target": target}))
    config = TrainingConfig(candidates=(LINEAR,), tuning=Tuning(trials=1, folds=3, rows=800))

    found = search(late, config, "binary", LOSS).found

    assert len(found[0].trial.loss_by_fold) == 1


def test_one_moment_is_searched_on_its_training_rows() -> None:
    """Rows of one moment have no fold: candidates are compared on what they were trained on, and
    that is said.
    """
    frame = frame_of(_frame().features, _frame().target, days=np.zeros(800))
    said: list[str] = []

    found = search(
        frame,
        TrainingConfig(candidates=(LINEAR,), tuning=FEW),
        "binary",
        LOSS,
        say=said.append,
    ).found

    assert len(found[0].trial.loss_by_fold) == 1
    assert "on their training rows" in said[0]


def test_threads_are_given_back() -> None:
    """The search leaves every library with the number of threads that it had."""
    before = [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()]

    search(
        _frame(),
        TrainingConfig(candidates=(LINEAR, BOOSTING), tuning=FEW),
        "binary",
        LOSS,
    )

    assert [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()][
        : len(before)
    ] == before


@pytest.mark.parametrize(
    ("newest_first", "every", "due"),
    [
        ([], 3, True),
        ([True], 1, True),
        ([True], 3, False),
        ([True, True], 2, False),
        ([False, True], 3, False),
        ([False, False, True], 3, True),
        ([False, True, True], 2, True),
        ([False, False, False], 2, True),
    ],
)
def test_search_is_due_after_so_many_trainings(
    newest_first: list[bool], every: int, due: bool
) -> None:
    """A search counts as the first of them; two challengers of one search count once."""
    trainings = [trained_model(searched=searched) for searched in newest_first]

    assert search_is_due(trainings, every, trained_model().spec_sha256) == due


def test_changed_spec_is_searched_at_once() -> None:
    """Whatever was searched before, it was under another spec."""
    assert search_is_due([trained_model(searched=True)], 9, "another")


def test_known_recipe_is_looked_at_alone() -> None:
    """A recipe that is refitted is measured on the folds as it is."""
    config = TrainingConfig(candidates=(LINEAR, STUMP, BOOSTING), tuning=FEW)
    known = recipe(params={"C": 0.7})

    (found,) = search(_frame(), config.refitting(known), "binary", LOSS).found

    assert found.trial.params == {"C": 0.7}
    assert found.trial.trials == 1
    assert config.refitting(known).tuning == FEW
