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

from tasks.drift.change import Outcome, explain, judge_rows
from tasks.drift.effect import hold, read_held
from tasks.drift.evidently_report import draw_report, draw_sample
from tasks.drift.expected import Losses
from tasks.drift.histograms import Counts, count_target
from tasks.drift.profile import add_history, make_profile
from tasks.drift.relations import draw_rows, learn_relations
from tasks.drift.summary import add_target, summarise_drift
from tasks.lake import write_whole
from tasks.model_spec import ManagedModel
from tasks.not_made import page_or_why
from tasks.records import (
    AnyLossChange,
    BaselineProfile,
    DriftSummary,
    FeatureFrame,
    Fence,
    Interval,
    LoadedModel,
    LossNotSplit,
)
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
    unseen: tuple[np.ndarray, np.ndarray],
    blocks: np.ndarray,
) -> Baseline:
    """Return what travels with the model: the profile of its training rows, a seeded sample of
    them, and its holdout.

    ``history`` are the batches before the training rows, the newest first, with the columns that
    each is no reference of.

    ``predicted`` are the model's predictions for the holdout, ``unseen`` those of models that had
    not seen its rows, with what they lost, and ``blocks`` (rows,) in which block of time;
    ``predict`` goes from features to predictions.
    """
    seed = managed.spec.training.seed
    drawn = np.random.default_rng(seed).choice(len(train), min(len(train), SEEN), replace=False)
    drawn.sort()
    seen = drawn, predict(train.features.iloc[drawn])
    profile = make_profile(train, holdout, predicted, seen, importance)
    profile = add_history(learn_relations(profile, train, seed), history)
    sample = managed.spec.drift.sample
    held = hold(profile, holdout, predicted, unseen, blocks, sample, seed)
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


@dataclass(frozen=True)
class Lost:
    """The labelled rows of a batch, and what was lost on them."""

    frame: FeatureFrame
    blocks: np.ndarray
    """(rows,) whole numbers from 0: blocks of time."""
    beyond: np.ndarray
    """(rows,) bool: outside of what training held in one feature or more."""
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Targets, predictions of the model as it was packaged, and their losses, (rows,)."""
    loss: float
    """The mean loss as served."""
    adjusted: Interval | None
    """What weights, recalibration and earlier predictions changed of it; None where nothing did."""


@task("explain the loss")
def explain_loss(
    managed: ManagedModel, model: LoadedModel, lost: Lost, losses: Losses, *, factor: bool
) -> AnyLossChange:
    """Say why the loss of ``model`` on a batch is another than on its holdout; ``losses`` goes from
    targets and predictions to the losses of rows, ``factor`` says that the level of a number moves
    by a factor.
    """
    held = read_held(model.profile, model.held)
    outcome = Outcome(model.trained.version, lost.loss, len(lost.frame), lost.adjusted)
    if managed.spec.problem == "multiclass":
        return LossNotSplit(
            version=outcome.version,
            before=float(held.loss.mean()) if len(held) else None,
            after=outcome.loss,
            why="of a target of several classes it is not looked into",
        )
    seed = managed.spec.training.seed
    batch = judge_rows(
        model.profile, lost.frame.features, lost.rows, lost.blocks, lost.beyond, seed
    )
    binary = managed.spec.problem == "binary"
    return explain(model.profile, held, batch, losses, outcome, binary=binary, factor=factor)


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
