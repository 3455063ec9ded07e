"""What the house says of models: performance on a batch, comparison on a holdout, importance."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.evaluation.compare import block_test, paired_test, refuse_seen_rows, time_blocks
from tasks.evaluation.config import greater_is_better
from tasks.evaluation.metrics import EvaluationError, row_losses, score_interval
from tasks.evaluation.slices import compare_slices, slice_scores
from tasks.prediction import predict, predict_frame
from tasks.records import (
    Comparison,
    FeatureFrame,
    Interval,
    LoadedModel,
    Performance,
    Problem,
    RowSpan,
)


def performance(
    model: LoadedModel, frame: FeatureFrame, problem: Problem, metric: str, metrics: tuple[str, ...]
) -> Performance:
    """Judge ``model`` on the labelled rows of one batch, by ``metric`` and by ``metrics`` as far as
    they are defined.

    Raises EvaluationError when the rows cannot judge a model, as one class cannot by AUC.
    """
    labelled = labelled_rows(frame)
    target, predicted = labelled.target.to_numpy(), predict_frame(model, labelled, problem)
    losses = row_losses(target, predicted, problem, model.trained.classes, metric)
    blocks, _ = time_blocks(labelled.moments)
    test = block_test(losses, blocks)

    def interval(name: str, rows: np.ndarray | slice = slice(None)) -> Interval:
        return score_interval(
            name, target[rows], predicted[rows], blocks[rows], problem, model.trained.classes
        )

    def defined(name: str, rows: np.ndarray | slice = slice(None)) -> Interval | None:
        try:
            return interval(name, rows)
        except EvaluationError:
            return None

    return Performance(
        batch=max(frame.snapshots),
        version=model.trained.version,
        rows=len(labelled),
        blocks=test.blocks,
        metric=metric,
        score=interval(metric),
        loss=test.mean,
        metrics={name: found for name in metrics if (found := defined(name)) is not None},
        slices=slice_scores(losses, blocks, labelled.slices, lambda rows: defined(metric, rows)),
    )


def compare(
    challenger: LoadedModel,
    champion: LoadedModel,
    frame: FeatureFrame,
    spans: tuple[RowSpan, ...],
    problem: Problem,
    metric: str,
) -> Comparison:
    """Compare two models on the labelled rows of ``frame``, whose spans are ``spans``.

    A metric that cannot be computed, because a prediction is no number or there is one class only,
    has the value NaN, and the losses are what they are: the gate says what follows. Raises
    SeenRowsError when either model was trained on a row as new, EvaluationError when no row is
    labelled.
    """
    for model in (challenger, champion):
        refuse_seen_rows(spans, model.trained.trained_on, f"version {model.trained.version}")
    labelled = labelled_rows(frame)
    target = labelled.target.to_numpy()
    blocks, hours = time_blocks(labelled.moments)
    predictions = [predict_frame(model, labelled, problem) for model in (challenger, champion)]
    theirs, its = (
        row_losses(target, predicted, problem, model.trained.classes, metric)
        for predicted, model in zip(predictions, (challenger, champion), strict=True)
    )
    test = paired_test(theirs, its, blocks)
    scores = [
        _score_or_nan(metric, target, predicted, blocks, problem, model.trained.classes)
        for predicted, model in zip(predictions, (challenger, champion), strict=True)
    ]
    return Comparison(
        rows=len(labelled),
        blocks=test.blocks,
        block_hours=hours,
        challenger_loss=float(theirs.mean()),
        champion_loss=float(its.mean()),
        difference=test.mean,
        t=test.t,
        p_better=test.p_below,
        metric=metric,
        challenger_score=scores[0],
        champion_score=scores[1],
        greater_is_better=greater_is_better(metric),
        slices=compare_slices(theirs, its, blocks, labelled.slices),
        block_means=test.block_means,
    )


def importance(
    pipeline: Any,  # noqa: ANN401 - a fitted pipeline
    classes: tuple[str, ...],
    frame: FeatureFrame,
    problem: Problem,
    *,
    rows: int = 2000,
    seed: int = 0,
    metric: str = "",
) -> dict[str, float]:
    """Return feature -> loss added when its values are shuffled (Breiman 2001), on a seeded sample
    of ``frame``.

    Negative values, which are noise, are given as 0.
    """
    rng = np.random.default_rng(seed)
    labelled = labelled_rows(frame).sample(rows, seed)
    target, features = labelled.target.to_numpy(), labelled.features
    order = rng.permutation(len(labelled))

    def loss(features: object) -> float:
        predicted = predict(pipeline, features, problem, classes)
        return float(row_losses(target, predicted, problem, classes, metric).mean())

    whole = loss(features)
    return {
        name: max(0.0, loss(features.assign(**{name: features[name].to_numpy()[order]})) - whole)
        for name in features.columns
    }


def _score_or_nan(
    metric: str,
    target: np.ndarray,
    predicted: np.ndarray,
    blocks: np.ndarray,
    problem: Problem,
    classes: tuple[str, ...],
) -> Interval:
    try:
        return score_interval(metric, target, predicted, blocks, problem, classes)
    except EvaluationError:
        return Interval(value=float("nan"), low=float("-inf"), high=float("inf"))


def labelled_rows(frame: FeatureFrame) -> FeatureFrame:
    """Return the rows whose label is known; EvaluationError when there are none."""
    labelled = frame.where(frame.target.notna().to_numpy())
    if not len(labelled):
        raise EvaluationError(
            f"batch {max(frame.snapshots)}: expected labelled rows, found none of {len(frame):,}"
        )
    return labelled
