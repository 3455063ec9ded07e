"""Prefect tasks of the scoring room: predict a batch, and write the predictions."""

from __future__ import annotations

import numpy as np
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import FeatureFrame, LoadedModel, Predictions
from tasks.scoring.predictions import without_prediction, write_predictions


@task(name="score", cache_policy=NO_CACHE)
def score(
    managed: ManagedModel, champion: LoadedModel, frame: FeatureFrame
) -> tuple[np.ndarray, Predictions]:
    """Predict every accepted row of the batch, and keep the predictions in the lake."""
    predicted = predict_frame(champion, frame, managed.spec.problem)
    if told := without_prediction(managed.contract, frame, predicted):
        get_run_logger().warning("%s %s: %s", managed.name, max(frame.snapshots), told)
    return predicted, write_predictions(managed.settings.lake, champion, frame, predicted)
