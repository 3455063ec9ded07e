"""The face of the drift room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.records import BaselineProfile, DriftSummary, FeatureFrame, Fence, LoadedModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@task(name="profile training data", cache_policy=NO_CACHE)
def make_baseline(
    managed: ManagedModel, train: FeatureFrame, predicted: np.ndarray, importance: Mapping[str, float]
) -> tuple[BaselineProfile, pd.DataFrame]:
    """Return what travels with the model: the profile of its training rows, and a seeded sample of them."""
    from tasks.drift.evidently_report import draw_sample
    from tasks.drift.profile import make_profile

    sample = draw_sample(train.features, managed.spec.drift.sample, managed.spec.training.seed)
    return make_profile(train, predicted, importance), sample


@task(name="measure drift", cache_policy=NO_CACHE)
def measure_drift(
    managed: ManagedModel, champion: LoadedModel, frame: FeatureFrame, predicted: np.ndarray
) -> DriftSummary:
    """Hold the batch against the baseline that travels with the champion."""
    from tasks.drift.profile import summarise_drift

    return summarise_drift(champion.profile, champion.trained.version, frame, predicted, managed.spec.drift)


@task(name="draw Evidently's report", cache_policy=NO_CACHE)
def draw_evidently(
    managed: ManagedModel,
    champion: LoadedModel,
    frame: FeatureFrame,
    summary: DriftSummary,
    path: Path,
    fence: Fence,
) -> None:
    """Write Evidently's interactive page of the batch, from bounded, seeded samples."""
    # Evidently costs two seconds to import: only when there is something to draw.
    from tasks.drift.evidently_report import draw_sample, write_report

    sample = draw_sample(frame.features, managed.spec.drift.sample, managed.spec.training.seed)
    write_report(path, champion.baseline, sample, summary, fence)
