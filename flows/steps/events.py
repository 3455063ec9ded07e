"""What people are told, as Prefect events for automations to act on.

They carry names and numbers of versions, and no data values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, UUID, uuid5

from prefect.events import emit_event

from flows.steps.names import OURS, TELL
from tasks.ledger.messages import Message, Messages
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

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

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
UNUSUAL = "kingmaker.drift.unusual"
MISSING = "kingmaker.batch.missing"
UNLABELLED = "kingmaker.labels.overdue"
BEHIND = "kingmaker.sink.behind"
TOLD = (*DECIDED.values(), REFUSED, SKEWED, UNUSUAL, MISSING, UNLABELLED, BEHIND)
"""What people are told of."""

QUIET = timedelta(days=1)
"""How long after one of UNUSUAL, MISSING, UNLABELLED or BEHIND no other of its kind is told of a
model.
"""
UNDER_WAY = timedelta(minutes=5)
"""How long a message may be on its way before it is looked for."""
KEPT = timedelta(days=7)
"""How long it is tried to send a message: so long Prefect's server keeps events."""


def resource(model: str) -> dict[str, str]:
    """Return the resource that all events about a model concern."""
    return {"prefect.resource.id": f"kingmaker.model.{model}", "prefect.resource.name": model}


def message(model: str, event: str, what: str, **payload: str) -> Message:
    """Return a message about a model; of equal ``what`` the first alone is told."""
    return Message(
        id=str(uuid5(NAMESPACE_OID, f"{model} {event} {what}")),
        model=model,
        event=event,
        payload={"model": model} | payload,
    )


def tell(
    messages: Messages,
    told: Message,
    quiet: timedelta | None = None,
    as_of: datetime | None = None,
) -> bool:
    """Tell people something, and return whether they were told: not what they have been told of,
    nor within the ``quiet`` time of its kind.

    What was found ``as_of`` a moment long ago, by a replay, is told now or not at all.
    """
    now = datetime.now(UTC)
    if not messages.keep(told, now, quiet, later=as_of is None or now - as_of < KEPT):
        return False
    _emit(told)
    return True


def announce(messages: Messages, entry: LedgerEntry, within: timedelta | None = None) -> None:
    """Tell of a decision that took effect; a Hold or a Retrain is nothing to tell, unless a batch
    is refused. ``within`` is how long a request for approval waits.

    The reason stays in the ledger: it may name a slice, which is a value of the data.
    """
    match entry.evidence:
        case Refusal():
            event = REFUSED
        case _:
            event = DECIDED.get(type(entry.decision), "")
    if not event:
        return
    told = message(
        entry.model,
        event,
        f"{entry.id} {entry.recorded_at.isoformat()} {entry.evidence_sha256}",
        batch=entry.batch,
        decision=entry.decision.kind,
        version="" if entry.version is None else f"version {entry.version}",
        by=entry.decided_by,
        number=str(entry.id),
        todo=_todo(entry, within),
    )
    tell(messages, told, as_of=entry.as_of)


def announce_missed(
    messages: Messages, entries: Iterable[LedgerEntry], now: datetime, within: timedelta
) -> None:
    """Tell of decisions of the last week that were not told of, since the run died that made
    them.
    """
    for entry in entries:
        if entry.effective_at is not None and UNDER_WAY < now - entry.recorded_at < KEPT:
            announce(messages, entry, within)


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


def announce_skew(messages: Messages, record: BatchRecord) -> None:
    """Tell that rows were served by other features than their batch has now."""
    told = message(
        record.model,
        SKEWED,
        f"{record.batch.id} {record.snapshot.sha256}",
        batch=record.batch.id,
        decision="Rows were served by other features than they have now",
        todo="Soon: predictions may have been wrong; the batch's report names the features.",
    )
    tell(messages, told, as_of=record.as_of)


def announce_drift(messages: Messages, record: BatchRecord) -> None:
    """Tell of features that did in a batch what they have never done by themselves, if any."""
    inputs = () if record.drift is None else record.drift.inputs
    unusual = sum(one.outcome == "unusual" for one in inputs)
    if not unusual:
        return
    told = message(
        record.model,
        UNUSUAL,
        f"{record.batch.id} {record.snapshot.sha256}",
        batch=record.batch.id,
        decision=f"{unusual} of {len(inputs)} features are unusual",
        todo=(
            "When there is time: the batch's report says which, and what it is expected to do to"
            " the champion."
        ),
    )
    tell(messages, told, QUIET, record.as_of)


async def send_again(client: PrefectClient, messages: Messages, now: datetime) -> tuple[str, ...]:
    """Send what was not sent, for a week, and return a sentence for each: the server was not up,
    or ended before the message had left, or the address did not answer.

    Where nobody is to be told, nothing is kept for later.
    """
    waiting = messages.unsent(now - KEPT, now - UNDER_WAY)
    if not waiting:
        return ()
    said, wanted = [], await client.read_automations_by_name(OURS + TELL)
    for one in waiting:
        if not wanted or await _left(client, one):
            messages.sent(one)
            continue
        if (again := messages.again(one, now)) is not None:
            _emit(again)
            said.append(f"told again, which had not been sent: {one.event} of {one.model}")
    return tuple(said)


async def _left(client: PrefectClient, told: Message) -> bool:
    """Whether the server says that it has sent the message."""
    events = [f"prefect.event.{_id(told.but(tries=n))}" for n in range(told.tries + 1)]
    answer = await client.request(
        "POST",
        "/events/filter",
        json={
            "filter": {
                "event": {"name": ["prefect.automation.action.executed"]},
                "related": {"id": events},
            },
            "limit": 1,
        },
    )
    return bool(answer.json()["events"])


def _id(told: Message) -> UUID:
    """Return the id of the event of this try: an event that the server knows makes no other
    message.
    """
    return uuid5(UUID(told.id), str(told.tries)) if told.tries else UUID(told.id)


def _emit(told: Message) -> None:
    payload: Mapping[str, str] = told.payload
    emit_event(event=told.event, resource=resource(told.model), payload=dict(payload), id=_id(told))


def request_retrain(model: str, reason: str) -> None:
    """Emit the event that asks for a retrain of ``model``."""
    emit_event(
        event=REQUESTED, resource=resource(model), payload={"model": model, "reason": reason}
    )
