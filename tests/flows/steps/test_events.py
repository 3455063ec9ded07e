"""Decisions as events: which are told, and that nothing of the data is in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.steps import events as announcing
from flows.steps.events import DECIDED, announce
from tasks.records import (
    AwaitApproval,
    Freeze,
    Hold,
    LedgerEntry,
    Promote,
    Refusal,
    Reject,
    Retrain,
    RollBack,
    Verdict,
)
from tests.tasks.builders import manual_evidence

VALUE = "slice carrier = UA is 12% worse"


def entry_of(decision, evidence=None) -> LedgerEntry:
    """An entry whose reason names a value of the data."""
    moment = datetime(2013, 6, 1, tzinfo=UTC)
    return LedgerEntry(
        id=7,
        model="weather",
        batch="2013-05",
        decision=decision,
        evidence=evidence or manual_evidence(),
        evidence_sha256="ab",
        as_of=moment,
        recorded_at=moment,
        effective_at=moment,
        flow_run="",
        decided_by="ada",
    )


@pytest.fixture
def told(monkeypatch) -> list[dict]:
    """What was emitted."""
    emitted: list[dict] = []
    monkeypatch.setattr(announcing, "emit_event", lambda **event: emitted.append(event))
    return emitted


@pytest.mark.parametrize(
    "decision",
    [
        Promote(reason=VALUE, version=2, previous=1),
        Reject(reason=VALUE, version=2),
        AwaitApproval(reason=VALUE, version=2, previous=1),
        RollBack(reason=VALUE, version=1, previous=2),
    ],
)
def test_what_changes_or_keeps_the_champion_is_told_without_its_reason(told, decision):
    """Name, model, batch, version and who decided; the reason may hold a value, and stays in the
    ledger.
    """
    announce(entry_of(decision))

    (event,) = told
    assert event["event"] == DECIDED[type(decision)]
    assert event["payload"]["version"] == f"version {decision.version}"
    assert event["payload"]["by"] == "ada"
    assert "UA" not in str(event)


def test_a_message_says_how_urgent_it_is_until_when_and_what_to_do(told):
    """In words; a wish for approval has a deadline."""
    asked = AwaitApproval(reason=VALUE, version=2, previous=1)

    announce(entry_of(asked), timedelta(days=7))
    announce(entry_of(Freeze(reason=VALUE)))

    assert told[0]["payload"]["todo"] == (
        "To be answered until 2013-06-08 00:00 UTC: approve or refuse it; then it counts as"
        " refused."
    )
    assert told[0]["payload"]["number"] == "7", "by which the console's page is found"
    assert told[1]["payload"]["todo"].startswith("Soon: ")


def test_a_refused_batch_is_told_and_a_quiet_one_is_not(told):
    """A Hold is news only when a batch was refused."""
    announce(entry_of(Hold(reason="nothing to do")))
    announce(entry_of(Retrain(reason="the clock")))
    assert told == []

    verdict = Verdict(outcome="refuse", reason=VALUE, rows=1, quarantined=0, rules=())
    refusal = Refusal(model="weather", batch="2013-05", revision=1, verdict=verdict)
    announce(entry_of(Hold(reason=VALUE), refusal))
    assert told[0]["event"] == "kingmaker.batch.refused"


def test_the_same_decision_is_the_same_event(told):
    """Carried out twice, after a crash, it is told once: the id follows from the entry."""
    for _ in range(2):
        announce(entry_of(Promote(reason="r", version=2, previous=1)))

    assert told[0]["id"] == told[1]["id"]
