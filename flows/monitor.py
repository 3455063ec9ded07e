"""The way of one batch: taken in, judged, scored, watched, and answered with one recorded decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from prefect import flow, get_run_logger

from flows.estimate import estimated
from flows.evidence import answered, freeze_evidence, policy_evidence, shadow_evidence, watch_evidence
from flows.labels import settle
from flows.mandate import Mandate, mandate
from flows.panel import refresh
from flows.publish import publish, publish_settled
from flows.retrain import retrain
from flows.run_name import run_name
from flows.waiting import waiting_batches
from tasks.decisions.rules import FreezeRule, GateRule, PolicyRule, WatchRule
from tasks.drift.task import draw_evidently, measure_drift
from tasks.ingest.arrivals import SourceBatch, closed_batches
from tasks.ingest.relabelled import relabelled
from tasks.ingest.source import SourceError, UnreadableError
from tasks.ingest.task import ingest
from tasks.records import (
    BatchRecord,
    Freeze,
    Hold,
    LedgerEntry,
    LoadedModel,
    Promote,
    Record,
    Refusal,
    Retrain,
    RollBack,
)
from tasks.reports.task import write_label_page
from tasks.scoring.task import score
from tasks.training.task import check_spec
from tasks.validation.task import check_contract, validate


class BatchRefusedError(RuntimeError):
    """At least one batch breaks its contract or cannot be read; it is kept, and nothing was trained or scored on it."""


class BatchNotThereError(LookupError):
    """The batch that was asked for is not in the source, or not closed yet."""


class ContractBrokenError(RuntimeError):
    """The contract has changed so that the champion, trained under an earlier version, can no longer be used."""


class Attempted(Record):
    """The evidence that a Retrain could not be carried out."""

    retrain: int
    """The ledger's number of the decision."""


# Flows are async, their tasks are not: an async flow ends at once, a synchronous one waits a second for its heartbeat.
@flow(name="monitor", flow_run_name=run_name)
async def monitor(
    model: str, batch: str | None = None, as_of: datetime | None = None
) -> tuple[BatchRecord, ...]:
    """Take in every new batch of a model, and answer each with one decision: hold, retrain, or roll back.

    Raises BatchRefusedError at the end when a batch was refused; the batches after it have gone through. When MLflow is
    away, batches are scored by the verified copy of the champion, and RegistryAwayError at the end says what waits.

    Args:
        model: Name of a directory in deployments/, such as flights.
        batch: One batch, such as 2013-05, whether it is new or not. Left out: every batch that is new.
        as_of: Act as if it were this moment; batches that close later do not exist yet. Left out: now.
    """
    seen, refused = [], []
    with mandate(model, as_of) as m:
        check_spec(m.managed)
        check_contract(m.managed)
        labels, unread = take_in_labels(m)
        if not m.registry_away:
            await finish_trainings(m)
        try:
            due = due_batches(m, batch)
        except UnreadableError as error:  # a file of many batches: nobody knows which
            due = ()
            refused.append(f"{model} refused: {error}")
        for source in due:
            try:
                record = take_in(m, source)
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
        f"{r.model} {r.batch.id} refused: {r.snapshot.source}: {r.verdict.reason}"
        for r in (*labels, *seen)
        if not r.accepted
    ]
    if refused:
        raise BatchRefusedError("; ".join(refused))
    if unread is not None:
        raise unread
    return tuple(seen)


def serve(m: Mandate, record: BatchRecord) -> BatchRecord:
    """Score a batch by the verified copy of the champion; what else it needs waits until the registry answers."""
    champion = m.champion()
    if record.accepted and champion is not None and record.predictions is None:
        _check_usable(m, record, champion)
        _, predictions = score(m.managed, champion, m.features([record]))
        record = m.write_batch(record.model_copy(update={"predictions": predictions}))
        get_run_logger().warning(
            "%s %s: scored by the local copy of version %d; the rest waits, because %s",
            m.managed.name, record.batch.id, champion.trained.version, m.registry_away,
        )  # fmt: skip
    return record


