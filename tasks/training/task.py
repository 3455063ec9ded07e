"""The face of the training room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.records import FeatureFrame, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from tasks.training.fit import Contender, Fitted
    from tasks.training.search import Found
    from tasks.training.split import Split


def check_spec(managed: ManagedModel) -> None:
    """Refuse unknown estimators and arguments before anything runs; it imports the estimators."""
    from tasks.training.pipeline import check_candidates

    file = managed.settings.project / "deployments" / managed.name / "model.yaml"
    check_candidates(file, managed.spec.training.candidates, managed.spec.problem)


@task(name="split by time", cache_policy=NO_CACHE)
def split(managed: ManagedModel, frame: FeatureFrame) -> Split:
    """Hold out the newest rows of the newest batch; everything before them may be trained on."""
    from tasks.training.split import split_by_time

    return split_by_time(frame, managed.spec.training.holdout)


@task(name="search candidates", cache_policy=NO_CACHE)
def search_candidates(
    managed: ManagedModel,
    split: Split,
    loss: Callable[[np.ndarray, np.ndarray], float],
    incumbent: Recipe | None,
) -> tuple[Found, ...]:
    """Compare the candidates on folds that look forward in time, best first."""
    from tasks.training.fit import class_labels
    from tasks.training.search import search

    return search(
        split.train,
        managed.spec.training,
        managed.spec.problem,
        loss,
        classes=class_labels(split.train.target, managed.spec.problem),
        incumbent=incumbent,
        say=get_run_logger().info,
    )


@task(name="train", cache_policy=NO_CACHE)
def train(managed: ManagedModel, contender: Contender, split: Split) -> Fitted:
    """Fit the contender's recipe on all rows before the holdout."""
    from tasks.training.fit import fit

    return fit(contender, split, managed.spec.problem, managed.spec.training.seed)
