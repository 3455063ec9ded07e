"""``kingmaker up``: Prefect's server, MLflow's server, the console and a worker on this machine,
until Ctrl-C ends them all.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from deployments.names import LAUNCHER, POOL
from deployments.server import home as servers
from deployments.server import people
from deployments.server.authentication import CONSOLE_CREDENTIALS
from deployments.server.client import Server, ServerAwayError, ServerRefusedError
from deployments.server.home import USER, Running, Secrets
from deployments.server.programs import NotReadyError, Program, end, started_in, supervise
from deployments.server.sessions import KEY
from tasks.errors import KingmakerError, MisuseError
from tasks.settings import Settings

READY_SECONDS = 180.0
"""The longest that a server may take to answer; on two busy cores MLflow took 20 s, Prefect 12 s.
"""
_OURS = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "KINGMAKER_TRACKING", "KINGMAKER_DATABASE")
"""Variables that the programs get from us, or not at all."""


class AskedToStopError(KingmakerError):
    """A person ended the command while it waited."""


class HomeElsewhereError(MisuseError, ValueError):
    """The home keeps its ledger in another place than the one that is asked for."""


class PortTakenError(MisuseError):
    """Another program listens on the port that is asked for."""


def up(
    settings: Settings,
    say: Callable[[str], None],
    *,
    database: str = "",
    prefect_port: int | None = None,
    mlflow_port: int | None = None,
    console_port: int | None = None,
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
        console_port: Left out: 4300, or a free one when that is taken.
        at_once: Most runs at the same time; left out: one a processor.

    Raises AlreadyUpError when the home's servers run, HomeElsewhereError when its ledger is
    elsewhere, PortTakenError when a port that is asked for is, NotReadyError when a program does
    not begin or dies more than five times in ten minutes.
    """
    home = settings.home.resolve()
    with servers.sole_runner(home), _asked_to_stop() as stop:
        end(started_in(home))  # what an earlier one left that was killed
        known = _stores_and_secrets(home, database)
        there = Running(
            process=os.getpid(),
            began=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            prefect=_port(prefect_port, servers.PREFECT_PORT),
            mlflow=_port(mlflow_port, servers.MLFLOW_PORT),
            console=_port(console_port, servers.CONSOLE_PORT),
        )
        programs = _programs(settings, known, there, at_once or os.cpu_count() or 1)
        try:
            with contextlib.suppress(AskedToStopError):
                _begin(programs, known, there, stop)
                servers.write_running(home, there)
                _tell(say, home, there)
                supervise(programs, stop, say)
            say("ending")
        finally:
            for program in reversed(programs):  # runs can still say that they crashed, and to whom
                end(started_in(home, program.name))


def _stores_and_secrets(home: Path, database: str) -> Secrets:
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
        servers.write_private(servers.secrets_file(home), asdict(known))
    return known


