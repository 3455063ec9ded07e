"""What a model spec gets for the keys that it leaves out: its preset, and defaults by the problem.

``balanced`` is the rooms' own defaults. What each preset sets, and why: docs/presets.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tasks.evaluation.config import power_of, quantile_of
from tasks.records import Problem

Preset = Literal["careful", "balanced", "eager"]

PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "careful": {
        "validation": {"max_quarantined": 0.05},
        "retrain": {"every": 4, "cooldown": 2},
        "ensemble": {"join_worse": 0.05},
        "gate": {"alpha": 0.01, "refresh_worse": 0.01, "refresh_worse_outright": 0.03},
        "watch": {"batches": 4, "freeze_batches": 8},
        "approval": {"required": True},
    },
    "balanced": {},
    "eager": {
        "training": {"first": 2, "window": {"last": 12}},
        "retrain": {"every": 1, "alarm_sd": 1.5},
        "ensemble": {"join_worse": 0.20},
        "gate": {"alpha": 0.10},
        "watch": {"batches": 1},
    },
}

_LOGISTIC = {
    "estimator": "sklearn.linear_model.LogisticRegression",
    "params": {"max_iter": 500},
    "search": {"C": {"low": 0.01, "high": 10.0, "log": True}},
}
_RIDGE = {
    "estimator": "sklearn.linear_model.Ridge",
    "search": {"alpha": {"low": 0.1, "high": 100.0, "log": True}},
}
_RATE = {"learning_rate": {"low": 0.03, "high": 0.3, "log": True}}
_CLASSIFIER = {
    "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
    "search": _RATE,
}
_REGRESSOR = {
    "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
    "params": {"loss": "absolute_error"},
    "search": _RATE,
}

BY_PROBLEM: Mapping[Problem, Mapping[str, Any]] = {
    "binary": {"metric": "roc_auc", "training": {"candidates": (_LOGISTIC, _CLASSIFIER)}},
    "multiclass": {"metric": "log_loss", "training": {"candidates": (_LOGISTIC, _CLASSIFIER)}},
    "regression": {"metric": "mae", "training": {"candidates": (_RIDGE, _REGRESSOR)}},
}
"""The metric and the candidates of a spec that names none."""


def _by_loss(metric: object) -> Mapping[str, Any]:
    """Candidates for a regression whose metric asks for a quantile or a deviance: those that are
    fitted for it.
    """
    if not isinstance(metric, str):
        return {}
    quantile, power = quantile_of(metric), power_of(metric)
    if quantile is not None:
        loss: dict[str, Any] = {"loss": "quantile", "quantile": quantile}
        return {"training": {"candidates": (_REGRESSOR | {"params": loss},)}}
    if power is None:
        return {}
    linear = {
        "estimator": "sklearn.linear_model.TweedieRegressor",
        "params": {"power": power, "link": "log", "max_iter": 1000},
        "search": {"alpha": {"low": 1e-6, "high": 1.0, "log": True}},
    }
    trees = _REGRESSOR | {"params": {"loss": "gamma" if power == 2 else "poisson"}}
    return {"training": {"candidates": (linear, trees)}}


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec ``given``, as read from YAML, with what its preset and its problem add.

    A key of the spec wins over the same key of the preset. A word in place of a mapping, such as
    ``ensemble: single``, wins over all of the preset's keys there. A preset or problem that does
    not exist adds nothing: the spec's own types refuse it.
    """
    by_problem = _named(BY_PROBLEM, given.get("problem"))
    if given.get("problem") == "regression":
        by_problem = {**by_problem, **_by_loss(given.get("metric"))}
    preset = _named(PRESETS, given.get("preset", "balanced"))
    return _over(_over(by_problem, preset), given)


def _named(table: Mapping[Any, Mapping[str, Any]], word: object) -> Mapping[str, Any]:
    return table.get(word, {}) if isinstance(word, str) else {}


def _over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``given`` in place of its own, mapping by mapping."""
    both = {
        key: _over(base[key], value)
        for key, value in given.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **given, **both}
