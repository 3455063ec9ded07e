"""The servers that a team has: killed between them, overtaken from another machine, down, cut off,
slow, restarted.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from typing import Any

import pytest
from sqlalchemy import text

from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import BatchRecord
from tasks.registry.runs import client
from tasks.settings import _QUIET
from tests.conftest import WEATHER_WEEKS
from tests.crash.conftest import Servers, Stage

pytestmark = [pytest.mark.flow, pytest.mark.crash]

_WEEK = iter(range(1, len(WEATHER_WEEKS)))
"""Each test takes the next week: nothing is put back, as in life."""
_BOUNDS = {name: value for name, value in _QUIET.items() if name.startswith("MLFLOW_HTTP_REQUEST")}
"""The product's own, where it must outlive what is down for some seconds."""


@pytest.fixture
def week(remote: Stage, servers: Servers) -> str:
    """The next week, delivered; all servers are up, and the one who was champion before it
    is champion.
    """
    servers.proxy.up()
    number = next(_WEEK)
    remote.deliver(number)
    return WEATHER_WEEKS[number]


def _record(remote: Stage, week: str) -> BatchRecord:
    return ledger.known_batches(open_ledger(remote.environment["KINGMAKER_LEDGER"]), "weather")[
        week
    ]


def _champion_now(remote: Stage) -> int:
    entries = ledger.history(open_ledger(remote.environment["KINGMAKER_LEDGER"]), "weather")
    return int(entries.champion_changes[-1].decision.version)


def _orphans(remote: Stage) -> set[int]:
    found = client(remote.environment["KINGMAKER_TRACKING"]).search_model_versions("name='weather'")
    return {int(version.version) for version in found if "orphan" in version.tags}


def _sound(found: dict[str, Any], week: str) -> None:
    """Everything is done, once, and ledger and registry agree."""
    assert "error" not in found, found["error"]
    state = found["state"]
    assert (state["running"], state["finished but unknown"], state["known but unfinished"]) == (
        [],
        [],
        0,
    )
    assert state["unmarked orphans"] == []
    assert all(batch[:2] == [1, True] for batch in state["batches"].values())
    assert all(decision[2] for decision in state["decisions"])
    mine = [decision[1] for decision in state["decisions"] if decision[0] == week]
    assert mine == ["Retrain", "Promote"]
    last = state["decisions"][-1]
    assert (state["aliases"]["champion"], state["aliases"]["previous_champion"]) == (
        last[3],
        last[4],
    )
    assert last[3] == len(state["trainings"])


def test_scoring_goes_on_while_mlflow_is_down(remote: Stage, servers: Servers, week: str) -> None:
    """The champion's verified copy predicts, the run says what waits; when MLflow is back the rest
    is done, once.
    """
    champion = _champion_now(remote)
    servers.proxy.down()

    down = remote.run(state=False)

    assert down["error"].startswith("RegistryAwayError: MLflow at http://127.0.0.1"), down["error"]
    served = _record(remote, week)
    assert served.predictions is not None
    assert served.predictions.version == champion == _champion_now(remote)
    assert not served.completed
    servers.proxy.up()
    _sound(remote.run(look=True), week)
    assert _record(remote, week).predictions == served.predictions


@pytest.mark.parametrize(
    "request_",
    [b"runs/create", b"model-versions/create", b"registered-models/alias", b'"champion"'],
    ids=["training", "registration", "challenger", "promotion"],
)
def test_mlflow_going_away_in_the_middle_ends_the_run_by_name(
    remote: Stage, servers: Servers, week: str, request_: bytes
) -> None:
    """Cut off at a request that does not arrive, the champion is who it was, and the next run comes
    to the end.
    """
    champion = _champion_now(remote)
    servers.proxy.cut_at = request_

    cut = remote.run(state=False)

    assert cut["error"].startswith("RegistryAwayError"), cut["error"]
    assert _champion_now(remote) == champion
    servers.proxy.up()
    _sound(remote.run(look=True), week)


def test_answer_that_is_lost_makes_no_second_version(
    remote: Stage, servers: Servers, week: str
) -> None:
    """MLflow's client asks again for a version that was made already: one of the two is marked, and
    counts as nothing.
    """
    before = _orphans(remote)
    servers.proxy.lose_answer_to = b"model-versions/create"

    found = remote.run(look=True)

    _sound(found, week)
    assert len(_orphans(remote) - before) == 1, "it was made twice"


def test_mlflow_that_hangs_is_given_up_and_a_slow_one_is_waited_for(
    remote: Stage, servers: Servers, week: str
) -> None:
    """A server that takes connections and never answers ends the run by name; one that takes its
    time does not.
    """
    servers.proxy.hangs = True
    assert remote.run(state=False)["error"].startswith("RegistryAwayError")

    servers.proxy.up()
    servers.proxy.delay = 0.05
    _sound(remote.run(look=True), week)


