"""``kingmaker up``: Prefect's server, MLflow's server and a worker on this machine, until Ctrl-C
ends them all.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deployments.register import POOL
from deployments.server import home as servers
from deployments.server.home import USER, Running, Secrets
from tasks.errors import KingmakerError, MisuseError
from tasks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY_SECONDS = 180
"""The longest that a server may take to answer; on two busy cores MLflow took 20 s, Prefect 12 s.
"""
_END_SECONDS = 20
"""The longest that a program may take to end before it is killed."""
_MOST_DEATHS, _WITHIN_SECONDS = 5, 600
"""A program that dies more often than this is not started again."""
_MARK, _PART = "KINGMAKER_UP", "KINGMAKER_UP_PART"
"""Variables in the environment of all that we start, and of all that it starts: what is ours is
found by them.
"""


class NotReadyError(KingmakerError):
    """A program did not begin, or died too often; the message names its log."""


class HomeElsewhereError(MisuseError, ValueError):
    """The home keeps its ledger in another place than the one that is asked for."""


@dataclass
class Program:
    """One program under supervision."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=deque)

    def start(self) -> None:
        """Start it, away from our terminal, so that Ctrl-C reaches us alone and we end things in
        order.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own commands
                self.command,
                env={**self.environment, _PART: self.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def died(self) -> int | None:
        """How it ended, if it did."""
        return None if self.process is None else self.process.poll()


def up(
    settings: Settings,
    say: Callable[[str], None],
    *,
    database: str = "",
    prefect_port: int | None = None,
    mlflow_port: int | None = None,
    at_once: int | None = None,
) -> None:
    """Run the servers of the home until SIGINT or SIGTERM; everything that was started has ended
    when this returns.

    Args:
        settings: Where the home is; what the servers keep is kept there.
        say: Called with each sentence for people.
        database: URL of a PostgreSQL server for all three stores; left out: what the home used
            before, or its files.
        prefect_port: Left out: 4200, or a free one when that is taken.
        mlflow_port: Left out: 5000, or a free one when that is taken.
        at_once: Most runs at the same time; left out: one a processor.

    Raises AlreadyUpError when the home's servers run, HomeElsewhereError when its ledger is
    elsewhere, NotReadyError when a program does not begin or dies more than five times in ten
    minutes.
    """
    home = settings.home.resolve()
    with servers.sole_runner(home), _asked_to_stop() as stop:
        _end(_ours(home))  # what an earlier one left that was killed
        known = _settle(home, database)
        there = Running(
            process=os.getpid(),
            began=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            prefect=_port(prefect_port, servers.PREFECT_PORT),
            mlflow=_port(mlflow_port, servers.MLFLOW_PORT),
        )
        programs = _programs(settings, known, there, at_once or os.cpu_count() or 1)
        try:
            _begin(programs, known, there, stop)
            if not stop.is_set():
                servers.write_running(home, there)
                _tell(say, home, there)
            _supervise(programs, stop, say)
            say("ending")
        finally:
            for program in reversed(programs):  # runs can still say that they crashed, and to whom
                _end(_ours(home, program.name))


def _settle(home: Path, database: str) -> Secrets:
    """Return the home's secrets and stores, made on first use."""
    found = servers.read_secrets(home)
    known = found or Secrets.new()
    if database:
        from tasks.ledger.databases import make_stores

        stores = make_stores(database)
        asked = replace(
            known, ledger=stores.ledger, prefect_store=stores.prefect, mlflow_store=stores.mlflow
        )
        if known.ledger and known.ledger != asked.ledger:
            raise HomeElsewhereError(
                f"{home}: its ledger is in another database already; leave --database out to use"
                " that one, or see 'Move to PostgreSQL' in docs/operations.md"
            )
        if not known.ledger and (home / "ledger.db").exists():
            raise HomeElsewhereError(
                f"{home}: its ledger is in ledger.db, and an empty database would forget it; leave"
                " --database out, choose another home, or see 'Move to PostgreSQL' in"
                " docs/operations.md"
            )
        known = asked
    if known != found:
        servers.write_private(servers.secrets_file(home), known)
    return known


