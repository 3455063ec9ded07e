"""How single features reach an estimator, where the spec says so: scikit-learn's own transformers,
fitted with the model and stored in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from data_contracts.contract import nearest
from tasks.records import FeatureSchema
from tasks.training.config import Preparation

WHOLE = r"(?s)^.+$"
"""A text as one token: its hash is that of the category."""
CYCLE_KNOTS = 7
"""Of a periodic spline: six columns over the cycle."""


def check_prepared(prepare: Mapping[str, Preparation], schema: FeatureSchema) -> None:
    """Raise ValueError where a feature that is prepared is none of ``schema``, or of another kind:
    what code makes is known only when it has been made.
    """
    for name, one in prepare.items():
        known = schema.categorical if one.of_categories else schema.numerical
        if name not in known:
            raise ValueError(
                f"prepare: expected one of the features {list(known)}, found {name!r}"
                f"{nearest(name, known)}"
            )


def without_prepared(schema: FeatureSchema, prepare: Mapping[str, Preparation]) -> FeatureSchema:
    """Return the features that are left to the estimator's own way."""
    return FeatureSchema(
        numerical=tuple(name for name in schema.numerical if name not in prepare),
        categorical=tuple(name for name in schema.categorical if name not in prepare),
    )


def transformers(
    prepare: Mapping[str, Preparation],
    schema: FeatureSchema,
    estimator: Any,  # noqa: ANN401 - of scikit-learn's interface
    seed: int,
) -> list[tuple[str, Any, Any]]:
    """Return the transformers of a ColumnTransformer for the features that are prepared, as far as
    ``schema`` has them.
    """
    there = {name: one for name, one in sorted(prepare.items()) if name in schema.names}
    # A vectorizer takes a column of texts, the others a frame of one column.
    found: list[tuple[str, Any, Any]] = [
        (f"prepare {name}", _transformer(one, estimator, seed), name if one.of_texts else [name])
        for name, one in there.items()
        if not one.products
    ]
    factors = [name for name, one in there.items() if one.products]
    if factors:
        products = PolynomialFeatures(interaction_only=True, include_bias=False)
        found.append(("products", _filled(StandardScaler(), products), factors))
    return found


def _transformer(one: Preparation, estimator: Any, seed: int) -> Any:  # noqa: ANN401
    if one.onehot is not None:
        return OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=one.onehot, sparse_output=False
        )
    if one.ordinal is not None:
        return OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, max_categories=one.ordinal
        )
    if one.target is not None:
        return TargetEncoder(
            target_type="continuous" if is_regressor(estimator) else "auto",
            cv=KFold(one.target, shuffle=True, random_state=seed),
        )
    if one.hash is not None:
        return HashingVectorizer(
            n_features=one.hash, token_pattern=WHOLE, lowercase=False, norm=None
        )
    if one.text is not None:
        words = TfidfVectorizer(sublinear_tf=True, min_df=2)
        return Pipeline([("words", words), ("reduce", TruncatedSVD(one.text, random_state=seed))])
    if one.cyclic is not None:
        knots = np.linspace(0, one.cyclic, CYCLE_KNOTS).reshape(-1, 1)
        return _filled(SplineTransformer(knots=knots, extrapolation="periodic"))
    if one.spline is not None:
        spline = SplineTransformer(n_knots=one.spline, knots="quantile", extrapolation="linear")
        return _filled(spline)
    return _filled(
        {
            "standard": StandardScaler(),
            "robust": RobustScaler(),
            "quantile": QuantileTransformer(
                n_quantiles=100, output_distribution="normal", random_state=seed
            ),
        }[str(one.scale)]
    )


def _filled(*steps: Any) -> Pipeline:  # noqa: ANN401
    """The steps, behind the median in the place of what is missing."""
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", fill), *((type(step).__name__, step) for step in steps)])
