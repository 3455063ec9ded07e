"""Prefect tasks of the scoring room: predict a batch, and write the predictions."""

from __future__ import annotations

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.mixing import summarise
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame, predict_raw
from tasks.records import FeatureFrame, LabelSummary, LoadedModel, Predictions
from tasks.scoring.predictions import write_predictions


@task(name="score", cache_policy=NO_CACHE)
def score(
    managed: ManagedModel, champion: LoadedModel, frame: FeatureFrame
) -> tuple[np.ndarray, Predictions]:
    """Predict every accepted row of the batch, and keep the predictions in the lake."""
    predicted = predict_frame(champion, frame, managed.spec.problem)
    return predicted, write_predictions(managed.settings.lake, champion, frame, predicted)


@task(name="sum up labels", cache_policy=NO_CACHE)
def sum_up_labels(
    managed: ManagedModel, served: LoadedModel, frame: FeatureFrame
) -> LabelSummary | None:
    """Hold the labels of a batch against what was predicted before recalibration; None without a
    label.
    """
    labelled = frame.where(frame.target.notna().to_numpy())
    if not len(labelled):
        return None
    raw, problem = predict_raw(served, labelled, managed.spec.problem), managed.spec.problem
    return summarise(
        max(frame.snapshots), labelled.target.to_numpy(), raw, problem, served.trained.classes
    )