def _programs(settings: Settings, known: Secrets, there: Running, at_once: int) -> list[Program]:
    """Return what is to run, in the order of its beginning.

    Secrets go by the environment, never by a command line.
    """
    home, python = settings.home.resolve(), sys.executable
    ours = (
        "PREFECT_API_URL",
        "PREFECT_API_AUTH_STRING",
        "KINGMAKER_TRACKING",
        "KINGMAKER_DATABASE",
    )
    base = {name: value for name, value in os.environ.items() if name not in ours} | {
        _MARK: str(home)
    }
    at = ["--host", "127.0.0.1", "--port"]
    prefect = {
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{known.prefect}",
        "PREFECT_SERVER_ENCRYPTION_KEY": known.encryption,
        "PREFECT_SERVER_UI_API_URL": f"{there.prefect_url}/api",  # else its page calls port 4200
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": (
            "events,flow_runs"
        ),  # runs older than 90 days go
        # When a worker is not heard for a minute, Prefect's foreman calls every deployment of its
        # pool not ready, and then ready again, with an event for each in one transaction: of 200
        # models SQLite was never free again, so that the worker was not heard. It is we who look
        # after the worker.
        "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": (
            "300"
        ),  # each run that is late is written once more
    }
    if known.prefect_store:
        prefect["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = known.prefect_store
    mlflow = {
        "KINGMAKER_MLFLOW_AUTH_STRING": f"{USER}:{known.mlflow}",
        "MLFLOW_BACKEND_STORE_URI": known.mlflow_store or f"sqlite:///{home}/mlflow.db",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": (
            "false"
        ),  # a second server's worth of memory, for what we do not use
    }
    worker = servers.prefect_client(there, known) | servers.mlflow_client(there, known)
    worker |= {
        "KINGMAKER_PROJECT": str(settings.project.resolve()),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_LOGGING_LEVEL": "INFO",  # what a run says is kept with it
        # At each look the worker begins as many runs as are free to begin: two in the usual 10 s is
        # 720 an hour.
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "5"),
    }
    if known.ledger:
        worker["KINGMAKER_LEDGER"] = known.ledger
    logs = home / "logs"
    serve = [
        "-m",
        "uvicorn",
        "--factory",
        "deployments.server.authentication:prefect_app",
        "--log-level",
        "warning",
    ]
    artifacts = ["--no-serve-artifacts", "--default-artifact-root", str(settings.artifacts)]
    return [
        Program(
            "prefect",
            [python, *serve, "--timeout-graceful-shutdown", "5", *at, str(there.prefect)],
            base | prefect,
            logs / "prefect.log",
        ),
        Program(
            "mlflow",
            [
                python,
                "-m",
                "mlflow",
                "server",
                "--app-name",
                "kingmaker",
                "--workers",
                "1",
                *artifacts,
                *at,
                str(there.mlflow),
            ],
            base | mlflow,
            logs / "mlflow.log",
        ),
        Program(
            "worker",
            [
                python,
                "-m",
                "prefect",
                "worker",
                "start",
                "--pool",
                POOL,
                "--type",
                "process",
                "--limit",
                str(at_once),
            ],
            base | worker,
            logs / "worker.log",
        ),
    ]


# --- from beginning to end ------------------------------------------------------------------------


def _begin(programs: list[Program], known: Secrets, there: Running, stop: threading.Event) -> None:
    """Start the servers, wait until they answer, then start the worker and wait until the server
    knows it.
    """
    prefect, mlflow, worker = programs
    prefect.start()
    mlflow.start()
    _wait(prefect, f"{there.prefect_url}/api/ready", known.prefect, stop)
    _wait(mlflow, f"{there.mlflow_url}/health", known.mlflow, stop)
    if not stop.is_set():
        worker.start()
        workers = f"{there.prefect_url}/api/work_pools/{POOL}/workers/filter"
        _wait(
            worker,
            workers,
            known.prefect,
            stop,
            body=b"{}",
            until=lambda answer: b"ONLINE" in answer,
        )
        _begin_runs_directly(there, known)


