"""Tests of the gate's simulations, at a small size."""

import pytest

from benchmarks.simulation.trials import BETTER, EQUAL, any_promotion, power
from tasks.decisions.config import GateConfig


@pytest.mark.parametrize("name", EQUAL)
def test_equal_recipe_is_hardly_ever_promoted(name: str) -> None:
    """In twenty attempts, whether or not the rows of a day are alike: 5% of the worlds, and nine of
    60 once in a thousand.
    """
    assert any_promotion(EQUAL[name], times=60) <= 0.15


def test_better_recipe_is_found() -> None:
    """Two points of AUC on 2,000 rows: log loss finds them more surely than the AUC itself does,
    and the gate asks for more.
    """
    found = [power(world, times=60) for world in BETTER.values()]

    assert [
        shares["the gate"] >= least for shares, least in zip(found, (0.9, 0.75, 0.6), strict=True)
    ] == [True] * 3
    for shares in found:
        auc, by_rows, by_blocks, gate = shares.values()
        assert auc <= by_rows
        assert gate <= by_blocks


def test_tests_of_the_benchmark_keep_their_level() -> None:
    """Between equal models each of them is wrong at about its level of 5%: more than 36 of 400 once
    in a thousand times.
    """
    found = power(EQUAL["independent rows"], times=400)

    assert all(shares <= 0.09 for shares in found.values())
    assert found["DeLong's test of the AUC, two-sided"] >= 0.015


def test_higher_wins_promotes_an_equal_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation can fail: a gate that asks for no proof lets equal recipes through."""
    monkeypatch.setattr("benchmarks.simulation.trials.GateConfig", lambda: GateConfig(alpha=0.99))

    assert any_promotion(EQUAL["independent rows"], times=20) >= 0.5
