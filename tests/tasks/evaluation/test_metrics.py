"""Tests of metrics, against scikit-learn and against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.evaluation.config import METRICS, bounds_of, known_metric
from tasks.evaluation.metrics import (
    EvaluationError,
    UndefinedMetricError,
    jackknife,
    leave_one_out,
    score,
    score_interval,
)
from tasks.evaluation.objective import Objective

RNG = np.random.default_rng(1)
Y = RNG.integers(0, 2, 300).astype("float64")
P = np.clip(0.3 + 0.4 * Y + RNG.normal(0, 0.2, 300), 0.01, 0.99)
CLASSES = ("a", "b", "c")
LABELS = np.array([CLASSES[i] for i in RNG.integers(0, 3, 300)], dtype="object")
SHARES = RNG.dirichlet([2.0, 2.0, 2.0], 300)
VALUES = RNG.normal(10, 3, 300)
GUESSES = VALUES + RNG.normal(0, 1, 300)


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
    ("multiclass", "roc_auc_ovr"): sk.roc_auc_score(
        LABELS, SHARES, multi_class="ovr", labels=list(CLASSES)
    ),
    ("multiclass", "brier"): np.mean(((LABELS[:, None] == np.array(CLASSES)) - SHARES) ** 2) * 3,
    ("multiclass", "precision_macro"): sk.precision_score(LABELS, CHOSEN, average="macro"),
    ("multiclass", "recall_macro"): sk.recall_score(LABELS, CHOSEN, average="macro"),
    ("multiclass", "average_precision_ovr"): sk.average_precision_score(
        (LABELS[:, None] == np.array(CLASSES)).astype(int), SHARES, average="macro"
    ),
    ("regression", "mae"): sk.mean_absolute_error(VALUES, GUESSES),
    ("regression", "rmse"): sk.root_mean_squared_error(VALUES, GUESSES),
    ("regression", "r2"): sk.r2_score(VALUES, GUESSES),
    ("regression", "mape"): sk.mean_absolute_percentage_error(VALUES, GUESSES),
    ("regression", "median_absolute_error"): sk.median_absolute_error(VALUES, GUESSES),
    ("regression", "poisson_deviance"): sk.mean_poisson_deviance(VALUES, GUESSES),
    ("regression", "gamma_deviance"): sk.mean_gamma_deviance(VALUES, GUESSES),
    ("binary", "precision_at_30"): Y[np.argsort(P)[-30:]].mean(),
    ("binary", "precision_at_0.1"): Y[np.argsort(P)[-30:]].mean(),
    ("binary", "lift_at_30"): Y[np.argsort(P)[-30:]].mean() / Y.mean(),
    ("binary", "precision_at_9999"): Y.mean(),
}
DATA = {
    "binary": (Y, P, ()),
    "multiclass": (LABELS, SHARES, CLASSES),
    "regression": (VALUES, GUESSES, ()),
}


@pytest.mark.parametrize(("problem", "metric"), sorted(EXPECTED))
def test_every_metric(problem: str, metric: str) -> None:
    """Each metric that a spec may name is scikit-learn's."""
    target, predicted, classes = DATA[problem]

    assert score(Objective(problem, metric, classes), target, predicted) == pytest.approx(
        EXPECTED[problem, metric]
    )


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_refuses(metric: str, label: float) -> None:
    """Rows of one class cannot be ranked."""
    with pytest.raises(
        EvaluationError, match="expected at least two classes in the target, found one"
    ):
        score(Objective("binary", metric), np.full(10, label), P[:10])


def test_one_class_of_several_refuses() -> None:
    """Rows of one class of three cannot be ranked either."""
    with pytest.raises(EvaluationError, match="expected at least two classes"):
        score(
            Objective("multiclass", "roc_auc_ovr", CLASSES),
            np.array(["a"] * 10, dtype="object"),
            SHARES[:10],
        )


def test_auc_of_classes_that_are_there() -> None:
    """A class that no row has is left out of the one-against-rest AUC; two classes are enough."""
    rows = LABELS != "c"
    expected = np.mean(
        [sk.roc_auc_score(LABELS[rows] == CLASSES[i], SHARES[rows][:, i]) for i in (0, 1)]
    )

    of_three = score(Objective("multiclass", "roc_auc_ovr", CLASSES), LABELS[rows], SHARES[rows])
    of_two = score(
        Objective("multiclass", "roc_auc_ovr", CLASSES[:2]), LABELS[rows], SHARES[rows][:, :2]
    )

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
        with pytest.raises(
            EvaluationError, match="expected finite predictions, found 1 that are not"
        ):
            score(Objective(problem, metric, classes), target, broken)


def test_metric_that_is_no_number_refuses() -> None:
    """R squared on one row is not defined, and is not reported as NaN."""
    with pytest.raises(EvaluationError, match="r2: expected a number on 1 rows, found nan"):
        score(Objective("regression", "r2"), VALUES[:1], GUESSES[:1])


