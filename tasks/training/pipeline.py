"""Pipelines: an estimator by its import path, behind the preprocessing that it needs."""

from __future__ import annotations

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
from tasks.errors import first_line
from tasks.records import FeatureSchema, Problem
from tasks.training.config import Candidate, Preparation
from tasks.training.estimators import (
    is_estimator,
    make_estimator,
    numbered,
    resolve_estimator,
)
from tasks.training.libraries import LIBRARIES, MONOTONE, Library, library_of
from tasks.training.preparation import transformers, without_prepared

Encode = Literal["auto", "onehot", "ordinal"]

MAX_CATEGORIES = 250
"""Categories an ordinal encoder keeps apart; histogram boosting takes at most 255.

Rarer ones share one code.
"""


def check_candidates(file: Path, candidates: tuple[Candidate, ...], problem: Problem) -> None:
    """Refuse unknown estimators, arguments that they do not take, and estimators of another problem
    type.

    An estimator that takes any argument (``**kwargs``, as XGBoost's) is not asked which it knows.
    """
    for i, candidate in enumerate(candidates):
        where = f"training.candidates.{i}"
        _check_estimator(file, where, candidate.estimator, candidate.params, candidate.search)
        made = make_estimator(candidate.estimator, candidate.params, seed=0)
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
        _check_monotone(file, where, candidate, made)
        _check_early_stopping(file, where, candidate)
        _check_beside_preparation(file, where, candidate)


def _check_estimator(
    file: Path,
    where: str,
    path: str,
    params: Mapping[str, Any],
    search: Mapping[str, Any] | None = None,
) -> None:
    """Refuse an estimator that does not exist or does not take its arguments, and those in its
    parameters.
    """
    try:
        estimator = resolve_estimator(path)
    except ValueError as error:
        expected, _, found = str(error).removeprefix("expected ").partition(", found ")
        raise ConfigurationError(file, f"{where}.estimator", expected, found) from None
    known = inspect.signature(estimator).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    for section, given in (("params", params), ("search", search or {})):
        for name in given:
            if name not in known and not takes_any:
                raise ConfigurationError(
                    file,
                    f"{where}.{section}",
                    f"an argument of {path}",
                    f"{name!r}{nearest(name, known)}",
                )
    for name, value in params.items():
        several = value if isinstance(value, list | tuple) else [value]
        for i, one in enumerate(several):
            if is_estimator(one):
                inner = f"{where}.params.{name}" + ("" if one is value else f".{i}")
                _check_inner(file, inner, one)
    try:
        make_estimator(path, params, seed=0)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            file, f"{where}.params", "all that the estimator needs", first_line(error)
        ) from error


def _check_inner(file: Path, where: str, described: Mapping[str, Any]) -> None:
    """Refuse an estimator in the parameters of another that is described wrongly."""
    known = ("estimator", "params")
    for key in described:
        if key not in known:
            found = f"{key!r}{nearest(str(key), known)}"
            raise ConfigurationError(file, where, "an estimator and its params", found)
    params = described.get("params") or {}
    if not isinstance(params, Mapping):
        raise ConfigurationError(file, f"{where}.params", "arguments by name", repr(params))
    _check_estimator(file, where, described["estimator"], params)


def _check_monotone(file: Path, where: str, candidate: Candidate, made: Any) -> None:  # noqa: ANN401
    """Refuse constraints that are no directions, or that one-hot categories would misplace."""
    for name in MONOTONE:
        constraints = candidate.params.get(name)
        if not isinstance(constraints, Mapping):
            continue
        key = f"{where}.params.{name}"
        for feature, direction in constraints.items():
            if direction not in (-1, 0, 1):
                raise ConfigurationError(
                    file,
                    f"{key}.{feature}",
                    "1 (predictions never fall as it grows), -1 or 0",
                    repr(direction),
                )
        if not _by_column(library_of(candidate.estimator), made, candidate.encode):
            raise ConfigurationError(
                file,
                key,
                "an estimator that is given one column a feature (encode: ordinal)",
                f"encode: {candidate.encode} of {candidate.estimator}",
            )


