"""Tests of decisions made again from their record."""

import json

import pytest

from tasks.decisions.config import GateConfig, PolicyConfig, WatchConfig
from tasks.decisions.rules import FreezeRule, GateRule, PolicyRule, Rule, WatchRule, decide_again, made_by
from tasks.records import FreezeEvidence, Record, WatchEvidence
from tests.tasks.builders import comparison, evidence, policy_evidence

WATCHED = WatchEvidence(
    model="flights", batch="2020-03", revision=1, champion=2, previous=1, batches_watched=1,
    comparison=comparison(challenger_loss=0.4, t=-5.0),
)  # fmt: skip
ROLLED_BACK = FreezeEvidence(
    model="flights", batch="d", revision=1, rollbacks=("b", "d"), recent=("a", "b", "c", "d")
)


@pytest.mark.parametrize(
    ("rule", "seen", "kind"),
    [
        (GateRule(settings=GateConfig(), approval_required=False), evidence("refresh"), "Promote"),
        (GateRule(settings=GateConfig(), approval_required=True), evidence("refresh"), "AwaitApproval"),
        (GateRule(settings=GateConfig(alpha=0.6), approval_required=False), evidence(), "Reject"),
        (PolicyRule(settings=PolicyConfig(every=1), first=3), policy_evidence(), "Retrain"),
        (PolicyRule(settings=PolicyConfig(every=None), first=3), policy_evidence(), "Hold"),
        (WatchRule(settings=WatchConfig()), WATCHED, "RollBack"),
        (WatchRule(settings=WatchConfig(better=0.9)), WATCHED, "Hold"),
        (FreezeRule(settings=WatchConfig()), ROLLED_BACK, "Freeze"),
        (FreezeRule(settings=WatchConfig(freeze_batches=2)), ROLLED_BACK, "Hold"),
    ],
)
def test_same_decision_from_the_record(rule: Rule, seen: Record, kind: str) -> None:
    """What the ledger keeps as JSON, settings included, makes the same decision to the letter."""
    decision = rule.decide(seen)
    document = json.loads(seen.model_dump_json()) | {"rule": json.loads(rule.model_dump_json())}

    assert made_by(document) == rule.rule
    assert decide_again(json.loads(json.dumps(document))) == decision
    assert decision.kind == kind


def test_a_persons_word_is_not_made_again() -> None:
    """Evidence without a rule is no rule's decision."""
    assert decide_again({"person": "Ada", "reason": "approved", "rests_on": 3}) is None
