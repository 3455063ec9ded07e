"""Tests of pipelines and of the check on candidates."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tasks.configuration import ConfigurationError
from tasks.prediction import predict
from tasks.records import FeatureSchema
from tasks.training.config import Candidate, Range
from tasks.training.pipeline import check_candidates, make_pipeline, resolve_estimator, with_values

FILE = Path("model.yaml")
SCHEMA = FeatureSchema(numerical=("x", "gaps", "empty"), categorical=("carrier", "rare"))
LINEAR = "sklearn.linear_model.LogisticRegression"
FOREST = "sklearn.ensemble.RandomForestClassifier"
BOOSTING = "sklearn.ensemble.HistGradientBoostingClassifier"


class AnyArguments(LogisticRegression):
    """An estimator that takes any argument, as XGBoost's do."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__()


def _features(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    features = pd.DataFrame(
        {
            "carrier": rng.choice(["AA", "UA", "(missing)"], rows),
            "rare": [f"id {i}" for i in range(rows)],
            "x": x,
            "gaps": np.where(rng.random(rows) < 0.2, np.nan, x),
            "empty": np.full(rows, np.nan),
        }
    )
    return features, (rng.random(rows) < 1 / (1 + np.exp(-2 * x))).astype("float64")


@pytest.mark.parametrize("encode", ["auto", "onehot", "ordinal"])
@pytest.mark.parametrize(
    ("path", "params"), [(LINEAR, {}), (FOREST, {"n_estimators": 5}), (BOOSTING, {"max_iter": 5})]
)
@pytest.mark.filterwarnings(
    "ignore::RuntimeWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
def test_unseen_categories_and_gaps_never_raise(
    path: str, params: dict[str, object], encode: str
) -> None:
    """Categories never seen, gaps where there were none, and columns without a value: a prediction
    all the same.
    """
    features, target = _features(400)
    schema = with_values(SCHEMA, features)
    pipeline = make_pipeline(path, params, schema, encode=encode, seed=0).fit(features, target)
    strange = pd.DataFrame(
        {
            "carrier": ["AA", "never seen", "(missing)", ""],
            "rare": ["id 1", "never seen", "(missing)", "Ω"],
            "x": [np.nan, 1.0, -1.0, 1e30],
            "gaps": [np.nan] * 4,
            "empty": [1.0, np.nan, -5.0, np.nan],
        }
    )

    predicted = predict(pipeline, strange, "binary")
    alone = predict(pipeline, strange.iloc[[1]], "binary")

    assert predicted.shape == (4,)
    assert np.isfinite(predicted).all()
    assert alone[0] == pytest.approx(predicted[1])


@pytest.mark.parametrize("path", [LINEAR, FOREST, BOOSTING])
def test_pipelines_learn(path: str) -> None:
    """Each of the three kinds finds a plain signal."""
    features, target = _features(1500)
    schema = FeatureSchema(numerical=("x", "gaps"), categorical=("carrier",))
    pipeline = make_pipeline(path, {}, schema, encode="auto", seed=0).fit(features, target)
    fresh, truth = _features(500, seed=1)

    assert ((predict(pipeline, fresh, "binary") > 0.5) == truth).mean() > 0.6


@pytest.mark.parametrize(
    "schema",
    [
        FeatureSchema(numerical=("x",), categorical=()),
        FeatureSchema(numerical=(), categorical=("carrier",)),
    ],
)
@pytest.mark.parametrize("path", [LINEAR, FOREST, BOOSTING])
def test_one_kind_of_feature_only(path: str, schema: FeatureSchema) -> None:
    """Numbers alone, or categories alone, make a model too."""
    features, target = _features(100)

    pipeline = make_pipeline(path, {}, schema, encode="auto", seed=0).fit(features, target)

    assert np.isfinite(predict(pipeline, features, "binary")).all()


def test_seed_is_the_random_state_unless_the_spec_sets_one() -> None:
    """The seed of the spec reaches the estimator; a random state of its own wins."""
    schema = FeatureSchema(numerical=("x",), categorical=())

    seeded = make_pipeline(FOREST, {}, schema, encode="auto", seed=7)
    own = make_pipeline(FOREST, {"random_state": 1}, schema, encode="auto", seed=7)

    assert seeded.named_steps["estimator"].random_state == 7
    assert own.named_steps["estimator"].random_state == 1


def test_boosting_is_told_which_features_are_categories() -> None:
    """Histogram boosting splits categories as categories, not as numbers."""
    pipeline = make_pipeline(BOOSTING, {}, SCHEMA, encode="auto", seed=0)

    assert pipeline.named_steps["estimator"].categorical_features == [0, 1]


def test_column_without_a_value_is_left_out() -> None:
    """A number that no training row has is not learned from; categories and half-empty numbers
    stay.
    """
    features, _ = _features(50)

    assert with_values(SCHEMA, features) == FeatureSchema(
        numerical=("x", "gaps"), categorical=("carrier", "rare")
    )


def test_resolve() -> None:
    """An import path gives its class."""
    assert resolve_estimator(LINEAR) is LogisticRegression


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sklearn.linear_model.LogisticRegresion", "LogisticRegression"),
        ("sklearn.linear_modell.LogisticRegression", "expected the import path of an estimator"),
        ("LogisticRegression", "expected the import path of an estimator"),
        ("os.path.join", "expected an estimator with scikit-learn's interface"),
        ("sklearn.metrics.log_loss", "expected an estimator with scikit-learn's interface"),
    ],
)
def test_resolve_says_what_is_wrong(path: str, message: str) -> None:
    """What is no estimator is refused, with the nearest name where there is one."""
    with pytest.raises(ValueError, match=message):
        resolve_estimator(path)


