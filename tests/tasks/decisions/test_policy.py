"""Tests of the retrain policy."""

import math
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.decisions.config import Adaptation, Budget, PolicyConfig
from tasks.decisions.policy import clock_period, decide_retrain
from tasks.records import Condition, Hold, PolicyEvidence, Retrain
from tests.tasks.builders import policy_evidence

CLOCK = PolicyConfig(every=2, alarm_sd=None)
ALARM = PolicyConfig(every=None)
STEADY = (0.50, 0.52, 0.48, 0.50)
"""Mean 0.50, sample standard deviation 0.01633: the alarm's limit is 0.53266."""


def test_collecting_before_the_first_champion() -> None:
    """Without a champion, batches are collected until there are enough."""
    decision = decide_retrain(policy_evidence(champion=None, accepted_batches=2), CLOCK, first=3)

    assert isinstance(decision, Hold)
    assert decision.reason == "collecting: 2 of the 3 batches that the first champion needs"


def test_first_training() -> None:
    """With enough batches and no champion, the first one is trained."""
    decision = decide_retrain(policy_evidence(champion=None, accepted_batches=3), CLOCK, first=3)

    assert isinstance(decision, Retrain)
    assert decision.reason == "3 batches are there, and no champion yet"


def test_champion_without_any_number_asks_for_a_retrain() -> None:
    """Even where the alarm on its loss is off: there is no loss to look at."""
    none = policy_evidence(rows=120, rows_unknown=120, newest_loss=None)
    one = policy_evidence(rows=120, rows_unknown=119, newest_loss=None)

    decision = decide_retrain(none, PolicyConfig(every=None, alarm_sd=None), first=3)

    assert isinstance(decision, Retrain)
    assert decision.reason == "the alarm: the champion gives no number for any of 120 rows"
    assert isinstance(decide_retrain(one, PolicyConfig(every=None, alarm_sd=None), first=3), Hold)


def test_no_training_while_the_first_champion_waits_for_a_person() -> None:
    """One request is enough: the next batches train no second version beside it."""
    evidence = policy_evidence(champion=None, accepted_batches=4, awaits_approval=1)
    decision = decide_retrain(evidence, CLOCK, first=3)

    assert isinstance(decision, Hold)
    assert (
        decision.reason == "version 1 waits for a person's approval, and there is no champion yet"
    )
    assert [one.name for one in decision.conditions] == ["approval"]


@pytest.mark.parametrize(("since", "kind"), [(0, Hold), (1, Hold), (2, Retrain), (3, Retrain)])
def test_clock(since: int, kind: type) -> None:
    """The clock asks from its count of batches on, not before."""
    decision = decide_retrain(policy_evidence(batches_since_training=since), CLOCK, first=3)

    assert isinstance(decision, kind)


@pytest.mark.parametrize(
    ("newest", "kind"),
    [(0.5326, Hold), (0.5327, Retrain), (math.nan, Retrain), (math.inf, Retrain)],
)
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


@pytest.mark.parametrize(("error", "kind"), [(0.0, Retrain), (0.06, Retrain), (0.061, Hold)])
def test_alarm_needs_rows_that_tell(error: float, kind: type) -> None:
    """A loss 0.1 above its mean rings no alarm when its own standard error explains that at 5%."""
    seen = policy_evidence(losses=STEADY, newest_loss=0.60, newest_error=error)

    decision = decide_retrain(seen, ALARM, first=3)

    assert isinstance(decision, kind)
    alarm = next(one for one in decision.conditions if one.name == "alarm")
    assert ("cannot tell" in alarm.found) == (kind is Hold)


def test_alarm_needs_labels() -> None:
    """Without a new loss there is no alarm."""
    assert isinstance(decide_retrain(policy_evidence(newest_loss=None), ALARM, first=3), Hold)


@pytest.mark.parametrize(
    ("losses", "waits", "words"),
    [
        ((), 0, "no batch is judged yet"),
        ((), 1, "no batch is judged yet, and 1 batch waits for labels"),
        ((0.5,), 0, "no batch is judged since, the last loss was 0.5"),
        (
            (0.5,),
            3,
            "no batch is judged since, the last loss was 0.5, and 3 batches wait for labels",
        ),
    ],
)
def test_why_there_is_no_new_loss(losses: tuple[float, ...], waits: int, words: str) -> None:
    """Labels are said to be missing where batches wait for them, and nowhere else."""
    seen = policy_evidence(newest_loss=None, losses=losses, waiting=waits)

    assert (
        decide_retrain(seen, ALARM, first=3).reason == f"1 batch since the last training; {words}"
    )


