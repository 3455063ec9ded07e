"""Prefect tasks of drift: the baseline of a training, and a batch held against it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import get_run_logger

from tasks.drift.effect import hold, read_held
from tasks.drift.evidently_report import draw_report, draw_sample
from tasks.drift.histograms import Counts, count_target
from tasks.drift.profile import add_history, make_profile
from tasks.drift.relations import draw_rows, learn_relations
from tasks.drift.summary import add_target, summarise_drift
from tasks.lake import write_whole
from tasks.model_spec import ManagedModel
from tasks.not_made import page_or_why
from tasks.records import BaselineProfile, DriftSummary, FeatureFrame, Fence, LoadedModel
from tasks.task import task

SEEN = 50_000
"""Training rows that the model predicts, to learn how much its predictions swing over time."""


@dataclass(frozen=True)
class Baseline:
    """What travels with a model, to hold later batches against."""

    profile: BaselineProfile
    sample: pd.DataFrame
    """Of the training rows."""
    held: pd.DataFrame
    """Of the holdout, in the profile's bins, with what each row lost."""


@task("profile training data")
def make_baseline(
    managed: ManagedModel,
    train: FeatureFrame,
    holdout: FeatureFrame,
    predicted: np.ndarray,
    predict: Callable[[pd.DataFrame], np.ndarray],
    importance: Mapping[str, float],
    history: Iterable[tuple[FeatureFrame, frozenset[str]]],
    losses: np.ndarray,
    blocks: np.ndarray,
) -> Baseline:
    """Return what travels with the model: the profile of its training rows, a seeded sample of
    them, and its holdout.

    ``history`` are the batches before the training rows, the newest first, with the columns that
    each is no reference of.

    ``predicted`` are the model's predictions for the holdout, ``losses`` and ``blocks`` (rows,)
    what they lost and in which block of time; ``predict`` goes from features to predictions.
    """
    seed = managed.spec.training.seed
    drawn = np.random.default_rng(seed).choice(len(train), min(len(train), SEEN), replace=False)
    drawn.sort()
    seen = drawn, predict(train.features.iloc[drawn])
    profile = make_profile(train, holdout, predicted, seen, importance)
    profile = add_history(learn_relations(profile, train, seed), history)
    sample = managed.spec.drift.sample
    held = hold(profile, holdout, predicted, losses, blocks, sample, seed)
    return Baseline(profile, draw_sample(train, sample, seed), held)


@task("measure drift")
def measure_drift(
    managed: ManagedModel,
    champion: LoadedModel,
    frame: FeatureFrame,
    counted: Sequence[Counts],
    *,
    mature: bool,
) -> DriftSummary:
    """Hold the batch, ``counted`` part by part, against the baseline that travels with the
    champion; its target too when labels are ``mature``.

    ``frame`` holds its rows, or as many as are looked at one by one.
    """
    seed = managed.spec.training.seed
    counts = functools.reduce(operator.add, counted)
    if mature:
        counts = counts.with_target(count_target(champion.profile, frame))
    return summarise_drift(
        champion.profile,
        champion.trained.version,
        max(frame.snapshots),
        counts,
        managed.spec.drift,
        seed,
        read_held(champion.profile, champion.held),
        draw_rows(champion.profile, frame.features, managed.spec.drift.sample, seed),
    )


@task("measure target drift")
def measure_target(
    managed: ManagedModel, model: LoadedModel, frame: FeatureFrame, drift: DriftSummary
) -> DriftSummary:
    """Add the target to what was said of a batch, now that its labels are mature; ``model`` is the
    one that scored it.
    """
    return add_target(drift, model.profile, count_target(model.profile, frame), managed.spec.drift)


@task("draw Evidently's report")
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

    sample = draw_sample(frame, managed.spec.drift.sample, managed.spec.training.seed)
    page = page_or_why(
        f"Evidently's report of {managed.name} {summary.batch}",
        lambda: draw_report(champion.baseline, sample, summary),
        get_run_logger(),
    )
    with fence.hold():
        write_whole(path, page.encode())
