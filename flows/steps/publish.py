"""What people see of a batch: pages, the MLflow run, and Prefect's artifacts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)

from flows.steps.choices import known_card
from flows.steps.events import announce_drift
from flows.steps.maturity import waiting
from flows.steps.run import ModelRun
from tasks.history import ApprovalRequest
from tasks.lake import write_whole
from tasks.records import BatchRecord, LoadedModel, LossChange, ScoreCard
from tasks.registry.over_time import Measured
from tasks.registry.task import describe_version, log_batch, log_over_time, log_page
from tasks.reports.task import (
    approval_page,
    card_page,
    write_approval_page,
    write_batch_pages,
    write_card,
    write_model_page,
)


async def publish(run: ModelRun, record: BatchRecord, champion: LoadedModel | None) -> BatchRecord:
    """Write the batch's pages and the model's, log them to MLflow, show them on Prefect; the batch
    is then complete, and not before: what a run that died has not shown the next one shows.
    """
    batch = record.batch.id
    pages = _write_pages(run, record)
    mlflow_run = log_batch(
        run.managed,
        record.snapshot,
        _params(record, champion),
        _metrics(record, known_card(run)),
        pages,
        run.fence,
    )
    publish_model(run)
    for asked in run.history.requests(batch):
        if not approval_page(run.managed, asked).exists():
            await ask_for_approval(run, asked)
    announce_drift(run.messages, record)
    key = f"{run.managed.name}-{batch}".lower().replace("_", "-")
    decided = [entry.decision for entry in run.history if entry.batch == batch]
    await acreate_table_artifact(
        key=f"{key}-batch",
        table=[{"what": name, "value": value} for name, value in _table(record).items()],
        description=f"**{record.name}**: " + "; ".join(f"{d.kind}: {d.reason}" for d in decided),
    )
    if report := run.managed.settings.address_of(pages[0]):
        await acreate_link_artifact(
            key=f"{key}-report", link=report, link_text=f"Report of {record.name}"
        )
    _log_over_time(run, record)
    return run.batches.write(
        record.completed_by(mlflow_run).logged_over_time(_measured(record).metrics)
    )


def publish_judged(run: ModelRun, judged: Iterable[BatchRecord]) -> None:
    """Rebuild the pages of batches whose labels have come since their run, and with them the
    model's.
    """
    late = [record for record in judged if record.completed]
    for record in late:
        _write_pages(run, record)
    if late:
        publish_model(run)
        _log_over_time(run)


def _log_over_time(run: ModelRun, current: BatchRecord | None = None) -> None:
    """Have the model's own run in MLflow hold what was measured of each completed batch, and of the
    ``current`` one, whose record is written by the caller.
    """
    known = dict(run.batches.known) | ({} if current is None else {current.batch.id: current})
    shown = [record for record in known.values() if record.completed or record is current]
    new = [record for record in shown if record.over_time != _measured(record).metrics]
    if not new:
        return
    log_over_time(
        run.managed,
        [_measured(record) for record in new if not _measured_anew(record)],
        [_measured(record) for record in shown],
        run.fence,
        anew=any(_measured_anew(record) for record in new),
    )
    for record in new:
        if record is not current:
            run.batches.write(record.logged_over_time(_measured(record).metrics))


def _measured_anew(record: BatchRecord) -> bool:
    """Whether MLflow has of the batch what does not hold any more: of another revision, or before
    labels came again.
    """
    metrics = _measured(record).metrics
    if not record.over_time:
        return record.revision > 1
    return any(metrics.get(name) != value for name, value in record.over_time.items())


def _measured(record: BatchRecord) -> Measured:
    """What of a batch is drawn over time: the champion's metrics, drift, and rows."""
    metrics = {
        "rows": float(record.snapshot.rows),
        "quarantined": float(record.verdict.quarantined),
    }
    if record.predictions is not None:
        metrics["version"] = float(record.predictions.version)
    if record.drift is not None and record.drift.share is not None:
        metrics["drift_share"] = record.drift.share
    if record.labelled is not None:
        metrics["labelled_share"] = record.labelled.share
    if record.performances:
        champion = record.performances[0]
        metrics |= {f"champion_{name}": of.value for name, of in champion.metrics.items()}
        metrics["champion_loss"] = champion.loss.value
    return Measured(
        record.batch, {name: value for name, value in metrics.items() if math.isfinite(value)}
    )


def _write_pages(run: ModelRun, record: BatchRecord) -> tuple[Path, ...]:
    return write_batch_pages(
        run.managed,
        record,
        run.history,
        run.batches.known,
        waiting(run),
        known_card(run),
        run.fence,
    )


async def ask_for_approval(run: ModelRun, entry: ApprovalRequest) -> None:
    """Show a person what the gate's yes rests on: a page in the challenger's MLflow run, an
    artifact on Prefect.
    """
    trained = run.trainings.version(entry.decision.version)
    page, text = write_approval_page(run.managed, entry)
    log_page(run.managed, trained.run_id, page)
    key = f"{run.managed.name}-version-{trained.version}-approval".replace("_", "-")
    if address := run.managed.settings.address_of(page):
        text = f"{text}\n\n[The same page on the console]({address})"
    await acreate_markdown_artifact(
        key=key, markdown=text, description=f"{run.managed.name} awaits approval"
    )


