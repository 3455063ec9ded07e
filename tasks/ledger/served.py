"""What was served, and what of it was delivered where.

No lease is needed: parts are only added, each under a number of its batch that no other has, so
several runs that score the same rows cannot write the same row down twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from tasks.errors import KingmakerError
from tasks.ledger.tables import deliveries, open_batches, served
from tasks.records import ServedPart

LAKE = "the lake"
"""What the current view in the lake is called in place of a sink's name; no sink of a spec can be
called so.
"""


LATE = timedelta(hours=1)
"""How long a sink may be without what was scored before a person is told."""


class PartTakenError(KingmakerError):
    """Another run has written a part of the batch down since this one looked."""


def served_parts(engine: Engine, model: str, batch: str | None = None) -> tuple[ServedPart, ...]:
    """Return the parts that were served, of one batch or of all, oldest first."""
    wanted = select(served).where(served.c.model == model).order_by(served.c.id)
    if batch is not None:
        wanted = wanted.where(served.c.batch == batch)
    with engine.connect() as connection:
        return tuple(_part(row) for row in connection.execute(wanted))


def record_served(engine: Engine, part: ServedPart, sequence: int) -> ServedPart:
    """Write a part down as the batch's part number ``sequence``, and return it with its number.

    Raises PartTakenError when that one is there already.
    """
    given = part.model_dump(exclude={"number"}) | {"sequence": sequence}
    try:
        with engine.begin() as connection:
            key = connection.execute(
                insert(served).values(**given, recorded_at=datetime.now(UTC))
            ).inserted_primary_key
    except IntegrityError as error:
        raise PartTakenError(f"{part.model} {part.batch}: part {sequence} is there") from error
    assert key is not None  # noqa: S101 - an insert of one row has one
    return ServedPart(
        **part.model_dump(exclude={"number", "sequence"}), number=key[0], sequence=sequence
    )


def undelivered(engine: Engine, model: str, sink: str) -> tuple[ServedPart, ...]:
    """Return the parts that a sink has not been given, oldest first."""
    given = select(deliveries.c.part).where(deliveries.c.model == model, deliveries.c.sink == sink)
    wanted = (
        select(served)
        .where(served.c.model == model, served.c.id.not_in(given))
        .order_by(served.c.id)
    )
    with engine.connect() as connection:
        return tuple(_part(row) for row in connection.execute(wanted))


def behind(engine: Engine, model: str, sink: str, now: datetime) -> tuple[ServedPart, ...]:
    """Return what a sink has not been given, oldest first; nothing while the oldest is not
    ``LATE``.
    """
    parts = undelivered(engine, model, sink)
    return parts if parts and now - parts[0].scored_at > LATE else ()


def any_undelivered(engine: Engine, model: str, sink: str) -> bool:
    """Whether a sink has not been given everything."""
    counts = [
        select(func.count()).where(served.c.model == model),
        select(func.count()).where(deliveries.c.model == model, deliveries.c.sink == sink),
    ]
    with engine.connect() as connection:
        parts, given = (connection.execute(count).scalar_one() for count in counts)
    return bool(parts > given)


def models_served(engine: Engine) -> frozenset[str]:
    """Return the models of which predictions for open rows were served."""
    with engine.connect() as connection:
        return frozenset(connection.execute(select(served.c.model).distinct()).scalars())


def mark_delivered(engine: Engine, sink: str, part: ServedPart) -> None:
    """Say that a sink has been given a part; saying it twice changes nothing."""
    row = {"model": part.model, "sink": sink, "part": part.number}
    try:
        with engine.begin() as connection:
            connection.execute(insert(deliveries).values(**row, delivered_at=datetime.now(UTC)))
    except IntegrityError:
        return  # another run has said so


def scored_fingerprints(engine: Engine, model: str) -> dict[str, str]:
    """Return open batch -> what there was of it, and who was champion, when it was last scored."""
    wanted = select(open_batches.c.batch, open_batches.c.fingerprint).where(
        open_batches.c.model == model
    )
    with engine.connect() as connection:
        return {row.batch: row.fingerprint for row in connection.execute(wanted)}


def mark_scored(engine: Engine, model: str, batch: str, fingerprint: str) -> None:
    """Say that everything there was of an open batch has been scored."""
    of_batch = (open_batches.c.model == model, open_batches.c.batch == batch)
    change = update(open_batches).where(*of_batch).values(fingerprint=fingerprint)
    with engine.begin() as connection:
        if connection.execute(change).rowcount:
            return
    try:
        with engine.begin() as connection:
            connection.execute(
                insert(open_batches).values(model=model, batch=batch, fingerprint=fingerprint)
            )
    except IntegrityError:  # another run was first; what it saw stands, and is looked at again
        return


def _part(row: Row[tuple[object, ...]]) -> ServedPart:
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    scored_at = found["scored_at"]
    if scored_at.tzinfo is None:  # SQLite keeps no zone
        found["scored_at"] = scored_at.replace(tzinfo=UTC)
    names = ServedPart.model_fields.keys() - {"number"}
    return ServedPart(**{name: found[name] for name in names}, number=found["id"])
