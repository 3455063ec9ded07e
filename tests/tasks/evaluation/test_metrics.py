"""Tests of losses and metrics, against scikit-learn and against simulation."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from tasks.evaluation.metrics import (
    GREATER_IS_BETTER,
    EvaluationError,
    mean_loss,
    row_losses,
    score,
    score_interval,
)
from tasks.model_spec import METRICS

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
    losses = row_losses(Y, P, "binary")

    assert losses.shape == (300,)
    assert losses.mean() == pytest.approx(sk.log_loss(Y, P))


def test_multiclass_loss_is_log_loss() -> None:
    """The mean of the multiclass row losses is scikit-learn's log loss."""
    losses = row_losses(LABELS, SHARES, "multiclass", CLASSES)

    assert losses.mean() == pytest.approx(sk.log_loss(LABELS, SHARES, labels=list(CLASSES)))


def test_regression_loss_is_absolute_error() -> None:
    """The mean of the regression row losses is the mean absolute error."""
    assert row_losses(VALUES, GUESSES, "regression").mean() == pytest.approx(
        sk.mean_absolute_error(VALUES, GUESSES)
    )


def test_certain_and_wrong_costs_a_bounded_loss() -> None:
    """A probability of 0 for what happened costs 16 nats, not infinity; so does a class never seen."""
    binary = row_losses(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), "binary")
    unseen = row_losses(np.array(["d"], dtype="object"), np.array([[0.5, 0.3, 0.2]]), "multiclass", CLASSES)

    assert binary == pytest.approx([16.118, 16.118, 0.0], abs=1e-3)
    assert unseen == pytest.approx([16.118], abs=1e-3)


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_loss_of_no_number_is_no_number(problem: str) -> None:
    """A prediction of NaN has a loss of NaN: it is never taken for a good one."""
    losses = row_losses(np.array([0.0, 1.0]), np.array([math.nan, 0.5]), problem)

    assert np.isnan(losses).tolist() == [True, False]
    assert math.isnan(mean_loss(problem)(np.array([0.0, 1.0]), np.array([math.nan, 0.5])))


def test_every_metric_has_a_direction() -> None:
    """Each metric that a spec may name says whether more is better."""
    assert {name for names in METRICS.values() for name in names} == set(GREATER_IS_BETTER)


HARD = (P >= 0.5).astype("float64")
CHOSEN = np.array(CLASSES, dtype="object")[SHARES.argmax(axis=1)]
EXPECTED = {
    ("binary", "roc_auc"): sk.roc_auc_score(Y, P),
    ("binary", "average_precision"): sk.average_precision_score(Y, P),
    ("binary", "log_loss"): sk.log_loss(Y, P),
    ("binary", "brier"): sk.brier_score_loss(Y, P),
    ("binary", "accuracy"): sk.accuracy_score(Y, HARD),
    ("binary", "f1"): sk.f1_score(Y, HARD),
    ("binary", "precision"): sk.precision_score(Y, HARD),
    ("binary", "recall"): sk.recall_score(Y, HARD),
    ("multiclass", "log_loss"): sk.log_loss(LABELS, SHARES, labels=list(CLASSES)),
    ("multiclass", "accuracy"): sk.accuracy_score(LABELS, CHOSEN),
    ("multiclass", "f1_macro"): sk.f1_score(LABELS, CHOSEN, average="macro"),
    ("multiclass", "roc_auc_ovr"): sk.roc_auc_score(LABELS, SHARES, multi_class="ovr", labels=list(CLASSES)),
    ("regression", "mae"): sk.mean_absolute_error(VALUES, GUESSES),
    ("regression", "rmse"): sk.root_mean_squared_error(VALUES, GUESSES),
    ("regression", "r2"): sk.r2_score(VALUES, GUESSES),
    ("regression", "mape"): sk.mean_absolute_percentage_error(VALUES, GUESSES),
    ("regression", "median_absolute_error"): sk.median_absolute_error(VALUES, GUESSES),
}
DATA = {"binary": (Y, P, ()), "multiclass": (LABELS, SHARES, CLASSES), "regression": (VALUES, GUESSES, ())}


