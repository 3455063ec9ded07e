"""What the champion predicts for a batch: its scores, its drift, what is estimated before labels
come.
"""

from __future__ import annotations

from prefect import get_run_logger

from flows.steps.estimate import estimated
from flows.steps.events import announce_skew
from flows.steps.maturity import waiting
from flows.steps.run import ModelRun
from tasks.drift.histograms import Counts, count_part
from tasks.drift.task import draw_evidently, measure_drift
from tasks.errors import KingmakerError
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    LoadedModel,
    Predictions,
    ServedPart,
    Skew,
)
from tasks.scoring.predictions import Predicted
from tasks.scoring.task import predict_batch, score, skew


class ContractBrokenError(KingmakerError):
    """The contract has changed so that the champion, trained under an earlier version, can no
    longer be used.
    """


def score_batch(run: ModelRun, record: BatchRecord, champion: LoadedModel) -> BatchRecord:
    """Score a batch by the champion, measure its drift, and return its record; what a run that died
    has served stays as it is.

    Raises ContractBrokenError when the champion's inputs no longer mean what they meant in its
    training.
    """
    if record.predictions is not None:
        champion = run.models.served(record.predictions)
    _check_usable(run, record, champion)
    frame, managed = run.features([record]), run.managed
    parts, counted, known = served_before(run, record), list[Counts](), list[Predicted]()

    def seen(one: Predicted) -> None:
        counted.append(count_part(champion.profile, one.frame, one.predicted))
        known.extend([one] if one.frame is frame else [])

    predictions = score(managed, champion, record, run.every_row(record), parts, seen)
    if not known:
        get_run_logger().info(
            "%s: %d rows scored part by part; what looks at rows one by one looks at %d of them,"
            " evenly over time",
            record.name,
            predictions.rows,
            len(frame),
        )
        known.append(predict_batch(managed, champion, frame, parts))
    predicted = known[0].predicted
    mature = record.batch.id not in waiting(run)
    drift = measure_drift(managed, champion, frame, counted, mature=mature)
    page = managed.settings.reports / managed.name / record.batch.id / "evidently.html"
    draw_evidently(managed, champion, frame, drift, page, run.fence)
    estimate = estimated(run, record, champion, predicted)
    skew = measured_skew(run, record, frame, parts, predictions)
    return run.batches.write(record.scored(predictions, drift, estimate, skew))


def serve(run: ModelRun, record: BatchRecord, champion: LoadedModel | None) -> BatchRecord:
    """Score a batch by the verified copy of the champion, and return its record; what else it needs
    waits until the registry answers.
    """
    if not record.accepted or champion is None or record.predictions is not None:
        return record
    _check_usable(run, record, champion)
    parts = served_before(run, record)
    predictions = score(run.managed, champion, record, run.every_row(record), parts)
    get_run_logger().warning(
        "%s: scored by the local copy of version %d; the rest waits, because %s",
        record.name,
        champion.trained.version,
        run.registry_away,
    )
    return run.batches.write(record.served(predictions))


def served_before(run: ModelRun, record: BatchRecord) -> tuple[ServedPart, ...]:
    """Return what was predicted for the rows of a batch before it was taken in; what came
    later changes nothing.
    """
    parts = run.served.of(record.batch.id)
    return tuple(part for part in parts if part.scored_at <= record.as_of)


def measured_skew(
    run: ModelRun,
    record: BatchRecord,
    frame: FeatureFrame,
    parts: tuple[ServedPart, ...],
    predictions: Predictions,
) -> Skew | None:
    """Compare the batch's features with those that its rows were served by, and raise the alarm."""
    found = skew(run.managed, frame, parts, predictions)
    if found is not None and found.alarms:
        worst = found.alarms[0]
        get_run_logger().warning(
            "%s: %d features differ from those that the rows were served by, in more than %.1f%%"
            " of %d rows: %s in %.1f%%",
            record.name,
            len(found.alarms),
            100 * found.limit,
            found.rows,
            worst.feature,
            100 * worst.share,
        )
        announce_skew(run.messages, record)
    return found


def _check_usable(run: ModelRun, record: BatchRecord, champion: LoadedModel) -> None:
    if broken := run.models.unusable(champion):
        name = run.managed.name
        raise ContractBrokenError(
            f"{record.name}: the champion cannot be used: {broken}; put the contract back, or train"
            f" under the new one with 'kingmaker retrain {name}' and promote it with"
            f" 'kingmaker promote {name} --version N'"
        )
