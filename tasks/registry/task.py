"""The face of the registry room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.records import Guardrail, LoadedModel, Promote, RollBack, TrainedModel

if TYPE_CHECKING:
    from tasks.registry.runs import Training


@task(name="register challenger", cache_policy=NO_CACHE)
def register(managed: ManagedModel, training: Training) -> TrainedModel:
    """Log the training to MLflow and register its model as ``challenger``."""
    from tasks.registry.runs import log_training

    return log_training(managed.settings, training)


@task(name="load model", cache_policy=NO_CACHE)
def load_model(managed: ManagedModel, trained: TrainedModel) -> LoadedModel:
    """Fetch a version, verify its bytes and its types, and read it."""
    from tasks.registry.aliases import fetch

    return fetch(managed.settings, trained)


@task(name="check in a fresh process", cache_policy=NO_CACHE)
def check_fresh_process(managed: ManagedModel, challenger: LoadedModel, pipeline: Any) -> Guardrail:  # noqa: ANN401 - a fitted pipeline
    """Check that a new interpreter loads the registered challenger and predicts as the fitted ``pipeline`` did."""
    from tasks.registry.aliases import download
    from tasks.registry.fresh import golden_predictions, predicts_in_a_fresh_process

    problem, trained = managed.spec.problem, challenger.trained
    golden = golden_predictions(pipeline, challenger, problem)
    return predicts_in_a_fresh_process(
        golden, trained, problem, lambda directory: download(managed.settings, trained, directory)
    )


@task(name="log metrics", cache_policy=NO_CACHE)
def log_metrics(managed: ManagedModel, run_id: str, metrics: Mapping[str, float]) -> None:
    """Add metrics to a run that was logged before."""
    from tasks.registry import runs

    runs.log_metrics(managed.settings, run_id, metrics)


@task(name="crown", cache_policy=NO_CACHE)
def crown(managed: ManagedModel, decision: Promote | RollBack) -> None:
    """Carry out a journalled promotion or rollback; the alias ``champion`` is moved last."""
    from tasks.registry import aliases

    aliases.crown(managed.settings, managed.name, decision)


@task(name="log batch", cache_policy=NO_CACHE)
def log_batch(
    managed: ManagedModel,
    batch: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    pages: Sequence[Path],
) -> str:
    """Log what the monitor saw of a batch to MLflow, pages included, and return the run's id."""
    from tasks.registry import runs

    return runs.log_batch(managed.settings, managed.name, batch, params=params, metrics=metrics, pages=pages)


def champion_version(managed: ManagedModel) -> int | None:
    """Return the version with the alias ``champion``, or None."""
    from tasks.registry.aliases import CHAMPION, aliased_version

    return aliased_version(managed.settings, managed.name, CHAMPION)


def previous_version(managed: ManagedModel) -> int | None:
    """Return the version with the alias ``previous_champion``, or None."""
    from tasks.registry.aliases import PREVIOUS, aliased_version

    return aliased_version(managed.settings, managed.name, PREVIOUS)