def test_mlflow_that_begins_to_hang_in_the_middle_is_given_up(
    remote: Stage, servers: Servers, week: str
) -> None:
    """No request is waited for without end: the run ends by name, and the champion is who it
    was.
    """
    champion = _champion_now(remote)
    process = remote.ask(
        watch=True,
        fatal="POST create < tasks/registry/runs.py",
        pause=True,
        prefix=True,
        state=False,
    )["paused"]
    servers.proxy.down()
    servers.proxy.up()
    servers.proxy.hangs = True

    hung = remote.run(wake=process)

    assert hung["error"].startswith("RegistryAwayError"), hung["error"]
    assert _champion_now(remote) == champion
    servers.proxy.up()
    _sound(remote.run(look=True), week)


def test_mlflow_that_goes_and_comes_all_the_time(
    remote: Stage, servers: Servers, week: str
) -> None:
    """Cut every few seconds and away for some: the run completes, or ends by name where an answer
    was cut in its middle.
    """
    ended = threading.Event()

    def restart() -> None:
        while not ended.wait(5):
            servers.proxy.down()
            ended.wait(3)
            servers.proxy.up()

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        found = remote.run(environment=_BOUNDS, state=False)
    finally:
        ended.set()
        restarting.join()

    assert "error" not in found or found["error"].startswith("RegistryAwayError"), found["error"]
    _sound(remote.run(look=True), week)


def test_mlflow_killed_and_started_again_in_the_middle(
    remote: Stage, servers: Servers, week: str
) -> None:
    """It needs its seconds to come up: the run waits for it within the product's own bounds, and
    completes or ends by name.
    """
    process = remote.ask(
        watch=True,
        fatal="POST create < tasks/registry/runs.py",
        pause=True,
        prefix=True,
        state=False,
        environment=_BOUNDS,
    )["paused"]
    servers.mlflow.kill()
    servers.mlflow.start()

    woken = remote.run(wake=process)

    servers.mlflow.wait()
    assert "error" not in woken or woken["error"].startswith("RegistryAwayError"), woken["error"]
    _sound(remote.run(look=True), week)


@pytest.mark.parametrize(
    ("write", "fate"),
    [
        ("POST create < tasks/registry/runs.py", ("", "RegistryAwayError")),
        ("commit < tasks/ledger/entries.py", ("LedgerAwayError",)),
    ],
    ids=["between writes", "in a transaction"],
)
def test_postgres_restarted_in_the_middle(
    remote: Stage, servers: Servers, week: str, write: str, fate: tuple[str, ...]
) -> None:
    """Away for some seconds, it is waited for; what it broke off ends by name; after the next run
    all is whole.
    """
    process = remote.ask(watch=True, fatal=write, pause=True, prefix=True, state=False)["paused"]
    servers.postgres.stop()
    back = threading.Timer(4, servers.postgres.start)
    back.start()

    woken = remote.run(wake=process)

    back.join()
    assert woken.get("error", "").partition(":")[0] in fate, woken["error"]
    _sound(remote.run(look=True), week)


@pytest.mark.parametrize(
    "write",
    [
        "commit < tasks/ledger/entries.py",
        "POST create < tasks/registry/runs.py",
        "PUT model.skops < tasks/registry/package.py",
        "POST alias < tasks/registry/runs.py",
        "POST alias < tasks/registry/aliases.py",
        "POST update < tasks/registry/runs.py",
    ],
)
def test_killed_between_the_servers_the_next_run_comes_to_the_same_end(
    remote: Stage, week: str, write: str
) -> None:
    """SIGKILL before a write to PostgreSQL or to the MLflow server; there is always a champion."""
    killed = remote.ask(watch=True, fatal=write, prefix=True)

    assert killed["status"] == -signal.SIGKILL, killed
    _sound(remote.run(look=True), week)


def test_second_machine_is_told_then_takes_over_and_the_first_wakes_up_late(
    remote: Stage, servers: Servers, week: str
) -> None:
    """Two homes, one ledger, one registry: one acts; asleep past its lease, the first one writes
    nothing more.
    """
    second = remote.home.with_name("second")
    second.mkdir()
    for name in ("lake", "sources"):  # what machines share, as an object store or a network disk
        (second / name).symlink_to(remote.home / name)
    shutil.copytree(remote.home / "reports", second / "reports")
    other = {"KINGMAKER_HOME": str(second)}
    answer = str(remote.home.with_name("first.json"))
    first = remote.ask(
        watch=True,
        fatal="PUT model.skops < tasks/registry/package.py",
        prefix=True,
        pause=True,
        answer=answer,
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
