"""Tests of KM013: a challenger that treats groups more unequally than the champion fails; chance
does not make it.
"""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from tasks.evaluation.checks.fairness import MEASURES, Fairness, cells
from tasks.evaluation.config import FairnessConfig
from tasks.records import FeatureFrame, Guardrail, Problem
from tests.tasks.builders import (
    FixedProbability,
    FixedValue,
    check_context,
    frame_of,
    loaded_model,
    scored,
)

CONFIG = FairnessConfig(columns=("sex",))


def _frame(seed: int = 0, rows: int = 2000, tilt: float = 0.0) -> FeatureFrame:
    """``p`` is the truth, ``q`` another view of it, ``tilted`` says more of one group by so
    much.
    """
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], rows)
    p = rng.uniform(0.1, 0.9, rows)
    features = pd.DataFrame({"p": p, "q": np.clip(p + rng.normal(0, 0.05, rows), 0, 1)})
    features["tilted"] = np.clip(p + tilt * (sex == "f"), 0, 1)
    frame = frame_of(
        features,
        (rng.random(rows) < p).astype("float64"),
        days=np.linspace(0, 20, rows, endpoint=False),
    )
    return FeatureFrame(**(vars(frame) | {"audit": pd.DataFrame({"sex": sex})}))


def _found(
    frame: FeatureFrame,
    challenger: str,
    champion: str | None,
    config: FairnessConfig = CONFIG,
    problem: Problem = "binary",
) -> Guardrail:
    kind = FixedValue if problem == "regression" else FixedProbability
    own, other = (
        None if feature is None else loaded_model(kind(feature), frame)
        for feature in (challenger, champion)
    )
    context = check_context(own, frame, problem, champion=other, fairness=config)
    return Fairness("sex").guardrail(context)


def test_a_challenger_that_favours_a_group_fails() -> None:
    """A fifth more for one group is refused by the column's name, with both differences; the same
    unfairness is not worse.
    """
    frame = _frame(tilt=0.25)

    tilted = _found(frame, "tilted", "p")
    as_before = _found(frame, "tilted", "tilted")
    better = _found(frame, "p", "tilted")

    assert (tilted.code, tilted.name) == ("KM013", "fairness by sex")
    assert tilted.outcome == "failed"
    assert "demographic parity 0.3" in tilted.found
    assert as_before.outcome == better.outcome == "passed"


def test_chance_makes_no_unfairness() -> None:
    """Of equally fair challengers on 400 rows, of which most differ by more than is allowed, hardly
    one fails.
    """
    config = FairnessConfig(columns=("sex",), worse=0.01)
    outcomes = [_found(_frame(seed, 400), "q", "p", config).outcome for seed in range(5)]

    assert outcomes.count("failed") <= 1


def test_differences_are_fairlearns() -> None:
    """Counted by cells, the differences are those that fairlearn gives for the rows."""
    frame = _frame(tilt=0.2)
    counted = cells(scored(loaded_model(FixedProbability("tilted"), frame), frame), "sex", least=2)
    given = (frame.target, (frame.features["tilted"] >= 0.5).astype(float))
    groups = frame.audit["sex"]

    assert MEASURES["demographic parity"](counted) == pytest.approx(
        demographic_parity_difference(*given, sensitive_features=groups)
    )
    assert MEASURES["equalised odds"](counted) == pytest.approx(
        equalized_odds_difference(*given, sensitive_features=groups)
    )


def test_the_first_champion_is_reported_and_small_groups_are_not_made() -> None:
    """Without a champion there is nothing to be worse than; groups of too few rows tell nothing,
    and say so.
    """
    frame = _frame(rows=300)

    first = _found(frame, "p", None)
    small = _found(frame, "p", "q", FairnessConfig(columns=("sex",), rows=200))

    assert first.outcome == "passed"
    assert (small.outcome, small.found.partition(";")[0]) == (
        "passed",
        "too few rows to tell: 0 of 2 such groups",
    )


def test_losses_of_a_regression_by_group() -> None:
    """A regression whose errors are all in one group fails by its loss."""
    rng = np.random.default_rng(3)
    sex = rng.choice(["f", "m"], 1000)
    y = rng.normal(50, 10, 1000)
    features = pd.DataFrame(
        {
            "p": y + rng.normal(0, 2, 1000),
            "unfair": y + rng.normal(0, 1, 1000) * np.where(sex == "f", 4, 0.5),
        }
    )
    frame = frame_of(features, y, days=np.linspace(0, 20, 1000, endpoint=False))
    frame = FeatureFrame(**(vars(frame) | {"audit": pd.DataFrame({"sex": sex})}))

    assert _found(frame, "unfair", "p", problem="regression").outcome == "failed"
    assert _found(frame, "p", "unfair", problem="regression").outcome == "passed"
