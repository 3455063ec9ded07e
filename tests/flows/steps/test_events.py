"""What people are told: of which decisions, once, and that nothing of the data is in it; and that
what was not sent is sent later.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from flows.steps import events as announcing
from flows.steps.events import (
    DECIDED,
    KEPT,
    QUIET,
    UNUSUAL,
    announce,
    announce_drift,
    announce_missed,
    message,
    send_again,
)
from tasks.ledger.messages import Messages
from tasks.ledger.tables import open_ledger
from tasks.records import (
    AwaitApproval,
    BatchRecord,
    DriftSummary,
    FeatureDrift,
    Freeze,
    Histogram,
    Hold,
    LedgerEntry,
    Promote,
    Refusal,
    Reject,
    Retrain,
    RollBack,
    Verdict,
)
from tests.tasks.builders import batch_record, manual_evidence

VALUE = "slice carrier = UA is 12% worse"


def entry_of(decision, evidence=None) -> LedgerEntry:
    """An entry whose reason names a value of the data, written down just now."""
    moment = datetime.now(UTC)
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
def messages(tmp_path) -> Messages:
    """Those of an empty ledger."""
    return Messages(open_ledger(f"sqlite:///{tmp_path}/ledger.db"))


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
def test_what_changes_or_keeps_the_champion_is_told_without_its_reason(told, messages, decision):
    """Name, model, batch, version and who decided; the reason may hold a value, and stays in the
    ledger.
    """
    announce(messages, entry_of(decision))

    (event,) = told
    assert event["event"] == DECIDED[type(decision)]
    assert event["payload"]["version"] == f"version {decision.version}"
    assert event["payload"]["by"] == "ada"
    assert "UA" not in str(event)


def test_a_message_says_how_urgent_it_is_until_when_and_what_to_do(told, messages):
    """In words; a wish for approval has a deadline."""
    asked = entry_of(AwaitApproval(reason=VALUE, version=2, previous=1))

    announce(messages, asked, timedelta(days=7))
    announce(messages, entry_of(Freeze(reason=VALUE)).but(id=8))

    assert told[0]["payload"]["todo"] == (
        f"To be answered until {asked.recorded_at + timedelta(days=7):%Y-%m-%d %H:%M} UTC: approve"
        " or refuse it; then it counts as refused."
    )
    assert told[0]["payload"]["number"] == "7", "by which the console's page is found"
    assert told[1]["payload"]["todo"].startswith("Soon: ")


def test_a_refused_batch_is_told_and_a_quiet_one_is_not(told, messages):
    """A Hold is news only when a batch was refused."""
    announce(messages, entry_of(Hold(reason="nothing to do")))
    announce(messages, entry_of(Retrain(reason="the clock")))
    assert told == []

    verdict = Verdict(outcome="refuse", reason=VALUE, rows=1, quarantined=0, rules=())
    refusal = Refusal(model="weather", batch="2013-05", revision=1, verdict=verdict)
    announce(messages, entry_of(Hold(reason=VALUE), refusal))
    assert told[0]["event"] == "kingmaker.batch.refused"


def test_the_same_decision_is_told_once(told, messages):
    """Carried out twice, after a crash: what is told follows from the entry."""
    entry = entry_of(Promote(reason="r", version=2, previous=1))

    for _ in range(2):
        announce(messages, entry)

    assert len(told) == 1


def test_a_decision_of_a_run_that_died_before_it_told_is_told(told, messages):
    """Once it is sure that none is about to, and only what took effect in the last week."""
    entry, now = entry_of(Promote(reason="r", version=2, previous=1)), datetime.now(UTC)
    journalled = entry.but(id=8, effective_at=None)
    old = entry.but(id=9, recorded_at=now - timedelta(days=8))

    def look(minutes: int) -> None:
        announce_missed(
            messages, (journalled, old, entry), now + timedelta(minutes=minutes), timedelta(days=7)
        )

    look(1)
    assert told == []
    look(60)
    look(120)

    assert [event["payload"]["number"] for event in told] == ["7"]


def test_what_a_replay_finds_is_told_now_or_not_at_all(told, messages):
    """It is no news: who asks for messages later is not told of a year at once."""
    now = datetime.now(UTC)
    long_ago = entry_of(Promote(reason="r", version=2, previous=1)).but(
        as_of=datetime(2013, 6, 1, tzinfo=UTC)
    )

    announce(messages, long_ago)

    assert len(told) == 1
    assert messages.unsent(now - KEPT, now + timedelta(hours=1)) == ()


def drifted(outcome: str) -> BatchRecord:
    """A batch with two features, one of which is usual or not."""
    features = tuple(
        FeatureDrift(
            feature=name,
            kind="numerical",
            score=0.1,
            threshold=0.2,
            outcome=found,
            missing_before=0,
            missing_after=0,
            importance=None,
            histogram=Histogram(labels=(), before=(), after=()),
        )
        for name, found in (("x", outcome), ("y", "usual"))
    )
    drift = DriftSummary(batch="2020-01", version=1, rows=9, baseline_rows=9, features=features)
    return batch_record(drift=drift)


def test_unusual_drift_is_told_once_a_day(told, messages):
    """Of a model, and another one's is told all the same; where nothing is unusual, nothing is."""
    usual, unusual = drifted("usual"), drifted("unusual")
    later = unusual.but(snapshot=unusual.snapshot.but(sha256="d" * 64))

    announce_drift(messages, usual)
    assert told == []
    for record in (unusual, unusual, later, unusual.but(model="weather")):
        announce_drift(messages, record)

    assert [event["payload"]["model"] for event in told] == ["flights", "weather"]
    assert told[0]["payload"]["decision"] == "1 of 2 features are unusual"
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    assert messages.keep(message("flights", UNUSUAL, "later"), tomorrow, QUIET)


