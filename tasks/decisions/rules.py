"""A decision made again: the rule that made it, its settings as they were, and the evidence, all
from the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter

from tasks.configuration import Config
from tasks.decisions.config import (
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.decisions.gate import decide_promotion
from tasks.decisions.policy import decide_retrain
from tasks.decisions.recalibration import decide_recalibration
from tasks.decisions.watch import decide_freeze, decide_watch
from tasks.records import (
    AwaitApproval,
    Evidence,
    Freeze,
    FreezeEvidence,
    Hold,
    PolicyEvidence,
    Promote,
    Recalibrate,
    RecalibrationEvidence,
    Record,
    Reject,
    Retrain,
    RollBack,
    Shadow,
    WatchEvidence,
)

RULE = "rule"
"""The key under which the ledger keeps the rule, in the evidence that it judged."""


class GateRule(Config):
    """Promote or not."""

    evidence: ClassVar[type[Record]] = Evidence
    rule: Literal["gate"] = "gate"
    settings: GateConfig
    approval_required: bool

    def decide(self, evidence: Evidence) -> Promote | Reject | AwaitApproval | Shadow:
        """Return the gate's decision."""
        return decide_promotion(evidence, self.settings, approval_required=self.approval_required)


class PolicyRule(Config):
    """Train or not."""

    evidence: ClassVar[type[Record]] = PolicyEvidence
    rule: Literal["policy"] = "policy"
    settings: PolicyConfig
    first: int
    """Batches that the first champion waits for."""

    def decide(self, evidence: PolicyEvidence) -> Hold | Retrain:
        """Return the policy's decision."""
        return decide_retrain(evidence, self.settings, self.first)


class WatchRule(Config):
    """Roll back or not."""

    evidence: ClassVar[type[Record]] = WatchEvidence
    rule: Literal["watch"] = "watch"
    settings: WatchConfig

    def decide(self, evidence: WatchEvidence) -> Hold | RollBack:
        """Return the watch's decision."""
        return decide_watch(evidence, self.settings)


class FreezeRule(Config):
    """Freeze or not."""

    evidence: ClassVar[type[Record]] = FreezeEvidence
    rule: Literal["freeze"] = "freeze"
    settings: WatchConfig

    def decide(self, evidence: FreezeEvidence) -> Hold | Freeze:
        """Return the decision after a rollback."""
        return decide_freeze(evidence, self.settings)


class RecalibrationRule(Config):
    """Which weights and which recalibration to serve with."""

    evidence: ClassVar[type[Record]] = RecalibrationEvidence
    rule: Literal["recalibration"] = "recalibration"
    ensemble: EnsembleConfig
    settings: RecalibrationConfig
    watch: WatchConfig

    def decide(self, evidence: RecalibrationEvidence) -> Recalibrate:
        """Return the refresh after a mature batch."""
        return decide_recalibration(evidence, self.ensemble, self.settings, self.watch)


Rule = GateRule | PolicyRule | WatchRule | FreezeRule | RecalibrationRule
_RULE: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="rule")])


def made_by(document: Mapping[str, Any]) -> str | None:
    """Return the name of the rule that judged the ledger's evidence; None when a person decided, or
    nothing had to.
    """
    rule = document.get(RULE)
    return None if rule is None else str(rule[RULE])


def decide_again(document: Mapping[str, Any]) -> Record | None:
    """Return what the rule in the ledger's evidence makes of that evidence today; None when there
    is no rule in it.
    """
    if made_by(document) is None:
        return None
    rule = _RULE.validate_json(json.dumps(document[RULE]))
    evidence = {key: value for key, value in document.items() if key != RULE}
    decision: Record = rule.decide(rule.evidence.model_validate(evidence))  # type: ignore[arg-type]  # its own kind
    return decision
