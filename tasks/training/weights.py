"""How much each training row counts, and which are left out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from data_contracts.contract import Contract
from tasks.configuration import ConfigurationError
from tasks.records import FeatureFrame
from tasks.training.config import Excluded, TrainingConfig, Weights
from tasks.training.estimators import resolve_estimator


def excluded(rows: FeatureFrame, periods: Sequence[Excluded], contract: Contract) -> np.ndarray:
    """Return which rows lie on days of one of the periods, (rows,) bool; days are those of the
    contract's calendar.
    """
    days = rows.event_time.dt.tz_convert(contract.timezone).dt.date
    found = np.zeros(len(rows), dtype=bool)
    for period in periods:
        found |= ((days >= period.from_) & (days <= period.to)).to_numpy(dtype=bool)
    return found


def check_weighted(file: Path, training: TrainingConfig) -> None:
    """Refuse weights where an estimator's ``fit`` takes none; it imports the estimators, which were
    found before.
    """
    if training.weights == Weights():
        return
    for i, candidate in enumerate(training.candidates):
        estimator: Any = resolve_estimator(candidate.estimator)
        known = inspect.signature(estimator.fit).parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        if "sample_weight" not in known and not takes_any:
            raise ConfigurationError(
                file,
                f"training.candidates.{i}.estimator",
                "an estimator whose fit takes sample_weight, beside training.weights",
                repr(candidate.estimator),
            )


def sample_weights(config: Weights, rows: FeatureFrame) -> np.ndarray | None:
    """Return the weight of each row, (rows,) float64, their mean 1; None where all count the same.

    A row that is ``half_life`` older than the newest counts half. Raises ValueError for a column of
    weights that has a negative one, or nothing but zeros.
    """
    if config == Weights():
        return None
    weights = np.ones(len(rows))
    if config.half_life is not None:
        age = (rows.moments.max() - rows.moments) / np.timedelta64(config.half_life)
        weights *= 0.5**age
    if config.classes is not None:
        weights *= compute_sample_weight(_of_classes(config.classes, rows), rows.target)
    if config.column is not None:
        assert rows.weight is not None  # noqa: S101 - frames of such a spec have it
        given = rows.weight.fillna(0).to_numpy(dtype="float64")
        if (given < 0).any():
            raise ValueError(
                f"training.weights.column: expected weights of 0 and more in {config.column!r},"
                f" found {given.min():g}"
            )
        weights *= given
    total = weights.sum()
    if not total > 0:
        raise ValueError(
            "training.weights: expected a row with a weight above 0 among"
            f" {len(rows):,} training rows, found none"
        )
    weights *= len(rows) / total
    return weights


def weighted(weights: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return what a pipeline's ``fit`` is told of weights."""
    return {} if weights is None else {"estimator__sample_weight": weights}


def _of_classes(given: Any, rows: FeatureFrame) -> Any:  # noqa: ANN401 - as scikit-learn takes it
    """Class weights under the labels of the target; a class that is not named counts 1."""
    if not isinstance(given, Mapping):
        return given
    return {label: given.get(_name(label), 1.0) for label in rows.target.unique()}


def _name(label: object) -> str:
    return str(int(label)) if isinstance(label, float) else str(label)