def test_interval_of_a_mean_is_the_classical_one() -> None:
    """With one row a block the jackknife of a mean is the t interval of the mean."""
    errors = np.abs(VALUES - GUESSES)
    half = 1.9679 * errors.std(ddof=1) / np.sqrt(300)

    found = score_interval(Objective("regression", "mae"), VALUES, GUESSES, np.arange(300))

    assert found.value == pytest.approx(errors.mean())
    assert found.high - found.value == pytest.approx(half, rel=1e-4)
    assert found.value - found.low == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize(
    ("problem", "metric"), [(problem, name) for problem, names in METRICS.items() for name in names]
)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(4, 40), noise=st.floats(0, 3))
@settings(max_examples=25, deadline=None)
def test_interval_stays_within_what_the_metric_can_be(
    problem: str, metric: str, seed: int, rows: int, noise: float
) -> None:
    """However few the rows and however wild the losses, a known interval holds its value and no
    value that the metric cannot have.
    """
    rng = np.random.default_rng(seed)
    objective = Objective(problem, metric, DATA[problem][2])
    if problem == "regression":
        target, predicted = rng.standard_cauchy(rows), rng.normal(0, 1 + noise, rows)
    elif problem == "multiclass":
        target, predicted = rng.choice(CLASSES, rows), rng.dirichlet([0.1 + noise] * 3, rows)
    else:
        target = rng.integers(0, 2, rows).astype("float64")
        predicted = 1 / (1 + np.exp(-3 * (target - 0.5) - noise * rng.normal(0, 3, rows)))
    try:
        found = score_interval(objective, target, predicted, np.arange(rows) // 3)
    except UndefinedMetricError:
        return

    low, high = bounds_of(metric, problem)

    assert not found.known or low <= found.low <= found.value <= found.high <= high


@pytest.mark.parametrize("blocks", [np.zeros(300, "int64"), np.arange(300) // 150])
def test_too_few_blocks_for_an_interval(blocks: np.ndarray) -> None:
    """One or two blocks say nothing of the uncertainty: the interval is endless."""
    found = score_interval(Objective("regression", "mae"), VALUES, GUESSES, blocks)

    assert (found.low, found.high) == (-math.inf, math.inf)


def test_interval_that_hangs_on_one_block() -> None:
    """Where a block holds all of one class, the metric without it is not defined: the interval is
    endless.
    """
    target = np.array([1.0] * 10 + [0.0] * 40)

    found = score_interval(Objective("binary", "roc_auc"), target, P[:50], np.arange(50) // 10)

    assert math.isfinite(found.value)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_interval_covers_the_truth_on_correlated_blocks() -> None:
    """Over simulated months whose days share their luck, the 95% interval covers the true error
    about that often.
    """
    rng, covered, runs, days, rows = np.random.default_rng(5), 0, 300, 20, 30
    truth = np.sqrt(1 + 1) * np.sqrt(2 / np.pi)
    blocks = np.repeat(np.arange(days), rows)

    for _ in range(runs):
        errors = np.repeat(rng.normal(0, 1, days), rows) + rng.normal(0, 1, days * rows)
        found = score_interval(
            Objective("regression", "mae"), errors, np.zeros_like(errors), blocks
        )
        covered += found.low <= truth <= found.high

    assert 0.91 <= covered / runs <= 0.98


# --- properties -----------------------------------------------------------------------------------

EVERY = [(problem, name) for problem, names in METRICS.items() for name in names]
EVERY += [("regression", "pinball_0.9"), ("binary", "precision_at_3"), ("binary", "lift_at_0.2")]


@st.composite
def judged_rows(
    draw: st.DrawFn, problem: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Target, predictions with many ties, blocks and classes of a few rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, ties = draw(st.integers(4, 60)), draw(st.integers(1, 30))
    blocks = rng.integers(0, draw(st.integers(3, 8)), rows)
    if problem == "binary":
        return (
            rng.integers(0, 2, rows).astype("float64"),
            rng.integers(0, ties + 1, rows) / ties,
            blocks,
            (),
        )
    if problem == "multiclass":
        labels = np.array([*CLASSES, "unknown"], dtype="object")[rng.integers(0, 4, rows)]
        return labels, np.round(rng.dirichlet([1.0, 1.0, 1.0], rows) * ties) / ties, blocks, CLASSES
    return rng.normal(5, 2, rows), np.round(rng.normal(5, 2, rows), 1), blocks, ()


@pytest.mark.parametrize(("problem", "metric"), EVERY)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_without_a_block_is_the_metric_of_the_other_rows(
    problem: str, metric: str, data: st.DataObject
) -> None:
    """Sums without a block give the very metric of the rows that are left, or NaN where it is not
    defined.
    """
    target, predicted, blocks, classes = data.draw(judged_rows(problem))
    try:
        value, without = leave_one_out(
            Objective(problem, metric, classes), target, predicted, blocks
        )
    except EvaluationError:
        return
    assert value == score(Objective(problem, metric, classes), target, predicted)
    assert len(without) == len(set(blocks.tolist()))
    if (
        metric == "median_absolute_error"
    ):  # read off bins, between two values where the sums lie between two
        return
    for block, found in zip(sorted(set(blocks.tolist())), without, strict=True):
        rows = blocks != block
        try:
            expected = score(Objective(problem, metric, classes), target[rows], predicted[rows])
        except EvaluationError:
            expected = math.nan
        if problem == "multiclass" and metric.endswith("_ovr") and set(target[rows]) != set(target):
            continue  # a class that only this block has is left out of the mean elsewhere
        assert found == pytest.approx(expected, nan_ok=True, abs=1e-9, rel=1e-6)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_bins_stand_for_single_scores(metric: str) -> None:
    """With a bin for ten rows the interval is that of single scores, to a hundredth; the value is
    exact.
    """
    rng, rows, objective = np.random.default_rng(3), 40_000, Objective("binary", metric)
    day = np.arange(rows) // (rows // 20)
    y = (rng.random(rows) < 0.3 + 0.1 * rng.normal(size=20)[day]).astype("float64")
    p = np.clip(0.3 + 0.2 * y + rng.normal(0, 0.2, rows), 0, 1)
    value = score(objective, y, p)
    without = [score(objective, y[day != one], p[day != one]) for one in range(20)]
    single = jackknife(value, np.array(without))

    binned = score_interval(objective, y, p, day)

    assert binned.value == value
    assert binned.high - binned.low == pytest.approx(single.high - single.low, rel=0.01)


@pytest.mark.parametrize("metric", METRICS["binary"])
def test_expected_metric_is_the_mean_over_drawn_labels(metric: str) -> None:
    """Of probabilities in the place of labels, the metric is what labels drawn from them give on
    the average.
    """
    rng = np.random.default_rng(4)
    p = rng.beta(2, 3, 4000)
    q = np.clip(p + 0.1, 0.0, 1.0)
    drawn = [
        score(Objective("binary", metric), (rng.random(4000) < q).astype("float64"), p)
        for _ in range(40)
    ]

    assert score(Objective("binary", metric), q, p) == pytest.approx(
        np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(40) + 2e-3
    )


def _clustered(
    problem: str, rng: np.random.Generator, days: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of days that share their luck: 20 to 60 a day."""
    counts = rng.integers(20, 60, days)
    day = np.repeat(np.arange(days), counts)
    luck = np.repeat(rng.normal(0, 0.4, days), counts)
    x = rng.normal(0, 1, len(day)) + np.repeat(rng.normal(0, 0.3, days), counts)
    if problem == "binary":
        y = (rng.random(len(day)) < 1 / (1 + np.exp(-(x + luck)))).astype("float64")
        return y, 1 / (1 + np.exp(-x)), day
    if problem == "multiclass":
        raw = np.stack([x, -x, luck * 0], axis=1)
        shares = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
        true = np.exp(raw + np.stack([luck, 0 * luck, 0 * luck], axis=1))
        cut = (true / true.sum(axis=1, keepdims=True)).cumsum(axis=1)
        return (
            np.array(CLASSES, dtype="object")[
                (rng.random((len(day), 1)) > cut).sum(axis=1).clip(max=2)
            ],
            shares,
            day,
        )
    return 10 + x + luck + rng.normal(0, 1, len(day)), 10 + x, day


@pytest.mark.parametrize(("problem", "metric"), EVERY)
def test_intervals_cover_the_truth_on_clustered_data(problem: str, metric: str) -> None:
    """Over simulated months whose days share their luck, 95% intervals cover what endless data
    would give.
    """
    classes = CLASSES if problem == "multiclass" else ()
    target, predicted, _ = _clustered(problem, np.random.default_rng(1), 4000)
    truth = score(Objective(problem, metric, classes), target, predicted)
    rng, runs, covered = np.random.default_rng(2), 150, 0

    for _ in range(runs):
        target, predicted, day = _clustered(problem, rng, 25)
        found = score_interval(Objective(problem, metric, classes), target, predicted, day)
        covered += found.low <= truth <= found.high

    assert 0.88 <= covered / runs <= 0.995, covered / runs


@pytest.mark.parametrize(
    ("metric", "valid"),
    [
        ("precision_at_500", True),
        ("lift_at_0.05", True),
        ("precision_at_0", False),
        ("precision_at_0.0", False),
        ("recall_at_5", False),
        ("precision_at_", False),
    ],
)
def test_metrics_at_the_top_by_name(metric: str, valid: bool) -> None:
    """So many rows, or a share of them; of a binary problem alone."""
    assert known_metric(metric, "binary") == valid
    assert not known_metric(metric, "regression")


def test_rows_that_share_the_last_score_count_by_their_mean() -> None:
    """Which of them would be acted on is chance."""
    y, p = np.array([1.0, 1, 0, 0, 0, 0]), np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1])

    assert score(Objective("binary", "precision_at_3"), y, p) == pytest.approx((1 + 2 / 4) / 3)
    assert score(Objective("binary", "lift_at_0.5"), y, p) == pytest.approx(
        (1 + 2 / 4) / 3 / (2 / 6)
    )
