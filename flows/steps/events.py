"""Decisions as Prefect events, for automations to act on.

They carry names and numbers of versions, and no data values.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import NAMESPACE_OID, uuid5

from prefect.events import emit_event

from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Freeze,
    Hold,
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


def announce(entry: LedgerEntry, within: timedelta | None = None) -> None:
    """Emit the event of a decision that took effect; a Hold or a Retrain is nothing to tell, unless
    a batch is refused. ``within`` is how long a request for approval waits.

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
            "number": str(entry.id),
            "todo": _todo(entry, within),
        },
        id=uuid5(
            NAMESPACE_OID, f"{entry.id} {entry.recorded_at.isoformat()} {entry.evidence_sha256}"
        ),
    )


def _todo(entry: LedgerEntry, within: timedelta | None) -> str:
    """How urgent a decision is for a person, until when, and what to do."""
    match entry.decision:
        case AwaitApproval():
            if within is None:
                return "To be answered: approve it or refuse it."
            until = f"{entry.recorded_at + within:%Y-%m-%d %H:%M} UTC"
            return f"To be answered until {until}: approve or refuse it; then it counts as refused."
        case Promote():
            return "For information: the version before it comes back by itself if it was better."
        case RollBack():
            return "Look into it when there is time: the version that was better serves again."
        case Freeze():
            return "Soon: nothing is trained or promoted until a person has looked, and thaws it."
        case Hold():
            return "Soon: nothing was scored on it; the next run takes it when it comes again."
        case _:
            return "For information: there is nothing to do."


def announce_skew(record: BatchRecord) -> None:
    """Emit the event that rows were served by other features than their batch has now; it is told
    once, however often the batch is looked at.
    """
    emit_event(
        event=SKEWED,
        resource=resource(record.model),
        payload={
            "model": record.model,
            "batch": record.batch.id,
            "decision": "Rows were served by other features than they have now",
            "todo": "Soon: predictions may have been wrong; the batch's report names the features.",
        },
        id=uuid5(NAMESPACE_OID, f"{record.name} {record.snapshot.sha256} skew"),
    )


def request_retrain(model: str, reason: str) -> None:
    """Emit the event that asks for a retrain of ``model``."""
    emit_event(
        event=REQUESTED, resource=resource(model), payload={"model": model, "reason": reason}
    )
