"""What the monitor's decisions rest on, gathered from the ledger and the lake; the rules are in
``tasks/decisions``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from prefect import get_run_logger

from flows.steps.maturity import trainable, waiting
from flows.steps.run import ModelRun
from tasks.decisions.policy import realised_gain
from tasks.decisions.power import least_rows
from tasks.evaluation.compare import SeenRowsError, is_enough
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import LabelledRows, Scored
from tasks.evaluation.task import compare_models, score_labelled
from tasks.history import History
from tasks.prediction import FeatureMismatchError
from tasks.records import (
    BatchRecord,
    Comparison,
    Evidence,
    FeatureFrame,
    FreezeEvidence,
    LedgerEntry,
    LoadedModel,
    LossChange,
    PolicyEvidence,
    Promote,
    RowSpan,
    WatchEvidence,
)
from tasks.training.split import Split


def watch_evidence(
    run: ModelRun, record: BatchRecord, champion: LoadedModel
) -> WatchEvidence | None:
    """Compare the previous champion, scored in shadow, with the new one; None outside the watch.

    With labels that come late it is an earlier batch that is mature by now: the newest that was not
    looked at yet. Small batches are looked at together, once there are ``watch.rows`` rows.
    """
    match run.history.champion_changes[-1:]:
        case (LedgerEntry(decision=Promote(previous=int(before))) as last,):
            pass
        case _:
            return None
    judged = run.history.judged_until(last)
    since = [r for r in trainable(run) if judged < r.batch.id <= record.batch.id]
    looked_at = run.history.watched_since(last)
    watch = run.managed.spec.watch
    left = [
        (count, records)
        for count, records in enumerate(by_rows(since, watch.rows)[: watch.batches], start=1)
        if records[-1].batch.id not in looked_at
    ]
    if not left:
        return None
    count, watched = left[-1]

    # Both with the recalibration in force: it is not the watch's question.
    previous = replace(run.models.version(before), recalibration=champion.recalibration)
    newest = watched[-1].batch.id
    if len(watched) == 1:
        comparison, why_not = compared_on_batch(run, previous, champion, watched[0])
    else:
        rows = run.features(watched), tuple(map(whole, watched))
        comparison, why_not = compared_on(run, previous, champion, rows)
    if comparison is None:
        get_run_logger().warning(
            "%s: batch %s cannot be watched: %s", run.managed.name, newest, why_not
        )
        return None
    return WatchEvidence(
        model=run.managed.name,
        batch=newest,
        revision=record.revision,
        champion=champion.trained.version,
        previous=previous.trained.version,
        batches_watched=count,
        comparison=comparison,
    )


def by_rows(records: Sequence[BatchRecord], least: int) -> list[list[BatchRecord]]:
    """Return neighbouring batches together, oldest first, each time as few as have ``least``
    labelled rows; the newest ones are left out until they have.
    """
    groups, group, rows = list[list[BatchRecord]](), list[BatchRecord](), 0
    for record in records:
        group.append(record)
        rows += labelled_rows(record)
        if rows >= least:
            groups.append(group)
            group, rows = [], 0
    return groups


def labelled_rows(record: BatchRecord) -> int:
    """Return the accepted rows of a batch whose labels may be used."""
    if record.labelled is not None:
        return record.labelled.labelled
    return record.verdict.accepted_rows


def freeze_evidence(run: ModelRun, record: BatchRecord) -> FreezeEvidence:
    """Gather the rollbacks of late, this one included."""
    accepted = [
        r.batch.id
        for r in run.batches.known.values()
        if r.accepted and r.batch.id <= record.batch.id
    ]
    return FreezeEvidence(
        model=record.model,
        batch=record.batch.id,
        revision=record.revision,
        rollbacks=run.history.rollbacks_since_thaw,
        recent=tuple(accepted[-run.managed.spec.watch.freeze_batches :]),
    )


def shadow_evidence(
    run: ModelRun, record: BatchRecord, champion: LoadedModel
) -> Iterator[Evidence]:
    """Compare each challenger that waits in shadow with the champion, on its holdout and all mature
    batches since.

    Only rows that neither was trained on count: a champion that was refreshed meanwhile leaves
    fewer of them.
    """
    history = run.history
    for entry in history.in_shadow:
        looks = history.judgements(entry.decision.version)
        first, before = looks[0].evidence, looks[-1].evidence
        since = [
            r for r in trainable(run) if first.holdout[-1].batch < r.batch.id <= record.batch.id
        ]
        pooled = tuple(r.batch.id for r in since)
        if not pooled or pooled == before.pooled:
            continue
        challenger = run.models.packaged(first.challenger)
        as_it_was = run.models.version(champion.trained.version, first.batch)
        unseen_from = max(challenger.trained.trained_until, champion.trained.trained_until)
        rows = pooled_rows(run, first, since, unseen_from)
        comparison, not_compared = compared_on(
            run, challenger, replace(as_it_was, recalibration=None), rows
        )
        yield first.but(
            batch=record.batch.id,
            champion=champion.trained.version,
            holdout=first.holdout if rows is None else rows[1],
            comparison=comparison,
            not_compared=not_compared,
            pooled=pooled,
            change=newest_change(run, champion),
        )


def pooled_rows(
    run: ModelRun, before: Evidence, since: list[BatchRecord], unseen_from: datetime
) -> tuple[FeatureFrame, tuple[RowSpan, ...]] | None:
    """Return the rows of a holdout and of the batches since, from a moment on, and their spans;
    None when none is left.
    """
    held = min(span.start for span in before.holdout)
    known = run.batches.known
    records = [known[span.batch] for span in before.holdout if span.batch in known]
    records = [
        r for r in {r.batch.id: r for r in (*records, *since)}.values() if r.batch.end > unseen_from
    ]
    if not records:
        return None
    first = max(held, unseen_from)
    frame = run.features(records)
    frame = frame.where(frame.moments >= np.datetime64(first.replace(tzinfo=None), "us"))
    spans = tuple(span.but(start=max(span.start, first)) for span in map(whole, records))
    return (frame, spans) if len(frame) else None


@dataclass(frozen=True)
class Holdout:
    """The rows that judge a training's challengers, and what the champion predicts for them."""

    rows: LabelledRows
    spans: tuple[RowSpan, ...]
    champion: Scored | None
    """With the weights that it had before these rows came, and without recalibration, which belongs
    to what is served and not to the model; None when nothing can be compared with it.
    """
    not_compared: str
    """Why not; empty without a champion."""

    @property
    def batch(self) -> str:
        """The batch that they are the newest rows of."""
        return max(span.batch for span in self.spans)

    @property
    def first_batch(self) -> str:
        """The oldest batch that they are rows of."""
        return min(span.batch for span in self.spans)


