"""Tests of the lease: one run at a time acts for a model."""

import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, create_engine, select, update
from sqlalchemy.exc import OperationalError

from tasks.ledger.lease import (
    LeaseHeldError,
    LeaseLostError,
    check_lease,
    current_holder,
    holder_name,
    lease,
    left_behind_by,
)
from tasks.ledger.tables import leases


def _row(engine: Engine) -> tuple[str, int, datetime]:
    with engine.connect() as connection:
        row = connection.execute(select(leases)).one()
    return row.holder, row.token, row.expires_at


def _expire(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            update(leases).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )


def test_second_holder_is_refused_by_name(engine: Engine) -> None:
    """While one run holds the lease another is refused, and told who has it; another model's is
    free.
    """
    with lease(engine, "flights", "other machine process 1 run a"):
        with (
            pytest.raises(
                LeaseHeldError, match="flights: other machine process 1 run a acts for it now"
            ),
            lease(engine, "flights", "me"),
        ):
            pass
        with lease(engine, "weather", "me") as mine:
            assert mine.token == 1


def test_death_is_known_by_its_lease(engine: Engine) -> None:
    """A run that acts is not dead; one whose lease ran out is, until the next."""
    with lease(engine, "flights", "other machine process 1 run a"):
        assert left_behind_by(engine, "flights") == ""
        _expire(engine)
        assert left_behind_by(engine, "flights") == "other machine process 1 run a"
    assert left_behind_by(engine, "flights") == ""


