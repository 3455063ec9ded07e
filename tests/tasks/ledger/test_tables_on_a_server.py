"""Tests of a ledger on PostgreSQL: what is away is waited for, what is wrong is not, and both are
said by name.
"""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from tasks.ledger.tables import LedgerAwayError, open_ledger
from tests.crash.proxy import Proxy, free_port
from tests.tasks.conftest import postgres

__all__ = ["postgres"]


def _break_off(engine: Engine) -> None:
    """End every connection to the engine's server but our own, as a restart does."""
    other = create_engine(engine.url)
    with other.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <>"
                " pg_backend_pid()"
            )
        )
    other.dispose()


def test_server_that_does_not_answer_is_given_up_by_name() -> None:
    """After a bounded wait the error says where the ledger was expected, and nothing secret."""
    with pytest.raises(
        LedgerAwayError, match=r"kingmaker at 127\.0\.0\.1: expected its server"
    ) as raised:
        open_ledger(
            f"postgresql+psycopg2://somebody:c4nary@127.0.0.1:{free_port()}/kingmaker", away=1
        )

    assert "refused" in str(raised.value)
    assert "c4nary" not in str(raised.value)


def test_server_that_comes_back_is_waited_for(postgres: str) -> None:
    """Down when it is asked, and up a second later: the ledger opens."""
    directory = make_url(postgres).query["host"]
    proxy = Proxy(f"{directory}/.s.PGSQL.5432")
    proxy.down()
    url = make_url(postgres).set(host="127.0.0.1", port=proxy.port, query={})
    again = threading.Timer(1, proxy.up)
    again.start()

    with open_ledger(url.render_as_string(hide_password=False)).connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1

    again.join()
    proxy.down()


def test_database_that_is_not_there_is_not_waited_for(postgres: str) -> None:
    """A wrong name is the user's to mend: it is said at once, in the server's own words."""
    with pytest.raises(OperationalError, match='database "nowhere" does not exist'):
        open_ledger(
            str(make_url(postgres).set(database="nowhere").render_as_string(hide_password=False))
        )


def test_write_that_is_broken_off_ends_by_name_and_the_next_goes_on(postgres: str) -> None:
    """In the middle of a transaction the run is told; a connection that lay idle is replaced
    without a word.
    """
    engine = open_ledger(postgres)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        _break_off(engine)
        with pytest.raises(LedgerAwayError, match="broke off in the middle"):
            connection.execute(text("SELECT 1"))

    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    _break_off(engine)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
