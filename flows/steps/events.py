"""Decisions as Prefect events, for automations to act on.

They carry names and numbers of versions, and no data values.
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from prefect.events import emit_event

from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Freeze,
    LedgerEntry,
    Promote,
    Record,
    Refusal,
    Reject,
    RollBack,
    Thaw,
)

REQUESTED = "kingmaker.retrain.requested"
"""Emitted by anyone; the automation that ``kingmaker deploy`` makes answers by a run of
``retrain``.
"""

DECIDED: dict[type[Record], str] = {
    Promote: "kingmaker.promoted",
    Reject: "kingmaker.rejected",
    AwaitApproval: "kingmaker.approval.awaited",
    RollBack: "kingmaker.rolled-back",
    Freeze: "kingmaker.frozen",
    Thaw: "kingmaker.thawed",
}
REFUSED = "kingmaker.batch.refused"
SKEWED = "kingmaker.skew.found"


def resource(model: str) -> dict[str, str]:
    """Return the resource that all events about a model concern."""
    return {"prefect.resource.id": f"kingmaker.model.{model}", "prefect.resource.name": model}


def announce(entry: LedgerEntry) -> None:
    """Emit the event of a decision that took effect; a Hold or a Retrain is nothing to tell, unless
    a batch is refused.

    The reason stays in the ledger: it may name a slice, which is a value of the data. The id
    follows from the entry, so that a decision which is carried out twice, after a crash, is told
    once.
    """
    match entry.evidence:
        case Refusal():
            event = REFUSED
        case _:
            event = DECIDED.get(type(entry.decision), "")
    if not event:
        return
    emit_event(
        event=event,
        resource=resource(entry.model),
        payload={
            "model": entry.model,
            "batch": entry.batch,
            "decision": entry.decision.kind,
            "version": "" if entry.version is None else f"version {entry.version}",
            "by": entry.decided_by,
        },
        id=uuid5(
            NAMESPACE_OID, f"{entry.id} {entry.recorded_at.isoformat()} {entry.evidence_sha256}"
        ),
    )


def announce_skew(record: BatchRecord) -> None:
    """Emit the event that rows were served by other features than their batch has now; it is told
    once, however often the batch is looked at.
    """
    emit_event(
        event=SKEWED,
        resource=resource(record.model),
        payload={"model": record.model, "batch": record.batch.id},
        id=uuid5(NAMESPACE_OID, f"{record.name} {record.snapshot.sha256} skew"),
    )


def request_retrain(model: str, reason: str) -> None:
    """Emit the event that asks for a retrain of ``model``."""
    emit_event(
        event=REQUESTED, resource=resource(model), payload={"model": model, "reason": reason}
    )