@pytest.mark.parametrize(
    ("problem", "metric"), [(problem, name) for problem, names in METRICS.items() for name in names]
)
def test_every_metric(problem: str, metric: str) -> None:
    """Each metric that a spec may name is scikit-learn's."""
    target, predicted, classes = DATA[problem]

    assert score(metric, target, predicted, problem, classes) == pytest.approx(EXPECTED[problem, metric])


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_refuses(metric: str, label: float) -> None:
    """Rows of one class cannot be ranked."""
    with pytest.raises(EvaluationError, match="expected at least two classes in the target, found one"):
        score(metric, np.full(10, label), P[:10], "binary")


def test_one_class_of_several_refuses() -> None:
    """Rows of one class of three cannot be ranked either."""
    with pytest.raises(EvaluationError, match="expected at least two classes"):
        score("roc_auc_ovr", np.array(["a"] * 10, dtype="object"), SHARES[:10], "multiclass", CLASSES)


def test_auc_of_classes_that_are_there() -> None:
    """A class that no row has is left out of the one-against-rest AUC; two classes are enough."""
    rows = LABELS != "c"
    expected = np.mean([sk.roc_auc_score(LABELS[rows] == CLASSES[i], SHARES[rows][:, i]) for i in (0, 1)])

    of_three = score("roc_auc_ovr", LABELS[rows], SHARES[rows], "multiclass", CLASSES)
    of_two = score("roc_auc_ovr", LABELS[rows], SHARES[rows][:, :2], "multiclass", CLASSES[:2])

    assert of_three == pytest.approx(expected)
    assert of_two == pytest.approx(expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_prediction_that_is_no_number_refuses(problem: str, bad: float) -> None:
    """One NaN among the predictions makes every metric invalid."""
    target, predicted, classes = DATA[problem]
    broken = predicted.copy()
    broken.flat[7] = bad

    for metric in METRICS[problem]:
        with pytest.raises(EvaluationError, match="expected finite predictions, found 1 that are not"):
            score(metric, target, broken, problem, classes)


@pytest.mark.filterwarnings("ignore:R\\^2 score is not well-defined")
def test_metric_that_is_no_number_refuses() -> None:
    """R squared on one row is not defined, and is not reported as NaN."""
    with pytest.raises(EvaluationError, match="r2: expected a number on 1 rows, found nan"):
        score("r2", VALUES[:1], GUESSES[:1], "regression")


def test_interval_of_a_mean_is_the_classical_one() -> None:
    """With one row a block the jackknife of a mean is the t interval of the mean."""
    errors = np.abs(VALUES - GUESSES)
    half = 1.9679 * errors.std(ddof=1) / np.sqrt(300)

    found = score_interval("mae", VALUES, GUESSES, np.arange(300), "regression")

    assert found.value == pytest.approx(errors.mean())
    assert found.high - found.value == pytest.approx(half, rel=1e-4)
    assert found.value - found.low == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize("blocks", [np.zeros(300, "int64"), np.arange(300) // 150])
def test_too_few_blocks_for_an_interval(blocks: np.ndarray) -> None:
    """One or two blocks say nothing of the uncertainty: the interval is endless."""
    found = score_interval("mae", VALUES, GUESSES, blocks, "regression")

    assert (found.low, found.high) == (-math.inf, math.inf)


def test_interval_that_hangs_on_one_block() -> None:
    """Where a block holds all of one class, the metric without it is not defined: the interval is endless."""
    target = np.array([1.0] * 10 + [0.0] * 40)

    found = score_interval("roc_auc", target, P[:50], np.arange(50) // 10, "binary")

    assert math.isfinite(found.value)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_interval_covers_the_truth_on_correlated_blocks() -> None:
    """Over simulated months whose days share their luck, the 95% interval covers the true error about that often."""
    rng, covered, runs, days, rows = np.random.default_rng(5), 0, 300, 20, 30
    truth = np.sqrt(1 + 1) * np.sqrt(2 / np.pi)
    blocks = np.repeat(np.arange(days), rows)

    for _ in range(runs):
        errors = np.repeat(rng.normal(0, 1, days), rows) + rng.normal(0, 1, days * rows)
        found = score_interval("mae", errors, np.zeros_like(errors), blocks, "regression")
        covered += found.low <= truth <= found.high

    assert 0.91 <= covered / runs <= 0.98
