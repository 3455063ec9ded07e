"""Prefect tasks of the scoring room: predict a batch, and write the predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prefect import get_run_logger

from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import FeatureFrame, LoadedModel, Predictions, ServedPart, Skew
from tasks.scoring.predictions import without_prediction, write_predictions
from tasks.scoring.skew import ServedBatch, measure_skew, served_of
from tasks.task import task


@task("score")
def score(
    managed: ManagedModel, champion: LoadedModel, frame: FeatureFrame, parts: Sequence[ServedPart]
) -> tuple[np.ndarray, Predictions]:
    """Return the predictions of every accepted row of the batch, and keep them in the lake: by
    ``parts`` where a row was served before the batch closed, else by the champion now.
    """
    problem = managed.spec.problem
    served = served_batch(managed, frame, parts, champion.trained.classes)
    if served is None:
        predicted = predict_frame(champion, frame, problem)
    else:
        predicted, left = served.predicted.copy(), ~served.rows
        if left.any():
            predicted[left] = predict_frame(champion, frame.where(left), problem)
    if missing := without_prediction(managed.contract, champion, frame, predicted, problem):
        get_run_logger().warning("%s %s: %s", managed.name, max(frame.snapshots), missing)
    written = write_predictions(managed.settings.lake, champion, frame, predicted, served)
    return predicted, written


def served_batch(
    managed: ManagedModel,
    frame: FeatureFrame,
    parts: Sequence[ServedPart],
    classes: Sequence[str],
) -> ServedBatch | None:
    """Return what was predicted for the rows of a batch before it closed; None for none."""
    if not parts:
        return None
    return served_of(managed.settings.lake, parts, frame, managed.contract, classes)


@task("measure skew")
def skew(managed: ManagedModel, frame: FeatureFrame, parts: Sequence[ServedPart]) -> Skew | None:
    """Hold the features of a closed batch against those that its rows were served by; None when
    none was served, or the spec says nothing of scoring.
    """
    scoring = managed.spec.scoring
    if scoring is None:
        return None
    return measure_skew(managed.settings.lake, parts, frame, managed.contract, scoring.skew)
