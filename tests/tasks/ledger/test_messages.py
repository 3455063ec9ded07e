"""What people are told: each once, not too often, and kept until it was sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from tasks.ledger.messages import Message, Messages

NOW = datetime(2024, 2, 12, 6, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def messages(engine: Engine) -> Messages:
    """Those of an empty ledger."""
    return Messages(engine)


def a_message(**changes: object) -> Message:
    """A message that nothing else is."""
    values = {"id": str(uuid4()), "model": "flights", "event": "kingmaker.promoted", "payload": {}}
    return Message.model_validate(values | changes)


def test_a_message_is_kept_as_it_was_given_until_it_was_sent(messages):
    """With its payload, between two moments in any zone, oldest first."""
    first, second = a_message(payload={"batch": "2024-W06"}), a_message()
    assert messages.keep(second, NOW + HOUR)
    assert messages.keep(first, NOW.astimezone(ZoneInfo("America/New_York")))

    assert messages.unsent(NOW - HOUR, NOW + HOUR) == (first, second)
    assert messages.unsent(NOW, NOW + HOUR / 2) == (first,)
    messages.sent(first)

    assert messages.unsent(NOW - HOUR, NOW + HOUR) == (second,)


def test_a_message_is_kept_once(messages):
    """Also when it was sent long ago."""
    one = a_message()

    assert [messages.keep(one, NOW), messages.keep(one, NOW + DAY)] == [True, False]


def test_of_a_kind_none_is_kept_within_the_quiet_time(messages):
    """Of the same model; another kind, another model, and a day later are told."""
    assert messages.keep(a_message(), NOW, DAY)

    assert not messages.keep(a_message(), NOW + DAY - HOUR, DAY)
    assert messages.keep(a_message(model="weather"), NOW + HOUR, DAY)
    assert messages.keep(a_message(event="kingmaker.frozen"), NOW + HOUR, DAY)
    assert messages.keep(a_message(), NOW + HOUR), "without a quiet time all are"
    assert messages.keep(a_message(), NOW + 2 * DAY, DAY)


def test_what_is_sent_again_has_time_to_leave(messages):
    """Tries are counted, and a message that was just sent again is not looked for."""
    one = a_message()
    messages.keep(one, NOW)

    again = messages.again(one, NOW + HOUR)

    assert again == one.but(tries=1)
    assert messages.unsent(NOW, NOW + HOUR / 2) == ()
    assert messages.unsent(NOW, NOW + HOUR) == (again,)


def test_two_that_look_at_once_send_a_message_once(messages):
    """The second finds that it has been tried since it was read."""
    one = a_message()
    messages.keep(one, NOW)

    assert [messages.again(one, NOW), messages.again(one, NOW)] == [one.but(tries=1), None]


def test_what_may_not_be_told_later_counts_as_sent(messages):
    """And is known all the same."""
    one = a_message()

    assert messages.keep(one, NOW, later=False)

    assert messages.unsent(NOW, NOW) == ()
    assert not messages.keep(one, NOW)
