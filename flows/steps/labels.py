"""Labels that have come: how many rows of a batch have theirs, and how those who predicted it
did.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prefect import get_run_logger

from flows.steps.run import ModelRun
from tasks.cohorts import due, labels_read, why_waiting
from tasks.drift.task import measure_target
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import LabelledRows, Scored
from tasks.evaluation.task import judge_performance, score_labelled
from tasks.features.task import count_labelled, count_unknown
from tasks.records import BatchRecord, FeatureFrame, KnownLabels, Labelled, LoadedModel


def settle(m: ModelRun) -> tuple[str, ...]:
    """Count the labels of every batch whose labels are mature by now, judge who predicted it, and
    return the batches.

    Count and judgement are written in one stroke: a run that dies between them has done neither.
    """
    known = KnownLabels(batches=m.label_batches(), as_of=m.as_of)
    labels = [one.cohort for one in known.batches]
    settled = []
    for record in m.batches().values():
        if not due(m.managed, record.cohort, labels, m.as_of):
            continue
        rows, labelled = count_labelled(m.managed, record, known)
        found = Labelled(rows=rows, labelled=labelled, as_of=m.as_of)
        read = labels_read(m.managed, record.batch, found, labels, m.as_of)
        found = found.model_copy(update={"read": read})
        record = record.model_copy(update={"labelled": found, "performances": (), "summary": None})
        if waits := why_waiting(m.managed, record.cohort, labels, m.as_of):
            get_run_logger().warning(
                "%s %s is not judged: %s", m.managed.name, record.batch.id, waits
            )
        else:
            record = judge(m, record)
        m.write_batch(record)
        settled.append(record.batch.id)
    _count_unknown(m, known)
    return tuple(settled)


def judge(m: ModelRun, record: BatchRecord) -> BatchRecord:
    """Judge what served a batch, and the first champion, by the batch's labels, as far as both are
    unseen.
    """
    if record.predictions is None:
        return record
    served, first = m.served(record.predictions), m.first_champion()
    models = (
        [served]
        if first is None or first.trained.version == served.trained.version
        else [served, first]
    )
    unseen = [
        one
        for one in models
        if one.trained.trained_until <= record.batch.start and not m.contract_broken(one)
    ]
    if served not in unseen:
        return record
    frame = m.features([record])
    scored = _scored(m, unseen, frame)
    judged = {
        "performances": judge_performance(m.managed, scored),
        "summary": scored[0].summary if scored else None,
        "drift": (
            None if record.drift is None else measure_target(m.managed, served, frame, record.drift)
        ),
    }
    return record.model_copy(update=judged)


def _scored(m: ModelRun, models: Sequence[LoadedModel], frame: FeatureFrame) -> list[Scored]:
    """What each model predicts for the labelled rows for which the first of ``models`` has a
    number; nothing when there are none.
    """
    try:
        rows = LabelledRows.of(frame)
    except EvaluationError as refused:
        get_run_logger().warning("%s is not judged: %s", m.managed.name, refused)
        return []
    first = score_labelled(m.managed, models[0], rows)
    known = np.isfinite(first.predicted.reshape(len(rows), -1)).all(axis=1)
    if not known.all():
        get_run_logger().warning(
            "%s %s: %d of %d labelled rows have no finite prediction, and are not judged",
            m.managed.name,
            max(frame.snapshots),
            int((~known).sum()),
            len(rows),
        )
        if not known.any():
            return []
        first = first.where(known)
    return [first, *(score_labelled(m.managed, model, first.rows) for model in models[1:])]


def _count_unknown(m: ModelRun, known: KnownLabels) -> None:
    """Count once for each batch of labels, when all rows of its time have come, the labels that
    belong to none of them.
    """
    rows = [record for record in m.batches().values() if record.accepted][::-1]
    for one in known.batches:
        last = m.managed.rows.batch_of(one.batch.end - one.batch.end.resolution)
        if one.unknown is not None or not one.accepted or not m.managed.rows.closed(last, m.as_of):
            continue
        unknown = count_unknown(m.managed, one, rows)
        if unknown:
            get_run_logger().warning(
                "%s: %d of %d labels belong to no row that was accepted",
                one.name,
                unknown,
                one.verdict.rows - one.verdict.quarantined,
            )
        m.write_batch(one.model_copy(update={"unknown": unknown}))
