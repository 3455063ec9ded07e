"""Tests of KM018: intervals that hold of all rows and not of one slice fail; chance does not make
it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tasks.evaluation.checks.coverage import CoversSlices
from tasks.evaluation.config import GuardrailsConfig
from tasks.records import FeatureFrame, Guardrail
from tests.tasks.builders import FixedValue, check_context, frame_of, loaded_model

CHECK = CoversSlices()


def _frame(rows: int = 4000, wild: float = 1.0, late: float = 1.0, seed: int = 0) -> FeatureFrame:
    """Errors of deviation 1; ``wild`` times as large in one of five slices, ``late`` times in the
    newer half. ``own`` is what a model predicts that knows the label nearly.
    """
    rng = np.random.default_rng(seed)
    p = rng.normal(10, 5, rows)
    origin = rng.choice(["a", "b", "c", "d", "wild"], rows)
    sizes = np.where(origin == "wild", wild, 1.0)
    sizes = sizes * np.where(np.arange(rows) >= rows // 2, late, 1.0)
    target = p + sizes * rng.normal(0, 1, rows)
    return frame_of(
        pd.DataFrame({"p": p, "own": target + rng.normal(0, 0.1, rows)}),
        target,
        days=np.linspace(0, 20, rows, endpoint=False),
        slices=pd.DataFrame({"origin": origin}),
    )


def _checked(
    frame: FeatureFrame, champion: str = "", asked: float | None = 0.9, **limits: float
) -> Guardrail:
    """What the check finds on a model that predicts ``p``."""
    peer = loaded_model(FixedValue(champion), frame) if champion else None
    context = check_context(loaded_model(FixedValue(), frame), frame, "regression", champion=peer)
    return CHECK.check(replace(context, interval=asked, config=GuardrailsConfig(**limits)))


def test_a_slice_of_larger_errors_fails() -> None:
    """By its name and its share; one that is a little off passes."""
    found, near = _checked(_frame(wild=4)), _checked(_frame(wild=1.2))

    assert found.outcome == "failed"
    assert "of the labels of origin = wild lie within" in found.found
    assert found.limit == "80% in each slice, for 90% asked"
    assert near.outcome == "passed"


def test_a_wider_limit_accepts_it() -> None:
    """``guardrails.coverage`` is the limit."""
    assert _checked(_frame(wild=3), coverage=0.5).outcome == "passed"


def test_chance_alone_does_not_fail() -> None:
    """Of a hundred holdouts with equal slices none fails."""
    outcomes = {_checked(_frame(rows=1200, seed=seed)).outcome for seed in range(100)}

    assert outcomes == {"passed"}


def test_errors_that_grow_fail_unless_the_champions_grow_too() -> None:
    """Where the champion's intervals hold no more, it is the world that moved."""
    frame = _frame(late=3)

    alone, beside_same = _checked(frame), _checked(frame, champion="p")
    beside_better = _checked(frame, champion="own")

    assert (alone.outcome, beside_same.outcome, beside_better.outcome) == (
        "failed",
        "passed",
        "failed",
    )
    assert "the champion" in beside_better.found


def test_too_few_rows_tell_nothing() -> None:
    """Neither margins nor a slice."""
    found = _checked(_frame(rows=30))

    assert found.outcome == "passed"
    assert "too few rows to tell: 30" in found.found


def test_without_intervals_it_is_not_made() -> None:
    """Nothing is asked for."""
    assert _checked(_frame(wild=4), asked=None).outcome == "passed"
