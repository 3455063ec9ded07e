"""The lease: one run at a time acts for a model, and one that lost its lease cannot write.

Prefect's concurrency limits are lost when its server restarts (Prefect #20090), so the guard is
ours. A lease is a row with a holder, an end, and a token that grows with every new holder; every
decision carries the token of the lease under which it was made, and the ledger refuses an old one.
What the ledger cannot refuse, such as the registry's alias, is written inside ``fenced``: while the
lease's row is locked, it cannot be taken over.

Time is the database's where it has a server: machines whose clocks disagree still agree on when a
lease ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from tasks.errors import KingmakerError
from tasks.ledger.tables import PATIENCE_SECONDS, LedgerAwayError, leases

DURATION = timedelta(seconds=60)
"""How long a lease lives without being renewed: the longest that a killed run can delay the next.
"""

_GIVEN_BACK = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of a lease that was given back: over by any clock, even one that was set back."""


class LeaseHeldError(KingmakerError):
    """Another run acts for the model now."""


class LeaseLostError(KingmakerError):
    """The run's lease has passed to another, so it must not write."""


@dataclass
class Lease:
    """The right to act for a model."""

    model: str
    holder: str
    token: int
    left_behind: bool = False
    """Whether something may lie half done outside the ledger, since the last holder died or failed.

    Who has tidied it up sets this to False; else the next holder finds it again.
    """


def holder_name(run: str) -> str:
    """Return a name for this process: machine, process and flow run."""
    return f"{socket.gethostname()} process {os.getpid()} run {run}"


@contextmanager
def lease(
    engine: Engine,
    model: str,
    holder: str,
    *,
    duration: timedelta = DURATION,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Lease]:
    """Hold the model's lease for the block; LeaseHeldError says who has it.

    It lives for ``duration`` without being renewed. A server's lock on its row is waited for
    ``patience`` seconds; of SQLite's, the engine has its own.

    The lease is renewed in the background, and given back when the block ends. Its row keeps the
    holder's name when the block fails, or has not tidied up after the last one: that is how the
    next holder knows.
    """
    held = _take(engine, model, holder, duration, patience)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(engine, held, stop, duration), daemon=True)
    renewal.start()
    try:
        yield held
    except BaseException:
        held.left_behind = True
        raise
    finally:
        stop.set()
        renewal.join()
        with engine.begin() as connection:
            connection.execute(
                update(leases)
                .where(leases.c.model == model, leases.c.token == held.token)
                .values(holder=holder if held.left_behind else "", expires_at=_GIVEN_BACK)
            )


@contextmanager
def fenced(engine: Engine, held: Lease) -> Iterator[None]:
    """Keep the lease from passing to another for the block; LeaseLostError when it has already.

    For one short write outside the ledger. A process that is paused in the block blocks the next
    one, which is told so; one that died, or a machine that is gone (``tables.open_ledger``), does
    not. What is left, and how it is noticed: docs/safety.md.
    """
    with engine.begin() as connection:
        check_lease(connection, held)
        yield


def current_holder(engine: Engine, model: str) -> str:
    """Return who acts for the model now; an empty string for none."""
    holder, alive = _last_holder(engine, model)
    return holder if alive else ""


def left_behind_by(engine: Engine, model: str) -> str:
    """Return who died or failed while it acted for the model, and was not tidied up after; an empty
    string for none.
    """
    holder, alive = _last_holder(engine, model)
    return "" if alive else holder


def _last_holder(engine: Engine, model: str) -> tuple[str, bool]:
    """Who has the lease, empty when it was given back; and whether it still counts."""
    with engine.connect() as connection:
        row = connection.execute(select(leases).where(leases.c.model == model)).one_or_none()
        now = _now(connection)
    if row is None:
        return "", False
    return str(row.holder), _aware(row.expires_at) > now and not _died_here(row.holder)


