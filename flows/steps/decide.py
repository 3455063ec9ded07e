"""The answer to a batch: the watch, the freeze, who waits in shadow, then the retrain policy."""

from __future__ import annotations

from flows.steps.evidence import freeze_evidence, policy_evidence, shadow_evidence, watch_evidence
from flows.steps.run import ModelRun
from tasks.decisions.rules import FreezeRule, GateRule, PolicyRule, WatchRule
from tasks.records import (
    BatchRecord,
    Freeze,
    Hold,
    LedgerEntry,
    LoadedModel,
    Promote,
    Refusal,
    RollBack,
)


def decide(m: ModelRun, record: BatchRecord, champion: LoadedModel | None) -> LedgerEntry:
    """Answer the batch: the watch comes first, then who waits in shadow, then the retrain
    policy.
    """
    spec, batch = m.managed.spec, record.batch.id
    if not record.accepted:
        refusal = Refusal(
            model=record.model, batch=batch, revision=record.revision, verdict=record.verdict
        )
        return m.decide(
            batch, Hold(reason=f"the batch is refused: {record.verdict.reason}"), refusal
        )
    if champion is not None and (shadow := watch_evidence(m, record, champion)) is not None:
        watched = m.rule(WatchRule(settings=spec.watch), batch, shadow)
        if isinstance(watched.decision, RollBack):
            freeze_if_due(m, record)
            return watched
    evidence = policy_evidence(m, record, champion)
    if frozen := freeze_if_due(m, record):
        look = f"'kingmaker thaw {record.model}' when you have looked"
        return m.decide(batch, Hold(reason=f"frozen since batch {frozen.batch}: {look}"), evidence)
    if champion is not None:
        judge_shadows(m, record, champion)
    return m.rule(PolicyRule(settings=spec.retrain, first=spec.training.first), batch, evidence)


def freeze_if_due(m: ModelRun, record: BatchRecord) -> LedgerEntry | None:
    """Return the decision that froze the model: an earlier one, or one made now because of the
    rollbacks of late.
    """
    if frozen := m.frozen():
        return frozen
    rule, evidence = FreezeRule(settings=m.managed.spec.watch), freeze_evidence(m, record)
    return (
        m.rule(rule, record.batch.id, evidence)
        if isinstance(rule.decide(evidence), Freeze)
        else None
    )


def judge_shadows(m: ModelRun, record: BatchRecord, champion: LoadedModel) -> None:
    """Judge again, with this batch's rows, each challenger that had too few rows to be judged
    by.
    """
    gate = GateRule(settings=m.managed.spec.gate, approval_required=m.approval_required())
    for evidence in shadow_evidence(m, record, champion):
        entry = m.rule(gate, record.batch.id, evidence)
        if isinstance(entry.decision, Promote):
            m.carry_out(entry)
            break
