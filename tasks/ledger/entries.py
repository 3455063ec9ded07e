"""What is written in the ledger, and what can be read from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from tasks.errors import MisuseError
from tasks.ledger.lease import Lease, check_lease
from tasks.ledger.tables import batches, decisions, trainings
from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Cohort,
    Decision,
    LedgerEntry,
    Promote,
    Recalibrate,
    Record,
    Reject,
    Shadow,
    StreamName,
    TrainedModel,
)


class NoDecisionError(MisuseError, LookupError):
    """The ledger has no decision with that number."""


_DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)
_EVIDENCE = TypeAdapter(dict[str, Any], config=ConfigDict(ser_json_inf_nan="strings"))

_CHANGES_CHAMPION = ("Promote", "RollBack")
_JOURNALLED = (*_CHANGES_CHAMPION, "Retrain")


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
        record = record.model_copy(update={"revision": revision})
        values = {
            "fingerprint": record.fingerprint,
            "verdict": record.verdict.outcome,
            "completed": record.completed,
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
        return {row.batch: BatchRecord.model_validate(row.record) for row in rows}


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
        "predicted": record[("predictions", "version")],
        "judged": record[("performances", 0, "version")],
        "labelled": record["labelled"],
        "unknown": record["unknown"],
    }
    with engine.connect() as connection:
        rows = connection.execute(
            select(batches.c.batch, batches.c.verdict, *found.values())
            .where(batches.c.model == model, batches.c.stream == stream)
            .order_by(batches.c.batch, batches.c.revision)
        ).all()
    return {row[0]: _cohort(row[1], dict(zip(found, row[2:], strict=True))) for row in rows}


def _cohort(outcome: str, found: dict[str, Any]) -> Cohort:
    return Cohort.model_validate(
        found
        | {
            "accepted": outcome != "refuse",
            "predicted": found["predicted"] is not None,
            "judged": found["judged"] is not None,
        }
    )


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


def record_training(engine: Engine, held: Lease, trained: TrainedModel, batch: str) -> None:
    """Write down what a registered version is, and which rows it was trained on."""
    with engine.begin() as connection:
        check_lease(connection, held)
        _insert_training(connection, trained, batch)


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
    return TrainedModel.model_validate(row.record)


def contract_texts(engine: Engine, model: str) -> dict[str, str]:
    """Return contract version -> its text, as the newest training under it kept it."""
    with engine.connect() as connection:
        found = connection.execute(
            select(trainings.c.record)
            .where(trainings.c.model == model)
            .order_by(trainings.c.version)
        ).scalars()
        return {one["contract_version"]: one.get("contract_text", "") for one in found}


def known_versions(engine: Engine, model: str) -> tuple[int, ...]:
    """Return the versions that the ledger names, oldest first; another that the registry holds is
    an orphan.
    """
    with engine.connect() as connection:
        found = (
            select(trainings.c.version)
            .where(trainings.c.model == model)
            .order_by(trainings.c.version)
        )
        return tuple(connection.execute(found).scalars())


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
    evidence: Record | Mapping[str, Any],
    *,
    rule: Mapping[str, Any] | None = None,
    as_of: datetime,
    flow_run: str = "",
    decided_by: str = "kingmaker",
    training: TrainedModel | None = None,
) -> LedgerEntry:
    """Write a decision down with its evidence, and the rule that judged it under the key ``rule``;
    return the entry.

    The ``training`` that is judged becomes known with its judgement, in one transaction: a run that
    died between them would leave a version that counts as trained and that nobody ever judges.

    Promotions, rollbacks and retrains, but for dry runs, are journalled: they are effective only
    when ``mark_effective`` says so. All others are effective at once. Raises LeaseLostError when
    the lease has passed to another run.
    """
    document = _document(evidence) | ({} if rule is None else {"rule": dict(rule)})
    now = datetime.now(UTC)
    journalled = decision.kind in _JOURNALLED and not getattr(decision, "dry_run", False)
    values = {
        "model": held.model,
        "batch": batch,
        "kind": decision.kind,
        "decision": _document(decision),
        "evidence": document,
        "evidence_sha256": evidence_sha256(document),
        "as_of": as_of.astimezone(UTC),
        "recorded_at": now,
        "effective_at": None if journalled else now,
        "flow_run": flow_run,
        "decided_by": decided_by,
        "token": held.token,
    }
    with engine.begin() as connection:
        check_lease(connection, held)
        if training is not None:
            _insert_training(connection, training, batch)
        identity = connection.execute(insert(decisions).values(**values)).inserted_primary_key
    return decision_numbered(engine, int(identity[0]))  # type: ignore[index]  # an insert has a primary key


def evidence_sha256(document: Mapping[str, Any]) -> str:
    """Hex digest of the evidence, the rule in it included, as the ledger keeps it."""
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


def history(engine: Engine, model: str) -> tuple[LedgerEntry, ...]:
    """Return every decision about the model, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(decisions).where(decisions.c.model == model).order_by(decisions.c.id)
        ).all()
    return tuple(_entry(row) for row in rows)


