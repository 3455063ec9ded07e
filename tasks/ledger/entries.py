"""What is written in the ledger, and what can be read from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from tasks.configuration import Config
from tasks.errors import KingmakerError, MisuseError
from tasks.history import History
from tasks.ledger.lease import Lease, check_lease
from tasks.ledger.tables import as_record, batches, decisions, first_fault, trainings
from tasks.records import (
    AnyEvidence,
    BatchRecord,
    Cohort,
    Decision,
    Errors,
    Evidence,
    LedgerEntry,
    Past,
    Promote,
    Recalibrate,
    Record,
    Retrain,
    Revision,
    RollBack,
    Rule,
    Snapshot,
    StreamName,
    TrainedModel,
    joined_stream,
)


class NoDecisionError(MisuseError, LookupError):
    """The ledger has no decision with that number."""


class UnreadableDecisionError(KingmakerError):
    """What the ledger holds of a decision is no record of ours any more."""


# --- batches --------------------------------------------------------------------------------------


def record_batch(engine: Engine, held: Lease, record: BatchRecord) -> BatchRecord:
    """Write the batch down and return it with its revision.

    The same snapshot again keeps its revision and is brought up to date; other content becomes a
    new revision.
    """
    with engine.begin() as connection:
        check_lease(connection, held)
        last = connection.execute(
            select(batches)
            .where(
                batches.c.model == record.model,
                batches.c.stream == record.stream,
                batches.c.batch == record.batch.id,
            )
            .order_by(batches.c.revision.desc())
            .limit(1)
        ).one_or_none()
        same = last is not None and last.record["snapshot"]["sha256"] == record.snapshot.sha256
        revision = 1 if last is None else last.revision + (not same)
        record = record.numbered(revision)
        values = {
            "fingerprint": record.fingerprint,
            "verdict": record.verdict.outcome,
            "completed": record.completed,
            "figures": _document(record.figures),
            "record": _document(record),
        }
        if last is not None and same:
            connection.execute(update(batches).where(batches.c.id == last.id).values(**values))
        else:
            connection.execute(
                insert(batches).values(
                    model=record.model,
                    stream=record.stream,
                    batch=record.batch.id,
                    revision=revision,
                    **values,
                )
            )
    return record


def known_batches(
    engine: Engine, model: str, stream: StreamName = "rows"
) -> dict[str, BatchRecord]:
    """Return batch id -> newest revision, in the order of the ids."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(batches.c.batch, batches.c.record)
            .where(batches.c.model == model, batches.c.stream == stream)
            .order_by(batches.c.batch, batches.c.revision)
        )
        return {row.batch: as_record(BatchRecord, row.record) for row in rows}


def revisions(
    engine: Engine, model: str, stream: StreamName = "rows"
) -> dict[tuple[str, int], Revision]:
    """Return batch id and number of the revision -> every content that the batches have had, in
    their order; the rest of a record is not read.
    """
    record = batches.c.record
    with engine.connect() as connection:
        rows = connection.execute(
            select(
                batches.c.batch,
                batches.c.revision,
                batches.c.verdict,
                record["snapshot"],
                record[("verdict", "quarantine")],
                record["revised_at"],
            )
            .where(batches.c.model == model, batches.c.stream == stream)
            .order_by(batches.c.batch, batches.c.revision)
        ).all()
    return {
        (batch, revision): Revision(
            snapshot=as_record(Snapshot, snapshot),
            accepted=verdict != "refuse",
            quarantine=quarantine,
            revised_at=revised_at,
        )
        for batch, revision, verdict, snapshot, quarantine, revised_at in rows
    }


def past(engine: Engine, model: str, as_of: datetime, joined: Iterable[str]) -> Past:
    """Return what features of closed batches may look back on: all that was taken in, of the
    ``joined`` contracts, too.
    """
    return Past(
        as_of,
        rows=tuple(revisions(engine, model).values()),
        labels=tuple(revisions(engine, model, "labels").values()),
        joined={
            name: tuple(revisions(engine, model, joined_stream(name)).values()) for name in joined
        },
    )


def cohorts(engine: Engine, model: str, stream: StreamName = "rows") -> dict[str, Cohort]:
    """Return batch id -> what says whether its labels may be used, of the newest revisions, in the
    order of the ids.

    The rest of a record, such as its histograms, is not read: an idle run asks this, too.
    """
    record = batches.c.record
    found = {
        "batch": record["batch"],
        "snapshot": record[("snapshot", "sha256")],
        "verdict": record[("verdict", "reason")],
        "labelled": record["labelled"],
        "unknown": record["unknown"],
    }
    with engine.connect() as connection:
        rows = connection.execute(
            select(batches.c.batch, batches.c.verdict, *found.values())
            .where(batches.c.model == model, batches.c.stream == stream)
            .order_by(batches.c.batch, batches.c.revision)
        ).all()
    return {
        row[0]: as_record(
            Cohort, dict(zip(found, row[2:], strict=True)) | {"accepted": row[1] != "refuse"}
        )
        for row in rows
    }


