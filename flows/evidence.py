"""What the monitor's decisions rest on, gathered from the ledger and the lake; who decides is in ``tasks/decisions``."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger

from flows.mandate import Mandate
from tasks.decisions.policy import realised_gain
from tasks.evaluation.task import compare_models
from tasks.features.task import build_features
from tasks.ledger import entries as ledger
from tasks.records import (
    BatchRecord,
    Comparison,
    Hold,
    LedgerEntry,
    LoadedModel,
    PolicyEvidence,
    Promote,
    Reject,
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
    frame = build_features(m.managed, [record])
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
    trained = m.training_batches()
    newest = trained[-1] if trained else None
    # A loss is news once: with labels that come late, the newest judged batch may have been answered by a training.
    news = bool(judged) and (newest is None or max(judged) > newest)
    losses = tuple(judged.values())
    accepted = m.trainable()
    since = [r for r in accepted if newest is None or r.batch.id > newest]
    return PolicyEvidence(
        model=m.managed.name,
        batch=record.batch.id,
        revision=record.revision,
        champion=None if champion is None else champion.trained.version,
        accepted_batches=len(accepted),
        batches_since_training=len(since),
        losses=losses[:-1] if news else losses,
        newest_loss=losses[-1] if news else None,
        drift_share=None if record.drift is None else record.drift.share,
        training_age=None if newest is None else m.as_of - m.managed.batch(newest).end,
        rows_since_training=sum(r.verdict.rows - r.verdict.quarantined for r in since),
        trainings=tuple(sum(r.batch.id > at for r in accepted) for at in trained),
        gains=realised_gains(m.history()),
    )


def realised_gains(entries: Sequence[LedgerEntry]) -> tuple[float, ...]:
    """Return what each judged training realised, oldest first, as a share of the loss of the champion before it.

    A promotion gained what the watch has seen of it so far, over the rows that it has watched; a challenger that was
    rejected gained nothing. What is not known yet, or waits for a person, is left out, as is the first champion.
    """
    gains: dict[str, float] = {}
    for entry in entries:
        if isinstance(entry.decision, Reject):
            gains[entry.batch] = 0.0
        elif isinstance(entry.decision, Promote):
            gains.pop(entry.batch, None)
            watched = [
                Comparison.model_validate(e.evidence["comparison"])
                for e in entries
                if "previous" in e.evidence
                and e.evidence["champion"] == entry.decision.version
                and e.id > entry.id
            ]
            if watched:
                gains[entry.batch] = realised_gain(watched)
    return tuple(gains[batch] for batch in sorted(gains))