class Server:
    """A Prefect server, as ``send_again`` asks it."""

    def __init__(self, automations=("kingmaker: tell of decisions",)) -> None:
        self.automations, self.executed = automations, set()

    async def read_automations_by_name(self, name):
        """Those of that name."""
        return [one for one in self.automations if one == name]

    async def request(self, method, path, json):
        """What it has sent of the events that are asked for."""
        assert (method, path) == ("POST", "/events/filter")
        assert json["filter"]["event"] == {"name": ["prefect.automation.action.executed"]}
        found = [id for id in json["filter"]["related"]["id"] if id in self.executed]
        return SimpleNamespace(json=lambda: {"events": found})


def test_what_was_not_sent_is_sent_later_until_the_server_has(told, messages):
    """As another event, which the server has not seen; what it has sent is left alone."""
    server, now = Server(), datetime.now(UTC)
    announce(messages, entry_of(Promote(reason="r", version=2, previous=1)))

    def again(minutes: int) -> tuple[str, ...]:
        return asyncio.run(send_again(server, messages, now + timedelta(minutes=minutes)))

    assert again(1) == (), "it is on its way"
    assert again(60) == ("told again, which had not been sent: kingmaker.promoted of weather",)
    assert len(again(120)) == 1
    server.executed.add(f"prefect.event.{told[1]['id']}")
    assert again(180) == ()
    server.executed.clear()
    assert again(240) == (), "it was sent, whatever the server keeps of it"
    assert len({event["id"] for event in told}) == len(told) == 3
    assert {str(event["payload"]) for event in told} == {str(told[0]["payload"])}


def test_nothing_is_kept_where_nobody_is_told(told, messages):
    """Who makes a block later is not told of last week; nor is anything tried for ever."""
    now = datetime.now(UTC)
    announce(messages, entry_of(Promote(reason="r", version=2, previous=1)))
    asyncio.run(send_again(Server(()), messages, now + timedelta(hours=1)))
    announce(messages, entry_of(Promote(reason="r", version=3, previous=2)).but(id=8))

    assert asyncio.run(send_again(Server(), messages, now + KEPT + timedelta(hours=1))) == ()
    assert asyncio.run(send_again(Server(), messages, now + timedelta(hours=2))) != ()
    assert [event["payload"]["number"] for event in told] == ["7", "8", "8"]