@pytest.mark.parametrize(("since", "kind"), [(1, Hold), (2, Hold), (3, Retrain)])
def test_cooldown_holds_back_alarm_and_clock(since: int, kind: type) -> None:
    """Within the cooldown nothing trains; the reason tells what asked."""
    config = PolicyConfig(every=1, cooldown=3)
    by_clock = decide_retrain(policy_evidence(batches_since_training=since), config, first=3)
    by_alarm = decide_retrain(
        policy_evidence(batches_since_training=since, newest_loss=2.0), config, first=3
    )

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

    assert isinstance(decision, Hold)
    assert decision.reason == "1000 batches since the last training; loss 0.5 after 0.5"


def test_same_input_same_output() -> None:
    """The policy is pure: the same evidence gives the same decision and is left as it was."""
    evidence = policy_evidence(newest_loss=0.9)
    before = evidence.model_copy(deep=True)

    decisions = {
        decide_retrain(evidence, PolicyConfig(), first=3).model_dump_json() for _ in range(3)
    }

    assert len(decisions) == 1
    assert evidence == before


def test_alarm_that_could_never_be_raised_is_refused() -> None:
    """An alarm that needs more batches than it remembers is a mistake in the spec."""
    with pytest.raises(ValidationError, match="the alarm could never be raised"):
        PolicyConfig(alarm_from=13, alarm_memory=12)


# --- staleness, volume, budget, adaptation ---


@pytest.mark.parametrize(("days", "kind"), [(30, Hold), (30.1, Retrain)])
def test_staleness(days: float, kind: type) -> None:
    """A training older than the limit asks for a new one, and says how old it is."""
    config = PolicyConfig(every=None, stale_after=timedelta(days=30))
    decision = decide_retrain(policy_evidence(training_age=timedelta(days=days)), config, first=3)

    assert isinstance(decision, kind)
    assert (
        kind is Hold
        or decision.reason == "staleness: the newest training is 30.1 days old (30 days)"
    )


@pytest.mark.parametrize(("rows", "kind"), [(4999, Hold), (5000, Retrain)])
def test_volume(rows: int, kind: type) -> None:
    """So many new labelled rows ask for a training."""
    config = PolicyConfig(every=None, volume=5000)
    decision = decide_retrain(policy_evidence(rows_since_training=rows), config, first=3)

    assert isinstance(decision, kind)
    assert (
        kind is Hold
        or decision.reason == "volume: 5,000 labelled rows since the last training (5,000 rows)"
    )


@pytest.mark.parametrize(
    ("trainings", "kind"),
    [((9, 4, 1), Hold), ((9, 6, 1), Retrain), ((9, 5, 6), Retrain), ((5, 3, 1), Hold)],
)
def test_budget(trainings: tuple[int, ...], kind: type) -> None:
    """Two trainings in any six batches, the one that is asked for included: those six and more ago
    do not count.
    """
    config = PolicyConfig(every=1, budget=Budget(trainings=2, batches=6))
    decision = decide_retrain(policy_evidence(trainings=trainings), config, first=3)

    assert isinstance(decision, kind)
    assert kind is Retrain or "budget 2 in 6" in decision.reason


@pytest.mark.parametrize(("rows", "kind"), [(99, Hold), (100, Retrain)])
def test_first_champion_waits_for_rows(rows: int, kind: type) -> None:
    """Three batches of a few rows train nothing."""
    evidence = policy_evidence(champion=None, accepted_batches=3, unseen_rows=rows)
    decision = decide_retrain(evidence, CLOCK, first=3, first_rows=100)

    assert isinstance(decision, kind)
    assert kind is Retrain or decision.reason == (
        "collecting: 99 of the 100 labelled rows that the first champion needs"
    )


@pytest.mark.parametrize(("unseen", "kind"), [(99, Hold), (100, Retrain)])
def test_nothing_is_trained_that_could_not_be_compared(unseen: int, kind: type) -> None:
    """While the champion has seen too many of the rows that are there, the clock waits for more."""
    evidence = policy_evidence(batches_since_training=2, unseen_rows=unseen, least_rows=100)
    decision = decide_retrain(evidence, CLOCK, first=3)

    assert isinstance(decision, kind)
    assert kind is Retrain or decision.reason == (
        "the clock: 2 batches since the last training, but 99 labelled rows that the champion has"
        " not seen (100 to compare a challenger by)"
    )


