"""The way of one batch: taken in, judged, scored, watched, and answered with one recorded
decision.
"""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.steps.decide import decide
from flows.steps.ensemble import refresh
from flows.steps.evidence import answered
from flows.steps.intake import due_batches, nothing_waits, take_in, take_in_labels
from flows.steps.labels import settle
from flows.steps.publish import publish, publish_settled
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from flows.steps.score import observe, serve
from flows.steps.stop import until_stopped
from flows.steps.trainings import finish_trainings, train
from tasks.errors import RefusedError
from tasks.ingest.source import UnreadableError
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
    """Take in every new batch of a model, and answer each with one decision: hold, retrain, or roll
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
    seen, refused = [], []
    with model_run(model, as_of) as m:
        check_spec(m.managed)
        check_contract(m.managed.rows)
        labels, unread = take_in_labels(m)
        if not m.registry_away:
            await finish_trainings(m)
        try:
            due = due_batches(m, batch)
        except UnreadableError as error:  # a file of many batches: nobody knows which
            due = ()
            refused.append(f"{model} refused: {error}")
        for source in until_stopped(due):
            try:
                record = take_in(m, m.managed.rows, source)
            except UnreadableError as error:
                refused.append(f"{model} {source.batch.id} refused: {error}")
                continue
            if not record.completed:
                record = serve(m, record) if m.registry_away else await answer(m, record)
            seen.append(record)
        if not m.registry_away:
            publish_settled(m, settle(m))
        if m.unfinished() or not all(record.completed for record in seen):
            m.need_registry()
    refused += [
        f"{r.name} refused: {r.snapshot.source}: {r.verdict.reason}"
        for r in (*labels, *seen)
        if not r.accepted
    ]
    if refused:
        raise BatchRefusedError("; ".join(refused))
    if unread is not None:
        raise unread
    return tuple(seen)


async def answer(m: ModelRun, record: BatchRecord) -> BatchRecord:
    """Observe a batch, decide, carry the decision out, and publish; what a run that died had
    answered stays as it is.
    """
    champion = m.champion()
    if not answered(m, record):
        publish_settled(m, settle(m))
        if record.accepted and champion is not None:
            champion = refresh(m, champion)
            observe(m, record, champion)
            publish_settled(m, settle(m))
            refresh(m, champion)
        record = m.batches()[record.batch.id]
        entry = decide(m, record, champion)
        match entry.decision:
            case RollBack():
                m.carry_out(entry)
            case Retrain(dry_run=False):
                await train(m, entry)
    return await publish(m, record, champion)
