"""The rules by name: each with the evidence that it takes, and the pure function that decides."""

from __future__ import annotations

from tasks.decisions.gate import decide_promotion
from tasks.decisions.policy import decide_retrain
from tasks.decisions.recalibration import decide_recalibration
from tasks.decisions.watch import decide_freeze, decide_watch
from tasks.records import (
    AnyEvidence,
    Decision,
    Evidence,
    FreezeEvidence,
    FreezeRule,
    GateRule,
    PolicyEvidence,
    PolicyRule,
    RecalibrationEvidence,
    RecalibrationRule,
    Rule,
    WatchEvidence,
    WatchRule,
)


def decide(rule: Rule, evidence: AnyEvidence) -> Decision:
    """Return what ``rule`` decides on ``evidence``; TypeError when it takes evidence of another
    type.

    The same rule and evidence, read back from the ledger, give the same decision again.
    """
    match rule, evidence:
        case GateRule(), Evidence():
            return decide_promotion(
                evidence, rule.settings, approval_required=rule.approval_required
            )
        case PolicyRule(), PolicyEvidence():
            return decide_retrain(evidence, rule.settings, rule.first, rule.first_rows)
        case WatchRule(), WatchEvidence():
            return decide_watch(evidence, rule.settings)
        case FreezeRule(), FreezeEvidence():
            return decide_freeze(evidence, rule.settings)
        case RecalibrationRule(), RecalibrationEvidence():
            return decide_recalibration(evidence, rule.ensemble, rule.settings, rule.watch)
        case _:
            raise TypeError(
                f"the rule {rule.rule}: expected evidence of its own type, found {evidence.type}"
            )
