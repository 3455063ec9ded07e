"""How every room asks a pipeline for predictions, so that all mean the same by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.records import FeatureFrame, LoadedModel, Problem

if TYPE_CHECKING:
    import numpy as np


class FeatureMismatchError(ValueError):
    """The frame does not have the features that the model was trained on."""


def predict(pipeline: Any, features: Any, problem: Problem, classes: Sequence[str] = ()) -> np.ndarray:  # noqa: ANN401 - a fitted pipeline and a DataFrame
    """Return float64 predictions for the rows of ``features``.

    Shape (rows,) for regression and for binary, where it is P(positive); (rows, classes) for multiclass, in the
    order of ``classes``, with 0 for a class that the pipeline has never seen.
    """
    import numpy as np

    if problem == "regression":
        return np.asarray(pipeline.predict(features), dtype="float64")
    probabilities = np.asarray(pipeline.predict_proba(features), dtype="float64")
    known = list(pipeline.classes_)
    if problem == "binary":
        return probabilities[:, known.index(1.0)] if 1.0 in known else np.zeros(len(probabilities))
    aligned = np.zeros((len(probabilities), len(classes)))
    for column, label in enumerate(known):
        aligned[:, list(classes).index(str(label))] = probabilities[:, column]
    return aligned


def predict_frame(model: LoadedModel, frame: FeatureFrame, problem: Problem) -> np.ndarray:
    """Return the model's predictions for ``frame``; FeatureMismatchError names the features that differ."""
    expected, found = model.trained.schema_, frame.schema
    if (expected.numerical, expected.categorical) != (found.numerical, found.categorical):
        other = set(expected.numerical) ^ set(found.numerical) | set(expected.categorical) ^ set(
            found.categorical
        )
        moved = [name for name, its in zip(expected.names, found.names, strict=False) if name != its]
        differing = sorted(other) or f"{moved}, by their order"
        raise FeatureMismatchError(
            f"{model.trained.model} version {model.trained.version}: expected {len(expected.names)} features, "
            f"found {len(found.names)}; differing: {differing}; retrain the model, or restore the feature code"
        )
    return predict(model.pipeline, frame.features, problem, model.trained.classes)
