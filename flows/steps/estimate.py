"""What is estimated of a batch until its labels are known. No decision reads it."""

from __future__ import annotations

import numpy as np

from flows.steps.maturity import trainable, waiting
from flows.steps.run import ModelRun
from tasks.evaluation.task import estimate_performance
from tasks.records import BatchRecord, Estimate, LoadedModel

REFERENCE = 3
"""Newest mature batches that an estimate rests on, as far as the champion was not trained on them.
"""


def estimated(
    run: ModelRun, record: BatchRecord, champion: LoadedModel, predicted: np.ndarray
) -> Estimate | None:
    """Estimate how the champion does on a batch for whose rows it predicts ``predicted``; None once
    its labels are mature, or when no mature row is unseen.
    """
    if record.batch.id not in waiting(run):
        return None
    unseen = [r for r in trainable(run) if r.batch.end > champion.trained.trained_until]
    if not unseen:
        return None
    reference = run.features(unseen[-REFERENCE:])
    past = [
        (r.estimate, r.performances[0])
        for r in run.batches.known.values()
        if r.estimate is not None and r.performances and r.batch.id != record.batch.id
    ]
    frame = run.features([record])
    return estimate_performance(run.managed, champion, reference, frame, predicted, past)