def _programs(settings: Settings, known: Secrets, there: Running, at_once: int) -> list[Program]:
    """Return what is to run, in the order of its beginning.

    Secrets go by the environment, never by a command line.
    """
    home = settings.home.resolve()
    base = {name: value for name, value in os.environ.items() if name not in _OURS}
    base |= {"KINGMAKER_HOME": str(home)}
    at = ["--host", "127.0.0.1", "--port"]
    prefect = {
        KEY: known.session,
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{known.prefect}",
        "PREFECT_SERVER_ENCRYPTION_KEY": known.encryption,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # Runs older than 90 days go.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        # When a worker is not heard for a minute, Prefect's foreman calls every deployment of its
        # pool not ready, and then ready again, with an event for each in one transaction: of 200
        # models SQLite was never free again, so that the worker was not heard. It is we who look
        # after the worker.
        "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
        # A hundred coming runs of each model, as usual, keep SQLite busy; one does all that waits.
        "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "10",
        # Each run that is late is written once more.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "300",
    }
    if known.prefect_store:
        prefect["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = known.prefect_store
    mlflow = {
        KEY: known.session,
        "KINGMAKER_MLFLOW_AUTH_STRING": f"{USER}:{known.mlflow}",
        "MLFLOW_BACKEND_STORE_URI": known.mlflow_store or f"sqlite:///{home}/mlflow.db",
        # A second server's worth of memory, for what we do not use.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    worker = servers.prefect_client(there, known) | servers.mlflow_client(there, known)
    worker |= {
        "KINGMAKER_PROJECT": str(settings.project.resolve()),
        "KINGMAKER_CONSOLE_URL": there.console_url,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_LOGGING_LEVEL": "INFO",  # what a run says is kept with it
        # At each look the worker begins as many runs as are free to begin: two in the usual 10 s is
        # 720 an hour.
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "5"),
    }
    console = {
        KEY: known.session,
        CONSOLE_CREDENTIALS: f"{USER}:{known.console}",
        "KINGMAKER_PROJECT": worker["KINGMAKER_PROJECT"],
        "KINGMAKER_PREFECT_URL": there.prefect_url,
        "KINGMAKER_MLFLOW_URL": there.mlflow_url,
        **servers.prefect_client(there, known),
    }
    if known.ledger:
        worker["KINGMAKER_LEDGER"] = console["KINGMAKER_LEDGER"] = known.ledger
    serve = ["--factory", "deployments.server.authentication:prefect_app", "--log-level", "warning"]
    serve += ["--timeout-graceful-shutdown", "5", *at, str(there.prefect)]
    track = ["server", "--app-name", "kingmaker", "--workers", "1", "--no-serve-artifacts"]
    track += ["--default-artifact-root", str(settings.artifacts), *at, str(there.mlflow)]
    show = ["--factory", "deployments.console.app:console_app", "--log-level", "warning"]
    show += ["--timeout-graceful-shutdown", "5", *at, str(there.console)]
    work = ["worker", "start", "--pool", POOL, "--type", "process", "--limit", str(at_once)]
    return [
        Program("prefect", "uvicorn", serve, base | prefect, home),
        Program("mlflow", "mlflow", track, base | mlflow, home),
        Program("console", "uvicorn", show, base | console, home),
        Program("worker", "prefect", work, base | worker, home),
    ]


# --- from beginning to end ------------------------------------------------------------------------


def _begin(programs: list[Program], known: Secrets, there: Running, stop: threading.Event) -> None:
    """Start the servers, wait until they answer, then start the worker and wait until the server
    knows it.
    """
    prefect, mlflow, console, worker = programs
    api, tracking = there.prefect_server(known), there.mlflow_server(known)
    prefect.start()
    mlflow.start()
    console.start()
    wait(prefect, lambda: api.ask("/ready", timeout=10), stop)
    wait(mlflow, lambda: tracking.ask("/health", timeout=10), stop)
    wait(console, lambda: there.console_server(known).ask("/health", timeout=10), stop)
    worker.start()
    wait(worker, lambda: _is_online(api), stop)
    wait(worker, lambda: _launch_directly(api), stop)


def _is_online(api: Server) -> bool:
    workers = api.json(f"/work_pools/{POOL}/workers/filter", {})
    return any(worker["status"] == "ONLINE" for worker in workers)


def _launch_directly(api: Server) -> bool:
    """Have the pool begin a run by this very interpreter, with a look at whether there is anything
    to do.

    Left to itself the worker begins another one first, which looks where the code is: two seconds
    of a processor a run.
    """
    template = api.json(f"/work_pools/{POOL}")["base_job_template"]
    template["variables"]["properties"]["command"]["default"] = shlex.join(
        [sys.executable, "-P", "-m", LAUNCHER]
    )
    api.ask(f"/work_pools/{POOL}", {"base_job_template": template}, "PATCH")
    return True


def wait(
    program: Program,
    look: Callable[[], object],
    stop: threading.Event,
    *,
    patience: float = READY_SECONDS,
) -> None:
    """Look until it returns what is true, while its server is away or busy too.

    Raises NotReadyError, with the program's log, when the program died or the patience, in seconds,
    is over; AskedToStopError as soon as ``stop`` is set.
    """
    last, over = "nothing", time.monotonic() + patience
    while program.died is None:
        try:
            if look():
                return
        except (ServerAwayError, ServerRefusedError) as error:  # the pool is made by its worker
            last = str(error)
        if time.monotonic() > over:
            raise NotReadyError(
                f"{program.name}: expected it to be ready within {patience:g} s, found {last}; see"
                f" {program.log}"
            )
        if stop.wait(0.2):
            raise AskedToStopError
    raise NotReadyError(f"{program.name}: ended before it was ready, with {program.how_it_ended()}")


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


# --- ports --------------------------------------------------------------------------


def _port(wanted: int | None, default: int) -> int:
    """Return the wanted port; or the default one, or when that is taken, one that is free."""
    if wanted is not None:
        if not _free(wanted):
            raise PortTakenError(
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
    say(f"console  {there.console_url}")
    say(f"Prefect  {there.prefect_url}")
    say(f"MLflow   {there.mlflow_url}")
    known = ", ".join(people.names(home))
    say(f"log in   {known}" if known else "log in   'kingmaker user add NAME' lets a person in")
    say(f"programs user {USER}; passwords are in {os.path.relpath(servers.secrets_file(home))}")
    say("next     'kingmaker deploy' registers the models; Ctrl-C ends everything")
