"""Estimators by their import paths, with the arguments of a spec, and their fits."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.ensemble import VotingClassifier

from data_contracts.contract import nearest
from tasks.training.libraries import Library, check_installed, library_of


def resolve_estimator(path: str) -> type:
    """Return the class that ``path`` names; ValueError tells what was expected and the nearest
    name, or how its library is installed.
    """
    check_installed(path)
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"expected the import path of an estimator, found {path!r} ({error})"
        ) from None
    found = getattr(module, name, None)
    if not (inspect.isclass(found) and hasattr(found, "fit") and hasattr(found, "get_params")):
        names = [n for n, v in vars(module).items() if inspect.isclass(v) and hasattr(v, "fit")]
        raise ValueError(
            "expected an estimator with scikit-learn's interface, found"
            f" {path!r}{nearest(name, names)}"
        )
    return found


def make_estimator(path: str, params: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    """Return an unfitted estimator; those in its ``params``, each ``{estimator, params}``, are made
    the same way.

    A list of them becomes the named list that ensembles of scikit-learn take. ``random_state`` is
    the seed wherever an estimator has one and the spec sets none.
    """
    given = {name: _made(value, seed) for name, value in params.items()}
    estimator = resolve_estimator(path)(**given)
    library = library_of(path)
    own = dict(library.defaults) if library else {}
    if "random_state" in arguments(estimator) and not {"random_seed", "seed"} & set(given):
        own["random_state"] = seed
    estimator.set_params(**{name: value for name, value in own.items() if name not in given})
    return estimator


def arguments(estimator: Any) -> set[str]:  # noqa: ANN401 - an estimator
    """Return the arguments that the class of ``estimator`` names: XGBoost's takes some that its
    signature does not show, CatBoost's shows some that it does not give.
    """
    return {*inspect.signature(type(estimator)).parameters, *estimator.get_params(deep=False)}


def is_estimator(value: object) -> bool:
    """Whether the value of a parameter describes an estimator."""
    return isinstance(value, Mapping) and isinstance(value.get("estimator"), str)


def _made(value: Any, seed: int) -> Any:  # noqa: ANN401 - any parameter value
    if is_estimator(value):
        estimator = make_estimator(value["estimator"], value.get("params") or {}, seed)
        return numbered(estimator, library_of(value["estimator"]))
    if isinstance(value, list | tuple) and value and all(map(is_estimator, value)):
        return [(f"{i}", _made(one, seed)) for i, one in enumerate(value)]
    return value


def numbered(estimator: Any, library: Library | None) -> Any:  # noqa: ANN401 - an estimator
    """The estimator, behind a vote of one where its classes must be numbers: that counts them."""
    if library is None or not library.numbered or not is_classifier(estimator):
        return estimator
    return VotingClassifier([("estimator", estimator)], voting="soft")


def fit_pipeline(
    pipeline: Any,  # noqa: ANN401 - unfitted
    features: pd.DataFrame,
    target: Any,  # noqa: ANN401 - a Series
    threads: int,
    **told: Any,  # noqa: ANN401 - of the pipeline's own fit, such as sample weights
) -> None:
    """Fit with at most ``threads`` threads, unless the spec says how many.

    A forest predicts with as many as the spec says, else with one: in several it adds its trees up
    in any order, and the last digits would vary.
    """
    estimator = pipeline.named_steps["estimator"]
    before = _threads(estimator)
    for part, name, _ in before:
        part.set_params(**{name: threads})
    with joblib.parallel_config("threading"):  # no processes of estimators' own
        pipeline.fit(features, target, **told)
    for part, name, value in before:
        library = library_of(type(part).__module__)
        if part is estimator and not (library and library.settled):
            part.set_params(**{name: value})


def rounds_found(
    pipeline: Any,  # noqa: ANN401 - unfitted, its estimator of a library that stops early
    features: pd.DataFrame,
    target: pd.Series,
    later: pd.DataFrame,
    truth: pd.Series,
    patience: int,
    threads: int,
    weights: np.ndarray | None = None,
) -> int:
    """Return the boosting rounds after which the loss on the rows ``later`` was lowest, at least 1.

    The loss is the library's own for its objective. It is looked at until it has not fallen for
    ``patience`` rounds. Rows of classes that ``target`` does not have are not looked at.
    """
    estimator = pipeline.named_steps["estimator"]
    for part, name, _ in _threads(estimator):
        part.set_params(**{name: threads})
    booster = estimator.estimators[0][1] if isinstance(estimator, VotingClassifier) else estimator
    library = library_of(type(booster).__module__)
    if library is None or library.stopped is None:
        raise ValueError(f"expected an estimator that stops early, found {type(booster).__name__}")
    y, at_end = target.to_numpy(), truth.to_numpy()
    if is_classifier(booster):
        classes, y = np.unique(y, return_inverse=True)
        known = np.isin(at_end, classes)
        later, at_end = later[known], np.searchsorted(classes, at_end[known])
    prepare = pipeline.named_steps["prepare"]
    X = prepare.fit_transform(features, target)
    told = (X, y, weights, prepare.transform(later), at_end)
    return max(1, library.stopped(booster, *told, patience))


def _threads(estimator: Any) -> list[tuple[Any, str, Any]]:  # noqa: ANN401 - an estimator
    """The parts of an estimator whose number of threads the spec leaves open: each with the name
    and the value of the argument.

    Of scikit-learn's these are forests that are no part of another: others warn that they will lose
    the argument, or do not gain by it.
    """
    found = []
    nested = [one for one in estimator.get_params(deep=True).values() if hasattr(one, "fit")]
    for part in [estimator, *nested]:
        library = library_of(type(part).__module__)
        name = "n_jobs" if library is None else library.threads
        own = part.get_params(deep=False)
        if library is None and (part is not estimator or not {"n_estimators", name} <= set(own)):
            continue
        default = inspect.signature(type(part)).parameters.get(name)
        value = own.get(name)
        if value is None or (default is not None and value == default.default):
            found.append((part, name, value))
    return found