@pytest.mark.parametrize(
    ("gains", "period"),
    [
        ((), 2),
        ((0.0,), 4),
        ((0.0, 0.0), 4),
        ((0.005,), 2),
        ((0.011,), 1),
        ((0.5, 0.5), 1),
        ((-0.3, 0.5), 2),
        ((math.nan,), 2),
        ((0.0, 0.005, 0.02, 0.02, 0.001), 2),
    ],
)
def test_clock_adapts(gains: tuple[float, ...], period: int) -> None:
    """A gain under 0.2% doubles the period up to 4, one above 1% halves it down to 1, what is
    between leaves it.
    """
    assert clock_period(gains, PolicyConfig(every=2, adapt=Adaptation())) == period


def test_clock_without_adaptation() -> None:
    """Without ``adapt`` the period is what the spec says, and without a clock there is none."""
    assert clock_period((0.0, 0.0), PolicyConfig(every=3)) == 3
    assert clock_period((0.0,), PolicyConfig(every=None, adapt=Adaptation())) is None


def test_slow_clock_stays_slow() -> None:
    """A clock that the spec sets slower than the adaptation's slowest is not made faster by a
    useless training.
    """
    assert clock_period((0.0,), PolicyConfig(every=12, adapt=Adaptation())) == 12


def test_adapted_clock_decides() -> None:
    """After a training that gained nothing, two batches are not enough."""
    config = PolicyConfig(every=2, alarm_sd=None, adapt=Adaptation())

    assert isinstance(
        decide_retrain(policy_evidence(batches_since_training=3, gains=(0.0,)), config, first=3),
        Hold,
    )
    assert isinstance(
        decide_retrain(policy_evidence(batches_since_training=4, gains=(0.0,)), config, first=3),
        Retrain,
    )


def test_adaptation_out_of_order_is_refused() -> None:
    """A gain cannot be both too little and plenty."""
    with pytest.raises(ValidationError, match="expected below to be at most above"):
        Adaptation(below=0.05)


# --- never, dry run, conditions ---


def test_retrain_never_in_one_word() -> None:
    """The spec may say ``retrain: never``."""
    assert PolicyConfig.model_validate("never") == PolicyConfig(never=True)


def test_dry_run_decides_and_says_that_nothing_is_done() -> None:
    """The decision is the same Retrain, marked; the sentence says so."""
    evidence = policy_evidence(batches_since_training=2)
    wet, dry = (
        decide_retrain(evidence, PolicyConfig(dry_run=run), first=3) for run in (False, True)
    )

    assert isinstance(wet, Retrain)
    assert isinstance(dry, Retrain)
    assert (wet.dry_run, dry.dry_run) == (False, True)
    assert dry.reason == f"{wet.reason}; a dry run: nothing is done"
    assert dry.conditions == wet.conditions


def test_conditions_name_what_fired_and_what_did_not() -> None:
    """Every part of the policy is there, with what it found and its limit."""
    evidence = policy_evidence(losses=STEADY, newest_loss=0.6, drift_share=0.5, trainings=(1,))
    decision = decide_retrain(evidence, PolicyConfig(), first=3)
    by_name = {condition.name: condition for condition in decision.conditions}

    assert [name for name, one in by_name.items() if one.fired] == ["alarm"]
    assert by_name["clock"] == Condition(
        name="clock", fired=False, found="1 batch since the last training", limit="2 batches"
    )
    assert by_name["drift"].found == "50% of the columns"
    assert by_name["staleness"].limit == by_name["volume"].limit == by_name["budget"].limit == "off"


def test_several_ask() -> None:
    """The sentence names all that ask, the alarm first."""
    evidence = policy_evidence(losses=STEADY, newest_loss=0.6, batches_since_training=2)

    assert decide_retrain(evidence, PolicyConfig(), first=3).reason == (
        "the alarm: loss 0.6 is above 0.5327, 2 standard deviations over its last 4 batches; "
        "the clock: 2 batches since the last training"
    )


# --- what holds for every spec and every evidence ---

LOSSES = st.floats(0, 1e6) | st.sampled_from([math.nan, math.inf])
CONFIGS = st.builds(
    PolicyConfig,
    dry_run=st.booleans(),
    every=st.none() | st.integers(1, 6),
    adapt=st.none() | st.just(Adaptation()),
    alarm_sd=st.none() | st.floats(0.1, 5),
    stale_after=st.none() | st.timedeltas(timedelta(0), timedelta(days=99)),
    volume=st.none() | st.integers(1, 10_000),
    cooldown=st.integers(1, 5),
    budget=st.none() | st.builds(Budget, trainings=st.integers(1, 4), batches=st.integers(1, 8)),
)
EVIDENCE = st.builds(
    policy_evidence,
    accepted_batches=st.integers(1, 40),
    batches_since_training=st.integers(0, 12),
    losses=st.lists(LOSSES, max_size=20).map(tuple),
    newest_loss=st.none() | LOSSES,
    drift_share=st.none() | st.floats(0, 1),
    training_age=st.none() | st.timedeltas(timedelta(0), timedelta(days=200)),
    rows_since_training=st.integers(0, 20_000),
    trainings=st.lists(st.integers(0, 20), max_size=8).map(
        lambda ago: tuple(sorted(ago, reverse=True))
    ),
    gains=st.lists(st.floats(-1, 1), max_size=6).map(tuple),
    unseen_rows=st.integers(0, 200),
    least_rows=st.sampled_from([0, 100]),
)


