"""Tests of how the worker begins a run: what the look may end by itself, and what is the
engine's.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deployments import launcher
from tasks.ledger.lease import lease
from tasks.ledger.tables import open_ledger
from tests.conftest import WEATHER_PROJECT


class Server(ThreadingHTTPServer):
    """As much of Prefect's server as one run asks: it answers as it is told, and keeps what it was
    told.
    """

    parameters: dict[str, Any]
    answers: list[dict[str, Any]]
    told: list[tuple[str, str, Any]]


class _Listener(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null")
        assert (
            base64.b64decode(self.headers["Authorization"].removeprefix("Basic "))
            == b"kingmaker:a-canary-word"
        )
        self.server.told.append((self.command, self.path, body))
        said = {"GET": {"parameters": self.server.parameters}, "PATCH": None}
        content = said[self.command] if self.command in said else self.server.answers.pop(0)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    """A server that accepts every state of a run of the weather, in a home whose source is there
    and empty.
    """
    (tmp_path / "sources" / "weather").mkdir(parents=True)
    with Server(("127.0.0.1", 0), _Listener) as found:
        found.parameters, found.told = {"model": "weather", "batch": None}, []
        found.answers = [{"status": "ACCEPT"} for _ in range(3)]
        threading.Thread(target=found.serve_forever, daemon=True).start()
        for name, value in {
            "KINGMAKER_HOME": str(tmp_path),
            "KINGMAKER_PROJECT": str(WEATHER_PROJECT),
            "PREFECT_API_URL": f"http://127.0.0.1:{found.server_port}/api",
            "PREFECT_API_AUTH_STRING": "kingmaker:a-canary-word",
            "PREFECT__FLOW_RUN_ID": "5",
            "PREFECT__FLOW_NAME": "monitor",
        }.items():
            monkeypatch.setenv(name, value)
        yield found
        found.shutdown()


@pytest.mark.parametrize("flow", ["monitor", "score"])
def test_idle_run_is_ended_in_the_engines_states_without_prefect(server, monkeypatch, flow):
    """It begins, gets its name, and ends; nothing heavy was imported for it."""
    monkeypatch.setenv("PREFECT__FLOW_NAME", flow)
    code = (
        "import sys; from deployments.launcher import main; main()\n"
        "heavy = {'prefect', 'pandas', 'numpy',"
        " 'sklearn', 'mlflow', 'evidently', 'great_expectations'}\nprint('heavy:', sorted(heavy &"
        " set(sys.modules)))\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )

    assert said.stdout == "heavy: []\n", said.stderr
    assert server.told == [
        ("GET", "/api/flow_runs/5", None),
        ("POST", "/api/flow_runs/5/set_state", {"state": {"type": "RUNNING"}}),
        ("PATCH", "/api/flow_runs/5", {"name": f"{flow} weather"}),
        (
            "POST",
            "/api/flow_runs/5/set_state",
            {"state": {"type": "COMPLETED", "message": "nothing is new"}},
        ),
    ]


def _ran_by_the_engine(monkeypatch) -> bool:
    begun = []
    monkeypatch.setattr(launcher.runpy, "run_module", lambda name, **_: begun.append(name))
    launcher.main()
    return begun == ["prefect.engine"]


def test_waiting_batch_is_the_engines(server, tmp_path, monkeypatch):
    """Where a week waits, the look tells the server nothing."""
    (tmp_path / "sources" / "weather" / "2013-W02.csv").write_text("whatever\n", encoding="utf-8")

    assert _ran_by_the_engine(monkeypatch)
    assert [method for method, _, _ in server.told] == ["GET"]


@pytest.mark.parametrize("asked", [{"batch": "2013-W02"}, {"as_of": "2013-02-01T00:00:00Z"}])
def test_run_that_asks_for_something_is_the_engines(server, monkeypatch, asked):
    """A batch or a moment is not looked for: the flow knows what it means."""
    server.parameters |= asked

    assert _ran_by_the_engine(monkeypatch)


@pytest.mark.parametrize(("flow", "given"), [("retrain", {"model": "weather"}), ("reconcile", {})])
def test_other_flows_are_the_engines(server, monkeypatch, flow, given):
    """A retrain with nothing new trains, and what is about no model in particular is not looked
    at.
    """
    monkeypatch.setenv("PREFECT__FLOW_NAME", flow)
    server.parameters = given

    assert _ran_by_the_engine(monkeypatch)
    assert [method for method, _, _ in server.told] == ["GET"]


@pytest.mark.parametrize("flow", ["monitor", "promote"])
def test_a_run_waits_without_a_process_while_another_acts_for_its_model(
    server, tmp_path, monkeypatch, flow
):
    """It is scheduled some seconds on, with the name of the one that acts, and then goes on."""
    monkeypatch.setenv("PREFECT__FLOW_NAME", flow)
    engine, before = open_ledger(f"sqlite:///{tmp_path}/ledger.db"), datetime.now(UTC)

    with lease(engine, "weather", "another run"):
        assert not _ran_by_the_engine(monkeypatch)

    (_, path, body) = server.told[-1]
    state = body["state"]
    assert path == "/api/flow_runs/5/set_state"
    assert (state["type"], state["message"]) == ("SCHEDULED", "another run acts for weather now")
    due = datetime.fromisoformat(state["state_details"]["scheduled_time"])
    assert before < due < datetime.now(UTC) + 2 * launcher.PUT_OFF
    assert _ran_by_the_engine(monkeypatch) == (flow == "promote")


def test_a_run_that_the_server_does_not_put_off_is_the_engines(server, tmp_path, monkeypatch):
    """The engine says by name that another acts."""
    server.answers = [{"status": "REJECT"}]

    with lease(open_ledger(f"sqlite:///{tmp_path}/ledger.db"), "weather", "another run"):
        assert _ran_by_the_engine(monkeypatch)


@pytest.mark.parametrize("status", ["ABORT", "REJECT"])
def test_run_that_the_server_does_not_let_begin_is_the_engines(server, monkeypatch, status):
    """The engine knows what to do with a run that was cancelled before it began."""
    server.answers = [{"status": status}]

    assert _ran_by_the_engine(monkeypatch)


def test_run_before_its_time_waits_and_looks_again(server, tmp_path, monkeypatch):
    """What comes while it waits for its moment is not missed."""
    server.answers = [{"status": "WAIT", "details": {"delay_seconds": 7}}]
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        (tmp_path / "sources" / "weather" / "2013-W02.csv").write_text(
            "whatever\n", encoding="utf-8"
        )

    monkeypatch.setattr(launcher.time, "sleep", sleep)

    assert _ran_by_the_engine(monkeypatch)
    assert slept == [7]


def test_server_that_is_away_and_a_source_that_is_gone_are_the_engines(
    server, tmp_path, monkeypatch
):
    """Whatever keeps us from looking is told by the engine, by name."""
    (tmp_path / "sources" / "weather").rmdir()
    assert _ran_by_the_engine(monkeypatch)

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert _ran_by_the_engine(monkeypatch)