def publish_model(run: ModelRun) -> None:
    """Rebuild the model's page and its picture from the ledger."""
    records = list(run.batches.known.values())
    publish_cards(run)
    write_model_page(run.managed, records, run.history, waiting(run), known_card(run), run.fence)


def publish_cards(run: ModelRun) -> None:
    """Write the cards of the versions that something was decided about since, and of those that
    serve or have just served; MLflow gets what has changed, and while it is away nothing is kept
    back: the next run has it.
    """
    history, records = run.history, tuple(run.batches.known.values())
    newest = max((entry.batch for entry in history), default="")
    now = {entry.version for entry in history if entry.batch == newest}
    now |= {change.decision.version for change in history.champion_changes[-2:]}
    for version in history.challengers:
        described = card_page(run.managed, version).with_suffix(".md")
        told = described.read_text(encoding="utf-8") if described.exists() else None
        if version not in now and told is not None:
            continue
        trained = run.trainings.version(version)
        challenged = history.judgements(version)[0].evidence.champion
        before = None if challenged is None else run.trainings.version(challenged)
        page, text = write_card(run.managed, trained, before, records, history, run.fence)
        if run.registry_away or told == text:
            continue
        describe_version(run.managed, trained, text, page, run.fence)
        with run.fence.hold():  # last: what is written here MLflow has
            write_whole(described, text.encode())


def _params(record: BatchRecord, champion: LoadedModel | None) -> dict[str, str]:
    return {
        "batch": record.batch.id,
        "revision": str(record.revision),
        "snapshot": record.snapshot.sha256,
        "verdict": record.verdict.outcome,
        "champion": "none" if champion is None else str(champion.trained.version),
        "served_by": "none" if record.predictions is None else record.predictions.served_by,
    }


def _metrics(record: BatchRecord, card: ScoreCard | None) -> dict[str, float]:
    metrics = {
        "rows": float(record.snapshot.rows),
        "quarantined": float(record.verdict.quarantined),
    }
    if record.labelled is not None:
        metrics["labelled_share"] = record.labelled.share
    if record.drift is not None:
        if record.drift.share is not None:
            metrics["drift_share"] = record.drift.share
        metrics |= {
            f"psi_{f.feature}": f.score for f in record.drift.features if f.score is not None
        }
    if record.predictions is not None and record.predictions.served:
        metrics["served_share"] = record.predictions.served / record.predictions.rows
    if record.skew is not None:
        metrics["skew_worst"] = record.skew.worst
        metrics |= {f"skew_{one.feature}": one.share for one in record.skew.features}
    if card is not None and card.gained is not None:
        verdicts = [one.verdict for one in card.judged]
        metrics |= {
            "choices_right": float(verdicts.count("right")),
            "choices_wrong": float(verdicts.count("wrong")),
            "choices_untold": float(verdicts.count("cannot be told")),
            "choices_gained": card.gained.value,
        }
    if record.performances:
        metrics |= {
            f"champion_{name}": of.value for name, of in record.performances[0].metrics.items()
        }
        metrics["champion_loss"] = record.performances[0].loss.value
    if isinstance(record.change, LossChange):
        parts = {
            "inputs": record.change.inputs,
            "base_rate": record.change.base_rate,
            "relation": record.change.relation,
            "adjusted": record.change.adjusted,
            "chance": record.change.chance,
        }
        metrics["loss_change"] = record.change.change
        metrics |= {
            f"loss_change_{name}": part.value for name, part in parts.items() if part is not None
        }
    return metrics


def _table(record: BatchRecord) -> dict[str, str]:
    table = {
        "rows": f"{record.snapshot.rows:,}",
        "quarantined": f"{record.verdict.quarantined:,}",
        "verdict": f"{record.verdict.outcome}: {record.verdict.reason}",
    }
    if record.drift is not None:
        moved = [f.feature for f in record.drift.inputs if f.moved]
        unusual = [f.feature for f in record.drift.inputs if f.outcome == "unusual"]
        untold = [f.feature for f in record.drift.inputs if f.outcome == "cannot be told"]
        table["features that moved"] = ", ".join(moved) or "none"
        table["of them unusual"] = ", ".join(unusual) or "none"
        if untold:
            table["whether unusual cannot be told"] = ", ".join(untold)
    if record.predictions is not None and record.predictions.served:
        table["rows served before it closed"] = f"{record.predictions.served:,}"
    if record.skew is not None and record.skew.alarms:
        table["served by other features"] = ", ".join(
            f"{one.feature} in {one.share:.1%}" for one in record.skew.alarms
        )
    if record.labelled is not None:
        table["rows with a label"] = f"{record.labelled.labelled:,} of {record.labelled.rows:,}"
    if record.performances:
        champion = record.performances[0]
        table[champion.metric] = str(champion.score or "-")
        table["loss"] = str(champion.loss)
    return table
