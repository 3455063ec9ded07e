"""What the monitor's decisions rest on, gathered from the ledger and the lake; who decides is in ``tasks/decisions``."""

from __future__ import annotations

from prefect import get_run_logger

from flows.mandate import Mandate
from tasks.evaluation.task import compare_models
from tasks.ledger import entries as ledger
from tasks.records import (
    BatchRecord,
    Hold,
    LoadedModel,
    PolicyEvidence,
    Promote,
    RowSpan,
    WatchEvidence,
)


def answered(m: Mandate, record: BatchRecord) -> bool:
    """Whether this revision has its answer already, from a run that died later or from an earlier one.

    A note of the watch alone is no answer, nor is a refusal once the batch is accepted.
    """
    return any(
        entry.batch == record.batch.id
        and entry.evidence.get("revision") == record.revision
        and not (isinstance(entry.decision, Hold) and "previous" in entry.evidence)
        and not ("verdict" in entry.evidence and record.accepted)
        for entry in m.history()
    )


def watch_evidence(m: Mandate, record: BatchRecord, champion: LoadedModel) -> WatchEvidence | None:
    """Compare the previous champion, scored in shadow, with the new one; None outside the watch."""
    reigns = ledger.reigns(m.history())
    last = reigns[-1] if reigns else None
    if last is None or not isinstance(last.decision, Promote) or last.decision.previous is None:
        return None
    since = [r for r in m.trainable() if last.batch < r.batch.id <= record.batch.id]
    if record.batch.id not in {r.batch.id for r in since} or len(since) > m.managed.spec.watch.batches:
        return None
    from tasks.evaluation.compare import SeenRowsError
    from tasks.evaluation.metrics import EvaluationError

    previous = m.model(last.decision.previous)
    if broken := m.contract_broken(previous):
        get_run_logger().warning(
            "%s: batch %s cannot be watched: %s", m.managed.name, record.batch.id, broken
        )
        return None
    span = RowSpan(
        batch=record.batch.id, snapshot=record.snapshot.sha256, start=record.batch.start, end=record.batch.end,
        rows=record.snapshot.rows,
    )  # fmt: skip
    frame = m.features([record])
    try:
        comparison = compare_models(m.managed, previous, champion, frame, (span,))
    except (SeenRowsError, EvaluationError) as error:
        get_run_logger().warning("%s: batch %s cannot be watched: %s", m.managed.name, record.batch.id, error)
        return None
    return WatchEvidence(
        model=m.managed.name,
        batch=record.batch.id,
        revision=record.revision,
        champion=champion.trained.version,
        previous=previous.trained.version,
        batches_watched=len(since),
        comparison=comparison,
    )


def policy_evidence(m: Mandate, record: BatchRecord, champion: LoadedModel | None) -> PolicyEvidence:
    """Gather what the retrain policy looks at."""
    judged = {r.batch.id: r.performances[0].loss.value for r in m.batches().values() if r.performances}
    trained_at = m.newest_training_batch()
    # A loss is news once: with labels that come late, the newest judged batch may have been answered by a training.
    news = bool(judged) and (trained_at is None or max(judged) > trained_at)
    losses = tuple(judged.values())
    accepted = m.trainable()
    return PolicyEvidence(
        model=m.managed.name,
        batch=record.batch.id,
        revision=record.revision,
        champion=None if champion is None else champion.trained.version,
        accepted_batches=len(accepted),
        batches_since_training=sum(trained_at is None or r.batch.id > trained_at for r in accepted),
        losses=losses[:-1] if news else losses,
        newest_loss=losses[-1] if news else None,
        drift_share=None if record.drift is None else record.drift.share,
    )