def enough_to_judge(run: ModelRun) -> Callable[[pd.Series, np.ndarray], bool]:
    """Return the function that says whether rows are enough for the gate to compare by, from their
    labels and moments.
    """
    gate, problem = run.managed.spec.gate, run.managed.spec.problem

    def enough(target: pd.Series, moments: np.ndarray) -> bool:
        least = {"rows": gate.rows, "blocks": gate.min_blocks, "rarer": gate.min_minority}
        return is_enough(target, moments, problem, **least)

    return enough


def unseen_from(run: ModelRun, champion: LoadedModel | None) -> datetime | None:
    """Return the moment from which on the champion was trained on no row; None when there is no
    champion that can be compared with.
    """
    if champion is None or run.models.unusable(champion):
        return None
    return champion.trained.trained_until


def hold_out(run: ModelRun, parts: Split, champion: LoadedModel | None) -> Holdout:
    """Let the champion predict the holdout, once for every challenger."""
    rows, spans = LabelledRows(parts.holdout), parts.held_out
    if champion is None:
        return Holdout(rows, spans, None, "")
    if broken := run.models.unusable(champion):
        return Holdout(rows, spans, None, broken)
    before = replace(
        run.models.version(champion.trained.version, spans[0].batch), recalibration=None
    )
    try:
        return Holdout(rows, spans, score_labelled(run.managed, before, rows), "")
    except FeatureMismatchError as error:
        return Holdout(rows, spans, None, str(error))


def compared_or_why_not(
    challenger: Scored, champion: Scored, spans: tuple[RowSpan, ...]
) -> tuple[Comparison | None, str]:
    """Compare two models on the same rows; or say why they cannot be compared."""
    try:
        return compare_models(challenger, champion, spans), ""
    except (SeenRowsError, EvaluationError) as error:
        return None, str(error)  # evidence like any other: the gate refuses, and says why


def compared_on_batch(
    run: ModelRun, challenger: LoadedModel, champion: LoadedModel, record: BatchRecord
) -> tuple[Comparison | None, str]:
    """Compare two models on a batch; or say why they cannot be compared."""
    for model in (champion, challenger):
        if broken := run.models.unusable(model):
            return None, broken
    try:
        one, other = (run.scored(model, record) for model in (challenger, champion))
    except (EvaluationError, FeatureMismatchError) as error:
        return None, str(error)
    return compared_or_why_not(one, other, (whole(record),))