def _check_beside_preparation(file: Path, where: str, candidate: Candidate) -> None:
    """Refuse what needs one column a feature beside ``prepare``, which makes others."""
    library = library_of(candidate.estimator)
    by_names = library is not None and library.names and candidate.encode == "auto"
    for name in MONOTONE:
        if candidate.prepare and isinstance(candidate.params.get(name), Mapping):
            key, expected = f"{where}.params.{name}", "no constraints by feature beside prepare"
            raise ConfigurationError(file, key, expected, repr(dict(candidate.params[name])))
    for feature, one in candidate.prepare.items():
        if by_names and one.of_texts:
            raise ConfigurationError(
                file,
                f"{where}.prepare.{feature}",
                f"numbers, or encode: ordinal, for {candidate.estimator}, which takes names",
                "a vectorizer of texts",
            )


def _check_early_stopping(file: Path, where: str, candidate: Candidate) -> None:
    """Refuse to stop an estimator early that cannot be, or whose rounds are searched."""
    if candidate.early_stopping is None:
        return
    library = library_of(candidate.estimator)
    if library is None or library.stopped is None:
        able = sorted(name for name, one in LIBRARIES.items() if one.stopped is not None)
        raise ConfigurationError(
            file,
            f"{where}.early_stopping",
            f"nothing, or an estimator of {', '.join(able)}: they stop by rows that they are given",
            repr(candidate.estimator),
        )
    if library.rounds in candidate.search:
        raise ConfigurationError(
            file,
            f"{where}.search.{library.rounds}",
            "nothing beside early_stopping, which finds the rounds",
            "a range",
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
    missing values gets numbers as they are and categories as codes, or by their names where it
    takes names; any other gets one-hot categories, and numbers imputed by their median, with an
    indicator, and scaled. Unseen categories never raise in any.
    """
    library = library_of(estimator_path)
    estimator = make_estimator(estimator_path, _by_place(library, params, schema), seed)
    prepared = transformers(prepare, schema, estimator, seed)
    schema = without_prepared(schema, prepare)
    names = library is not None and library.names and encode == "auto"
    tags = get_tags(estimator).input_tags
    takes_gaps = names or tags.allow_nan
    sparse = tags.sparse and not takes_gaps  # no estimator takes gaps in a sparse matrix
    by_column = _by_column(library, estimator, encode)
    can_be_told = library is None or not (library.each and prepared)
    if by_column and can_be_told and (names or not (library and library.names)):
        told = _told_categories(library, estimator, schema)
        estimator.set_params(**{name: v for name, v in told.items() if name not in params})
    categories = (
        "passthrough"
        if names
        else OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan if takes_gaps else -1,
            max_categories=MAX_CATEGORIES,
        )
        if by_column
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
    columns = ColumnTransformer(
        [
            ("categories", categories, list(schema.categorical)),
            ("numbers", numbers, list(schema.numerical)),
            *prepared,
        ],
        sparse_threshold=0.3 if sparse else 0.0,
        verbose_feature_names_out=False,
    )
    if names:
        columns.set_output(transform="pandas")
    return Pipeline([("prepare", columns), ("estimator", numbered(estimator, library))])


def _by_column(library: Library | None, estimator: Any, encode: Encode) -> bool:  # noqa: ANN401
    """Whether the estimator is given one column a feature."""
    if encode != "auto":
        return encode == "ordinal"
    names = library is not None and library.names
    return bool(names or get_tags(estimator).input_tags.allow_nan)


def _told_categories(
    library: Library | None,
    estimator: Any,  # noqa: ANN401
    schema: FeatureSchema,
) -> Mapping[str, Any]:
    """What says to the estimator which of its columns are categories."""
    if library is not None:
        return library.categories(schema)
    own = "categorical_features" in estimator.get_params()
    return {"categorical_features": list(range(len(schema.categorical)))} if own else {}


def _by_place(
    library: Library | None, params: Mapping[str, Any], schema: FeatureSchema
) -> dict[str, Any]:
    """The parameters, with monotone constraints in the order of the columns and not by feature."""
    columns = (*schema.categorical, *schema.numerical)
    series = list if library is None else library.series
    placed = {
        name: series(value.get(column, 0) for column in columns)
        for name, value in params.items()
        if name in MONOTONE and isinstance(value, Mapping)
    }
    needed = library.monotone if library is not None and placed else {}
    return {**needed, **params, **placed}


def check_constraints(params: Mapping[str, Any], schema: FeatureSchema) -> None:
    """Raise ValueError where a monotone constraint names no number of ``schema``."""
    for name in MONOTONE:
        value = params.get(name)
        for feature in value if isinstance(value, Mapping) else ():
            if feature not in schema.numerical:
                raise ValueError(
                    f"expected numerical features in {name}, found"
                    f" {feature!r}{nearest(feature, schema.numerical)}"
                )