@pytest.mark.parametrize(
    ("candidate", "problem", "where", "words"),
    [
        (
            Candidate(estimator="sklearn.ensemble.RandomForestClasifier"),
            "binary",
            "estimator",
            "RandomForestClassifier",
        ),
        (
            Candidate(estimator=FOREST, params={"n_estimator": 5}),
            "binary",
            "params",
            "n_estimators",
        ),
        (
            Candidate(estimator=FOREST, search={"max_dept": Range(low=1, high=5)}),
            "binary",
            "search",
            "max_depth",
        ),
        (
            Candidate(estimator=FOREST),
            "regression",
            "estimator",
            "a regressor, because the problem is regression",
        ),
        (
            Candidate(estimator="sklearn.linear_model.Ridge"),
            "binary",
            "estimator",
            "a classifier, because",
        ),
        (
            Candidate(estimator="sklearn.cluster.KMeans"),
            "regression",
            "estimator",
            "a regressor, because",
        ),
        (
            Candidate(estimator="sklearn.preprocessing.StandardScaler"),
            "regression",
            "estimator",
            "a regressor",
        ),
        (
            Candidate(estimator="sklearn.svm.LinearSVC"),
            "binary",
            "estimator",
            "predicts probabilities",
        ),
        (
            Candidate(estimator="sklearn.multioutput.MultiOutputClassifier"),
            "binary",
            "params",
            "all that the estimator needs",
        ),
    ],
)
def test_bad_candidates_are_refused(
    candidate: Candidate, problem: str, where: str, words: str
) -> None:
    """Each mistake is refused before anything runs, with file, key path and the nearest name."""
    with pytest.raises(ConfigurationError) as refusal:
        check_candidates(
            FILE,
            (
                Candidate(estimator=FOREST)
                if problem == "binary"
                else Candidate(estimator="sklearn.linear_model.Ridge"),
                candidate,
            ),
            problem,
        )

    assert f"model.yaml: training.candidates.1.{where}: expected " in str(refusal.value)
    assert words in str(refusal.value)


def test_good_candidates_pass() -> None:
    """Estimators of the problem's kind, with arguments that they take, are accepted."""
    check_candidates(
        FILE,
        (
            Candidate(
                estimator=LINEAR, params={"max_iter": 300}, search={"C": Range(low=0.1, high=1.0)}
            ),
            Candidate(estimator=BOOSTING),
            Candidate(estimator=f"{__name__}.AnyArguments", params={"learning_rate": 0.1}),
        ),
        "binary",
    )
    check_candidates(FILE, (Candidate(estimator="sklearn.linear_model.Ridge"),), "regression")


@pytest.mark.parametrize(
    "span",
    [
        {},
        {"low": 1},
        {"high": 1},
        {"low": 1, "choices": (1,)},
        {"low": 1, "high": 2, "choices": (1,)},
        {"low": 2, "high": 2},
        {"low": 3, "high": 2},
        {"choices": ()},
        {"low": 0, "high": 1, "log": True},
        {"low": math.nan, "high": 1.0},
    ],
)
def test_bad_ranges_are_refused(span: dict[str, object]) -> None:
    """A range is two numbers in order, or choices, and not both."""
    with pytest.raises(ValueError, match=r"expected|finite"):
        Range(**span)


@pytest.mark.parametrize(
    ("span", "value", "held"),
    [
        ({"low": 1, "high": 5}, 5, True),
        ({"low": 1, "high": 5}, 6, False),
        ({"low": 1, "high": 5}, 2.5, False),
        ({"low": 0.1, "high": 5.0}, 2, True),
        ({"low": 1, "high": 5}, True, False),
        ({"low": 1, "high": 5}, "3", False),
        ({"choices": ("a", "b")}, "b", True),
        ({"choices": ("a", "b")}, "c", False),
    ],
)
def test_values_of_a_range(span: dict[str, object], value: object, held: bool) -> None:
    """A range knows which values the search may try."""
    assert Range(**span).holds(value) == held