def compared_on(
    run: ModelRun,
    challenger: LoadedModel,
    champion: LoadedModel,
    rows: tuple[FeatureFrame, tuple[RowSpan, ...]] | None,
) -> tuple[Comparison | None, str]:
    """Let two models predict ``rows``, their spans beside them, and compare them; or say why they
    cannot be compared.
    """
    for model in (champion, challenger):
        if broken := run.models.unusable(model):
            return None, broken
    if rows is None:
        return None, "no row is newer than all that both were trained on"
    frame, spans = rows
    try:
        labelled = LabelledRows.of(frame)
        one, other = (score_labelled(run.managed, x, labelled) for x in (challenger, champion))
    except (EvaluationError, FeatureMismatchError) as error:
        return None, str(error)
    return compared_or_why_not(one, other, spans)


def whole(record: BatchRecord) -> RowSpan:
    """Return the span of all rows of a batch."""
    return RowSpan(
        batch=record.batch.id,
        snapshot=record.snapshot.sha256,
        start=record.batch.start,
        end=record.batch.end,
        rows=record.snapshot.rows,
    )


def policy_evidence(
    run: ModelRun, record: BatchRecord, champion: LoadedModel | None
) -> PolicyEvidence:
    """Gather what the retrain policy looks at."""
    performances = {
        r.batch.id: r.performances[0] for r in run.batches.known.values() if r.performances
    }
    judged = {batch: one.loss.value for batch, one in performances.items()}
    trained = run.trainings.batches()
    newest = trained[-1] if trained else None
    # A loss is news once: with labels that come late, a training may have followed the newest
    # judged batch.
    news = bool(judged) and (newest is None or max(judged) > newest)
    losses = tuple(judged.values())
    accepted, gate = trainable(run), run.managed.spec.gate
    since = [r for r in accepted if newest is None or r.batch.id > newest]
    unseen, least = unseen_from(run, champion), 0
    asked = run.history.awaiting_approval
    if unseen is not None:
        least = least_rows(gate, run.managed.spec.retrain, comparisons(run.history))
    return PolicyEvidence(
        model=run.managed.name,
        batch=record.batch.id,
        revision=record.revision,
        champion=None if champion is None else champion.trained.version,
        accepted_batches=len(accepted),
        batches_since_training=len(since),
        losses=losses[:-1] if news else losses,
        newest_loss=losses[-1] if news else None,
        newest_error=performances[max(judged)].loss_error if news else 0.0,
        rows=0 if record.predictions is None else record.predictions.rows,
        rows_unknown=0 if record.predictions is None else record.predictions.unknown,
        waiting=len(waiting(run)),
        unseen_rows=sum(
            labelled_rows(r) for r in accepted if unseen is None or r.batch.start >= unseen
        ),
        least_rows=least,
        drift_share=None if record.drift is None else record.drift.share,
        training_age=None if newest is None else run.as_of - run.managed.rows.batch(newest).end,
        rows_since_training=sum(r.verdict.accepted_rows for r in since),
        trainings=tuple(sum(r.batch.id > at for r in accepted) for at in trained),
        awaits_approval=asked[-1].decision.version if champion is None and asked else None,
        gains=realised_gains(run.history),
        change=newest_change(run, champion) if news else "",
    )


def newest_change(run: ModelRun, champion: LoadedModel | None) -> str:
    """Return in words why the champion's loss on the newest judged batch is another than on its
    holdout; empty where another version was judged, or it cannot be told.
    """
    judged = [r for r in run.batches.known.values() if r.performances]
    change = judged[-1].change if judged else None
    if champion is None or not isinstance(change, LossChange):
        return ""
    return str(change) if change.version == champion.trained.version else ""


def comparisons(history: History) -> Iterator[Comparison]:
    """Yield the comparisons that the gate has judged by, newest first."""
    for entry in reversed(history.entries):
        if isinstance(entry.evidence, Evidence) and entry.evidence.comparison is not None:
            yield entry.evidence.comparison


def realised_gains(history: History) -> tuple[float, ...]:
    """Return what each judged training realised, oldest first, as a share of the loss of the
    champion before it.

    A promotion gained what the watch has seen of it so far, over the rows that it has watched; a
    challenger that was rejected gained nothing.
    """
    return tuple(realised_gain(seen) if seen else 0.0 for seen in history.realised)
