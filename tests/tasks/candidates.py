"""One candidate of each kind that the docs name, small, by problem."""

from __future__ import annotations

from typing import Any

from tasks.records import Problem
from tasks.training.config import Candidate

KINDS = ("xgboost", "lightgbm", "catboost", "interpret", "svm", "stack")

_CLASSES = {
    "xgboost": "xgboost.XGB",
    "lightgbm": "lightgbm.LGBM",
    "catboost": "catboost.CatBoost",
    "interpret": "interpret.glassbox.ExplainableBoosting",
}
_PARAMS: dict[str, dict[str, Any]] = {
    "xgboost": {"n_estimators": 8},
    "lightgbm": {"n_estimators": 8, "min_child_samples": 5},
    "catboost": {"iterations": 8},
    "interpret": {"max_rounds": 20, "outer_bags": 2, "interactions": 0},
}


def candidate(kind: str, problem: Problem, **options: Any) -> Candidate:
    """Return the candidate; ``options`` are further keys of it, ``params`` in place of its own."""
    ending = "Regressor" if problem == "regression" else "Classifier"
    if kind in _CLASSES:
        params = _PARAMS[kind] | options.pop("params", {})
        return Candidate(estimator=f"{_CLASSES[kind]}{ending}", params=params, **options)
    if kind == "svm":
        machine = {"estimator": "sklearn.svm.LinearSVC", "params": {"C": 0.5}}
        if problem == "regression":
            return Candidate(estimator="sklearn.svm.SVR", params={"C": 2.0}, **options)
        return Candidate(
            estimator="sklearn.calibration.CalibratedClassifierCV",
            params={"estimator": machine, "cv": 2},
            **options,
        )
    linear = "Ridge" if problem == "regression" else "LogisticRegression"
    return Candidate(
        estimator=f"sklearn.ensemble.Stacking{ending}",
        params={
            "estimators": [
                {
                    "estimator": f"sklearn.ensemble.HistGradientBoosting{ending}",
                    "params": {"max_iter": 4},
                },
                {"estimator": f"lightgbm.LGBM{ending}", "params": {"n_estimators": 4}},
                {"estimator": f"xgboost.XGB{ending}", "params": {"n_estimators": 4}},
            ],
            "final_estimator": {"estimator": f"sklearn.linear_model.{linear}"},
            "cv": 2,
        },
        **options,
    )
