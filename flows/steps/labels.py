"""Labels that have come: how many rows of a batch have theirs, and how what predicted it did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prefect import get_run_logger

from flows.steps.publish import publish_judged
from flows.steps.run import ModelRun
from flows.steps.score import served_before
from tasks.cohorts import due, labels_read, why_waiting
from tasks.drift.histograms import outside_rows
from tasks.drift.task import measure_target
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import Scored
from tasks.evaluation.task import judge_apart, judge_performance, parted_loss
from tasks.features.labels import count_labelled, count_unknown
from tasks.records import BatchRecord, Labelled, LoadedModel
from tasks.scoring.task import served_batch


def judge_matured(run: ModelRun) -> dict[str, BatchRecord]:
    """Count the labels of every batch whose labels are mature by now, judge what predicted it,
    rebuild its pages, and return the batches by id; none while the registry is away.

    Count and judgement are one write: a run that dies between them has done neither.
    """
    if run.registry_away:
        return {}
    labels, judged = run.labels.cohorts, dict[str, BatchRecord]()
    for record in list(run.batches.known.values()):
        if not due(run.managed, record.cohort, labels, run.as_of):
            continue
        record = _counted(run, record)
        if waits := why_waiting(run.managed, record.cohort, labels, run.as_of):
            get_run_logger().warning("%s is not judged: %s", record.name, waits)
        else:
            record = _judged(run, record)
        judged[record.batch.id] = run.batches.write(record)
    _count_unknown(run)
    publish_judged(run, judged.values())
    return judged


def _counted(run: ModelRun, record: BatchRecord) -> BatchRecord:
    rows, labelled = count_labelled(run.managed, record, run.known_labels)
    found = Labelled(rows=rows, labelled=labelled, as_of=run.as_of)
    read = labels_read(run.managed, record.batch, found, run.labels.cohorts, run.as_of)
    return record.counted(found.but(read=read))


def _judged(run: ModelRun, record: BatchRecord) -> BatchRecord:
    """Judge what predicted a batch, and the first champion, by the batch's labels, as far as both
    are unseen.
    """
    if record.predictions is None:
        return record
    served, first = run.models.served(record.predictions), run.models.first_champion()
    models = (
        [served]
        if first is None or first.trained.version == served.trained.version
        else [served, first]
    )
    unseen = [
        one
        for one in models
        if one.trained.trained_until <= record.batch.start and not run.models.unusable(one)
    ]
    if served not in unseen:
        return record
    frame = run.features([record])
    scored = _scored(run, unseen, record)
    apart = None
    if scored:  # what is judged is what was served
        parts = served_before(run, record)
        before = served_batch(run.managed, scored[0].rows.frame, parts, served.trained.classes)
        if before is not None and before.rows.any():
            scored[0] = scored[0].instead(before.rows, before.predicted)
            apart = judge_apart(run.managed, scored[0], before.rows, before.served_by)
    drift = record.drift
    if drift is not None:
        drift = measure_target(run.managed, served, frame, drift)
        if scored:
            beyond = outside_rows(served.profile, scored[0].rows.frame.features)
            drift = drift.judged(*parted_loss(scored[0], beyond))
    return record.judged(
        performances=judge_performance(run.managed, scored),
        apart=apart,
        summary=scored[0].summary if scored else None,
        drift=drift,
    )


def _scored(run: ModelRun, models: Sequence[LoadedModel], record: BatchRecord) -> list[Scored]:
    """What each model predicts for the labelled rows for which the first of ``models`` has a
    number; nothing when there are none.
    """
    try:
        scored = [run.scored(model, record) for model in models]
        rows = scored[0].rows
        known = np.isfinite(scored[0].predicted.reshape(len(rows), -1)).all(axis=1)
        if known.all():
            return scored
        get_run_logger().warning(
            "%s: %d of %d labelled rows have no finite prediction, and are not judged",
            record.name,
            int((~known).sum()),
            len(rows),
        )
        return [one.where(known) for one in scored]
    except EvaluationError as refused:
        get_run_logger().warning("%s is not judged: %s", record.name, refused)
        return []


def _count_unknown(run: ModelRun) -> None:
    """Count once for each batch of labels, when all rows of its time have come, the labels that
    belong to none of them.
    """
    stream = run.managed.rows
    rows = [record for record in run.batches.known.values() if record.accepted][::-1]
    for one in list(run.labels.known.values()):
        last = stream.batch_of(one.batch.end - one.batch.end.resolution)
        if one.unknown is not None or not one.accepted or not stream.closed(last, run.as_of):
            continue
        unknown = count_unknown(run.managed, one, rows)
        if unknown:
            get_run_logger().warning(
                "%s: %d of %d labels belong to no row that was accepted",
                one.name,
                unknown,
                one.verdict.accepted_rows,
            )
        run.labels.write(one.with_unknown(unknown))
