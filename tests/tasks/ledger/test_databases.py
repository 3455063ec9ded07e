"""Three databases on one real PostgreSQL server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tasks.ledger import databases
from tasks.ledger.databases import ExtensionMissingError, make_stores
from tests.tasks.conftest import postgres  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def without_extension(request, monkeypatch):
    """The server in a wheel lacks pg_trgm: only the test of that looks for it."""
    if request.function is not test_a_server_that_prefect_cannot_use_is_refused:
        monkeypatch.setattr(databases, "_check_extension", lambda *_: None)


def test_a_server_that_prefect_cannot_use_is_refused(postgres):  # noqa: F811 - the fixture
    """By name, with the package to install, and before any database is made."""
    with pytest.raises(ExtensionMissingError, match=r"pg_trgm.*postgresql-contrib"):
        make_stores(postgres)


def test_databases_are_made_once_even_by_many_at_once(postgres):  # noqa: F811 - the fixture
    """Four at the same moment find or make the same three; the URL's own database gives the
    name.
    """
    server = make_url(postgres).set(database="team", drivername="postgresql")
    url = server.render_as_string(hide_password=False)

    with ThreadPoolExecutor(4) as pool:
        stores = set(pool.map(lambda _: make_stores(url), range(4)))

    (found,) = stores
    assert found.prefect.startswith("postgresql+asyncpg://")
    for one, name in ((found.ledger, "team_ledger"), (found.mlflow, "team_mlflow")):
        with create_engine(one).connect() as connection:
            assert connection.scalar(text("SELECT current_database()")) == name


def test_the_default_name_and_other_drivers(postgres):  # noqa: F811 - the fixture
    """A server's own database is not ours to fill; ``sslmode`` is translated for asyncpg."""
    found = make_stores(postgres + "&sslmode=prefer")

    assert make_url(found.ledger).database == "kingmaker_ledger"
    assert make_url(found.prefect).query["ssl"] == "prefer"
    assert "sslmode" not in make_url(found.prefect).query


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://u@h/d", "nonsense"])
def test_anything_but_postgresql_is_refused(url):
    """The message names what was expected, and never the whole URL, which may hold a password."""
    with pytest.raises(ValueError, match="expected postgresql://"):
        make_stores(url)
