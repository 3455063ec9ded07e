"""Prefect tasks of the registry: log and register trainings, move aliases, load versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from tasks.model_spec import ManagedModel
from tasks.records import (
    Fence,
    Guardrail,
    InForce,
    LoadedModel,
    Promote,
    RollBack,
    Snapshot,
    TrainedModel,
)
from tasks.registry import aliases, over_time, runs
from tasks.registry.aliases import CHAMPION, PREVIOUS, aliased_version, copy_of, fetch
from tasks.registry.fresh import PredictsByItself, golden_predictions
from tasks.registry.over_time import Measured
from tasks.registry.package import Package, ServesElsewhere
from tasks.registry.runs import Training, answering_server, client, log_training
from tasks.registry.safe_load import FILES, read_known
from tasks.task import task


@task("register challenger")
def register(managed: ManagedModel, training: Training, fence: Fence) -> TrainedModel:
    """Log the training to MLflow and register its model as ``challenger``."""
    with answering_server(managed.settings):
        return log_training(managed.settings, training, fence)


@task("load model")
def load_model(managed: ManagedModel, trained: TrainedModel) -> LoadedModel:
    """Fetch a version, verify its bytes and its types, and read it."""
    with answering_server(managed.settings):
        return fetch(managed.settings, trained, managed.spec.trust)


@task("check the stored model")
def check_stored_model(
    managed: ManagedModel,
    challenger: LoadedModel,
    pipeline: Any,  # noqa: ANN401 - a fitted pipeline
    package: Package,
    served: np.ndarray,
) -> tuple[Guardrail, Guardrail]:
    """Check that the registered files alone predict as the fitted ``pipeline`` did, and that with
    the ``package`` around them they serve its example as Kingmaker does: ``served``, (rows,) or
    (rows, classes).
    """
    spec, trained = managed.spec, challenger.trained
    golden = golden_predictions(pipeline, challenger, spec.problem)
    copy = copy_of(managed.settings, trained)
    content = read_known(copy / FILES[trained.form], trained.artifact_sha256)
    return (
        PredictsByItself().check(golden, challenger, spec.problem, copy, spec.trust),
        ServesElsewhere().check(package, served, trained.form, content),
    )


@task("log metrics")
def log_metrics(
    managed: ManagedModel, run_id: str, metrics: Mapping[str, float], fence: Fence
) -> None:
    """Add metrics to a run that was logged before."""
    with runs.answering_server(managed.settings):
        runs.log_metrics(managed.settings, run_id, metrics, fence)


@task("set_champion")
def set_champion(managed: ManagedModel, decision: Promote | RollBack, fence: Fence) -> None:
    """Carry out a journalled promotion or rollback; the alias ``champion`` is moved last."""
    with answering_server(managed.settings):
        aliases.set_champion(managed.settings, managed.name, decision, fence)


@task("show what is in force")
def show_in_force(managed: ManagedModel, version: int, now: InForce, fence: Fence) -> None:
    """Have a version serve with the weights and the recalibration that are in force wherever it is
    loaded.
    """
    with answering_server(managed.settings):
        aliases.show_in_force(managed.settings, managed.name, version, now, fence)


@task("log batch")
def log_batch(
    managed: ManagedModel,
    snapshot: Snapshot,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    pages: Sequence[Path],
    fence: Fence,
) -> str:
    """Log what the monitor saw of a batch to MLflow, pages included, and return the run's id."""
    with runs.answering_server(managed.settings):
        return runs.log_batch(
            managed.settings,
            managed.name,
            snapshot,
            params=params,
            metrics=metrics,
            pages=pages,
            trust=managed.spec.trust,
            fence=fence,
        )


@task("log over time")
def log_over_time(
    managed: ManagedModel,
    added: Sequence[Measured],
    everything: Sequence[Measured],
    fence: Fence,
    *,
    anew: bool = False,
) -> None:
    """Have the model's own run in MLflow hold what was ``added`` to ``everything`` that was
    measured of its batches; with ``anew`` it is made again.
    """
    with runs.answering_server(managed.settings):
        over_time.log_over_time(
            managed.settings,
            managed.name,
            managed.spec.batch.every,
            added,
            everything,
            fence,
            anew=anew,
        )


def end_left_behind(managed: ManagedModel, fence: Fence, known: Set[str] | None) -> tuple[str, ...]:
    """End the MLflow runs that a run that died left behind, and return their names."""
    from tasks.registry.runs import end_left_behind

    return end_left_behind(managed.settings, managed.name, fence, known)


@task("log page")
def log_page(managed: ManagedModel, run_id: str, page: Path) -> None:
    """Log a page to an MLflow run that is there already."""
    with answering_server(managed.settings):
        client(managed.settings.tracking_uri).log_artifact(run_id, str(page))


@task("describe version")
def describe_version(
    managed: ManagedModel, trained: TrainedModel, text: str, page: Path, fence: Fence
) -> None:
    """Give a registered version a description in Markdown, and its run the page of the same."""
    with answering_server(managed.settings):
        api = client(managed.settings.tracking_uri)
        with fence.hold():
            api.update_model_version(managed.name, str(trained.version), description=text)
        api.log_artifact(trained.run_id, str(page))


def champion_version(managed: ManagedModel) -> int | None:
    """Return the version with the alias ``champion``, or None."""
    with answering_server(managed.settings):
        return aliased_version(managed.settings, managed.name, CHAMPION)


def previous_version(managed: ManagedModel) -> int | None:
    """Return the version with the alias ``previous_champion``, or None."""
    with answering_server(managed.settings):
        return aliased_version(managed.settings, managed.name, PREVIOUS)
