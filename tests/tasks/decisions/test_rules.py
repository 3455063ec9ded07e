"""Tests of decisions made again from their record."""

from datetime import timedelta

import pytest

from tasks.decisions.config import (
    Adaptation,
    Budget,
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.decisions.rules import decide
from tasks.records import (
    AnyEvidence,
    EnsembleMember,
    FreezeEvidence,
    FreezeRule,
    GateRule,
    LabelSummary,
    LedgerEntry,
    PolicyRule,
    RecalibrationEvidence,
    RecalibrationRule,
    Rule,
    WatchEvidence,
    WatchRule,
)
from tests.tasks.builders import comparison, entry, evidence, policy_evidence

POLICY = PolicyConfig(
    adapt=Adaptation(),
    stale_after=timedelta(days=7),
    volume=5000,
    budget=Budget(trainings=1, batches=3),
)
WATCHED = WatchEvidence(
    model="flights",
    batch="2020-03",
    revision=1,
    champion=2,
    previous=1,
    batches_watched=1,
    comparison=comparison(challenger_loss=0.4, t=-5.0),
)
ROLLED_BACK = FreezeEvidence(
    model="flights", batch="d", revision=1, rollbacks=("b", "d"), recent=("a", "b", "c", "d")
)

RECALIBRATION = RecalibrationRule(
    ensemble=EnsembleConfig(), settings=RecalibrationConfig(), watch=WatchConfig()
)
LABELLED = RecalibrationEvidence(
    model="flights",
    batch="2020-03",
    champion=2,
    problem="binary",
    members=(
        EnsembleMember(version=1, window="sliding", discounted_loss=0.5),
        EnsembleMember(version=2, window="sliding", discounted_loss=0.4),
    ),
    losses={1: 0.4},
    summaries=(LabelSummary(batch="2020-03", rows=900, labels=(0.3,), predictions=(0.2,)),),
    weights=(0.1, 0.9),
    recalibration=None,
)


@pytest.mark.parametrize(
    ("rule", "seen", "kind"),
    [
        (GateRule(settings=GateConfig(), approval_required=False), evidence("refresh"), "Promote"),
        (
            GateRule(settings=GateConfig(), approval_required=True),
            evidence("refresh"),
            "AwaitApproval",
        ),
        (GateRule(settings=GateConfig(alpha=0.6), approval_required=False), evidence(), "Reject"),
        (PolicyRule(settings=PolicyConfig(every=1), first=3), policy_evidence(), "Retrain"),
        (PolicyRule(settings=PolicyConfig(every=None), first=3), policy_evidence(), "Hold"),
        (
            PolicyRule(settings=POLICY, first=3),
            policy_evidence(training_age=timedelta(days=9), gains=(0.0,)),
            "Retrain",
        ),
        (
            PolicyRule(settings=POLICY, first=3),
            policy_evidence(training_age=timedelta(days=9), trainings=(2,)),
            "Hold",
        ),
        (WatchRule(settings=WatchConfig()), WATCHED, "RollBack"),
        (WatchRule(settings=WatchConfig(better=0.9)), WATCHED, "Hold"),
        (RECALIBRATION, LABELLED, "Recalibrate"),
        (FreezeRule(settings=WatchConfig()), ROLLED_BACK, "Freeze"),
        (FreezeRule(settings=WatchConfig(freeze_batches=2)), ROLLED_BACK, "Hold"),
    ],
)
def test_same_decision_from_the_record(rule: Rule, seen: AnyEvidence, kind: str) -> None:
    """What is kept as JSON, settings included, makes the same decision to the letter."""
    decision = decide(rule, seen)
    written = entry(1, decision, evidence=seen, rule=rule).model_dump_json()

    read = LedgerEntry.model_validate_json(written)

    assert (read.rule, read.evidence) == (rule, seen)
    assert decide(read.rule, read.evidence) == decision
    assert decision.kind == kind


def test_rule_takes_its_own_evidence_alone() -> None:
    """A rule that is given evidence of another type says so."""
    with pytest.raises(TypeError, match=r"the rule gate: .* found watch"):
        decide(GateRule(settings=GateConfig(), approval_required=False), WATCHED)


def test_refresh_of_weights_and_recalibration() -> None:
    """The judged member moves by three tenths of its loss, the other stays, and the gap to the
    labels is closed a little.
    """
    decision = decide(RECALIBRATION, LABELLED)

    assert [m.discounted_loss for m in decision.members] == pytest.approx(
        [0.7 * 0.5 + 0.3 * 0.4, 0.4]
    )
    assert sum(decision.weights) == pytest.approx(1)
    assert decision.weights[0] < decision.weights[1]
    assert decision.recalibration.shift[0] > 0
    assert not decision.taken_back


@pytest.mark.parametrize(
    ("loss", "t", "taken_back"), [(0.4, -5.0, True), (0.495, -5.0, False), (0.4, -1.0, False)]
)
def test_harmful_refresh_is_taken_back(loss: float, t: float, taken_back: bool) -> None:
    """What was in force before comes back when it was better on the batch by the watch's t and
    share.
    """
    compared = comparison(challenger_loss=loss, champion_loss=0.5, t=t)
    seen = LABELLED.model_copy(update={"weights_before": (0.8, 0.2), "comparison": compared})

    decision = decide(RECALIBRATION, seen)

    assert decision.taken_back == taken_back
    assert (decision.weights == (0.8, 0.2)) == taken_back
    assert [m.losses for m in decision.members] == [(0.4,), ()], "standings move whatever is served"
