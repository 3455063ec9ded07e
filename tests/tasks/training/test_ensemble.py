"""Tests of the ensemble as one estimator."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from tasks.prediction import predict
from tasks.training.ensemble import Ensemble

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(60, 2)), columns=["a", "b"])


def _classifier(*labels: object) -> Pipeline:
    target = np.array([labels[i % len(labels)] for i in range(len(ROWS))])
    return Pipeline([("estimator", LogisticRegression())]).fit(
        ROWS + RNG.normal(size=ROWS.shape), target
    )


def test_regression_is_the_weighted_mean() -> None:
    """Values are mixed by the weights, to the letter."""
    one, two = (Pipeline([("e", Ridge())]).fit(ROWS, ROWS["a"] * k) for k in (1, 3))

    found = predict(Ensemble([one, two], [0.25, 0.75]), ROWS, "regression")

    assert found == pytest.approx(0.25 * one.predict(ROWS) + 0.75 * two.predict(ROWS), rel=1e-12)


def test_binary_is_the_weighted_mean() -> None:
    """P(positive) is mixed, and a label is the likelier class."""
    one, two = _classifier(0.0, 1.0), _classifier(0.0, 1.0, 1.0)
    ensemble = Ensemble([one, two], [0.5, 0.5])

    mixed = predict(ensemble, ROWS, "binary")

    assert mixed == pytest.approx(
        (one.predict_proba(ROWS)[:, 1] + two.predict_proba(ROWS)[:, 1]) / 2
    )
    assert ensemble.predict(ROWS).tolist() == (mixed > 0.5).astype("float64").tolist()
    assert is_classifier(ensemble.members[0])


def test_members_that_know_other_classes() -> None:
    """A class that one member never saw has its share from the others; probabilities still sum to
    one.
    """
    ensemble = Ensemble([_classifier("a", "b"), _classifier("b", "c")], [0.4, 0.6])

    found = predict(ensemble, ROWS, "multiclass", ("a", "b", "c", "never"))

    assert found.sum(axis=1) == pytest.approx(1)
    assert (found[:, 0] < 0.4).all()
    assert (found[:, 2] < 0.6).all()
    assert (found[:, 3] == 0).all()
    assert set(ensemble.predict(ROWS)) <= {"a", "b", "c"}


def test_fit_fits_every_member() -> None:
    """As an estimator it can be fitted anew, its members' settings kept."""
    ensemble = Ensemble([_classifier("a", "b"), _classifier("a", "b")], [0.5, 0.5]).fit(
        ROWS, ["x", "y"] * 30
    )

    assert ensemble.classes_.tolist() == ["x", "y"]
