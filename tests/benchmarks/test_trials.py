"""Tests of the gate's simulations, at a small size."""

import pytest

from benchmarks.simulation.trials import BETTER, EQUAL, any_promotion, power
from tasks.decisions.config import GateConfig


@pytest.mark.parametrize("name", EQUAL)
def test_equal_recipe_is_hardly_ever_promoted(name: str) -> None:
    """In twenty attempts, whether or not the rows of a day are alike: 5% of the worlds, and nine of 60 once in a thousand."""
    assert any_promotion(EQUAL[name], times=60) <= 0.15


def test_better_recipe_is_found() -> None:
    """Two points of AUC on 2,000 rows; the more alike the models are, the more surely."""
    shares = [power(world, times=60) for world in BETTER.values()]

    assert shares == sorted(shares, reverse=True)
    assert shares[0] >= 0.9
    assert shares[1] >= 0.75


def test_higher_wins_promotes_an_equal_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation can fail: a gate that asks for no proof lets equal recipes through."""
    monkeypatch.setattr("benchmarks.simulation.trials.GateConfig", lambda: GateConfig(alpha=0.99))

    assert any_promotion(EQUAL["independent rows"], times=20) >= 0.5
