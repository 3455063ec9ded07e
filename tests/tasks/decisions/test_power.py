"""Tests of the power of a comparison: rows, spread and the gain that can be told fit together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decisions.config import GateConfig, PolicyConfig
from tasks.decisions.power import ASSUMED, least_rows, rows_to_tell, spread, told_by
from tasks.records import Comparison, Interval
from tests.tasks.builders import comparison


def _compared(rows: int, error: float, loss: float = 0.5) -> Comparison:
    """A comparison whose difference has a standard error."""
    half = 1.96 * error
    return comparison(
        rows=rows, champion_loss=loss, difference=Interval(value=0.0, low=-half, high=half)
    )


def test_spread_is_that_of_independent_rows() -> None:
    """Losses of 0.5 whose differences spread by 0.2 a row have a standard error of 0.2 / 20 on 400
    rows.
    """
    assert spread([_compared(400, 0.2 / 20)]) == pytest.approx(0.4)
    assert spread([_compared(400, 0.01), _compared(400, 0.02), _compared(100, 0.05)]) == (
        pytest.approx(0.8)
    )


@pytest.mark.parametrize("compared", [[], [_compared(400, math.inf)], [_compared(400, 0.0)]])
def test_no_comparison_says_nothing(compared: list[Comparison]) -> None:
    """Without an error that is known there is no spread."""
    assert spread(compared) is None


def test_assumed_spread_is_that_of_the_least_rows() -> None:
    """Ninety-nine rows tell ten percent, as docs/decisions.md says."""
    assert rows_to_tell(0.10, ASSUMED) == 99


@given(st.floats(0.001, 0.5), st.floats(0.05, 3))
def test_rows_tell_the_gain_that_they_were_counted_for(gain: float, of: float) -> None:
    """The rows for a gain tell it, and one row less does not."""
    rows = rows_to_tell(gain, of)

    assert told_by(rows, of) <= gain * (1 + 1e-9)
    assert rows == 1 or told_by(rows - 1, of) > gain * (1 - 1e-9)
    assert told_by(0, of) == math.inf


def test_a_gain_is_told_in_four_of_five_cases() -> None:
    """Simulated: of worlds with as many rows as it takes, a one-sided test at 5% finds the gain in
    about 80%.
    """
    rng, rows = np.random.default_rng(0), rows_to_tell(0.05, 0.4)
    differences = rng.normal(0.05, 0.4, (2000, rows))

    t = differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / math.sqrt(rows))

    assert (t > 1.645).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("gate", "retrain", "compared", "rows"),
    [
        ({}, {}, [], 100),
        ({"without_evidence": "refresh"}, {}, [], 0),
        ({}, {"tell": 0.05}, [], rows_to_tell(0.05, ASSUMED)),
        ({"without_evidence": "refresh"}, {"tell": 0.05}, [], rows_to_tell(0.05, ASSUMED)),
        ({}, {"tell": 0.9}, [], 100),
        ({}, {"tell": 0.05}, [_compared(400, 0.02)], rows_to_tell(0.05, 0.8)),
        (
            {},
            {"tell": 0.05},
            [*[_compared(400, 0.02)] * 12, *[_compared(400, 0.2)] * 30],
            rows_to_tell(0.05, 0.8),
        ),
    ],
)
def test_a_training_waits_for_what_its_rows_are_to_tell(
    gate: dict[str, str], retrain: dict[str, float], compared: list[Comparison], rows: int
) -> None:
    """By the spread of the newest twelve comparisons, and never for fewer rows than the gate
    takes.
    """
    config, policy = GateConfig.model_validate(gate), PolicyConfig.model_validate(retrain)

    assert least_rows(config, policy, compared) == pytest.approx(rows, abs=1)
