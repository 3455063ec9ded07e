"""Tests of the losses, against scikit-learn."""

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from tasks.evaluation.metrics import score
from tasks.evaluation.objective import Objective

RNG = np.random.default_rng(1)
Y = RNG.integers(0, 2, 300).astype("float64")
P = np.clip(0.3 + 0.4 * Y + RNG.normal(0, 0.2, 300), 0.01, 0.99)
CLASSES = ("a", "b", "c")
LABELS = np.array([CLASSES[i] for i in RNG.integers(0, 3, 300)], dtype="object")
SHARES = RNG.dirichlet([2.0, 2.0, 2.0], 300)
VALUES = RNG.normal(10, 3, 300)
GUESSES = VALUES + RNG.normal(0, 1, 300)


def test_binary_loss_is_log_loss() -> None:
    """The mean of the binary row losses is scikit-learn's log loss."""
    losses = Objective("binary").losses(Y, P)

    assert losses.shape == (300,)
    assert losses.mean() == pytest.approx(sk.log_loss(Y, P))


def test_multiclass_loss_is_log_loss() -> None:
    """The mean of the multiclass row losses is scikit-learn's log loss."""
    losses = Objective("multiclass", classes=CLASSES).losses(LABELS, SHARES)

    assert losses.mean() == pytest.approx(sk.log_loss(LABELS, SHARES, labels=list(CLASSES)))


def test_regression_loss_is_absolute_error() -> None:
    """The mean of the regression row losses is the mean absolute error."""
    assert Objective("regression").losses(VALUES, GUESSES).mean() == pytest.approx(
        sk.mean_absolute_error(VALUES, GUESSES)
    )


def test_certain_and_wrong_costs_a_bounded_loss() -> None:
    """A probability of 0 for what happened costs 16 nats, not infinity; so does a class never
    seen.
    """
    binary = Objective("binary").losses(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    unseen = Objective("multiclass", classes=CLASSES).losses(
        np.array(["d"], dtype="object"), np.array([[0.5, 0.3, 0.2]])
    )

    assert binary == pytest.approx([16.118, 16.118, 0.0], abs=1e-3)
    assert unseen == pytest.approx([16.118], abs=1e-3)


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_loss_of_no_number_is_no_number(problem: str) -> None:
    """A prediction of NaN has a loss of NaN: it is never taken for a good one."""
    losses = Objective(problem).losses(np.array([0.0, 1.0]), np.array([math.nan, 0.5]))

    assert np.isnan(losses).tolist() == [True, False]
    assert math.isnan(Objective(problem).mean_loss(np.array([0.0, 1.0]), np.array([math.nan, 0.5])))


def test_loss_of_a_quantile_is_its_pinball_loss() -> None:
    """A regression that is asked for a quantile is trained and judged by it, not by the absolute
    error.
    """
    expected = sk.mean_pinball_loss(VALUES, GUESSES, alpha=0.9)

    assert Objective("regression", metric="pinball_0.9").losses(
        VALUES, GUESSES
    ).mean() == pytest.approx(expected)
    assert Objective("regression", metric="pinball_0.9").mean_loss(
        VALUES, GUESSES
    ) == pytest.approx(expected)
    assert score(Objective("regression", "pinball_0.9"), VALUES, GUESSES) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("poisson_deviance", sk.mean_poisson_deviance),
        ("gamma_deviance", sk.mean_gamma_deviance),
        ("tweedie_deviance_1.5", functools.partial(sk.mean_tweedie_deviance, power=1.5)),
    ],
)
def test_loss_of_a_deviance_is_its_unit_deviance(metric: str, theirs: Callable[..., float]) -> None:
    """That of scikit-learn, row by row; a target that is none of it, or a prediction that is no
    number, has none.
    """
    rng = np.random.default_rng(0)
    y = rng.poisson(3, 200) + (1.0 if metric == "gamma_deviance" else 0.0)
    mu = y * 0 + rng.uniform(0.5, 6, 200)
    objective = Objective("regression", metric)

    assert objective.mean_loss(y, mu) == pytest.approx(theirs(y, mu))
    one = objective.losses(np.array([y[0], -1.0, y[2]]), np.array([mu[0], 1.0, np.nan]))
    assert np.isfinite(one).tolist() == [True, False, False]
    assert np.isfinite(objective.losses(y, mu * 0 - 1)).all()  # kept above nothing


def test_loss_of_a_deviance_prefers_the_mean() -> None:
    """Of skewed counts the absolute error prefers the median, far below."""
    y = np.random.default_rng(0).negative_binomial(0.5, 0.1, 5000).astype("float64")
    answers = np.array([np.median(y), y.mean()])

    def better(metric: str) -> int:
        objective = Objective("regression", metric)
        return int(np.argmin([objective.mean_loss(y, np.full(len(y), one)) for one in answers]))

    assert (better("mae"), better("poisson_deviance"), better("tweedie_deviance_1.2")) == (0, 1, 1)
