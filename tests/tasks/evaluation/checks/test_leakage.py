"""Tests of KM009: a feature that alone tells the target is named, whatever the problem; a strong
honest one is not.
"""

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.checks.base import CheckContext
from tasks.evaluation.checks.leakage import NoLeak, explained_by_one
from tasks.evaluation.config import GuardrailsConfig
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows, Scored
from tasks.records import FeatureFrame, Guardrail, Problem
from tests.tasks.builders import frame_of

RNG = np.random.default_rng(0)
ROWS = 5000
HONEST = RNG.normal(size=ROWS)
TARGETS = {
    "binary": (HONEST + RNG.normal(0, 0.5, ROWS) > 1).astype("float64"),
    "multiclass": np.array(["a", "b", "c"], dtype="object")[
        np.digitize(HONEST + RNG.normal(0, 0.5, ROWS), [-1, 1])
    ],
    "regression": np.exp(HONEST + RNG.normal(0, 0.5, ROWS)),
}


def _frame(problem: Problem, **features: object) -> FeatureFrame:
    table = pd.DataFrame({"honest": HONEST, **features})
    categorical = [n for n in table if not pd.api.types.is_numeric_dtype(table[n])]
    return frame_of(table, TARGETS[problem], days=np.linspace(0, 30, ROWS), categorical=categorical)


def _found(frame: FeatureFrame, problem: Problem, **config: object) -> Guardrail:
    """What the check finds of a training on ``frame``; it looks at no prediction."""
    train = Scored(LabelledRows(frame), Objective(problem), ())
    context = CheckContext(train, None, train, np.empty(0), np.empty(0), GuardrailsConfig(**config))
    return NoLeak().guardrail(context)


def _number(problem: str) -> np.ndarray:
    """A number that the target was made of, as a delay is of being late, or that was made of the
    target.
    """
    target = pd.Series(TARGETS[problem])
    codes = target.rank().to_numpy() if problem == "regression" else target.factorize(sort=True)[0]
    return {
        "regression": -np.sqrt(codes),
        "binary": codes * 100 + RNG.exponential(50, ROWS) * codes - 20 * (1 - codes),
    }.get(problem, (codes - 1.0) ** 2 + 0.1 * codes)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_a_number_that_tells_the_target_is_named(problem: Problem) -> None:
    """It is refused by name, with the way out; without it, the strongest honest feature passes."""
    found = _found(_frame(problem, oracle=_number(problem)), problem)
    without = _found(_frame(problem), problem)

    assert found.outcome == "failed"
    assert found.found.startswith("oracle alone explains ")
    assert "honest" not in found.found
    assert "features.exclude" in found.limit
    assert without.outcome == "passed"


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_a_category_that_tells_the_target_is_named(problem: Problem) -> None:
    """A status that is written after the fact is a leak."""
    status = pd.Series(TARGETS[problem]).astype("str").map(lambda label: f"closed: {label}")

    assert _found(_frame(problem, status=status), problem).found.startswith("status alone")


def test_a_gap_that_tells_the_target_is_named() -> None:
    """A number that is missing exactly where the target is 1 tells it by its absence."""
    refund = np.where(TARGETS["binary"] == 1, np.nan, RNG.normal(size=ROWS))

    assert "refund" in _found(_frame("binary", refund=refund), "binary").found


def test_an_identifier_tells_nothing() -> None:
    """A category for each row or two, or a number all its own, explains nothing of other rows."""
    frame = _frame(
        "binary",
        id=np.arange(ROWS) * 1.0,
        plate=pd.Series(RNG.integers(0, 2500, ROWS)).map(lambda i: f"N{i}"),
    )

    shares = explained_by_one(frame, "binary")

    assert shares["id"] < 0.1
    assert shares["plate"] < 0.1
    assert 0.2 < shares["honest"] < 0.9


def test_a_feature_known_in_time_is_let_pass_by_name() -> None:
    """A lag of a slow series looks like a leak; the spec can say that it is none."""
    frame = _frame("regression", lag=TARGETS["regression"] * 1.001)

    assert _found(frame, "regression").outcome == "failed"
    assert _found(frame, "regression", known_early=("lag",)).outcome == "passed"


def test_a_few_rows_tell_no_leak() -> None:
    """On some dozens of rows a feature may tell the target by chance: the check says that it cannot
    tell.
    """
    first = np.arange(ROWS) < 99
    found = _found(_frame("binary", oracle=_number("binary")).where(first), "binary")

    assert (found.outcome, found.found) == ("passed", "too few rows to tell: 99 of 100")
