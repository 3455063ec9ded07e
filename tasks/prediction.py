"""How every room asks a model for predictions, so that all mean the same by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import KingmakerError, first_line
from tasks.mixing import correct, mix
from tasks.records import FeatureFrame, LoadedModel, Problem, Recalibration

CELLS = 5_000_000
"""Most values in a frame that is made to ask for several predictions in one call: 40 MB of numbers.
"""
MOST_CALLS = 200
"""Calls that a pipeline may raise in, until no more is asked which of the rows it raises for."""


class UnknownClassesError(KingmakerError, ValueError):
    """A model of a binary problem knows other classes than 0 and 1."""


class FeatureMismatchError(KingmakerError, ValueError):
    """The frame does not have the features that the model was trained on."""


def predict(
    pipeline: Any,  # noqa: ANN401 - fitted, of scikit-learn's interface
    features: Any,  # noqa: ANN401 - a DataFrame
    problem: Problem,
    classes: Sequence[str] = (),
) -> np.ndarray:
    """Return float64 predictions for the rows of ``features``.

    Shape (rows,) for regression and for binary, where it is P(positive); (rows, classes) for
    multiclass, in the order of ``classes``, with 0 for a class that the pipeline has never seen.
    Raises UnknownClassesError when the classes of a binary problem are not 0 and 1.
    """
    if problem == "regression":
        return np.asarray(pipeline.predict(features), dtype="float64")
    probabilities = np.asarray(pipeline.predict_proba(features), dtype="float64")
    known = list(pipeline.classes_)
    if problem == "binary":
        if not set(known) <= {0.0, 1.0}:
            raise UnknownClassesError(f"expected classes 0 and 1, found {known}")
        return probabilities[:, known.index(1.0)] if 1.0 in known else np.zeros(len(probabilities))
    return align(probabilities, [str(label) for label in known], classes)


def align(probabilities: np.ndarray, known: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return ``probabilities`` (rows, known) as (rows, classes): columns by label, 0 for a class
    that is not known.
    """
    aligned = np.zeros((len(probabilities), len(classes)))
    for column, label in enumerate(known):
        aligned[:, list(classes).index(label)] = probabilities[:, column]
    return aligned


def predict_rows(
    pipeline: Any,  # noqa: ANN401 - fitted, of scikit-learn's interface
    features: pd.DataFrame,
    problem: Problem,
    classes: Sequence[str] = (),
) -> np.ndarray:
    """Return predictions as ``predict`` does, with NaN for each row for which the pipeline raises
    or gives no finite number: one value must not cost the other rows theirs.

    A pipeline that raises is given the rows by halves until those that it raises for are found, or
    ``MOST_CALLS`` are made; NaN then stands for what is left beside them.
    """
    raised = 0

    def halved(rows: pd.DataFrame) -> np.ndarray:
        try:
            return predict(pipeline, rows, problem, classes)
        except Exception:  # noqa: BLE001 - an estimator may raise anything; why_no_number says what
            nonlocal raised
            raised += 1
        if len(rows) < 2 or raised > MOST_CALLS:
            return np.full((len(rows), len(classes)) if classes else len(rows), np.nan)
        middle = len(rows) // 2
        return np.concatenate([halved(rows.iloc[:middle]), halved(rows.iloc[middle:])])

    predicted = halved(features)
    finite = np.isfinite(predicted) if predicted.ndim == 1 else np.isfinite(predicted).all(axis=1)
    if not finite.all():
        predicted = predicted.copy()
        predicted[~finite] = np.nan
    return predicted


def predict_frame(model: LoadedModel, frame: FeatureFrame, problem: Problem) -> np.ndarray:
    """Return the model's predictions for ``frame`` as they are served: mixed by its weights, and
    recalibrated.

    FeatureMismatchError names the features that differ.
    """
    return serve(model, predict_members(model, frame, problem))


def serve(model: LoadedModel, members: Sequence[np.ndarray]) -> np.ndarray:
    """Return what the model serves where its members predict ``members``, each (rows,) or (rows,
    classes).
    """
    return mixed(members, model.weights or (1.0,), model.recalibration)


def mixed(
    members: Sequence[np.ndarray], weights: Sequence[float], recalibration: Recalibration | None
) -> np.ndarray:
    """Return what is served where the members of a model predict ``members``."""
    raw = mix(members, weights)
    return raw if recalibration is None else correct(raw, recalibration)


def predict_members(model: LoadedModel, frame: FeatureFrame, problem: Problem) -> list[np.ndarray]:
    """Return the predictions of each member for ``frame``; a model that is no ensemble is its own
    only member.

    The frame may have more features, or in another order: a contract may grow while its model is in
    service.
    """
    expected, found = model.trained.schema_, frame.schema
    absent = sorted(
        set(expected.numerical) - set(found.numerical)
        | set(expected.categorical) - set(found.categorical)
    )
    if absent:
        raise FeatureMismatchError(
            f"{model.trained.model} version {model.trained.version}: expected {len(expected.names)}"
            f" features, found {absent} missing or of another kind; retrain the model, or restore"
            " the feature code"
        )
    return _by_member(model, frame.features, problem)


def predict_mixed(
    ask: Callable[[pd.DataFrame], np.ndarray],
    frame: pd.DataFrame,
    other: pd.DataFrame,
    taken: np.ndarray,
    *,
    cells: int = CELLS,
) -> Iterator[np.ndarray]:
    """Yield what ``ask`` predicts, (rows,) or (rows, classes), for each of several mixtures of two
    frames of the same shape, (rows, features).

    ``taken``, (mixtures, features) boolean, says which features of a mixture are those of
    ``other``. As many mixtures are asked for in one call as ``cells`` values hold: a call costs
    many estimators more than the rows in it.
    """
    rows, both = len(frame), pd.concat([frame, other], ignore_index=True)
    at_once = max(1, cells // max(frame.size, 1))
    for first in range(0, len(taken), at_once):
        some = taken[first : first + at_once]
        at = np.tile(np.arange(rows), len(some))
        mixed = {
            name: both[name].array.take(at + rows * np.repeat(some[:, j], rows))
            for j, name in enumerate(frame.columns)
        }
        found = ask(pd.DataFrame(mixed))
        yield from found.reshape(len(some), rows, *found.shape[1:])


def serve_features(model: LoadedModel, features: pd.DataFrame, problem: Problem) -> np.ndarray:
    """Return what the model serves for rows that have its features, as ``predict_frame`` does."""
    return serve(model, _by_member(model, features, problem))


def why_no_number(model: LoadedModel, frame: FeatureFrame, problem: Problem) -> str:
    """Return the first line of what a member of the model raises for ``frame``; empty when none
    does.
    """
    rows = frame.features[list(model.trained.schema_.names)]
    for member in _members(model):
        try:
            predict(member, rows, problem, model.trained.classes)
        except Exception as error:  # noqa: BLE001 - an estimator may raise anything
            return first_line(error)
    return ""


def _by_member(model: LoadedModel, features: pd.DataFrame, problem: Problem) -> list[np.ndarray]:
    rows, classes = features[list(model.trained.schema_.names)], model.trained.classes
    return [predict_rows(member, rows, problem, classes) for member in _members(model)]


def _members(model: LoadedModel) -> Sequence[Any]:
    found: Sequence[Any] = model.pipeline.members if model.trained.members else [model.pipeline]
    return found