async def answer(m: Mandate, record: BatchRecord) -> BatchRecord:
    """Observe a batch, decide, carry the decision out, and publish; what a run that died had answered stays as it is."""
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


def due_batches(m: Mandate, batch: str | None) -> tuple[SourceBatch, ...]:
    """Return the batches that wait at the mandate's moment; or ``batch`` alone, whether it waits or not."""
    if batch is None:
        return waiting_batches(m.managed, m.engine, m.as_of)
    closed = {item.batch.id: item for item in closed_batches(m.managed, m.as_of)}
    wanted = m.managed.batch(batch).id
    if wanted not in closed:
        raise BatchNotThereError(
            f"{m.managed.name}: expected batch {batch} to be in the source and closed at {m.as_of:%Y-%m-%d %H:%M} UTC, "
            f"found {', '.join(list(closed)[-3:]) or 'nothing'} as the newest"
        )
    return (closed[wanted],)


async def finish_trainings(m: Mandate) -> None:
    """Train what a run was asked for that died before it had trained."""
    for entry in m.unfinished():
        judged = [
            e for e in m.history() if e.id > entry.id and e.decision.kind in ("Promote", "AwaitApproval")
        ]
        if not judged:
            get_run_logger().warning("a run died before its challenger was judged: %s", entry.decision.reason)
            await train(m, entry)
        m.finish(entry)


async def train(m: Mandate, entry: LedgerEntry) -> None:
    """Carry out a Retrain; when its rows can train nothing, the answer is to hold, and not to try the same for ever."""
    from tasks.training.search import SearchFailedError
    from tasks.training.split import NoTrainingRowsError

    try:
        await retrain(m.managed.name, entry.decision.reason, entry.as_of)
    except (NoTrainingRowsError, SearchFailedError) as error:
        m.decide(entry.batch, Hold(reason=f"nothing could be trained: {error}"), Attempted(retrain=entry.id))
    m.finish(entry)


def take_in_labels(m: Mandate) -> tuple[tuple[BatchRecord, ...], SourceError | None]:
    """Take in every batch of labels that waits, and return them; labels behind one that cannot be read wait with it.

    Labels that cannot be read do not stop the rows: the error is returned, to be raised when the rows have gone through.
    """
    stream, taken = m.managed.labels, list[BatchRecord]()
    if stream is None:
        return (), None
    check_contract(stream)
    own = replace(m, managed=stream)
    try:
        for source in waiting_batches(stream, m.engine, m.as_of):
            record = take_in(own, source)
            write_label_page(stream, record)
            taken.append(own.write_batch(record.model_copy(update={"completed": True})))
    except SourceError as error:
        return tuple(taken), error
    return tuple(taken), None


def take_in(m: Mandate, source: SourceBatch) -> BatchRecord:
    """Ingest and validate a batch, and write it down; the same content keeps what is known of it."""
    snapshot = ingest(m.managed, source)
    last = known = m.batches().get(source.batch.id)
    if known is not None and known.snapshot.sha256 != snapshot.sha256:
        known = None
    if known is not None and known.spec_sha256 == m.managed.sha256:
        verdict = known.verdict
    else:
        verdict = validate(m.managed, snapshot)
    if known is not None and (known.accepted or verdict.refused):
        # What was said of it then is history; only a batch that is let in at last begins anew.
        again = {"fingerprint": source.fingerprint, "spec_sha256": m.managed.sha256, "verdict": verdict}
        return m.write_batch(known.model_copy(update=again))
    where = "" if verdict.outcome == "accept" else f" {snapshot.source}:"
    get_run_logger().info(
        "%s %s:%s %s: %s", m.managed.name, source.batch.id, where, verdict.outcome, verdict.reason
    )
    record = BatchRecord(
        model=m.managed.name,
        batch=source.batch,
        revision=0,
        snapshot=snapshot,
        verdict=verdict,
        fingerprint=source.fingerprint,
        spec_sha256=m.managed.sha256,
        as_of=m.as_of,
    )
    if last is not None and relabelled(m.managed, last, record):
        # Whoever predicted these rows is judged by their labels, not whoever reigns when they come.
        kept = ("as_of", "drift", "estimate", "predictions", "mlflow_run", "completed")
        record = record.model_copy(update={name: getattr(last, name) for name in kept})
    return m.write_batch(record)


