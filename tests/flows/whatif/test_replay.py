"""Tests of the replay that the yardstick's own streams do not show: labels that come late."""

from pathlib import Path

import pytest

from benchmarks.simulation.replay import Spec
from flows.whatif.replay import Replay, Start
from tasks.decisions.config import EnsembleConfig, GateConfig, PolicyConfig
from tests.flows.whatif.streams import WEEKS, Lines, stream_of

CLOCK = PolicyConfig(every=1, alarm_sd=None)


@pytest.mark.parametrize("late", [0, 1, 3])
def test_nothing_is_learned_before_its_labels_are_known(tmp_path: Path, late: int) -> None:
    """No model serves a batch that was trained on rows whose labels were not known when the batch
    before it was decided about.
    """
    replay = Replay(Lines(stream_of(late=late), tmp_path), Spec(retrain=CLOCK), Start(5, None))
    outcome = replay.run()
    stream = replay.models.stream

    newest = max(replay.trained_at)
    assert newest == WEEKS - 2 - late
    assert replay.trained_at[0] == 4 - late
    assert replay.judged == list(range(5, WEEKS - late))
    assert outcome.rows == len(stream.target) - int(stream.starts[5])
    assert list(outcome.decisions) == list(stream.batches[5:-1])


def test_late_labels_cost_gain(tmp_path: Path) -> None:
    """Where the level grows, the same policy loses more when labels come later."""
    spec, start = Spec(retrain=CLOCK), Start(5, 4)

    early, late = (
        Replay(Lines(stream_of(late=weeks), tmp_path), spec, start).run().loss for weeks in (0, 3)
    )

    assert late > 1.05 * early


def test_a_window_is_followed(tmp_path: Path) -> None:
    """A single model is trained on its window; without one on all history."""
    spec = Spec(retrain=CLOCK, ensemble=EnsembleConfig(members=1), gate=GateConfig(min_rows=50))
    sliding, everything = (
        Replay(Lines(stream_of(), tmp_path), spec, Start(5, last)) for last in (2, None)
    )

    assert sliding.run().loss < everything.run().loss
    assert sliding.window(()) == "sliding"
    assert everything.window(()) == "all history"


def test_decisions_are_named(tmp_path: Path) -> None:
    """Each batch has what was decided about it."""
    kept, refused = (
        Replay(Lines(stream_of(), tmp_path), Spec(retrain=retrain), Start(5, None)).run()
        for retrain in (PolicyConfig(never=True), CLOCK)
    )

    assert set(kept.decisions.values()) == {"Hold"}
    assert set(refused.decisions.values()) <= {"Retrain, Promote", "Retrain, Reject", "RollBack"}
    assert list(refused.decisions.values()).count("Retrain, Promote") == refused.promotions
