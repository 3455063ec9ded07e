"""The face of the scoring room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import FeatureFrame, LoadedModel, Predictions

if TYPE_CHECKING:
    import numpy as np


@task(name="score", cache_policy=NO_CACHE)
def score(
    managed: ManagedModel, champion: LoadedModel, frame: FeatureFrame
) -> tuple[np.ndarray, Predictions]:
    """Predict every accepted row of the batch, and keep the predictions in the lake."""
    from tasks.scoring.predictions import write_predictions

    predicted = predict_frame(champion, frame, managed.spec.problem)
    return predicted, write_predictions(managed.settings.lake, champion, frame, predicted)
