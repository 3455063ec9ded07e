"""What the champion says of a batch: its scores, its drift, what can be guessed before labels
come.
"""

from __future__ import annotations

from prefect import get_run_logger

from flows.steps.estimate import estimated
from flows.steps.events import announce_skew
from flows.steps.run import ModelRun
from tasks.drift.task import draw_evidently, measure_drift
from tasks.errors import KingmakerError
from tasks.ledger.served import served_parts
from tasks.records import BatchRecord, FeatureFrame, LoadedModel, ServedPart, Skew
from tasks.scoring.task import score, skew


class ContractBrokenError(KingmakerError):
    """The contract has changed so that the champion, trained under an earlier version, can no
    longer be used.
    """


_NOT_SETTLED = {"labelled": None}
"""What first predictions say of a batch whose labels were counted by a run that died before it: who
served is to be judged.
"""


def observe(m: ModelRun, record: BatchRecord, champion: LoadedModel) -> BatchRecord:
    """Score the batch by the champion, and measure its drift.

    Raises ContractBrokenError when the champion's inputs no longer mean what they meant in its
    training.
    """
    if (
        record.predictions is not None
    ):  # served by a run that went no further: what was served stays
        champion = m.served(record.predictions)
    _check_usable(m, record, champion)
    frame = m.features([record])
    parts = served_before(m, record)
    predicted, predictions = score(m.managed, champion, frame, parts)
    mature = record.batch.id not in m.waits()
    drift = measure_drift(m.managed, champion, frame, predicted, mature=mature)
    page = m.managed.settings.reports / m.managed.name / record.batch.id / "evidently.html"
    draw_evidently(m.managed, champion, frame, drift, page, m.fence)
    seen = {
        "drift": drift,
        "predictions": predictions,
        "skew": seen_skew(m, record, frame, parts),
        "estimate": estimated(m, record, champion, predicted),
    }
    new = _NOT_SETTLED if record.predictions is None else {}
    return m.write_batch(record.model_copy(update=seen | new))


def serve(m: ModelRun, record: BatchRecord) -> BatchRecord:
    """Score a batch by the verified copy of the champion; what else it needs waits until the
    registry answers.
    """
    champion = m.champion()
    if record.accepted and champion is not None and record.predictions is None:
        _check_usable(m, record, champion)
        parts = served_before(m, record)
        _, predictions = score(m.managed, champion, m.features([record]), parts)
        record = m.write_batch(
            record.model_copy(update={"predictions": predictions} | _NOT_SETTLED)
        )
        get_run_logger().warning(
            "%s %s: scored by the local copy of version %d; the rest waits, because %s",
            m.managed.name,
            record.batch.id,
            champion.trained.version,
            m.registry_away,
        )
    return record


def served_before(m: ModelRun, record: BatchRecord) -> tuple[ServedPart, ...]:
    """Return what the rows of a batch were told before it was taken in; what came later changes
    nothing.
    """
    parts = served_parts(m.engine, m.managed.name, record.batch.id)
    return tuple(part for part in parts if part.scored_at <= record.as_of)


def seen_skew(
    m: ModelRun, record: BatchRecord, frame: FeatureFrame, parts: tuple[ServedPart, ...]
) -> Skew | None:
    """Hold the batch's features against those that its rows were served by, and raise the alarm."""
    found = skew(m.managed, frame, parts)
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
        announce_skew(record)
    return found


def _check_usable(m: ModelRun, record: BatchRecord, champion: LoadedModel) -> None:
    if broken := m.contract_broken(champion):
        raise ContractBrokenError(
            f"{m.managed.name} {record.batch.id}: the champion cannot be used: {broken}; put the"
            f" contract back, or train under the new one with 'kingmaker retrain {m.managed.name}'"
            f" and promote it with 'kingmaker promote {m.managed.name} --version N'"
        )