def observe(m: Mandate, record: BatchRecord, champion: LoadedModel) -> BatchRecord:
    """Score the batch by the champion, and measure its drift.

    Raises ContractBrokenError when the champion's inputs no longer mean what they meant in its training.
    """
    if record.predictions is not None:  # served by a run that went no further: what was served stays
        champion = m.served(record.predictions)
    _check_usable(m, record, champion)
    frame = m.features([record])
    predicted, predictions = score(m.managed, champion, frame)
    mature = record.batch.id not in m.waits()
    drift = measure_drift(m.managed, champion, frame, predicted, mature=mature)
    page = m.managed.settings.reports / m.managed.name / record.batch.id / "evidently.html"
    draw_evidently(m.managed, champion, frame, drift, page, m.fence)
    seen = {"drift": drift, "predictions": predictions, "estimate": estimated(m, record, champion, frame)}
    return m.write_batch(record.model_copy(update=seen))


def _check_usable(m: Mandate, record: BatchRecord, champion: LoadedModel) -> None:
    if broken := m.contract_broken(champion):
        raise ContractBrokenError(
            f"{m.managed.name} {record.batch.id}: the champion cannot be used: {broken}; put the contract back, or train "
            f"under the new one with 'kingmaker retrain {m.managed.name}' and crown it with 'kingmaker promote "
            f"{m.managed.name} --version N'"
        )


def decide(m: Mandate, record: BatchRecord, champion: LoadedModel | None) -> LedgerEntry:
    """Answer the batch: the watch comes first, then who waits in shadow, then the retrain policy."""
    spec, batch = m.managed.spec, record.batch.id
    if not record.accepted:
        refusal = Refusal(model=record.model, batch=batch, revision=record.revision, verdict=record.verdict)
        return m.decide(batch, Hold(reason=f"the batch is refused: {record.verdict.reason}"), refusal)
    if champion is not None and (shadow := watch_evidence(m, record, champion)) is not None:
        watched = m.rule(WatchRule(settings=spec.watch), batch, shadow)
        if isinstance(watched.decision, RollBack):
            freeze_if_due(m, record)
            return watched
    evidence = policy_evidence(m, record, champion)
    if frozen := freeze_if_due(m, record):
        look = f"'kingmaker thaw {record.model}' when you have looked"
        return m.decide(batch, Hold(reason=f"frozen since batch {frozen.batch}: {look}"), evidence)
    if champion is not None:
        judge_shadows(m, record, champion)
    return m.rule(PolicyRule(settings=spec.retrain, first=spec.training.first), batch, evidence)


def freeze_if_due(m: Mandate, record: BatchRecord) -> LedgerEntry | None:
    """Return the decision that froze the model: an earlier one, or one made now because of the rollbacks of late."""
    if frozen := m.frozen():
        return frozen
    rule, evidence = FreezeRule(settings=m.managed.spec.watch), freeze_evidence(m, record)
    return m.rule(rule, record.batch.id, evidence) if isinstance(rule.decide(evidence), Freeze) else None


def judge_shadows(m: Mandate, record: BatchRecord, champion: LoadedModel) -> None:
    """Judge again, with this batch's rows, each challenger that had too few rows to be judged by."""
    gate = GateRule(settings=m.managed.spec.gate, approval_required=m.approval_required())
    for evidence in shadow_evidence(m, record, champion):
        entry = m.rule(gate, record.batch.id, evidence)
        if isinstance(entry.decision, Promote):
            m.carry_out(entry)
            break
