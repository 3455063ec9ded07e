"""Tests of features that reach an estimator in a way of their own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.prediction import predict
from tasks.records import FeatureSchema
from tasks.registry.safe_load import as_stored
from tasks.training.config import Preparation
from tasks.training.pipeline import make_pipeline
from tasks.training.preparation import check_prepared

SCHEMA = FeatureSchema(
    numerical=("hour", "distance", "price"), categorical=("town", "tail", "note")
)
LOGISTIC = "sklearn.linear_model.LogisticRegression"
RIDGE = "sklearn.linear_model.Ridge"
BOOSTING = "sklearn.ensemble.HistGradientBoostingClassifier"
WORDS = ("red", "blue", "big", "small", "hat", "shoe", "coat")
EVERY_WAY: dict[str, dict[str, Any]] = {
    "onehot": {"town": "onehot"},
    "rare": {"tail": {"onehot": 30}},
    "ordinal": {"town": "ordinal"},
    "target": {"tail": "target"},
    "hash": {"tail": "hash"},
    "text": {"note": {"text": 4}},
    "cyclic": {"hour": {"cyclic": 24}},
    "spline": {"distance": "spline"},
    "standard": {"price": "standard"},
    "robust": {"price": "robust"},
    "quantile": {"price": "quantile"},
    "products": {"distance": "products", "price": "products"},
    "all": {
        "town": "onehot",
        "tail": "target",
        "note": {"text": 4},
        "hour": {"cyclic": 24},
        "distance": "products",
        "price": "products",
    },
}


def _rows(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, rows).astype("float64"),
            "distance": rng.normal(size=rows),
            "price": rng.lognormal(size=rows),
            "town": rng.choice(["Bath", "York", "Ely", "(missing)"], rows),
            "tail": rng.choice([f"N{i}" for i in range(120)], rows),
            "note": [" ".join(rng.choice(WORDS, 3)) for _ in range(rows)],
        }
    )
    frame.loc[::7, ["hour", "distance", "price"]] = np.nan
    return frame


def _prepared(ways: dict[str, Any]) -> dict[str, Preparation]:
    return {name: Preparation.model_validate(how) for name, how in ways.items()}


def _made(path: str, ways: dict[str, Any], **how: Any) -> Any:
    return make_pipeline(path, {}, SCHEMA, encode="auto", seed=0, prepare=_prepared(ways), **how)


@pytest.mark.parametrize("path", [LOGISTIC, RIDGE, BOOSTING])
@pytest.mark.parametrize("ways", EVERY_WAY.values(), ids=EVERY_WAY)
@pytest.mark.filterwarnings("error", "ignore:lbfgs failed")
def test_every_way_is_fitted_predicts_what_it_has_not_seen_and_is_stored_without_a_pickle(
    path: str, ways: dict[str, Any]
) -> None:
    """Unseen categories and texts, gaps, and numbers beyond all that were seen: a number all the
    same.
    """
    rows = _rows()
    target = pd.Series((rows["note"].str.contains("hat")).astype("float64"))
    unseen = _rows(50, seed=1).assign(town="Rye", tail="D-1", note="umlaut äöü", distance=1e6)
    unseen.loc[::2, ["hour", "distance", "price"]] = np.nan

    pipeline = _made(path, ways).fit(rows, target)

    problem = "regression" if path == RIDGE else "binary"
    assert np.isfinite(predict(pipeline, unseen, problem)).all()
    assert as_stored(pipeline, "skops")[0] == "skops"


def _loss(path: str, ways: dict[str, Any], target: np.ndarray, rows: pd.DataFrame) -> float:
    half = len(rows) // 2
    pipeline = _made(path, ways).fit(rows[:half], target[:half])
    return float(np.mean((pipeline.predict(rows[half:]) - target[half:]) ** 2))


@pytest.mark.parametrize(
    ("ways", "signal"),
    [
        ({"note": {"text": 6}}, lambda rows: rows["note"].str.contains("hat")),
        ({"tail": "target"}, lambda rows: rows["tail"].str[1:].astype(int) % 2),
        ({"hour": {"cyclic": 24}}, lambda rows: np.sin(rows["hour"].fillna(6) / 24 * 2 * np.pi)),
        ({"distance": "spline"}, lambda rows: rows["distance"].fillna(0) ** 2),
        (
            {"distance": "products", "price": "products"},
            lambda rows: rows["distance"].fillna(0) * rows["price"].fillna(1),
        ),
    ],
    ids=["text", "target", "cyclic", "spline", "products"],
)
def test_a_linear_model_learns_what_it_could_not(ways: dict[str, Any], signal: Any) -> None:
    """Each way is worth its columns where the target is made so."""
    rows = _rows(3000)
    target = np.asarray(signal(rows), dtype="float64")

    assert _loss(RIDGE, ways, target, rows) < 0.6 * _loss(RIDGE, {}, target, rows)


def test_target_encoding_is_cross_fitted() -> None:
    """A category of one row tells nothing of its own target."""
    rows = _rows(400).assign(tail=[f"once {i}" for i in range(400)])
    target = np.random.default_rng(0).normal(size=400)
    prepare = _made(RIDGE, {"tail": "target"}).named_steps["prepare"]
    encoded = prepare.fit_transform(rows, target)[:, -1]

    assert abs(np.corrcoef(encoded, target)[0, 1]) < 0.2


def test_the_same_seed_gives_the_same_columns() -> None:
    """Folds, hashes and reduced texts are drawn with the seed."""
    rows, target = _rows(), np.random.default_rng(0).normal(size=600)

    one, other = (
        _made(RIDGE, EVERY_WAY["all"]).named_steps["prepare"].fit_transform(rows, target)
        for _ in range(2)
    )

    assert (one == other).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(-1000, 1000), st.floats(0.5, 100))
def test_a_cycle_begins_anew(value: float, period: float) -> None:
    """The end of a cycle is its beginning."""
    rows = _rows(60)
    prepare = _made(RIDGE, {"hour": {"cyclic": period}}).named_steps["prepare"]
    prepare.fit(rows, np.arange(60.0))

    one, other = (prepare.transform(rows.assign(hour=hour)) for hour in (value, value + period))

    assert np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ("onehott", "expected 'onehot', 'ordinal', 'target'"),
        ({}, "expected exactly one of"),
        ({"onehot": 5, "ordinal": 5}, "expected exactly one of"),
        ({"cyclic": 0}, "greater than 0"),
        ({"products": False}, "True"),
    ],
)
def test_a_way_that_is_none_is_refused(given_: Any, message: str) -> None:
    """A feature has one way, and each has its bounds."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        Preparation.model_validate(given_)


def test_what_code_did_not_make_is_refused() -> None:
    """A feature of the project's code is known only when it has been made."""
    check_prepared(_prepared({"town": "target", "price": "spline"}), SCHEMA)
    for ways, message in (
        ({"pricee": "spline"}, r"found 'pricee' \(did you mean 'price'\?\)"),
        ({"town": "spline"}, r"expected one of the features \['hour', 'distance', 'price'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            check_prepared(_prepared(ways), SCHEMA)
