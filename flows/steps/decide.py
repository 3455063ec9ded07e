"""The decision about a batch: the watch, the freeze, challengers in shadow, then the retrain
policy.
"""

from __future__ import annotations

from flows.steps.evidence import freeze_evidence, policy_evidence, shadow_evidence, watch_evidence
from flows.steps.run import ModelRun
from tasks.decisions.rules import decide as decided_by
from tasks.ledger.repositories import NewDecision
from tasks.records import (
    BatchRecord,
    Freeze,
    FreezeRule,
    GateRule,
    Hold,
    LedgerEntry,
    LoadedModel,
    PolicyRule,
    Promote,
    Refusal,
    RollBack,
    WatchRule,
)


def decide(run: ModelRun, record: BatchRecord, champion: LoadedModel | None) -> LedgerEntry:
    """Decide about the batch: the watch comes first, then challengers in shadow, then the retrain
    policy.
    """
    spec, batch = run.managed.spec, record.batch.id
    if not record.accepted:
        refusal = Refusal(
            model=record.model, batch=batch, revision=record.revision, verdict=record.verdict
        )
        hold = Hold(reason=f"the batch is refused: {record.verdict.reason}")
        return run.write(NewDecision(batch, hold, refusal))
    if champion is not None and (shadow := watch_evidence(run, record, champion)) is not None:
        watched = run.decide_by(WatchRule(settings=spec.watch), batch, shadow)
        if isinstance(watched.decision, RollBack):
            freeze_if_due(run, record)
            return watched
    evidence = policy_evidence(run, record, champion)
    if frozen := freeze_if_due(run, record):
        look = f"'kingmaker thaw {record.model}' when you have looked"
        hold = Hold(reason=f"frozen since batch {frozen.batch}: {look}")
        return run.write(NewDecision(batch, hold, evidence))
    if champion is not None:
        judge_shadows(run, record, champion)
    return run.decide_by(
        PolicyRule(
            settings=spec.retrain,
            first=spec.training.first,
            first_rows=spec.training.first_rows,
        ),
        batch,
        evidence,
    )


def freeze_if_due(run: ModelRun, record: BatchRecord) -> LedgerEntry | None:
    """Return the decision that froze the model: an earlier one, or one made now because of the
    rollbacks of late.
    """
    if frozen := run.history.frozen:
        return frozen
    rule, evidence = FreezeRule(settings=run.managed.spec.watch), freeze_evidence(run, record)
    if isinstance(decided_by(rule, evidence), Freeze):
        return run.decide_by(rule, record.batch.id, evidence)
    return None


def judge_shadows(run: ModelRun, record: BatchRecord, champion: LoadedModel) -> None:
    """Judge again, with this batch's rows, each challenger that had too few rows to be judged
    by.
    """
    gate = GateRule(settings=run.managed.spec.gate, approval_required=run.approval_required())
    for evidence in shadow_evidence(run, record, champion):
        entry = run.decide_by(gate, record.batch.id, evidence)
        if isinstance(entry.decision, Promote):
            run.carry_out(entry)
            break
