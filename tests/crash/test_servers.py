"""The servers that a team has: killed between them, overtaken from another machine, MLflow down."""

from __future__ import annotations

import os
import shutil
import signal
from typing import Any

import pytest
from sqlalchemy import text

from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import BatchRecord
from tests.conftest import WEATHER_WEEKS
from tests.crash.conftest import Servers, Stage

pytestmark = [pytest.mark.flow, pytest.mark.crash]

_WEEK = iter(range(1, len(WEATHER_WEEKS)))
"""Each test takes the next week: nothing is put back, as in life."""


@pytest.fixture
def week(remote: Stage, servers: Servers) -> str:
    """The next week, delivered; all servers are up, and the one who was champion before it reigns."""
    servers.proxy.up()
    number = next(_WEEK)
    remote.deliver(number)
    return WEATHER_WEEKS[number]


def _record(remote: Stage, week: str) -> BatchRecord:
    return ledger.known_batches(open_ledger(remote.environment["KINGMAKER_LEDGER"]), "weather")[week]


def _reigning(remote: Stage) -> int:
    entries = ledger.history(open_ledger(remote.environment["KINGMAKER_LEDGER"]), "weather")
    return int(ledger.reigns(entries)[-1].decision.version)  # type: ignore[union-attr]


def _sound(found: dict[str, Any], week: str) -> None:
    """Everything is done, once, and ledger and registry agree."""
    assert "error" not in found, found["error"]
    state = found["state"]
    assert (state["running"], state["finished but unknown"], state["known but unfinished"]) == ([], [], 0)
    assert state["unmarked orphans"] == []
    assert all(batch[:2] == [1, True] for batch in state["batches"].values())
    assert all(decision[2] for decision in state["decisions"])
    mine = [decision[1] for decision in state["decisions"] if decision[0] == week]
    assert mine == ["Retrain", "Promote"]
    last = state["decisions"][-1]
    assert (state["aliases"]["champion"], state["aliases"]["previous_champion"]) == (last[3], last[4])
    assert last[3] == len(state["trainings"])


def test_scoring_goes_on_while_mlflow_is_down(remote: Stage, servers: Servers, week: str) -> None:
    """The champion's verified copy predicts, the run says what waits; when MLflow is back the rest is done, once."""
    champion = _reigning(remote)
    servers.proxy.down()

    down = remote.run(state=False)

    assert down["error"].startswith("RegistryAwayError: MLflow at http://127.0.0.1"), down["error"]
    served = _record(remote, week)
    assert served.predictions is not None
    assert served.predictions.version == champion == _reigning(remote)
    assert not served.completed
    servers.proxy.up()
    _sound(remote.run(look=True), week)
    assert _record(remote, week).predictions == served.predictions


@pytest.mark.parametrize(
    "write",
    [
        "commit < tasks/ledger/entries.py",
        "POST create < tasks/registry/runs.py",
        "PUT model.skops < tasks/registry/runs.py",
        "POST alias < tasks/registry/runs.py",
        "POST alias < tasks/registry/aliases.py",
        "POST update < tasks/registry/runs.py",
    ],
)
def test_killed_between_the_servers_the_next_run_comes_to_the_same_end(
    remote: Stage, week: str, write: str
) -> None:
    """SIGKILL before a write to PostgreSQL or to the MLflow server; the throne is never empty."""
    killed = remote.ask(watch=True, fatal=write, prefix=True)

    assert killed["status"] == -signal.SIGKILL, killed
    _sound(remote.run(look=True), week)


def test_second_machine_is_told_then_takes_over_and_the_first_wakes_up_late(
    remote: Stage, servers: Servers, week: str
) -> None:
    """Two homes, one ledger, one registry: one acts; asleep past its lease, the first one writes nothing more."""
    second = remote.home.with_name("second")
    second.mkdir()
    for name in ("lake", "sources"):  # what machines share, as an object store or a network disk
        (second / name).symlink_to(remote.home / name)
    shutil.copytree(remote.home / "reports", second / "reports")
    other = {"KINGMAKER_HOME": str(second)}
    answer = str(remote.home.with_name("first.json"))
    first = remote.ask(
        watch=True, fatal="PUT model.skops < tasks/registry/runs.py", prefix=True, pause=True, answer=answer
    )["paused"]
    try:
        told = remote.run(environment=other)["error"]
        assert told.startswith("LeaseHeldError")
        assert f"process {first} " in told
        assert "UTC at least" in told
        with open_ledger(remote.environment["KINGMAKER_LEDGER"]).begin() as connection:
            connection.execute(text("UPDATE leases SET expires_at = now() - interval '1 second'"))
        _sound(remote.run(environment=other, look=True), week)
    except BaseException:
        os.kill(first, signal.SIGKILL)
        raise

    late = remote.run(wake=first, answer=answer)

    assert late["error"].startswith("LeaseLostError"), late["error"]
    _sound(remote.run(environment=other, look=True), week)
