"""The way of one batch: taken in, scored, judged, decided about, and shown."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.retrain import carry_out_retrain, finish_retrains
from flows.steps.choices import judge_due_choices
from flows.steps.decide import decide
from flows.steps.ensemble import refresh
from flows.steps.intake import Unread, nothing_waits, take_in_joined, take_in_labels, take_in_rows
from flows.steps.labels import judge_matured
from flows.steps.publish import publish
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from flows.steps.score import score_batch, serve
from flows.steps.stop import until_stopped
from tasks.errors import RefusedError
from tasks.evaluation.task import check_own_utility
from tasks.records import BatchRecord, Retrain, RollBack
from tasks.training.task import check_spec
from tasks.validation.task import check_contract


class BatchRefusedError(RefusedError):
    """At least one batch breaks its contract or cannot be read; it is kept, and nothing was trained
    or scored on it.
    """


# Flows are async, their tasks are not: an async flow ends at once, a synchronous one waits a second
# for its heartbeat.
@flow(name="monitor", flow_run_name=run_name)
async def monitor(
    model: str, batch: str | None = None, as_of: datetime | None = None
) -> tuple[BatchRecord, ...]:
    """Take in every new batch of a model, and make one decision about each: hold, retrain, or roll
    back.

    Raises BatchRefusedError at the end when a batch was refused; the batches after it have gone
    through. When MLflow is away, batches are scored by the verified copy of the champion, and
    RegistryAwayError at the end says what waits.

    Args:
        model: Name of a directory in deployments/, such as flights.
        batch: One batch, such as 2013-05, whether it is new or not. Left out: every batch that is
            new.
        as_of: Act as if it were this moment; batches that close later do not exist yet. Left out:
            now.
    """
    if batch is None and nothing_waits(model, as_of):
        return ()
    records, refused = list[BatchRecord](), list[str]()
    with model_run(model, as_of) as run:
        check_spec(run.managed)
        check_own_utility(run.managed)
        check_contract(run.managed.rows)
        joined = take_in_joined(run)
        labels, labels_away = take_in_labels(run)
        await finish_retrains(run)
        for taken in until_stopped(take_in_rows(run, batch)):
            match taken:
                case Unread():
                    refused.append(str(taken))
                case BatchRecord(completed=True):
                    records.append(taken)
                case BatchRecord():
                    records.append(await process_batch(run, taken))
        judge_matured(run)
        if run.history.unfinished or not all(record.completed for record in records):
            run.need_registry()
    refused += [
        f"{record.name} refused: {record.snapshot.source}: {record.verdict.reason}"
        for record in (*joined, *labels, *records)
        if not record.accepted
    ]
    if refused:
        raise BatchRefusedError("; ".join(refused))
    if labels_away is not None:
        raise labels_away
    return tuple(records)


async def process_batch(run: ModelRun, record: BatchRecord) -> BatchRecord:
    """Score and judge a batch, decide about it, carry the decision out, and publish; what a run
    that died had decided stays as it is.
    """
    champion = run.models.champion()
    if run.registry_away:
        return serve(run, record, champion)
    if not run.history.decided(record):
        record = judge_matured(run).get(record.batch.id, record)
        if record.accepted and champion is not None:
            champion = refresh(run, champion)
            record = score_batch(run, record, champion)
            record = judge_matured(run).get(record.batch.id, record)
            refresh(run, champion)  # for the batches to come: this one was served without it
        entry = decide(run, record, champion)
        match entry.decision:
            case RollBack():
                run.carry_out(entry)
            case Retrain(dry_run=False):
                await carry_out_retrain(run, entry)
                judge_due_choices(run)
    return await publish(run, record, champion)