def _begin_runs_directly(there: Running, known: Secrets) -> None:
    """Have the pool begin a run by this very interpreter, with a look at whether there is anything
    to do.

    Left to itself the worker begins another one first, which looks where the code is: two seconds
    of a processor a run.
    """
    url = f"{there.prefect_url}/api/work_pools/{POOL}"
    template = json.loads(_ask(url, known.prefect))["base_job_template"]
    template["variables"]["properties"]["command"]["default"] = (
        f"{shlex.quote(sys.executable)} -m deployments.launcher"
    )
    _ask(url, known.prefect, json.dumps({"base_job_template": template}).encode(), "PATCH")


def _wait(
    program: Program,
    url: str,
    password: str,
    stop: threading.Event,
    body: bytes | None = None,
    until: Callable[[bytes], bool] = bool,
) -> None:
    end = time.monotonic() + _READY_SECONDS
    while not stop.is_set():
        if program.died is not None:
            raise NotReadyError(
                f"{program.name}: ended with code {program.died} before it was ready; its last"
                f" words, from {program.log}:\n{_last_words(program.log)}"
            )
        try:
            if until(_ask(url, password, body)):
                return
        except (urllib.error.URLError, OSError):
            pass  # not yet: that is what is waited for, with a bound
        if time.monotonic() > end:
            raise NotReadyError(
                f"{program.name}: no answer within {_READY_SECONDS} s; see {program.log}"
            )
        stop.wait(0.2)


def _ask(url: str, password: str, body: bytes | None = None, method: str | None = None) -> bytes:
    token = base64.b64encode(f"{USER}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    # No proxy: it is this machine that is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(
        urllib.request.Request(url, body, headers, method=method),  # noqa: S310 - ours
        timeout=10,
    ) as answer:
        content: bytes = answer.read()
    return content


def _supervise(programs: list[Program], stop: threading.Event, say: Callable[[str], None]) -> None:
    """Start again what died, up to its bound, until we are asked to stop."""
    while not stop.wait(0.5):
        for program in programs:
            if program.died is None:
                continue
            now = time.monotonic()
            program.deaths.append(now)
            while program.deaths[0] < now - _WITHIN_SECONDS:
                program.deaths.popleft()
            if len(program.deaths) > _MOST_DEATHS:
                raise NotReadyError(
                    f"{program.name}: died {len(program.deaths)} times within"
                    f" {_WITHIN_SECONDS // 60} minutes, the last time with code {program.died}; its"
                    f" last words, from {program.log}:\n{_last_words(program.log)}"
                )
            say(
                f"{program.name} died with code {program.died}; it is started again ({program.log})"
            )
            if (
                program.name != "worker"
            ):  # what a server leaves holds its port; what a worker leaves are runs
                _end(_ours(Path(program.environment[_MARK]), program.name))
            if stop.wait(2 ** (len(program.deaths) - 1) - 1):
                return
            program.start()


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Give an event that SIGINT, SIGTERM and SIGHUP set; the second signal does not cut the ending
    short.
    """
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in signals}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


# --- processes and ports --------------------------------------------------------------------------


def _ours(home: Path, part: str | None = None) -> list[psutil.Process]:
    """Every process that descends from an ``up`` in this home, however far, by the mark in its
    environment.
    """
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # another user's, or gone
        if environment.get(_MARK) == str(home) and part in (None, environment.get(_PART)):
            found.append(process)
    return found


def _end(processes: list[psutil.Process]) -> None:
    """Ask each to end, wait, and kill what has not."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=_END_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def _port(wanted: int | None, default: int) -> int:
    """Return the wanted port; or the default one, or when that is taken, one that is free."""
    if wanted is not None:
        if not _free(wanted):
            raise OSError(
                f"port {wanted} on 127.0.0.1: expected it to be free, found it taken; choose"
                " another one"
            )
        return wanted
    return default if _free(default) else _any_free()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# --- words ----------------------------------------------------------------------------------------


def _tell(say: Callable[[str], None], home: Path, there: Running) -> None:
    say(f"Prefect  {there.prefect_url}")
    say(f"MLflow   {there.mlflow_url}")
    say(f"user     {USER}; the passwords are in {os.path.relpath(servers.secrets_file(home))}")
    say("next     'kingmaker deploy' registers the models; Ctrl-C ends everything")


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
