"""Prefect tasks of the training room: search, fit and split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.records import FeatureFrame, LeftOut, Recipe
from tasks.training.fit import CandidateFailedError, Contender, Fitted, class_labels, fit
from tasks.training.pipeline import check_candidates
from tasks.training.search import Searched, search
from tasks.training.split import Split, split_by_time


def check_spec(managed: ManagedModel) -> None:
    """Refuse unknown estimators and arguments before anything runs; it imports the estimators."""
    file = managed.settings.project / "deployments" / managed.name / "model.yaml"
    check_candidates(file, managed.spec.training.candidates, managed.spec.problem)


@task(name="split by time", cache_policy=NO_CACHE)
def split(managed: ManagedModel, frame: FeatureFrame) -> Split:
    """Hold out the newest rows of the newest batch; everything before them may be trained on."""
    return split_by_time(frame, managed.spec.training.holdout)


@task(name="search candidates", cache_policy=NO_CACHE)
def search_candidates(
    managed: ManagedModel,
    split: Split,
    loss: Callable[[np.ndarray, np.ndarray], float],
    incumbent: Recipe | None,
) -> Searched:
    """Compare the candidates on folds that look forward in time, best first."""
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
def train(managed: ManagedModel, contender: Contender, split: Split) -> Fitted | LeftOut:
    """Fit the contender's recipe on all rows before the holdout; or say why it cannot be."""
    try:
        return fit(contender, split, managed.spec.problem, managed.spec.training.seed)
    except CandidateFailedError as error:  # caught here: Prefect would print the library's trace
        get_run_logger().warning("%s: left out: %s", managed.name, error)
        return error.left_out