def champion_changes(entries: tuple[LedgerEntry, ...]) -> tuple[LedgerEntry, ...]:
    """Return the decisions that changed who is champion and took effect, oldest first."""
    return tuple(e for e in entries if e.decision.kind in _CHANGES_CHAMPION and e.effective_at)


def any_unfinished(engine: Engine, model: str) -> bool:
    """Whether a decision about the model was journalled and has not taken effect."""
    with engine.connect() as connection:
        waiting = select(func.count()).where(
            decisions.c.model == model, decisions.c.effective_at.is_(None)
        )
        return connection.execute(waiting).scalar_one() > 0


def unfinished(entries: tuple[LedgerEntry, ...]) -> tuple[LedgerEntry, ...]:
    """Return the decisions that were journalled and have not taken effect, oldest first."""
    return tuple(e for e in entries if e.effective_at is None)


def attempts_since_promotion(entries: tuple[LedgerEntry, ...]) -> int:
    """Return how many changes of recipe were judged since one was promoted, or since the first
    champion.

    A version that is judged again, with more rows, is the same attempt. A refresh or a rollback
    between them starts nothing anew: counted from the last refresh, every attempt would be the
    first, and twenty attempts of an equal recipe would promote it nearly half of the time.
    """
    by_id = {entry.id: entry for entry in entries}
    judged = set[int]()
    for entry in reversed(entries):
        rests_on = entry.evidence.get(
            "rests_on"
        )  # a person's promotion rests on an earlier judgement
        basis = entry if rests_on is None else by_id.get(rests_on, entry)
        if entry.decision.kind == "Promote" and basis.evidence.get("kind") != "refresh":
            break
        if entry.evidence.get("kind") == "change of recipe":
            judged.add(entry.evidence["challenger"])
    return len(judged)


def frozen(entries: tuple[LedgerEntry, ...]) -> LedgerEntry | None:
    """Return the decision that froze the model; None when it is not frozen, or was thawed since."""
    last = next((e for e in reversed(entries) if e.decision.kind in ("Freeze", "Thaw")), None)
    return last if last is not None and last.decision.kind == "Freeze" else None


def in_shadow(entries: tuple[LedgerEntry, ...]) -> tuple[LedgerEntry, ...]:
    """Return the newest judgement of each challenger that goes on in shadow, oldest first.

    One promoted change of recipe ends the wait of all that were judged before it: they challenged
    another champion.
    """
    newest: dict[int, LedgerEntry] = {}
    for entry in entries:
        match entry.decision:
            case Promote() if entry.evidence.get("kind") == "change of recipe":
                newest.clear()
            case Shadow() | Reject() | Promote() | AwaitApproval():
                newest[entry.decision.version] = entry
    return tuple(
        e for e in sorted(newest.values(), key=lambda e: e.id) if isinstance(e.decision, Shadow)
    )


def adjustments(entries: tuple[LedgerEntry, ...], version: int) -> tuple[LedgerEntry, ...]:
    """Return the refreshes of weights and recalibration of a version, oldest first."""
    return tuple(
        e for e in entries if isinstance(e.decision, Recalibrate) and e.decision.version == version
    )


def rollbacks_since_thaw(entries: tuple[LedgerEntry, ...]) -> tuple[str, ...]:
    """Return the batches at which Kingmaker itself rolled back since the model was last thawed,
    oldest first.
    """
    thawed = max((e.id for e in entries if e.decision.kind == "Thaw"), default=0)
    return tuple(
        e.batch
        for e in entries
        if e.decision.kind == "RollBack" and e.decided_by == "kingmaker" and e.id > thawed
    )


def _document(record: Record | Mapping[str, Any]) -> dict[str, Any]:
    """The record as JSON that every database takes: infinity and NaN, which JSON does not have, as
    strings.
    """
    text = (
        record.model_dump_json()
        if isinstance(record, Record)
        else _EVIDENCE.dump_json(dict(record))
    )
    document: dict[str, Any] = json.loads(text)
    return document


def _entry(row: Row[Any]) -> LedgerEntry:
    def aware(moment: datetime | None) -> datetime | None:
        return (
            moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
        )

    return LedgerEntry.model_validate(
        {
            "id": row.id,
            "model": row.model,
            "batch": row.batch,
            "decision": _DECISION.validate_python(row.decision),
            "evidence": row.evidence,
            "evidence_sha256": row.evidence_sha256,
            "as_of": aware(row.as_of),
            "recorded_at": aware(row.recorded_at),
            "effective_at": aware(row.effective_at),
            "flow_run": row.flow_run,
            "decided_by": row.decided_by,
        }
    )
