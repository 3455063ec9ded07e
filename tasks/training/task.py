"""Prefect tasks of the training room: search, fit and split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
from prefect import get_run_logger

from tasks.model_spec import ManagedModel
from tasks.records import FeatureFrame, LeftOut, Recipe
from tasks.task import task
from tasks.training.fit import CandidateFailedError, Contender, Fitted, class_labels, fit
from tasks.training.pipeline import check_candidates
from tasks.training.search import Searched, SearchFailedError, search
from tasks.training.split import Split, leave_out, split_to_judge
from tasks.training.weights import check_weighted, excluded


def check_spec(managed: ManagedModel) -> None:
    """Refuse unknown estimators and arguments before anything runs; it imports the estimators."""
    file = managed.settings.project / "deployments" / managed.name / "model.yaml"
    training = managed.spec.training
    check_candidates(file, training.candidates, managed.spec.problem)
    check_weighted(file, training)


@task("split by time")
def split(
    managed: ManagedModel,
    frame: FeatureFrame,
    unseen_from: datetime | None,
    enough: Callable[[pd.Series, np.ndarray], bool],
    stands_for: Mapping[str, float] | None = None,
) -> Split:
    """Hold out what judges a challenger: the newest rows of the newest batch, or whole batches
    that the champion has not seen, where those are too few. What is left is trained on, but for
    what the spec excludes, and at most as many rows as it says.

    ``stands_for`` says of batches of which rows were drawn how many of theirs each stands for.
    """
    config = managed.spec.training
    parts = split_to_judge(frame, config.holdout, unseen_from, enough)
    if config.exclude:
        parts = leave_out(parts, lambda rows: excluded(rows, config.exclude, managed.contract))
    bounded = parts.bounded(config.rows, config.seed, stands_for)
    if len(bounded.train) < len(parts.train):
        get_run_logger().info(
            "%s: trained on %d of %d rows, evenly over time (training.rows)",
            managed.name,
            len(bounded.train),
            len(parts.train),
        )
    return bounded


@task("search candidates")
def search_candidates(
    managed: ManagedModel,
    split: Split,
    loss: Callable[[np.ndarray, np.ndarray], float],
    incumbent: Recipe | None,
    *,
    due: bool = True,
) -> Searched:
    """Compare the candidates on folds that look forward in time, best first; where no search is
    due, look at the incumbent alone, and search if it cannot be trained any more.
    """
    config, problem, logger = managed.spec.training, managed.spec.problem, get_run_logger()
    classes = class_labels(split.train.target, problem)
    if incumbent is not None and not due:
        known = config.refitting(incumbent)
        try:
            looked = search(split.train, known, problem, loss, classes, say=logger.info)
        except SearchFailedError as error:
            logger.warning("%s: searching before it is due: %s", managed.name, error)
        else:
            return replace(looked, anew=False)
    return search(split.train, config, problem, loss, classes, incumbent=incumbent, say=logger.info)


@task("train")
def train(managed: ManagedModel, contender: Contender, split: Split) -> Fitted | LeftOut:
    """Fit the contender's recipe on the split's rows and folds; or say why it cannot be."""
    try:
        return fit(contender, split, managed.spec.problem, managed.spec.training.seed)
    except CandidateFailedError as error:  # caught here: Prefect would print the library's trace
        get_run_logger().warning("%s: left out: %s", managed.name, error)
        return error.left_out
