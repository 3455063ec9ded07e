"""Prefect tasks of the scoring room: predict a batch, and write the predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prefect import get_run_logger

from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    LoadedModel,
    Predictions,
    ServedPart,
    Skew,
)
from tasks.scoring.current import served_keys
from tasks.scoring.predictions import Predicted, without_prediction, write_predictions
from tasks.scoring.skew import ServedBatch, measure_skew, served_of
from tasks.task import task


@task("score")
def score(
    managed: ManagedModel,
    champion: LoadedModel,
    record: BatchRecord,
    frames: Iterable[FeatureFrame],
    parts: Sequence[ServedPart],
    seen: Callable[[Predicted], None] = lambda _: None,
) -> Predictions:
    """Predict every accepted row of the batch, ``frames`` one after the other, and keep the
    predictions in the lake: by ``parts`` where a row was served before the batch closed, else by
    the champion now. ``seen`` is told each frame's.
    """

    def predicted() -> Iterator[Predicted]:
        for frame in frames:
            found = predict_batch(managed, champion, frame, parts)
            missing = without_prediction(
                managed.contract, champion, frame, found.predicted, managed.spec.problem
            )
            if missing:
                get_run_logger().warning("%s: %s", record.name, missing)
            yield found
            seen(found)

    lake, batch = managed.settings.lake, record.batch.id
    return write_predictions(lake, champion, batch, record.snapshot.sha256, predicted())


def predict_batch(
    managed: ManagedModel, champion: LoadedModel, frame: FeatureFrame, parts: Sequence[ServedPart]
) -> Predicted:
    """Return what was served for the rows of a closed batch, and what the champion predicts for
    the others.
    """
    problem = managed.spec.problem
    served = served_batch(managed, frame, parts, champion.trained.classes)
    if served is None:
        return Predicted(frame, predict_frame(champion, frame, problem))
    predicted, left = served.predicted.copy(), ~served.rows
    if left.any():
        predicted[left] = predict_frame(champion, frame.where(left), problem)
    return Predicted(frame, predicted, served)


def served_batch(
    managed: ManagedModel,
    frame: FeatureFrame,
    parts: Sequence[ServedPart],
    classes: Sequence[str],
) -> ServedBatch | None:
    """Return what was predicted for the rows of a batch before it closed; None for none."""
    if not parts:
        return None
    return served_of(managed.settings.lake, parts, frame, managed.contract, classes)


@task("measure skew")
def skew(
    managed: ManagedModel,
    frame: FeatureFrame,
    parts: Sequence[ServedPart],
    predictions: Predictions,
) -> Skew | None:
    """Hold the features of a closed batch, or of the rows of it that are looked at, against those
    that its rows were served by; None when none was served, or the spec says nothing of scoring.
    """
    scoring, lake, contract = managed.spec.scoring, managed.settings.lake, managed.contract
    if scoring is None:
        return None
    gone = None
    if parts and len(frame) < predictions.rows:
        gone = served_keys(lake, parts, contract) - predictions.served
    return measure_skew(lake, parts, frame, contract, scoring.skew, gone)
