"""What the libraries beside scikit-learn want in their own words: categories, threads, rounds.

Each is an extra of ``pyproject.toml``, imported when a spec names one of its estimators.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.records import FeatureSchema

MOST_ROUNDS = 1_000
"""Rounds of an estimator that stops early, where the spec does not say how many at most."""
MONOTONE = ("monotonic_cst", "monotone_constraints")
"""What the libraries call the argument that holds predictions monotone in features."""

Estimator = Any
Matrix = Any
"""An array or a frame, (rows, features); neither library carries types."""
Weights = np.ndarray | None
Stopped = Callable[[Estimator, Matrix, np.ndarray, Weights, Matrix, np.ndarray, int], int]
"""A booster, rows, target and weights to fit on, rows and target to look at, and the rounds without
a better loss after which it stops -> the rounds that had the best loss.
"""


@dataclass(frozen=True)
class Library:
    """What is told to the estimators of one library."""

    requirement: str
    """What pip installs, as it stands in ``pyproject.toml``."""
    categories: Callable[[FeatureSchema], Mapping[str, Any]]
    """Arguments that say which columns are categories, where these come first."""
    each: bool = False
    """Whether these are of every column, so that they cannot be told beside ``prepare``."""
    names: bool = False
    """Whether it takes categories by their names, and numbers with gaps; else as codes."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that a spec may set otherwise."""
    threads: str = "n_jobs"
    """The argument for the number of its threads."""
    settled: bool = False
    """Whether no argument of a fitted estimator can be set."""
    rounds: str = ""
    """The argument for the number of boosting rounds, where these can be stopped early."""
    stopped: Stopped | None = None
    numbered: bool = False
    """Whether its classifiers know no classes but 0, 1, 2 and so on, or call 1.0 otherwise."""
    monotone: Mapping[str, Any] = field(default_factory=dict)
    """Arguments without which it does not keep monotone constraints."""
    series: type = list
    """What it takes these in, one a column."""


def _places(schema: FeatureSchema) -> list[int]:
    return list(range(len(schema.categorical)))


def _kinds(schema: FeatureSchema, category: str, number: str) -> list[str]:
    return [category] * len(schema.categorical) + [number] * len(schema.numerical)


def _stopped_xgboost(
    booster: Estimator,
    X: Matrix,
    y: np.ndarray,
    weights: Weights,
    later: Matrix,
    truth: np.ndarray,
    patience: int,
) -> int:
    booster.set_params(early_stopping_rounds=patience)
    booster.fit(X, y, sample_weight=weights, eval_set=[(later, truth)], verbose=False)
    return int(booster.best_iteration) + 1


def _stopped_lightgbm(
    booster: Estimator,
    X: Matrix,
    y: np.ndarray,
    weights: Weights,
    later: Matrix,
    truth: np.ndarray,
    patience: int,
) -> int:
    import lightgbm

    stop = lightgbm.early_stopping(patience, verbose=False)
    booster.fit(X, y, sample_weight=weights, eval_X=later, eval_y=truth, callbacks=[stop])
    return int(booster.best_iteration_)


def _stopped_catboost(
    booster: Estimator,
    X: Matrix,
    y: np.ndarray,
    weights: Weights,
    later: Matrix,
    truth: np.ndarray,
    patience: int,
) -> int:
    looked = {"eval_set": (later, truth), "early_stopping_rounds": patience}
    booster.fit(X, y, sample_weight=weights, **looked)
    return int(booster.tree_count_)


LIBRARIES: Mapping[str, Library] = {
    "xgboost": Library(
        "xgboost-cpu>=3.2,<4",
        lambda schema: {"enable_categorical": True, "feature_types": _kinds(schema, "c", "q")},
        each=True,
        rounds="n_estimators",
        stopped=_stopped_xgboost,
        numbered=True,
        series=tuple,
    ),
    "lightgbm": Library(
        "lightgbm>=4.7,<5",
        lambda schema: {"categorical_column": _places(schema)},
        # Without these it may choose how it sums by what is faster at the moment.
        defaults={"verbosity": -1, "deterministic": True, "force_row_wise": True},
        rounds="n_estimators",
        stopped=_stopped_lightgbm,
    ),
    "catboost": Library(
        "catboost>=1.2.10,<1.3",
        lambda schema: {"cat_features": _places(schema)},
        names=True,
        defaults={"logging_level": "Silent", "allow_writing_files": False},
        threads="thread_count",
        settled=True,
        rounds="iterations",
        stopped=_stopped_catboost,
        # Combinations of a category with a number fell where the number was to grow (1.2.10).
        monotone={"max_ctr_complexity": 1},
    ),
    "interpret": Library(
        "interpret-core>=0.7.8,<0.8",
        lambda schema: {"feature_types": _kinds(schema, "nominal", "continuous")},
        each=True,
        names=True,
        numbered=True,
    ),
}
"""By the top-level module of an estimator's import path."""


def library_of(path: str) -> Library | None:
    """Return the library of the estimator with this import path; None for scikit-learn's, and for
    others that need nothing told.
    """
    return LIBRARIES.get(path.partition(".")[0])


def check_installed(path: str) -> None:
    """Raise ValueError with the command that installs it, where the estimator's library is one of
    ours and is not here.
    """
    name, library = path.partition(".")[0], library_of(path)
    if library is not None and importlib.util.find_spec(name) is None:
        command = shlex.join([sys.executable, "-m", "pip", "install", library.requirement])
        raise ValueError(
            f"expected {name} installed, which {path} needs, found that it is not; run: {command}"
        )
