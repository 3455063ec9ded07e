"""Tests of KM007 and KM008: a model many times the champion's size, or as slow, fails."""

import dataclasses
import time

import pandas as pd

from tasks.evaluation.checks.cost import TIMED_ROWS, PredictionTime
from tasks.evaluation.config import GuardrailsConfig
from tasks.records import LoadedModel
from tests.tasks.builders import FixedProbability, check_context, judged, loaded_model
from tests.tasks.evaluation.frames import binary

FRAME = binary()


def test_a_file_many_times_the_champions_fails_and_a_small_one_never() -> None:
    """Ten times the champion's bytes is too much, unless it is little anyway; an unknown size has
    not passed.
    """
    config = GuardrailsConfig(larger=10, larger_from=5000)

    def outcome(size: int, champion_size: int | None) -> str:
        model = loaded_model(FixedProbability(), FRAME)
        challenger = dataclasses.replace(model, size=size)
        champion = None if champion_size is None else dataclasses.replace(model, size=champion_size)
        found = judged(challenger, FRAME, "binary", champion=champion, config=config)
        return found["KM007"].outcome

    assert outcome(5000, 10) == "passed"
    assert outcome(9_000, 1000) == "passed"
    assert outcome(10_001, 1000) == "failed"
    assert outcome(10_001, None) == "passed"
    assert outcome(0, 1000) == "not made"


def test_a_slow_model_fails_against_a_quick_champion() -> None:
    """A model that takes its time fails where the champion does not; where it is quick enough
    anyway nothing is asked.
    """

    class Slow(FixedProbability):
        def predict_proba(self, features: pd.DataFrame):
            began = time.process_time()
            while time.process_time() < began + 0.1:
                pass
            return super().predict_proba(features)

    slow, quick = loaded_model(Slow(), FRAME), loaded_model(FixedProbability(), FRAME)

    def outcome(slower_from: float, champion: LoadedModel) -> str:
        config = GuardrailsConfig(slower=10, slower_from=slower_from)
        return judged(slow, FRAME, "binary", champion=champion, config=config)["KM008"].outcome

    assert outcome(0.0, quick) == "failed"
    assert outcome(0.0, slow) == "passed"
    assert outcome(10.0, quick) == "passed"


def test_of_many_rows_the_time_of_some_counts() -> None:
    """The limit is for 5,000 rows: a holdout of twice as many may take twice as long."""
    frame = binary(rows=2 * TIMED_ROWS)
    model = loaded_model(FixedProbability(), frame)
    context = check_context(
        model, frame, champion=model, config=GuardrailsConfig(slower=2, slower_from=1.0)
    )

    def outcome(seconds: float) -> str:
        challenger = dataclasses.replace(context.challenger, seconds=seconds)
        champion = dataclasses.replace(context.champion, seconds=0.0)
        changed = dataclasses.replace(
            context, challenger=challenger, champion=champion, seconds_again=lambda _: seconds
        )
        return PredictionTime().guardrail(changed).outcome

    assert outcome(1.9) == "passed"
    assert outcome(2.1) == "failed"


def test_a_busy_machine_is_no_fault() -> None:
    """A model that took long once, and does not when it predicts again, passes with its own time; a
    quick one is not asked again.
    """
    model = loaded_model(FixedProbability(), FRAME)
    asked: list[int] = []

    def outcome(first: float, again: float) -> str:
        def seconds_again(rows: int) -> float:
            asked.append(rows)
            return again

        context = check_context(model, FRAME, champion=model)
        changed = dataclasses.replace(
            context,
            challenger=dataclasses.replace(context.challenger, seconds=first),
            champion=dataclasses.replace(context.champion, seconds=0.0),
            seconds_again=seconds_again,
            config=GuardrailsConfig(slower=10, slower_from=1.0),
        )
        return PredictionTime().guardrail(changed).outcome

    assert outcome(0.9, 0.1) == "passed"
    assert asked == []
    assert outcome(1.1, 0.1) == "passed"
    assert outcome(1.1, 1.05) == "failed"
    assert asked == [TIMED_ROWS, TIMED_ROWS]
