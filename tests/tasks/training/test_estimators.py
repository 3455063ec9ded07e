"""Tests of the estimators that the docs name."""

from __future__ import annotations

import importlib.util
import shlex
import sys
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier

from tasks.configuration import ConfigurationError
from tasks.evaluation.objective import Objective
from tasks.prediction import predict
from tasks.records import FeatureSchema, Problem
from tasks.training.config import Candidate, Preparation, Range, TrainingConfig, Tuning
from tasks.training.estimators import fit_pipeline, make_estimator, rounds_found
from tasks.training.libraries import LIBRARIES
from tasks.training.pipeline import check_candidates, make_pipeline
from tasks.training.search import search
from tests.tasks.builders import frame_of
from tests.tasks.candidates import KINDS, candidate

FILE = Path("model.yaml")
ROOT = Path(__file__).parents[3]
SCHEMA = FeatureSchema(numerical=("x", "gaps"), categorical=("kind", "place"))
PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "regression")
CLASSES = ("high", "low", "middle")
STOPPING = [name for name, library in LIBRARIES.items() if library.stopped is not None]


def _rows(problem: Problem, rows: int = 300, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Numbers with gaps, categories, and a target that hangs on all of them."""
    rng = np.random.default_rng(seed)
    kinds, x = rng.choice(list("abc"), rows), rng.normal(size=rows)
    gaps = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows))
    features = pd.DataFrame(
        {
            "kind": pd.Series(kinds, dtype="str"),
            "place": pd.Series(rng.choice(["P", "(missing)", ""], rows), dtype="str"),
            "x": x,
            "gaps": gaps,
        }
    )
    score = x + 2 * (kinds == "b") - 2 * np.isnan(gaps) + rng.normal(size=rows) / 4
    target = {
        "regression": pd.Series(score),
        "binary": pd.Series((score > 0).astype("float64")),
        "multiclass": pd.Series(
            np.array(["low", "middle", "high"])[np.digitize(score, [-0.5, 1])], dtype="str"
        ),
    }[problem]
    return features, target


def _fitted(one: Candidate, problem: Problem, *, threads: int = 1, seed: int = 0) -> Any:
    features, target = _rows(problem)
    pipeline = make_pipeline(one.estimator, one.params, SCHEMA, encode=one.encode, seed=seed)
    fit_pipeline(pipeline, features, target, threads)
    return pipeline


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_takes_what_features_are_made_of(kind: str, problem: Problem) -> None:
    """Names, gaps and labels go in; what was never seen is predicted all the same, and rows that
    were not fitted are predicted better than by chance.
    """
    one = candidate(kind, problem)
    check_candidates(FILE, (one,), problem)
    pipeline = _fitted(one, problem)
    fresh, truth = _rows(problem, seed=1)
    strange = fresh.head(3).assign(kind=["never seen", "a", ""], x=[np.nan, 1e30, -5.0])
    classes = CLASSES if problem == "multiclass" else ()

    predicted = predict(pipeline, fresh, problem, classes)

    assert np.isfinite(predict(pipeline, strange, problem, classes)).all()
    if problem == "regression":
        assert np.corrcoef(predicted, truth)[0, 1] > 0.6
    elif problem == "binary":
        assert ((predicted > 0.5) == truth).mean() > 0.7
    else:
        assert predicted.sum(axis=1) == pytest.approx(1)
        assert (np.array(CLASSES)[predicted.argmax(axis=1)] == truth).mean() > 0.55


@pytest.mark.parametrize("kind", KINDS)
def test_same_inputs_same_predictions(kind: str) -> None:
    """Fitted again with the same seed it predicts the same bits, by one thread and by two."""
    one = candidate(kind, "binary")
    fresh, _ = _rows("binary", seed=1)

    first, again, wider = (
        predict(_fitted(one, "binary", threads=threads), fresh, "binary") for threads in (1, 1, 2)
    )

    assert first.tobytes() == again.tobytes()
    assert first.tobytes() == wider.tobytes()


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("xgboost", {"subsample": 0.5}),
        ("lightgbm", {"bagging_fraction": 0.5, "bagging_freq": 1}),
        ("catboost", {}),
        ("interpret", {}),
    ],
)
def test_seed_reaches_the_library(kind: str, params: dict[str, Any]) -> None:
    """Where rows are drawn, another seed of the spec gives another model."""
    one = candidate(kind, "binary", params=params)
    fresh, _ = _rows("binary", seed=1)

    first, other = (predict(_fitted(one, "binary", seed=seed), fresh, "binary") for seed in (0, 1))

    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "catboost", "interpret"])
def test_categories_are_told_by_the_librarys_own_means(kind: str) -> None:
    """A category that no order explains is learned in one tree of two leaves."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(list("abcde"), 1_000)
    features = pd.DataFrame({"kind": pd.Series(kinds, dtype="str"), "x": rng.normal(size=1_000)})
    target = pd.Series(np.isin(kinds, ["b", "d"]).astype("float64"))
    params = {
        "xgboost": {"n_estimators": 1, "max_depth": 1, "max_cat_to_onehot": 1},
        "lightgbm": {"n_estimators": 1, "num_leaves": 2, "cat_smooth": 0, "cat_l2": 0},
        "catboost": {"iterations": 60, "depth": 1, "one_hot_max_size": 2},
        "interpret": {"max_rounds": 100},
    }[kind]
    one = candidate(kind, "binary", params=params)
    schema = FeatureSchema(numerical=("x",), categorical=("kind",))
    pipeline = make_pipeline(one.estimator, one.params, schema, encode="auto", seed=0)

    fit_pipeline(pipeline, features, target, threads=1)

    told = predict(pipeline, features, "binary")
    assert told[target == 1].min() > told[target == 0].max()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("xgboost.XGBRegressor", "monotone_constraints"),
        ("lightgbm.LGBMRegressor", "monotone_constraints"),
        ("catboost.CatBoostRegressor", "monotone_constraints"),
        ("interpret.glassbox.ExplainableBoostingRegressor", "monotone_constraints"),
        ("sklearn.ensemble.HistGradientBoostingRegressor", "monotonic_cst"),
    ],
)
def test_monotone_constraints_are_given_by_feature(path: str, name: str) -> None:
    """What falls in the rows must not fall in the predictions, when the spec says so."""
    features, _ = _rows("regression")
    wave = pd.Series(np.sin(3 * features["x"]))
    grid = features.head(1).loc[np.zeros(50, dtype=int)].assign(x=np.linspace(-2, 2, 50))

    def told(params: dict[str, Any]) -> np.ndarray:
        if path.startswith("interpret"):
            params = {"outer_bags": 1, "interactions": 0, "max_rounds": 200, **params}
        pipeline = make_pipeline(path, params, SCHEMA, encode="auto", seed=0)
        fit_pipeline(pipeline, features, wave, threads=1)
        return predict(pipeline, grid, "regression")

    assert (np.diff(told({})) < -1e-6).any()
    assert (np.diff(told({name: {"x": 1}})) >= -1e-6).all()


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_sample_weights_reach_every_kind(kind: str, problem: Problem) -> None:
    """Rows that count next to nothing change what is learned."""
    one, (features, target) = candidate(kind, problem), _rows(problem)
    weights = np.where(np.arange(len(features)) % 3 == 0, 5.0, 1e-3)
    classes = CLASSES if problem == "multiclass" else ()

    def told(**weighted: np.ndarray) -> np.ndarray:
        pipeline = make_pipeline(one.estimator, one.params, SCHEMA, encode="auto", seed=0)
        fit_pipeline(pipeline, features, target, threads=1, **weighted)
        return predict(pipeline, features, problem, classes)

    assert np.abs(told() - told(estimator__sample_weight=weights)).max() > 0.01


