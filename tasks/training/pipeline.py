"""Pipelines: an estimator by its import path, behind the preprocessing that it needs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils import get_tags

from data_contracts.contract import nearest
from tasks.configuration import ConfigurationError
from tasks.records import FeatureSchema, Problem
from tasks.training.config import Candidate, Preparation
from tasks.training.preparation import transformers, without_prepared

Encode = Literal["auto", "onehot", "ordinal"]

MAX_CATEGORIES = 250
"""Categories an ordinal encoder keeps apart; histogram boosting takes at most 255.

Rarer ones share one code.
"""


def resolve_estimator(path: str) -> type:
    """Return the class that ``path`` names; ValueError tells what was expected and the nearest
    name.
    """
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


def check_candidates(file: Path, candidates: tuple[Candidate, ...], problem: Problem) -> None:
    """Refuse unknown estimators, arguments that they do not take, and estimators of another problem
    type.

    An estimator that takes any argument (``**kwargs``, as XGBoost's) is not asked which it knows.
    """
    for i, candidate in enumerate(candidates):
        where = f"training.candidates.{i}"
        try:
            estimator = resolve_estimator(candidate.estimator)
        except ValueError as error:
            expected, _, found = str(error).removeprefix("expected ").partition(", found ")
            raise ConfigurationError(file, f"{where}.estimator", expected, found) from None
        known = inspect.signature(estimator).parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        for section in ("params", "search"):
            for name in getattr(candidate, section):
                if name not in known and not takes_any:
                    raise ConfigurationError(
                        file,
                        f"{where}.{section}",
                        f"an argument of {candidate.estimator}",
                        f"{name!r}{nearest(name, known)}",
                    )
        try:
            made = estimator(**candidate.params)
        except TypeError as error:
            raise ConfigurationError(
                file, f"{where}.params", "all that the estimator needs", str(error)
            ) from error
        if not (is_regressor(made) if problem == "regression" else is_classifier(made)):
            kind = "regressor" if problem == "regression" else "classifier"
            raise ConfigurationError(
                file,
                f"{where}.estimator",
                f"a {kind}, because the problem is {problem}",
                repr(candidate.estimator),
            )
        if problem != "regression" and not hasattr(made, "predict_proba"):
            raise ConfigurationError(
                file,
                f"{where}.estimator",
                "a classifier that predicts probabilities",
                repr(candidate.estimator),
            )


def with_values(schema: FeatureSchema, features: pd.DataFrame) -> FeatureSchema:
    """Return ``schema`` without the numbers that no training row has: nothing can be learned from
    them.

    A pipeline leaves out what is not in its schema. Histogram boosting would fail on such a column
    (scikit-learn 1.9).
    """
    known = tuple(name for name in schema.numerical if features[name].notna().any())
    return FeatureSchema(numerical=known, categorical=schema.categorical)


def make_pipeline(
    estimator_path: str,
    params: Mapping[str, Any],
    schema: FeatureSchema,
    *,
    encode: Encode,
    seed: int,
    prepare: Mapping[str, Preparation] = MappingProxyType({}),
) -> Any:  # noqa: ANN401 - a scikit-learn Pipeline
    """Return an unfitted pipeline over a frame with the columns of ``schema``.

    Features of ``prepare`` reach the estimator as it says. Of the others, an estimator that takes
    missing values gets categories as codes and numbers as they are; any other gets one-hot
    categories, and numbers imputed by their median, with an indicator, and scaled. Unseen
    categories never raise in either. ``random_state`` is the seed wherever the estimator has one
    and the spec sets none.
    """
    estimator = resolve_estimator(estimator_path)(**params)
    known = estimator.get_params()
    if "random_state" in known and "random_state" not in params:
        estimator.set_params(random_state=seed)
    prepared = transformers(prepare, schema, estimator, seed)
    schema = without_prepared(schema, prepare)
    tags = get_tags(estimator).input_tags
    takes_gaps = tags.allow_nan
    sparse = tags.sparse and not takes_gaps  # no estimator takes gaps in a sparse matrix
    ordinal = takes_gaps if encode == "auto" else encode == "ordinal"
    if ordinal and "categorical_features" in known and "categorical_features" not in params:
        estimator.set_params(categorical_features=list(range(len(schema.categorical))))
    categories = (
        OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan if takes_gaps else -1,
            max_categories=MAX_CATEGORIES,
        )
        if ordinal
        else OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=sparse
        )
    )
    numbers = (
        "passthrough"
        if takes_gaps
        else Pipeline(
            [
                (
                    "impute",
                    SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=True),
                ),
                ("scale", StandardScaler()),
            ]
        )
    )
    prepare = ColumnTransformer(
        [
            ("categories", categories, list(schema.categorical)),
            ("numbers", numbers, list(schema.numerical)),
            *prepared,
        ],
        sparse_threshold=0.3 if sparse else 0.0,
        verbose_feature_names_out=False,
    )
    return Pipeline([("prepare", prepare), ("estimator", estimator)])