@given(EVIDENCE, CONFIGS)
def test_retrains_only_within_cooldown_and_budget_and_when_asked(
    evidence: PolicyEvidence, config: PolicyConfig
) -> None:
    """Whatever fired, a Retrain keeps the cooldown and the budget, and something asked for it; a
    Hold has its reason.
    """
    decision = decide_retrain(evidence, config, first=3)
    fired = {condition.name for condition in decision.conditions if condition.fired}

    assert len(decision.conditions) == 8
    assert decision.reason
    assert isinstance(decision, Retrain) == (
        bool(fired & {"alarm", "clock", "staleness", "volume"})
        and not fired & {"evidence", "cooldown", "budget"}
    )
    if isinstance(decision, Retrain):
        assert evidence.unseen_rows >= evidence.least_rows
        assert evidence.batches_since_training >= config.cooldown
        if config.budget is not None:
            recent = [ago for ago in evidence.trainings if ago < config.budget.batches]
            assert len(recent) + 1 <= config.budget.trainings
        assert decision.dry_run == config.dry_run


@given(EVIDENCE, CONFIGS, st.sampled_from([None, 1]))
def test_never_means_never(
    evidence: PolicyEvidence, config: PolicyConfig, champion: int | None
) -> None:
    """Nothing in the evidence trains a model whose spec says never."""
    switched_off = config.model_copy(update={"never": True})

    assert isinstance(
        decide_retrain(evidence.model_copy(update={"champion": champion}), switched_off, first=1),
        Hold,
    )


@given(EVIDENCE, CONFIGS, st.floats(0, 1))
def test_drift_changes_nothing(
    evidence: PolicyEvidence, config: PolicyConfig, share: float
) -> None:
    """The decision and its reason are the same whatever drifted."""
    one = decide_retrain(evidence, config, first=3)
    other = decide_retrain(evidence.model_copy(update={"drift_share": share}), config, first=3)

    assert (one.kind, one.reason) == (other.kind, other.reason)


@given(EVIDENCE, CONFIGS)
def test_why_the_loss_changed_ends_the_reason_and_decides_nothing(
    evidence: PolicyEvidence, config: PolicyConfig
) -> None:
    """With it the decision is the same, and its reason says it."""
    why = "since the champion's holdout only the inputs moved, within what it knows"

    one = decide_retrain(evidence, config, first=3)
    other = decide_retrain(evidence.model_copy(update={"change": why}), config, first=3)

    assert one.model_copy(update={"reason": ""}) == other.model_copy(update={"reason": ""})
    assert other.reason.replace(f"; {why}", "") == one.reason
    assert why in other.reason


@given(
    CONFIGS,
    st.lists(st.floats(0.1, 10), min_size=30, max_size=30),
    st.lists(st.floats(-1, 1), min_size=30, max_size=30),
)
def test_cooldown_and_budget_hold_over_a_whole_history(
    config: PolicyConfig, losses: list[float], gains: list[float]
) -> None:
    """Batch by batch, with the evidence that its own decisions make, no span holds more trainings
    than allowed.
    """
    trained = [0]
    for batch in range(1, 31):
        evidence = policy_evidence(
            accepted_batches=batch,
            batches_since_training=batch - trained[-1],
            losses=tuple(losses[: batch - 1]),
            newest_loss=losses[batch - 1],
            trainings=tuple(batch - at for at in trained),
            training_age=timedelta(days=batch - trained[-1]),
            rows_since_training=100 * (batch - trained[-1]),
            gains=tuple(gains[: len(trained) - 1]),
        )
        if isinstance(decide_retrain(evidence, config, first=1), Retrain):
            trained.append(batch)

    apart = [later - earlier for earlier, later in pairwise(trained)]
    assert all(gap >= config.cooldown for gap in apart)
    if config.budget is not None:
        most, batches = config.budget.trainings, config.budget.batches
        assert all(
            sum(start < at <= start + batches for at in trained[1:]) <= most for start in range(31)
        )
