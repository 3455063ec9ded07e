"""``kingmaker up --database``: all three stores on a real PostgreSQL server, before, during and
after.
"""

from __future__ import annotations

import shutil

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.conftest import WEATHER_WEEKS
from tests.deployments.conftest import Servers

pytestmark = pytest.mark.flow


def test_all_three_stores_are_on_postgresql_and_stay_there(full_postgres, tmp_path, weather_source):
    """A run fills the three databases; no file stands in for one; without servers the ledger is the
    same one.
    """
    home = tmp_path / "home"
    source = home / "sources" / "weather"
    source.mkdir(parents=True)
    shutil.copy(weather_source / f"{WEATHER_WEEKS[0]}.csv", source)
    with Servers(home, environment={"KINGMAKER_DATABASE": full_postgres}) as servers:
        ran = servers.kingmaker("run", "weather")
        assert ran.returncode == 0, ran.stderr
        ours = {servers.process.pid, *(process.pid for process in servers.processes())}
        started = [p.info for p in psutil.process_iter(["pid", "cmdline"]) if p.pid in ours]
        lines = [" ".join(one["cmdline"] or []) for one in started]
        assert len(lines) > 3
        assert not any("a-canary-word" in line for line in lines)

    counts = {
        "kingmaker_ledger": "SELECT count(*) FROM decisions",
        "kingmaker_prefect": "SELECT count(*) FROM flow_run",
        "kingmaker_mlflow": "SELECT count(*) FROM runs",
    }
    for database, query in counts.items():
        with create_engine(make_url(full_postgres).set(database=database)).connect() as connection:
            assert connection.scalar(text(query)) >= 1, database
    assert not any((home / name).exists() for name in ("ledger.db", "mlflow.db"))

    servers.environment = {}
    history = servers.kingmaker("history", "weather", "--all")
    assert "collecting: 1 of the 4 batches" in history.stdout
    other = {"KINGMAKER_DATABASE": f"{full_postgres}/other"}
    elsewhere = servers.kingmaker("up", variables=other)
    assert elsewhere.returncode == 2
    assert "its ledger is in another database already" in elsewhere.stderr


def test_a_home_with_a_ledger_does_not_forget_it(full_postgres, tmp_path):
    """A ledger in a file, and an empty database asked for: refused by name, before anything is
    started.
    """
    servers = Servers(tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.db").write_bytes(b"")

    said = servers.kingmaker("up", variables={"KINGMAKER_DATABASE": full_postgres})

    assert said.returncode == 2
    assert "an empty database would forget it" in said.stderr
