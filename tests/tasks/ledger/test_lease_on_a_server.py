"""Tests of the lease on PostgreSQL: one clock for all machines, and a fence that a second machine
cannot jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

import pytest
from sqlalchemy import Engine, create_engine, text, update

from tasks.ledger import lease as room
from tasks.ledger.lease import LeaseHeldError, LeaseLostError, fenced, lease
from tasks.ledger.tables import leases, open_ledger
from tests.tasks.conftest import postgres

__all__ = ["postgres"]


@pytest.fixture
def server(postgres: str) -> Iterator[Engine]:
    """An empty ledger on a PostgreSQL server."""
    engine = open_ledger(postgres)
    yield engine
    with engine.begin() as connection:
        connection.execute(leases.delete())


@pytest.mark.parametrize("hours", [-1, 1])
def test_machines_whose_clocks_disagree_respect_each_other(
    server: Engine, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """A machine an hour ahead does not think that the lease ran out, one behind does not take it
    for ever.
    """

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=hours)

    with lease(server, "flights", "machine a process 1 run a"), monkeypatch.context() as patch:
        patch.setattr(room, "datetime", Skewed)
        with (
            pytest.raises(LeaseHeldError, match="machine a"),
            lease(server, "flights", "machine b"),
        ):
            pass
    with monkeypatch.context() as patch:
        patch.setattr(room, "datetime", Skewed)
        skewed = lease(server, "flights", "machine b process 1 run b")
        skewed.__enter__()
    with server.begin() as connection:
        left = connection.execute(text("SELECT expires_at - now() FROM leases")).scalar_one()
    skewed.__exit__(None, None, None)

    assert timedelta(seconds=50) < left <= room.DURATION


def test_nobody_takes_the_lease_inside_the_fence(server: Engine) -> None:
    """Even past its end the lease stays while its holder writes: the next one is told who, and that
    it may be paused.
    """
    other = create_engine(server.url)
    with lease(server, "flights", "machine a process 1 run a") as held:
        _expire(server)
        with (
            fenced(server, held),
            pytest.raises(
                LeaseHeldError,
                match="flights: machine a process 1 run a is in the middle of a write",
            ),
            lease(other, "flights", "machine b process 1 run b", patience=1),
        ):
            pass
        with lease(other, "flights", "machine b process 1 run b"):
            pass
    other.dispose()


def test_lost_lease_closes_the_fence(server: Engine) -> None:
    """Once another took over, the block is not entered."""
    entered = False
    with lease(server, "flights", "machine a process 1 run a") as old:
        _expire(server)
        with (
            lease(server, "flights", "machine b process 1 run b") as new,
            pytest.raises(LeaseLostError, match="has passed to machine b"),
            fenced(server, old),
        ):
            entered = True

    assert not entered
    assert new.left_behind


def _expire(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(leases).values(expires_at=text("now() - interval '1 second'")))
