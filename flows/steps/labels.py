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
from tasks.drift.task import Lost, explain_loss, measure_target
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import Scored
from tasks.evaluation.task import (
    adjusted_loss,
    judge_apart,
    judge_performance,
    parted_loss,
)
from tasks.features.labels import count_labelled, count_unknown
from tasks.records import AnyLossChange, BatchRecord, Labelled, LoadedModel
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
    apart, plain = None, scored[0] if scored else None
    if scored:  # what is judged is what was served
        parts = served_before(run, record)
        before = served_batch(run.managed, scored[0].rows.frame, parts, served.trained.classes)
        if before is not None and before.rows.any():
            scored[0] = scored[0].instead(before.rows, before.predicted)
            apart = judge_apart(run.managed, scored[0], before.rows, before.served_by)
    drift, change = record.drift, None
    performances = judge_performance(run.managed, scored)
    if drift is not None:
        drift = measure_target(run.managed, served, frame, drift)
        if plain is not None:
            beyond = outside_rows(served.profile, plain.rows.frame.features)
            drift = drift.judged(*parted_loss(scored[0], beyond))
            if performances:
                change = _explained(run, served, scored[0], plain, beyond)
    return record.judged(
        performances=performances,
        apart=apart,
        summary=scored[0].summary if scored else None,
        drift=drift,
        change=change,
    )


def _explained(
    run: ModelRun, model: LoadedModel, served: Scored, plain: Scored, beyond: np.ndarray
) -> AnyLossChange:
    """Why the loss is another than on the holdout, of which the version was judged as it was
    packaged; ``plain`` is what it predicts with what is in force.
    """
    packaged = run.models.packaged(model.trained.version)
    as_packaged = plain.adjusted(packaged.weights, packaged.recalibration)
    rows, objective = plain.rows, plain.objective
    lost = Lost(
        frame=rows.frame,
        blocks=rows.blocks,
        beyond=beyond,
        rows=(rows.target, as_packaged.predicted, as_packaged.losses),
        loss=float(served.losses.mean()),
        adjusted=adjusted_loss(served, as_packaged),
    )
    factor = objective.power is not None
    return explain_loss(run.managed, model, lost, objective.losses, factor=factor)


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
