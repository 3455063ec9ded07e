"""What people are to be told of models, kept until it is known that it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from tasks.ledger.tables import messages
from tasks.records import Record


class Message(Record):
    """Something to be told once."""

    id: str
    """A UUID that follows from what it tells, so that what is found twice is told once."""
    model: str
    event: str
    """Of which kind it is, such as ``kingmaker.promoted``."""
    payload: Mapping[str, str]
    tries: int = 0
    """How often it was sent again."""


class Messages:
    """The messages about all models of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(
        self,
        message: Message,
        now: datetime,
        quiet: timedelta | None = None,
        *,
        later: bool = True,
    ) -> bool:
        """Write a message down, and return whether it is to be told: not one that is known, nor
        one of whose kind another was told about the model within the ``quiet`` time. Unless it may
        be told ``later``, it counts as sent.
        """
        now = now.astimezone(UTC)  # SQLite keeps no zone
        same = (messages.c.model == message.model, messages.c.event == message.event)
        try:
            with self._engine.begin() as connection:
                if quiet is not None:
                    recent = select(func.count()).where(*same, messages.c.recorded_at > now - quiet)
                    if connection.execute(recent).scalar_one():
                        return False
                moments = {"recorded_at": now, "tried_at": now}
                connection.execute(
                    insert(messages).values(**message.model_dump(), **moments, sent=not later)
                )
        except IntegrityError:
            return False
        return True

    def unsent(self, since: datetime, until: datetime) -> tuple[Message, ...]:
        """Return what was written down ``since`` a moment, was last sent before another, and is not
        known to have left, oldest first.
        """
        columns = [messages.c[name] for name in Message.model_fields]
        wanted = (
            select(*columns)
            .where(
                ~messages.c.sent,
                messages.c.recorded_at >= since.astimezone(UTC),
                messages.c.tried_at <= until.astimezone(UTC),
            )
            .order_by(messages.c.recorded_at, messages.c.id)
        )
        with self._engine.connect() as connection:
            return tuple(Message(**row._mapping) for row in connection.execute(wanted))  # noqa: SLF001 - SQLAlchemy's public name

    def again(self, message: Message, now: datetime) -> Message | None:
        """Count one more try to send a message, and return it; None when another has tried it
        since it was read.
        """
        tried = (
            update(messages)
            .where(messages.c.id == message.id, messages.c.tries == message.tries)
            .values(tries=message.tries + 1, tried_at=now.astimezone(UTC))
        )
        with self._engine.begin() as connection:
            counted = connection.execute(tried).rowcount
        return message.but(tries=message.tries + 1) if counted else None

    def sent(self, message: Message) -> None:
        """Say that a message was sent, or that nobody is to be told."""
        over = update(messages).where(messages.c.id == message.id).values(sent=True)
        with self._engine.begin() as connection:
            connection.execute(over)