def check_lease(connection: Connection, held: Lease) -> None:
    """Raise LeaseLostError unless ``held`` is still the model's lease; call first in the writing
    transaction.

    It is an update that changes nothing: it locks the row until the transaction ends, in SQLite
    too, where a select locks nothing and the lease could pass to another between the check and the
    write.
    """
    still = connection.execute(
        update(leases)
        .where(leases.c.model == held.model, leases.c.token == held.token)
        .values(token=held.token)
    )
    if still.rowcount == 1:
        return
    row = connection.execute(
        select(leases.c.token, leases.c.holder).where(leases.c.model == held.model)
    ).one_or_none()
    raise LeaseLostError(
        f"{held.model}: the lease of {held.holder} (token {held.token}) has passed to"
        f" {row.holder if row and row.holder else 'no run'} (token"
        f" {row.token if row else 'unknown'}); nothing was written, and the run that holds it"
        " goes on"
    )


def _take(engine: Engine, model: str, holder: str, duration: timedelta, patience: float) -> Lease:
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{patience:g}s'"))
            return _take_in(connection, model, holder, duration)
    except OperationalError as error:
        if "lock" not in str(error.orig):  # PostgreSQL: lock timeout; SQLite: database is locked
            raise
        raise LeaseHeldError(
            f"{model}: {_row_holder(engine, model)} is in the middle of a write, and has been for "
            f"{patience:g} s: it may be paused; wake it, or end it"
        ) from error


def _row_holder(engine: Engine, model: str) -> str:
    with engine.connect() as connection:
        found = connection.execute(
            select(leases.c.holder).where(leases.c.model == model)
        ).scalar_one_or_none()
    return found or "another run"


def _take_in(connection: Connection, model: str, holder: str, duration: timedelta) -> Lease:
    row = connection.execute(
        select(leases).where(leases.c.model == model).with_for_update()
    ).one_or_none()
    now = _now(connection)
    if row is None:
        try:
            connection.execute(
                insert(leases).values(
                    model=model, holder=holder, token=1, expires_at=now + duration
                )
            )
        except IntegrityError as error:
            raise LeaseHeldError(
                f"{model}: another run took the lease at this moment; try again"
            ) from error
        return Lease(model, holder, 1)
    alive = _aware(row.expires_at) > now and not _died_here(row.holder)
    if row.holder and alive:
        raise LeaseHeldError(
            f"{model}: {row.holder} acts for it now, until {_aware(row.expires_at):%H:%M:%S} UTC at"
            " least; wait for it to end, or end it"
        )
    taken = connection.execute(
        update(leases)
        .where(leases.c.model == model, leases.c.token == row.token)
        .values(holder=holder, token=row.token + 1, expires_at=now + duration)
    )
    if taken.rowcount != 1:
        raise LeaseHeldError(f"{model}: another run took the lease at this moment; try again")
    return Lease(model, holder, row.token + 1, left_behind=bool(row.holder))


def _renew(engine: Engine, held: Lease, stop: threading.Event, duration: timedelta) -> None:
    """Renew until told to stop, or until the lease is lost: then the next write says so."""
    while not stop.wait(duration.total_seconds() / 4):
        # A database that is away for a moment must not end the renewal: the lease has three more
        # tries to live.
        with contextlib.suppress(SQLAlchemyError, LedgerAwayError), engine.begin() as connection:
            renewed = connection.execute(
                update(leases)
                .where(leases.c.model == held.model, leases.c.token == held.token)
                .values(expires_at=_now(connection) + duration)
            )
            if renewed.rowcount != 1:
                return


def _died_here(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more: then its lease need not run
    out.
    """
    host, _, rest = holder.partition(" process ")
    if host != socket.gethostname() or not rest:
        return False
    process = int(rest.split(" ", 1)[0])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _now(connection: Connection) -> datetime:
    """The ledger's time: that of the server, or this machine's when the ledger is a file on it."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return _aware(now)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
