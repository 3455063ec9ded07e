"""Prefect tasks of the evaluation room: score, compare and check models on labelled rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.evaluation.config import METRICS
from tasks.evaluation.estimate import estimate
from tasks.evaluation.fairness import fairness
from tasks.evaluation.guardrails import TRAIN_ROWS, CheckContext, guardrails, measure_generalisation
from tasks.evaluation.judgement import compare, performance
from tasks.evaluation.leakage import leaks
from tasks.evaluation.metrics import EvaluationError
from tasks.model_spec import ManagedModel
from tasks.records import (
    Comparison,
    Estimate,
    FeatureFrame,
    Generalisation,
    Guardrail,
    LoadedModel,
    Performance,
    RowSpan,
)


@task(name="judge performance", cache_policy=NO_CACHE)
def judge_performance(
    managed: ManagedModel, frame: FeatureFrame, models: Sequence[LoadedModel]
) -> tuple[Performance, ...]:
    """Judge each model on the labelled rows of one batch, which none of them was trained on.

    The first of ``models`` is the one that matters: returns nothing when the rows cannot judge it,
    since a batch of one class must not stop the batches after it.
    """
    spec, judged = managed.spec, list[Performance]()
    metrics = tuple(dict.fromkeys((spec.metric, *METRICS[spec.problem])))
    for model in models:
        try:
            judged.append(performance(model, frame, spec.problem, spec.metric, metrics))
        except EvaluationError as refused:
            name = f"{managed.name} version {model.trained.version}"
            get_run_logger().warning(
                "%s is not judged on %s: %s", name, max(frame.snapshots), refused
            )
            if not judged:
                return ()
    return tuple(judged)


@task(name="estimate performance", cache_policy=NO_CACHE)
def estimate_performance(
    managed: ManagedModel, champion: LoadedModel, reference: FeatureFrame, frame: FeatureFrame
) -> Estimate | None:
    """Estimate how the champion does on a batch without labels; None when the reference cannot
    calibrate it.

    Of ``reference`` the rows from ``trained_until`` on are taken: those that the champion was not
    trained on.
    """
    spec = managed.spec
    unseen = (reference.event_time >= champion.trained.trained_until).to_numpy()
    try:
        return estimate(
            champion, reference.where(unseen), frame, spec.problem, spec.metric, spec.training.seed
        )
    except EvaluationError as refused:
        get_run_logger().info(
            "%s %s has no estimate: %s", managed.name, max(frame.snapshots), refused
        )
        return None


@task(name="compare on unseen rows", cache_policy=NO_CACHE)
def compare_models(
    managed: ManagedModel,
    challenger: LoadedModel,
    champion: LoadedModel,
    frame: FeatureFrame,
    spans: tuple[RowSpan, ...],
) -> Comparison:
    """Compare two models on the labelled rows of ``frame``; refused when either was trained on one
    of them.
    """
    return compare(challenger, champion, frame, spans, managed.spec.problem, managed.spec.metric)


@task(name="check guardrails", cache_policy=NO_CACHE)
def check_guardrails(
    managed: ManagedModel,
    challenger: LoadedModel,
    champion: LoadedModel | None,
    train: FeatureFrame,
    holdout: FeatureFrame,
    as_fitted: np.ndarray,
) -> tuple[Generalisation, tuple[Guardrail, ...]]:
    """Check the challenger as it came back from the registry, and the features that it was
    given.
    """
    spec, known = managed.spec, train.target.notna().to_numpy()
    exam = CheckContext(
        challenger,
        champion,
        train.where(known).sample(TRAIN_ROWS, spec.training.seed),
        holdout,
        as_fitted,
        spec.problem,
        spec.metric,
        spec.guardrails,
    )
    found = measure_generalisation(exam)
    return found, (
        *guardrails(exam, found),
        leaks(exam.train, spec.problem, spec.guardrails),
        *fairness(exam, spec.fairness),
    )