def test_threads_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit has the threads that it is given, unless the spec says how many; a stored model asks
    for none of them.
    """
    seen: list[int] = []

    fit = LGBMClassifier.fit

    def watch(self: Any, *words: Any, **named: Any) -> Any:
        seen.append(self.n_jobs)
        return fit(self, *words, **named)

    monkeypatch.setattr(LGBMClassifier, "fit", watch)
    left = _fitted(candidate("lightgbm", "binary"), "binary", threads=2)
    _fitted(candidate("lightgbm", "binary", params={"n_jobs": 1}), "binary", threads=2)

    assert seen == [2, 1]
    assert left.named_steps["estimator"].n_jobs is None


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("kind", STOPPING)
def test_early_stopping_finds_the_rounds_on_later_rows(kind: str, problem: Problem) -> None:
    """Later rows end the boosting long before its most rounds; a class that came later is no
    hindrance.
    """
    one = candidate(kind, problem, params={LIBRARIES[kind].rounds: 400, "learning_rate": 0.3})
    features, target = _rows(problem)
    later, truth = _rows(problem, seed=1)
    if problem == "multiclass":
        truth = truth.where(np.arange(len(truth)) > 5, "unheard of")
    pipeline = make_pipeline(one.estimator, one.params, SCHEMA, encode="auto", seed=0)

    found = rounds_found(pipeline, features, target, later, truth, patience=5, threads=1)

    assert 1 <= found < 200


@pytest.mark.parametrize("kind", STOPPING)
def test_search_puts_the_rounds_into_the_recipe(kind: str) -> None:
    """The rounds of the forward folds are a parameter of what is found, and what was measured."""
    features, target = _rows("binary", rows=600)
    frame = frame_of(
        features,
        target,
        days=np.linspace(0, 30, 600, endpoint=False),
        categorical=["kind", "place"],
    )
    one = candidate(kind, "binary", params={"learning_rate": 0.3}, early_stopping=5)
    params = {name: value for name, value in one.params.items() if name != LIBRARIES[kind].rounds}
    one = Candidate(estimator=one.estimator, params=params, early_stopping=5)
    config = TrainingConfig(candidates=(one,), tuning=Tuning(trials=1, folds=2, rows=600))
    loss = Objective("binary").mean_loss

    (found,) = search(frame, config, "binary", loss).found
    rounds = found.trial.params[LIBRARIES[kind].rounds]
    fixed = Candidate(estimator=one.estimator, params=found.trial.params)
    alone = TrainingConfig(candidates=(fixed,), tuning=Tuning(trials=1, folds=2, rows=600))

    assert 1 <= rounds < 200
    assert search(frame, alone, "binary", loss).found[0].trial.loss == found.trial.loss


@pytest.mark.parametrize(
    ("options", "where", "words"),
    [
        (
            {"estimator": "sklearn.linear_model.Ridge", "early_stopping": 5},
            "early_stopping",
            "catboost, lightgbm, xgboost",
        ),
        (
            {
                "estimator": "xgboost.XGBRegressor",
                "early_stopping": 5,
                "search": {"n_estimators": Range(low=1, high=9)},
            },
            "search.n_estimators",
            "early_stopping, which finds the rounds",
        ),
        (
            {"estimator": "lightgbm.LGBMRegressor", "params": {"monotone_constraints": {"x": 2}}},
            "params.monotone_constraints.x",
            "-1 or 0, found 2",
        ),
        (
            {
                "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
                "params": {"monotonic_cst": {"x": 1}},
                "encode": "onehot",
            },
            "params.monotonic_cst",
            "encode: ordinal",
        ),
        (
            {
                "estimator": "lightgbm.LGBMRegressor",
                "params": {"monotone_constraints": {"x": 1}},
                "prepare": {"kind": Preparation(target=5)},
            },
            "params.monotone_constraints",
            "beside prepare, found {'x': 1}",
        ),
        (
            {
                "estimator": "catboost.CatBoostRegressor",
                "prepare": {"kind": Preparation(hash=8)},
            },
            "prepare.kind",
            "encode: ordinal",
        ),
        (
            {"estimator": "catboost.CatBoostRegressor", "params": {"iteration": 5}},
            "params",
            "'iteration' (did you mean 'iterations'?)",
        ),
        (
            {
                "estimator": "sklearn.ensemble.StackingRegressor",
                "params": {"estimators": [{"estimator": "sklearn.linear_model.Rige"}]},
            },
            "params.estimators.0.estimator",
            "Ridge",
        ),
        (
            {
                "estimator": "sklearn.ensemble.BaggingRegressor",
                "params": {"estimator": {"estimator": "sklearn.svm.SVR", "parms": {"C": 1.0}}},
            },
            "params.estimator",
            "'parms' (did you mean 'params'?)",
        ),
        (
            {
                "estimator": "sklearn.ensemble.BaggingRegressor",
                "params": {"estimator": {"estimator": "sklearn.svm.SVR", "params": ["C"]}},
            },
            "params.estimator.params",
            "arguments by name, found ['C']",
        ),
        (
            {
                "estimator": "sklearn.ensemble.BaggingRegressor",
                "params": {"estimator": {"estimator": "sklearn.svm.SVR", "params": {"gama": 1.0}}},
            },
            "params.estimator.params",
            "'gama' (did you mean 'gamma'?)",
        ),
    ],
)
def test_mistakes_are_refused_with_their_place(
    options: dict[str, Any], where: str, words: str
) -> None:
    """Each is refused at the check, by file and key path."""
    with pytest.raises(ConfigurationError) as refusal:
        check_candidates(FILE, (Candidate(**options),), "regression")

    assert f"model.yaml: training.candidates.0.{where}: expected " in str(refusal.value)
    assert words in str(refusal.value)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_features_are_prepared_for_every_kind(kind: str, problem: Problem) -> None:
    """Columns that a preparation adds stand in the way of no library's own means."""
    prepare = {"kind": Preparation(target=3), "x": Preparation(spline=4)}
    one, (features, target) = candidate(kind, problem), _rows(problem)
    pipeline = make_pipeline(
        one.estimator, one.params, SCHEMA, encode="auto", seed=0, prepare=prepare
    )

    fit_pipeline(pipeline, features, target, threads=1)

    classes = CLASSES if problem == "multiclass" else ()
    assert np.isfinite(predict(pipeline, features, problem, classes)).all()