def test_lease_is_given_back(engine: Engine) -> None:
    """When the block ends, even by an exception, the next run takes the lease with a higher
    token.
    """

    def fails() -> None:
        with lease(engine, "flights", "first"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with lease(engine, "flights", "second") as held:
        assert (held.holder, held.token) == ("second", 2)


def test_what_a_run_left_behind_is_found_until_somebody_tidied_up(engine: Engine) -> None:
    """A run that fails leaves its name; whoever comes next knows, and so does the one after, until
    one has tidied up.
    """

    def fails() -> None:
        with lease(engine, "flights", "first"):
            assert left_behind_by(engine, "flights") == "", "it acts: nothing is left behind yet"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert left_behind_by(engine, "flights") == "first"
    assert current_holder(engine, "flights") == ""
    with lease(engine, "flights", "second") as held:
        assert held.left_behind
    assert left_behind_by(engine, "flights") == "second"
    with lease(engine, "flights", "third") as held:
        assert held.left_behind
        held.left_behind = False
    assert left_behind_by(engine, "flights") == ""
    with lease(engine, "flights", "fourth") as held:
        assert not held.left_behind


def test_who_acts_now(engine: Engine) -> None:
    """The one who holds the lease acts; nobody does before it, after it, or when it has run out."""
    assert current_holder(engine, "flights") == ""
    with lease(engine, "flights", "other machine process 1 run a"):
        assert current_holder(engine, "flights") == "other machine process 1 run a"
        assert current_holder(engine, "weather") == ""
        _expire(engine)
        assert current_holder(engine, "flights") == ""
    assert current_holder(engine, "flights") == ""


def test_expired_lease_is_taken_over(engine: Engine) -> None:
    """A lease that ran out passes on with a higher token, and its old holder cannot write any
    more.
    """
    with lease(engine, "flights", "other machine process 1 run a") as old:
        _expire(engine)
        with lease(engine, "flights", "new") as new:
            assert new.token == old.token + 1
            with (
                pytest.raises(
                    LeaseLostError, match=r"run a \(token 1\) has passed to new \(token 2\)"
                ),
                engine.begin() as connection,
            ):
                check_lease(connection, old)

            new.left_behind = False

    assert _row(engine)[:2] == ("", 2)


def test_old_holder_does_not_give_back_the_new_ones_lease(engine: Engine) -> None:
    """A run that lost its lease and ends leaves the lease of the run after it alone."""
    old = lease(engine, "flights", "other machine process 1 run a")
    old.__enter__()
    _expire(engine)
    with lease(engine, "flights", "new"):
        old.__exit__(None, None, None)
        assert _row(engine)[0] == "new"
        with pytest.raises(LeaseHeldError), lease(engine, "flights", "third"):
            pass


def test_lease_of_a_dead_process_is_taken_at_once(engine: Engine) -> None:
    """A process of this machine that is no more need not be waited for."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held = lease(engine, "flights", f"{socket.gethostname()} process {dead.pid} run a")
    held.__enter__()  # renewed, as far as the ledger can tell

    with lease(engine, "flights", holder_name("b")) as mine:
        assert mine.token == 2
        assert mine.holder == f"{socket.gethostname()} process {os.getpid()} run b"
    held.__exit__(None, None, None)


@pytest.mark.parametrize(
    "holder",
    [f"{socket.gethostname()} process {os.getpid()} run a", "elsewhere process 999999999 run a"],
    ids=["living", "distant"],
)
def test_lease_of_a_living_or_distant_process_is_respected(engine: Engine, holder: str) -> None:
    """A living process, and any process of another machine, keeps its lease."""
    with (
        lease(engine, "flights", holder),
        pytest.raises(LeaseHeldError),
        lease(engine, "flights", holder_name("b")),
    ):
        pass


def test_renewal_keeps_the_lease(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease is renewed in the background, past its first end, and through a database that fails
    for a moment.
    """
    failures = iter([OperationalError("", {}, Exception("database is locked"))])
    real = Engine.begin

    def begin(self: Engine) -> object:
        if threading.current_thread() is not threading.main_thread():
            for failure in failures:
                raise failure
        return real(self)

    monkeypatch.setattr(Engine, "begin", begin)
    with lease(engine, "flights", "mine", duration=timedelta(seconds=0.4)) as held:
        seen = {_row(engine)[2]}
        for _ in range(3000):  # a bound for the case that it is never renewed
            if len(seen) == 4:
                break
            time.sleep(0.01)
            seen.add(_row(engine)[2])
        assert len(seen) == 4
        with engine.begin() as connection:
            check_lease(connection, held)
    assert next(failures, None) is None


def test_renewal_ends_with_the_lease(engine: Engine) -> None:
    """A run that lost its lease never renews that of the run after it."""
    before = set(threading.enumerate())
    brief = timedelta(seconds=0.2)
    with lease(engine, "flights", "other machine process 1 run a", duration=brief):
        (renewal,) = set(threading.enumerate()) - before
        with engine.begin() as connection:
            connection.execute(
                update(leases).values(
                    token=7, holder="new", expires_at=datetime(2000, 1, 1, tzinfo=UTC)
                )
            )

        renewal.join(timeout=30)

        assert not renewal.is_alive()
        assert _row(engine) == ("new", 7, datetime(2000, 1, 1))


@pytest.mark.parametrize("begin", ["fresh", "expired"])
def test_race_has_one_winner(engine: Engine, begin: str) -> None:
    """Of many threads that want the lease at the same moment exactly one gets it, the others are
    refused.
    """
    if begin == "expired":
        with lease(engine, "flights", "before"):
            pass
    start, ended = threading.Barrier(8), threading.Event()
    won: list[int] = []
    refused: list[LeaseHeldError] = []

    def run(number: int) -> None:
        start.wait()
        try:
            with lease(engine, "flights", f"other machine process {number} run a") as held:
                won.append(held.token)
                ended.wait()
        except LeaseHeldError as error:
            refused.append(error)
        if len(refused) == 7:
            ended.set()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert won == [1 if begin == "fresh" else 2]
    assert len(refused) == 7


def test_nobody_takes_the_lease_between_check_and_write(engine: Engine) -> None:
    """From the check to the end of the transaction the lease cannot pass to another, in SQLite
    too.
    """
    impatient = create_engine(engine.url, connect_args={"timeout": 0.1})
    with (
        lease(engine, "flights", "other machine process 1 run a") as held,
        engine.begin() as connection,
    ):
        check_lease(connection, held)
        with pytest.raises(OperationalError, match="locked"), impatient.begin() as other:
            other.execute(update(leases).values(token=held.token + 1))

    assert _row(engine)[1] == 1