def newest_errors(engine: Engine, model: str, version: int, most: int) -> tuple[Errors, ...]:
    """Return the errors of a version on the newest batches that judged it, at most so many, the
    newest first; the rest of their records is not read.
    """
    with engine.connect() as connection:
        rows = connection.execute(
            select(batches.c.batch, batches.c.record["performances"])
            .where(batches.c.model == model, batches.c.stream == "rows")
            .order_by(batches.c.batch.desc(), batches.c.revision.desc())
        )
        newest = dict[str, Errors | None]()
        for batch, performances in rows:
            if batch in newest:
                continue
            own = [one for one in performances or () if one["version"] == version]
            errors = own[0]["errors"] if own else None
            newest[batch] = None if errors is None else as_record(Errors, errors)
            if sum(one is not None for one in newest.values()) == most:
                break
    return tuple(one for one in newest.values() if one is not None)


def finished_fingerprints(
    engine: Engine, model: str, stream: StreamName = "rows"
) -> dict[str, str]:
    """Return batch id -> fingerprint of the source, for the batches whose newest revision was
    monitored to its end.
    """
    with engine.connect() as connection:
        rows = connection.execute(
            select(batches.c.batch, batches.c.fingerprint, batches.c.completed)
            .where(batches.c.model == model, batches.c.stream == stream)
            .order_by(batches.c.batch, batches.c.revision)
        )
        newest = {row.batch: row for row in rows}
    return {id: row.fingerprint for id, row in newest.items() if row.completed}


# --- trainings ------------------------------------------------------------------------------------


def _insert_training(connection: Connection, trained: TrainedModel, batch: str) -> None:
    row = {
        "model": trained.model,
        "version": trained.version,
        "batch": batch,
        "record": _document(trained),
    }
    connection.execute(insert(trainings).values(**row))


def training(engine: Engine, model: str, version: int) -> TrainedModel:
    """Return what the ledger knows of a version; KeyError when it knows nothing."""
    with engine.connect() as connection:
        row = connection.execute(
            select(trainings.c.record).where(
                trainings.c.model == model, trainings.c.version == version
            )
        ).one_or_none()
    if row is None:
        raise KeyError(f"{model}: the ledger has no version {version}")
    return as_record(TrainedModel, row.record)


def trained_versions(engine: Engine, model: str) -> dict[int, tuple[str, TrainedModel]]:
    """Return version -> the batch that it was trained at, and what the ledger knows of it, in the
    order of the versions.
    """
    with engine.connect() as connection:
        rows = connection.execute(
            select(trainings.c.version, trainings.c.batch, trainings.c.record)
            .where(trainings.c.model == model)
            .order_by(trainings.c.version)
        )
        return {row.version: (row.batch, as_record(TrainedModel, row.record)) for row in rows}


def contract_texts(engine: Engine, model: str) -> dict[str, str]:
    """Return contract version -> its text, as the newest training under it kept it."""
    with engine.connect() as connection:
        found = connection.execute(
            select(trainings.c.record)
            .where(trainings.c.model == model)
            .order_by(trainings.c.version)
        ).scalars()
        return {one["contract_version"]: one.get("contract_text", "") for one in found}


def known_runs(engine: Engine, model: str) -> frozenset[str]:
    """Return the MLflow runs that the ledger names: of every training, and of every revision of a
    batch.
    """
    with engine.connect() as connection:
        trained = connection.execute(
            select(trainings.c.record).where(trainings.c.model == model)
        ).scalars()
        seen = connection.execute(
            select(batches.c.record).where(batches.c.model == model)
        ).scalars()
        runs = [record["run_id"] for record in trained] + [record["mlflow_run"] for record in seen]
    return frozenset(filter(None, runs))


def training_batches(engine: Engine, model: str) -> tuple[str, ...]:
    """Return the batches at which versions were trained, oldest first, each once."""
    with engine.connect() as connection:
        found = connection.execute(
            select(trainings.c.batch)
            .where(trainings.c.model == model)
            .distinct()
            .order_by(trainings.c.batch)
        ).scalars()
        return tuple(found)


# --- decisions ------------------------------------------------------------------------------------


