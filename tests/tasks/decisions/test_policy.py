"""Tests of the retrain policy."""

import math

import pytest
from pydantic import ValidationError

from tasks.decisions.config import PolicyConfig
from tasks.decisions.policy import decide_retrain
from tasks.records import Hold, Retrain
from tests.tasks.builders import policy_evidence

CLOCK = PolicyConfig(every=2, alarm_sd=None)
ALARM = PolicyConfig(every=None)
STEADY = (0.50, 0.52, 0.48, 0.50)
"""Mean 0.50, sample standard deviation 0.01633: the alarm's limit is 0.53266."""


def test_collecting_before_the_first_champion() -> None:
    """Without a champion, batches are collected until there are enough."""
    decision = decide_retrain(policy_evidence(champion=None, accepted_batches=2), CLOCK, first=3)

    assert decision == Hold(reason="collecting: 2 of the 3 batches that the first champion needs")


def test_first_training() -> None:
    """With enough batches and no champion, the first one is trained."""
    decision = decide_retrain(policy_evidence(champion=None, accepted_batches=3), CLOCK, first=3)

    assert decision == Retrain(reason="3 batches are there, and no champion yet")


@pytest.mark.parametrize(("since", "kind"), [(0, Hold), (1, Hold), (2, Retrain), (3, Retrain)])
def test_clock(since: int, kind: type) -> None:
    """The clock asks from its count of batches on, not before."""
    decision = decide_retrain(policy_evidence(batches_since_training=since), CLOCK, first=3)

    assert isinstance(decision, kind)


@pytest.mark.parametrize(("newest", "kind"), [(0.5326, Hold), (0.5327, Retrain), (math.nan, Retrain), (math.inf, Retrain)])  # fmt: skip
def test_alarm(newest: float, kind: type) -> None:
    """The alarm asks when the loss is above mean + 2 sd of its past, or is no number."""
    decision = decide_retrain(policy_evidence(losses=STEADY, newest_loss=newest), ALARM, first=3)

    assert isinstance(decision, kind)


@pytest.mark.parametrize("losses", [(), (0.5,), (0.50, 0.52, 0.48)])
def test_alarm_is_silent_before_four_batches(losses: tuple[float, ...]) -> None:
    """Three losses make no mean worth an alarm, however large the newest is."""
    decision = decide_retrain(policy_evidence(losses=losses, newest_loss=9.0), ALARM, first=3)

    assert isinstance(decision, Hold)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_alarm_leaves_out_losses_that_are_no_numbers(bad: float) -> None:
    """A loss of NaN in the past neither fires the alarm nor silences it, and does not count."""
    steady = policy_evidence(losses=(*STEADY, bad), newest_loss=0.50)
    worse = policy_evidence(losses=(bad, *STEADY), newest_loss=0.60)
    too_few = policy_evidence(losses=(bad, *STEADY[:3]), newest_loss=0.60)

    assert isinstance(decide_retrain(steady, ALARM, first=3), Hold)
    assert isinstance(decide_retrain(worse, ALARM, first=3), Retrain)
    assert isinstance(decide_retrain(too_few, ALARM, first=3), Hold)


def test_alarm_forgets_old_batches() -> None:
    """Losses older than the alarm's memory do not count."""
    evidence = policy_evidence(losses=(9.0, 8.0, *STEADY), newest_loss=0.60)

    forgets = decide_retrain(evidence, PolicyConfig(every=None, alarm_memory=4), first=3)
    remembers = decide_retrain(evidence, PolicyConfig(every=None, alarm_memory=6), first=3)

    assert isinstance(forgets, Retrain)
    assert isinstance(remembers, Hold)


def test_alarm_needs_labels() -> None:
    """While labels are out there is no alarm, and the reason says so."""
    decision = decide_retrain(policy_evidence(newest_loss=None), ALARM, first=3)

    assert decision == Hold(reason="1 batch since the last training; no mature labels yet")


@pytest.mark.parametrize(("since", "kind"), [(1, Hold), (2, Hold), (3, Retrain)])
def test_cooldown_holds_back_alarm_and_clock(since: int, kind: type) -> None:
    """Within the cooldown nothing trains; the reason tells what asked."""
    config = PolicyConfig(every=1, cooldown=3)
    by_clock = decide_retrain(policy_evidence(batches_since_training=since), config, first=3)
    by_alarm = decide_retrain(policy_evidence(batches_since_training=since, newest_loss=2.0), config, first=3)

    assert isinstance(by_clock, kind)
    assert isinstance(by_alarm, kind)
    if kind is Hold:
        assert "cooldown 3" in by_clock.reason
        assert "the alarm" in by_alarm.reason


@pytest.mark.parametrize("share", [None, 0.0, 0.5, 1.0])
def test_drift_alone_never_retrains(share: float | None) -> None:
    """The decision is the same whatever drifted."""
    config = PolicyConfig(every=4)

    assert isinstance(decide_retrain(policy_evidence(drift_share=share), config, first=3), Hold)


def test_no_clock() -> None:
    """With ``every: null`` no number of batches asks for a training."""
    decision = decide_retrain(policy_evidence(batches_since_training=1000), ALARM, first=3)

    assert decision == Hold(reason="1000 batches since the last training; loss 0.5 after 0.5")


def test_same_input_same_output() -> None:
    """The policy is pure: the same evidence gives the same decision and is left as it was."""
    evidence = policy_evidence(newest_loss=0.9)
    before = evidence.model_copy(deep=True)

    decisions = {decide_retrain(evidence, PolicyConfig(), first=3).model_dump_json() for _ in range(3)}

    assert len(decisions) == 1
    assert evidence == before


def test_alarm_that_could_never_speak_is_refused() -> None:
    """An alarm that needs more batches than it remembers is a mistake in the spec."""
    with pytest.raises(ValidationError, match="the alarm would never speak"):
        PolicyConfig(alarm_from=13, alarm_memory=12)
