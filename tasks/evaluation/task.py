"""Prefect tasks of the evaluation room: score, compare and check models on labelled rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prefect import get_run_logger

from tasks.evaluation.checks import make_checks
from tasks.evaluation.checks.base import CheckContext
from tasks.evaluation.compare import block_test
from tasks.evaluation.config import METRICS
from tasks.evaluation.estimate import beyond_known, checked, estimate
from tasks.evaluation.judgement import compare, performance
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import LabelledRows, Scored, score_model, seconds_by_one_thread
from tasks.evaluation.utility import Utility, check_utility
from tasks.model_spec import ManagedModel
from tasks.records import (
    Comparison,
    Estimate,
    FeatureFrame,
    Generalisation,
    Guardrail,
    Interval,
    LoadedModel,
    Performance,
    RowSpan,
    ServedPerformance,
)
from tasks.task import task

TRAIN_ROWS = 20_000
"""Training rows, drawn with a seed, that a challenger's checks look at again."""


def check_own_utility(managed: ManagedModel) -> None:
    """Try the project's code for what a prediction is worth; ConfigurationError when it is not what
    it must be.
    """
    spec = managed.spec
    if spec.utility is None:
        return
    file = managed.settings.project / "deployments" / managed.name / "model.yaml"
    kinds = {name: managed.contract.column(name).categorical for name in spec.utility.needs}
    check_utility(file, spec.utility, managed.settings.project, spec.problem, kinds)


@task("score labelled rows")
def score_labelled(managed: ManagedModel, model: LoadedModel, rows: LabelledRows) -> Scored:
    """Let a model predict labelled rows, once for everything that judges it by them."""
    spec, utility = managed.spec, None
    if spec.utility is not None:
        utility = Utility.of(spec.utility, managed.settings.project)
    return score_model(model, rows, spec.problem, spec.metric, utility, spec.gate.loss)


@task("judge performance")
def judge_performance(managed: ManagedModel, models: Sequence[Scored]) -> tuple[Performance, ...]:
    """Judge each model on the labelled rows of one batch, which none of them was trained on.

    The first of ``models`` is the one that matters: returns nothing when it cannot be judged, since
    that must not stop the batches after it.
    """
    spec, judged = managed.spec, list[Performance]()
    metrics = tuple(dict.fromkeys((spec.metric, *METRICS[spec.problem])))
    for scored in models:
        try:
            judged.append(performance(scored, metrics))
        except EvaluationError as refused:
            name = f"{managed.name} version {scored.version}"
            batch = max(scored.rows.frame.snapshots)
            get_run_logger().warning("%s is not judged on %s: %s", name, batch, refused)
            if not judged:
                return ()
    return tuple(judged)


def judge_apart(
    managed: ManagedModel, scored: Scored, served: np.ndarray, by: np.ndarray
) -> ServedPerformance:
    """Judge the rows that were ``served``, (rows,) bool, before their batch closed, and the others,
    each for themselves.

    ``by``, (rows,), says which version served a row.
    """
    metrics = tuple(dict.fromkeys((managed.spec.metric, *METRICS[managed.spec.problem])))

    def judged(rows: np.ndarray) -> Performance | None:
        try:
            return performance(scored.where(rows), metrics) if rows.any() else None
        except EvaluationError:  # too few rows of their own, or of one class: it is not told apart
            return None

    names, counts = np.unique(by[served].astype("str"), return_counts=True)
    return ServedPerformance(
        served=judged(served),
        others=judged(~served),
        by=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def parted_loss(scored: Scored, rows: np.ndarray) -> tuple[Interval | None, Interval | None]:
    """Return the mean loss of the rows where ``rows``, (rows,) bool, is false, and of the others;
    None where there are none.
    """

    def loss(of: np.ndarray) -> Interval | None:
        if not of.any():
            return None
        _, blocks = np.unique(scored.rows.blocks[of], return_inverse=True)
        return block_test(scored.losses[of], blocks).mean.at_least(0.0)

    return loss(~rows), loss(rows)


def adjusted_loss(served: Scored, packaged: Scored) -> Interval | None:
    """Return how much higher the mean loss is as served than by the model as it was packaged, on
    the same rows; None where every row was served what that predicts.
    """
    more = served.losses - packaged.losses
    return block_test(more, served.rows.blocks).mean if more.any() else None


@task("estimate performance")
def estimate_performance(
    managed: ManagedModel,
    champion: LoadedModel,
    reference: FeatureFrame,
    frame: FeatureFrame,
    predicted: np.ndarray,
    past: Sequence[tuple[Estimate, Performance]],
) -> Estimate | None:
    """Estimate how the champion does on a batch without labels, ``frame``, for whose rows it
    predicts ``predicted``; None when the reference cannot calibrate it.

    Of ``reference`` the rows from ``trained_until`` on are taken: those that the champion was not
    trained on. ``past`` are the model's earlier estimates with what labels then said.
    """
    spec, batch = managed.spec, max(frame.snapshots)
    unseen = (reference.event_time >= champion.trained.trained_until).to_numpy()
    try:
        rows = LabelledRows.of(reference.where(unseen))
        scored = score_model(champion, rows, spec.problem, spec.metric)
        known = (champion.baseline, reference.features)
        beyond = beyond_known(frame.features, known, frame.schema)
        return checked(estimate(scored, predicted, spec.training.seed), past, spec.problem, beyond)
    except EvaluationError as refused:
        get_run_logger().info("%s %s has no estimate: %s", managed.name, batch, refused)
        return None


@task("compare on unseen rows")
def compare_models(challenger: Scored, champion: Scored, spans: tuple[RowSpan, ...]) -> Comparison:
    """Compare two models on the same labelled rows; refused when either was trained on one of
    them.
    """
    return compare(challenger, champion, spans)


@task("check guardrails")
def check_guardrails(
    managed: ManagedModel,
    model: LoadedModel,
    challenger: Scored,
    champion: Scored | None,
    train: FeatureFrame,
    as_fitted: np.ndarray,
    as_loaded: np.ndarray,
) -> tuple[Generalisation, tuple[Guardrail, ...]]:
    """Check the challenger ``model`` as it came back from the registry, by what it predicts for the
    holdout and for a sample of its training rows.
    """
    spec = managed.spec
    sample = train.where(train.target.notna().to_numpy()).sample(TRAIN_ROWS, spec.training.seed)
    context = CheckContext(
        challenger=challenger,
        champion=champion,
        train=score_model(model, LabelledRows(sample), spec.problem, spec.metric),
        as_fitted=as_fitted,
        as_loaded=as_loaded,
        seconds_again=lambda rows: seconds_by_one_thread(
            model, challenger.rows.frame.sample(rows, spec.training.seed), spec.problem
        ),
        config=spec.guardrails,
        interval=None if spec.scoring is None else spec.scoring.interval,
        fairness=spec.fairness,
    )
    return context.generalisation, make_checks(context)