def record_decision(
    engine: Engine,
    held: Lease,
    batch: str,
    decision: Decision,
    evidence: AnyEvidence,
    *,
    rule: Rule | None = None,
    as_of: datetime,
    flow_run: str = "",
    decided_by: str = "kingmaker",
    training: TrainedModel | None = None,
) -> LedgerEntry:
    """Write a decision down with its evidence and the rule that made it, and return the entry.

    The ``training`` that is judged becomes known with its judgement, in one transaction: a run that
    died between them would leave a version that counts as trained and is never judged. It counts as
    of the newest batch that judged it, the decision as of ``batch``: with late labels the batches
    between them are still to be learned from.

    Promotions, rollbacks, recalibrations and retrains, but for dry runs, are journalled: they are
    effective only when ``mark_effective`` says so. All others are effective at once. Raises
    LeaseLostError when the lease has passed to another run.
    """
    rested_on, made_by = _document(evidence), None if rule is None else _document(rule)
    now = datetime.now(UTC)
    match decision:
        case Promote() | RollBack() | Recalibrate() | Retrain(dry_run=False):
            effective_at = None
        case _:
            effective_at = now
    values = {
        "model": held.model,
        "batch": batch,
        "kind": decision.kind,
        "decision": _document(decision),
        "evidence": rested_on,
        "rule": made_by,
        "evidence_sha256": _sha256(rested_on, made_by),
        "as_of": as_of.astimezone(UTC),
        "recorded_at": now,
        "effective_at": effective_at,
        "flow_run": flow_run,
        "decided_by": decided_by,
        "token": held.token,
    }
    with engine.begin() as connection:
        check_lease(connection, held)
        if training is not None:
            trained_at = evidence.batch if isinstance(evidence, Evidence) else batch
            _insert_training(connection, training, trained_at)
        identity = connection.execute(insert(decisions).values(**values)).inserted_primary_key
    return decision_numbered(engine, int(identity[0]))  # type: ignore[index]  # an insert has a primary key


def stored_sha256(engine: Engine, identity: int) -> str:
    """Return the digest of a decision's evidence and rule as they stand in the ledger now: another
    than the entry's ``evidence_sha256`` when they were changed.
    """
    with engine.connect() as connection:
        row = connection.execute(
            select(decisions.c.evidence, decisions.c.rule).where(decisions.c.id == identity)
        ).one()
    return _sha256(row.evidence, row.rule)


def _sha256(evidence: dict[str, Any], rule: dict[str, Any] | None) -> str:
    document = {"evidence": evidence, "rule": rule}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def decision_numbered(engine: Engine, identity: int) -> LedgerEntry:
    """Return the decision with the number ``identity``; NoDecisionError when the ledger has
    none.
    """
    with engine.connect() as connection:
        row = connection.execute(select(decisions).where(decisions.c.id == identity)).one_or_none()
        if row is None:
            last = connection.execute(select(func.max(decisions.c.id))).scalar_one()
            raise NoDecisionError(
                f"decision {identity}: expected a number from 1 to {last or 0}; 'kingmaker history"
                " MODEL --all' shows them"
            )
    return _entry(row)


def mark_effective(engine: Engine, held: Lease, entry: LedgerEntry) -> LedgerEntry:
    """Say that a journalled decision has taken effect; saying it twice changes nothing."""
    with engine.begin() as connection:
        check_lease(connection, held)
        connection.execute(
            update(decisions)
            .where(decisions.c.id == entry.id, decisions.c.effective_at.is_(None))
            .values(effective_at=datetime.now(UTC))
        )
    return decision_numbered(engine, entry.id)


def history(engine: Engine, model: str) -> History:
    """Return every decision about the model."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(decisions).where(decisions.c.model == model).order_by(decisions.c.id)
        ).all()
    return History(tuple(_entry(row) for row in rows))


def any_unfinished(engine: Engine, model: str) -> bool:
    """Whether a decision about the model was journalled and has not taken effect."""
    with engine.connect() as connection:
        waiting = select(func.count()).where(
            decisions.c.model == model, decisions.c.effective_at.is_(None)
        )
        return connection.execute(waiting).scalar_one() > 0


def _document(record: Record | Config) -> dict[str, Any]:
    """The record as JSON that every database takes: infinity and NaN, which JSON does not have, as
    strings.
    """
    document: dict[str, Any] = json.loads(record.model_dump_json())
    return document


def _entry(row: Row[Any]) -> LedgerEntry:
    def aware(moment: datetime | None) -> datetime | None:
        return (
            moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
        )

    stored = {
        "id": row.id,
        "model": row.model,
        "batch": row.batch,
        "decision": row.decision,
        "evidence": row.evidence,
        "rule": row.rule,
        "evidence_sha256": row.evidence_sha256,
        "as_of": aware(row.as_of),
        "recorded_at": aware(row.recorded_at),
        "effective_at": aware(row.effective_at),
        "flow_run": row.flow_run,
        "decided_by": row.decided_by,
    }
    try:
        # As JSON: a rule is strict, and only JSON writes its tuples as lists and durations as text.
        return LedgerEntry.model_validate_json(json.dumps(stored, default=datetime.isoformat))
    except ValidationError as error:
        raise UnreadableDecisionError(
            f"decision {row.id} of {row.model}: expected the record as it was written, found that"
            f" it was changed since: {first_fault(error)}"
        ) from error