@pytest.mark.parametrize("kind", STOPPING)
def test_weights_move_the_rounds(kind: str) -> None:
    """Early stopping weighs the rows that it fits as the fit does."""
    params = {LIBRARIES[kind].rounds: 400, "learning_rate": 0.3}
    one, (features, target) = candidate(kind, "regression", params=params), _rows("regression")
    later, truth = _rows("regression", seed=1)
    weights = np.where(np.arange(len(features)) % 10 == 0, 10.0, 1e-3)

    def found(weights: np.ndarray | None) -> int:
        pipeline = make_pipeline(one.estimator, one.params, SCHEMA, encode="auto", seed=0)
        rows = (features, target, later, truth)
        return rounds_found(pipeline, *rows, patience=5, threads=1, weights=weights)

    assert found(weights) != found(None)


def test_constraint_on_no_feature_leaves_the_candidate_out() -> None:
    """A misspelt feature is named, and its candidate left out; the others go on."""
    features, target = _rows("regression")
    frame = frame_of(features, target, days=np.arange(300), categorical=["kind", "place"])
    wrong = Candidate(
        estimator="lightgbm.LGBMRegressor", params={"monotone_constraints": {"gap": 1}}
    )
    config = TrainingConfig(
        candidates=(wrong, Candidate(estimator="sklearn.linear_model.Ridge")),
        tuning=Tuning(trials=1, folds=2),
    )

    (left_out,) = search(frame, config, "regression", Objective("regression").mean_loss).left_out

    assert "found 'gap' (did you mean 'gaps'?)" in str(left_out)


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_library_that_is_not_installed_is_refused_with_its_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command installs what the extra says, into the interpreter that runs."""
    found = importlib.util.find_spec

    def without(module: str, package: str | None = None) -> ModuleSpec | None:
        return None if module == name else found(module, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ConfigurationError) as refusal:
        check_candidates(FILE, (Candidate(estimator=f"{name}.Any"),), "binary")

    said = str(refusal.value)
    assert f"training.candidates.0.estimator: expected {name} installed" in said
    command = shlex.split(said.partition("run: ")[2])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert command == [
        sys.executable,
        "-m",
        "pip",
        "install",
        *project["optional-dependencies"][name],
    ]


def test_estimators_within_an_estimator_are_made_with_the_seed() -> None:
    """Each has the seed of the spec, but where it says another."""
    forest = "sklearn.ensemble.RandomForestClassifier"
    stack = make_estimator(
        "sklearn.ensemble.StackingClassifier",
        {
            "estimators": [
                {"estimator": forest},
                {"estimator": forest, "params": {"random_state": 1}},
            ]
        },
        seed=7,
    )

    assert [one.random_state for _, one in stack.estimators] == [7, 1]
