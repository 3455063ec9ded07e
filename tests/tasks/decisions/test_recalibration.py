"""Tests of recalibration."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decisions.config import RecalibrationConfig
from tasks.decisions.recalibration import recalibrate
from tasks.records import LabelSummary

CONFIG = RecalibrationConfig()
SHARES = st.floats(0, 1)


def summary(label: float, prediction: float, rows: int = 200) -> LabelSummary:
    """One batch of a binary target, or of a regression."""
    return LabelSummary(batch="2020-01", rows=rows, labels=(label,), predictions=(prediction,))


def logit(p: float) -> float:
    """The log odds."""
    return math.log(p / (1 - p))


def test_binary_by_hand() -> None:
    """With 200 rows half of the strength closes the gap; half a row is added to each side."""
    found = recalibrate([summary(0.6, 0.5)], "binary", CONFIG)

    assert found.shift == (pytest.approx(0.2 * (logit(120.5 / 201) - logit(100.5 / 201))),)
    assert found.rows == 200
    assert found.reason == "20% of the gap between labels and predictions over 200 effective rows"


def test_older_batches_are_discounted() -> None:
    """A batch counts 0.3 of the one after it."""
    found = recalibrate([summary(0.0, 0.5, 1000), summary(0.6, 0.5, 700)], "binary", CONFIG)
    share = 0.6 * 700 / 1000

    assert found.rows == 1000
    assert found.shift == (
        pytest.approx(
            0.4 * 1000 / 1200 * (logit((share * 1000 + 0.5) / 1001) - logit(500.5 / 1001))
        ),
    )


def test_regression_by_hand() -> None:
    """The factor is the ratio of the medians to the power of the strength."""
    found = recalibrate([summary(60.0, 50.0, 800)], "regression", CONFIG)

    assert math.exp(found.shift[0]) == pytest.approx(1.2 ** (0.4 * 0.8))


@pytest.mark.parametrize(("label", "prediction"), [(-1.0, 50.0), (50.0, 0.0), (0.0, 1.0)])
def test_factor_needs_positive_medians(label: float, prediction: float) -> None:
    """Where a factor makes no sense nothing is corrected, and the reason says so."""
    found = recalibrate([summary(label, prediction)], "regression", CONFIG)

    assert found.shift == (0.0,)
    assert "a factor needs positive values" in found.reason


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_no_correction_from_what_is_no_number(bad: float, problem: str) -> None:
    """Predictions that are no numbers correct nothing."""
    found = recalibrate([summary(0.5, bad)], problem, CONFIG)

    assert found.shift == (0.0,)
    assert "hold no number" in found.reason


def test_nothing_mature() -> None:
    """Without a mature batch there is no correction."""
    assert recalibrate([], "binary", CONFIG).shift == (0.0,)


def test_never_in_one_word() -> None:
    """The spec may say ``recalibrate: never``; then nothing is corrected."""
    config = RecalibrationConfig.model_validate("never")

    assert config == RecalibrationConfig(strength=0.0)
    assert recalibrate([summary(0.9, 0.1)], "binary", config).shift == (0.0,)


@given(SHARES, SHARES, st.integers(1, 100_000))
def test_multiclass_of_two_is_binary(label: float, prediction: float, rows: int) -> None:
    """Two classes moved apart by their shifts are the binary logit moved by its own."""
    binary = recalibrate([summary(label, prediction, rows)], "binary", CONFIG)
    both = LabelSummary(
        batch="b", rows=rows, labels=(1 - label, label), predictions=(1 - prediction, prediction)
    )
    multiclass = recalibrate([both], "multiclass", CONFIG)

    assert multiclass.shift[1] - multiclass.shift[0] == pytest.approx(binary.shift[0], abs=1e-9)


@given(st.lists(st.tuples(SHARES, SHARES, st.integers(0, 10_000)), min_size=1, max_size=10))
def test_correction_is_gentle(batches: list[tuple[float, float, int]]) -> None:
    """The shift is a number, never past 0.4 of the gap, and towards the labels."""
    summaries = [summary(*batch) for batch in batches]
    gentle = recalibrate(summaries, "binary", CONFIG)
    whole = recalibrate(summaries, "binary", RecalibrationConfig(strength=1.0, rows=0.0))

    assert math.isfinite(gentle.shift[0])
    assert abs(gentle.shift[0]) <= 0.4 * abs(whole.shift[0]) + 1e-12
    assert gentle.shift[0] * whole.shift[0] >= 0


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4), st.floats(0.01, 100), st.integers(1, 10_000))
def test_factor_does_not_depend_on_the_unit(
    label: float, prediction: float, unit: float, rows: int
) -> None:
    """Degrees of money or of kilograms are multiplied by the same factor."""
    one = recalibrate([summary(label, prediction, rows)], "regression", CONFIG)
    other = recalibrate([summary(label * unit, prediction * unit, rows)], "regression", CONFIG)

    assert one.shift[0] == pytest.approx(other.shift[0], abs=1e-9)
