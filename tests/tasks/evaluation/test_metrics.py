"""Tests of losses and metrics, against scikit-learn and against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.evaluation import metrics as house
from tasks.evaluation.config import METRICS, greater_is_better, known_metric, quantile_of
from tasks.evaluation.metrics import (
    EvaluationError,
    leave_one_out,
    mean_loss,
    row_losses,
    score,
    score_interval,
)

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
    """A probability of 0 for what happened costs 16 nats, not infinity; so does a class never
    seen.
    """
    binary = row_losses(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), "binary")
    unseen = row_losses(
        np.array(["d"], dtype="object"), np.array([[0.5, 0.3, 0.2]]), "multiclass", CLASSES
    )

    assert binary == pytest.approx([16.118, 16.118, 0.0], abs=1e-3)
    assert unseen == pytest.approx([16.118], abs=1e-3)


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_loss_of_no_number_is_no_number(problem: str) -> None:
    """A prediction of NaN has a loss of NaN: it is never taken for a good one."""
    losses = row_losses(np.array([0.0, 1.0]), np.array([math.nan, 0.5]), problem)

    assert np.isnan(losses).tolist() == [True, False]
    assert math.isnan(mean_loss(problem)(np.array([0.0, 1.0]), np.array([math.nan, 0.5])))


def test_every_metric_has_a_direction() -> None:
    """Of what a spec may name, less is better of losses and errors, and more of everything else."""
    less = {"log_loss", "brier", "mae", "rmse", "mape", "median_absolute_error"}
    assert {n for names in METRICS.values() for n in names if not greater_is_better(n)} == less
    assert not greater_is_better("pinball_0.9")


@pytest.mark.parametrize(
    ("metric", "quantile"),
    [
        ("pinball_0.9", 0.9),
        ("pinball_0.05", 0.05),
        ("pinball_0.0", None),
        ("pinball_1.0", None),
        ("pinball", None),
        ("mae", None),
    ],
)
def test_quantile_stands_in_the_name(metric: str, quantile: float | None) -> None:
    """The pinball loss carries its quantile, above 0 and below 1; only a regression may ask
    for it.
    """
    assert quantile_of(metric) == quantile
    assert known_metric(metric, "regression") == (quantile is not None or metric == "mae")
    assert not known_metric(metric, "binary")


def test_loss_of_a_quantile_is_its_pinball_loss() -> None:
    """A regression that is asked for a quantile is trained and judged by it, not by the absolute
    error.
    """
    expected = sk.mean_pinball_loss(VALUES, GUESSES, alpha=0.9)

    assert row_losses(VALUES, GUESSES, "regression", metric="pinball_0.9").mean() == pytest.approx(
        expected
    )
    assert mean_loss("regression", metric="pinball_0.9")(VALUES, GUESSES) == pytest.approx(expected)
    assert score("pinball_0.9", VALUES, GUESSES, "regression") == pytest.approx(expected)


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
}
DATA = {
    "binary": (Y, P, ()),
    "multiclass": (LABELS, SHARES, CLASSES),
    "regression": (VALUES, GUESSES, ()),
}


@pytest.mark.parametrize(
    ("problem", "metric"), [(problem, name) for problem, names in METRICS.items() for name in names]
)
def test_every_metric(problem: str, metric: str) -> None:
    """Each metric that a spec may name is scikit-learn's."""
    target, predicted, classes = DATA[problem]

    assert score(metric, target, predicted, problem, classes) == pytest.approx(
        EXPECTED[problem, metric]
    )


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_refuses(metric: str, label: float) -> None:
    """Rows of one class cannot be ranked."""
    with pytest.raises(
        EvaluationError, match="expected at least two classes in the target, found one"
    ):
        score(metric, np.full(10, label), P[:10], "binary")


def test_one_class_of_several_refuses() -> None:
    """Rows of one class of three cannot be ranked either."""
    with pytest.raises(EvaluationError, match="expected at least two classes"):
        score(
            "roc_auc_ovr", np.array(["a"] * 10, dtype="object"), SHARES[:10], "multiclass", CLASSES
        )


def test_auc_of_classes_that_are_there() -> None:
    """A class that no row has is left out of the one-against-rest AUC; two classes are enough."""
    rows = LABELS != "c"
    expected = np.mean(
        [sk.roc_auc_score(LABELS[rows] == CLASSES[i], SHARES[rows][:, i]) for i in (0, 1)]
    )

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
        with pytest.raises(
            EvaluationError, match="expected finite predictions, found 1 that are not"
        ):
            score(metric, target, broken, problem, classes)


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
    """Where a block holds all of one class, the metric without it is not defined: the interval is
    endless.
    """
    target = np.array([1.0] * 10 + [0.0] * 40)

    found = score_interval("roc_auc", target, P[:50], np.arange(50) // 10, "binary")

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
        found = score_interval("mae", errors, np.zeros_like(errors), blocks, "regression")
        covered += found.low <= truth <= found.high

    assert 0.91 <= covered / runs <= 0.98


# --- properties -----------------------------------------------------------------------------------

EVERY = [(problem, name) for problem, names in METRICS.items() for name in names]
EVERY.append(("regression", "pinball_0.9"))


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
        value, without = leave_one_out(metric, target, predicted, blocks, problem, classes)
    except EvaluationError:
        return
    assert value == score(metric, target, predicted, problem, classes)
    assert len(without) == len(set(blocks.tolist()))
    if (
        metric == "median_absolute_error"
    ):  # read off bins, between two values where the sums lie between two
        return
    for block, found in zip(sorted(set(blocks.tolist())), without, strict=True):
        rows = blocks != block
        try:
            expected = score(metric, target[rows], predicted[rows], problem, classes)
        except EvaluationError:
            expected = math.nan
        if problem == "multiclass" and metric.endswith("_ovr") and set(target[rows]) != set(target):
            continue  # a class that only this block has is left out of the mean elsewhere
        assert found == pytest.approx(expected, nan_ok=True, abs=1e-9, rel=1e-6)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_bins_stand_for_single_scores(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bin for every few rows the interval is that of single scores, to a hundredth; the
    value is exact.
    """
    rng = np.random.default_rng(3)
    day = np.arange(8000) // 400
    y = (rng.random(8000) < 0.3 + 0.1 * rng.normal(size=20)[day]).astype("float64")
    p = np.clip(0.3 + 0.2 * y + rng.normal(0, 0.2, 8000), 0, 1)
    monkeypatch.setattr(house, "BINS", 8000)
    single = score_interval(metric, y, p, day, "binary")
    monkeypatch.setattr(house, "BINS", 1000)

    binned = score_interval(metric, y, p, day, "binary")

    assert binned.value == single.value
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
        score(metric, (rng.random(4000) < q).astype("float64"), p, "binary") for _ in range(40)
    ]

    assert score(metric, q, p, "binary") == pytest.approx(
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
    truth = score(metric, target, predicted, problem, classes)
    rng, runs, covered = np.random.default_rng(2), 150, 0

    for _ in range(runs):
        target, predicted, day = _clustered(problem, rng, 25)
        found = score_interval(metric, target, predicted, day, problem, classes)
        covered += found.low <= truth <= found.high

    assert 0.88 <= covered / runs <= 0.995, covered / runs
