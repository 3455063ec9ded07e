"""What of a model waits for a person, told by its ledger: the same for command, console and
messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from tasks.history import History
from tasks.records import KnownBatch, Record


class Need(Record):
    """Something that waits for a person."""

    what: str
    decision: int | None = None
    """The ledger's number of the decision that it is about."""
    run: str = ""
    """Prefect's id of the run that it is about; empty for none."""
    until: datetime | None = None
    """When it is decided without a person; None when it waits for ever."""

    def __str__(self) -> str:
        """Say it in one sentence, with its deadline."""
        return self.what + (f", until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else "")


def needs(
    newest: KnownBatch | None, history: History, within: timedelta | None = None
) -> Iterator[Need]:
    """Yield what waits for a person, the most pressing first.

    ``newest`` is the newest batch of rows; ``within`` is how long a request for approval waits,
    where that is known.
    """
    if (frozen := history.frozen) is not None:
        yield Need(
            what=f"frozen since batch {frozen.batch}: {frozen.decision.reason}", decision=frozen.id
        )
    for asked in history.awaiting_approval:
        yield Need(
            what=f"version {asked.decision.version} waits for approval since batch {asked.batch}",
            decision=asked.id,
            until=None if within is None else asked.recorded_at + within,
        )
    if newest is not None and newest.figures.refused:
        yield Need(what=f"batch {newest.batch} was refused: {newest.figures.refused}")
    elif newest is not None and not newest.completed:
        yield Need(what=f"batch {newest.batch} was begun, and its run has not come to its end")
    for entry in history.unfinished:
        yield Need(what=f"{entry.title} was decided and has not taken effect", decision=entry.id)
