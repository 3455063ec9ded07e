"""Tests of fairness: a challenger that treats groups more unequally than the champion fails; chance
does not make it.
"""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from tasks.evaluation.config import FairnessConfig
from tasks.evaluation.fairness import _cells, _demographic_parity, _equalised_odds, fairness
from tasks.evaluation.guardrails import CheckContext
from tasks.records import FeatureFrame, Problem
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, loaded_model

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


def _exam(
    frame: FeatureFrame, challenger: str, champion: str | None, problem: Problem = "binary"
) -> CheckContext:
    kind = FixedValue if problem == "regression" else FixedProbability
    models = [None if f is None else loaded_model(kind(f), frame) for f in (challenger, champion)]
    return CheckContext(models[0], models[1], frame, frame, np.zeros(len(frame)), problem, "")


def test_a_challenger_that_favours_a_group_fails() -> None:
    """A fifth more for one group is refused by the column's name, with both differences; the same
    unfairness is not worse.
    """
    frame = _frame(tilt=0.25)

    (tilted,) = fairness(_exam(frame, "tilted", "p"), CONFIG)
    (as_before,) = fairness(_exam(frame, "tilted", "tilted"), CONFIG)
    (better,) = fairness(_exam(frame, "p", "tilted"), CONFIG)

    assert (tilted.name, tilted.outcome) == ("fairness by sex", "failed")
    assert "demographic parity 0.3" in tilted.found
    assert as_before.outcome == better.outcome == "passed"


def test_chance_makes_no_unfairness() -> None:
    """Of equally fair challengers on 400 rows, of which most differ by more than is allowed, hardly
    one fails.
    """
    failed = sum(
        fairness(_exam(_frame(seed, 400), "q", "p"), FairnessConfig(columns=("sex",), worse=0.01))[
            0
        ].outcome
        == "failed"
        for seed in range(5)
    )

    assert failed <= 1


def test_differences_are_fairlearns() -> None:
    """Counted by cells, the differences are those that fairlearn gives for the rows."""
    frame = _frame(tilt=0.2)
    cells = _cells(
        _exam(frame, "tilted", None), loaded_model(FixedProbability("tilted"), frame), "sex", 2
    )
    given = (frame.target, (frame.features["tilted"] >= 0.5).astype(float))
    groups = frame.audit["sex"]

    assert _demographic_parity(cells) == pytest.approx(
        demographic_parity_difference(*given, sensitive_features=groups)
    )
    assert _equalised_odds(cells) == pytest.approx(
        equalized_odds_difference(*given, sensitive_features=groups)
    )


def test_the_first_champion_is_reported_and_small_groups_are_not_made() -> None:
    """Without a champion there is nothing to be worse than; groups of too few rows tell nothing,
    and say so.
    """
    frame = _frame(rows=300)

    (first,) = fairness(_exam(frame, "p", None), CONFIG)
    (small,) = fairness(_exam(frame, "p", "q"), FairnessConfig(columns=("sex",), rows=200))

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

    assert fairness(_exam(frame, "unfair", "p", "regression"), CONFIG)[0].outcome == "failed"
    assert fairness(_exam(frame, "p", "unfair", "regression"), CONFIG)[0].outcome == "passed"
