"""Real servers for these tests: ``kingmaker up`` as a person starts it, in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from deployments.server.home import USER, Secrets, read_secrets, running
from tests.conftest import WEATHER_PROJECT

COMMAND = (sys.executable, "-P", "-c", "from deployments.command.cli import main; main()")
"""As the installed ``kingmaker`` script starts: without the working directory on the path."""
_OURS = ("KINGMAKER_", "PREFECT_", "MLFLOW_", "TMPDIR", "MPLCONFIGDIR")


def crowd(directory: Path) -> Path:
    """Return a directory with files and folders of a user's under the names of our packages."""
    for name in ("tasks.py", *(f"{one}/__init__.py" for one in ("flows", "deployments"))):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("raise SystemExit('a file of the user')\n", encoding="utf-8")
    return directory


@dataclass
class Servers:
    """One ``kingmaker up`` and the commands beside it, in a directory of a user's that has folders
    under the names of our packages.
    """

    home: Path
    project: Path = WEATHER_PROJECT
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    silent: str = ""
    """Id of a run that a test module has left without a sign of life."""

    def __enter__(self) -> Self:
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        # Not the usual ports: a developer's own servers may listen there.
        ports = (
            []
            if "--prefect-port" in self.arguments
            else [
                word
                for server in ("prefect", "mlflow", "console")
                for word in (f"--{server}-port", free_port())
            ]
        )
        self.process = subprocess.Popen(
            [*COMMAND, *self._where(), "up", *ports, *self.arguments],
            env=self.env(quick),
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self.process.stdout:  # it ends when the process does
            said.append(line)
            if "Ctrl-C ends" in line:
                return self
        raise AssertionError(f"kingmaker up ended with {self.process.wait()}: {''.join(said)}")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> str:
        """End it by Ctrl-C, as a person does, and return what it said at its end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=90)
        return said

    def kingmaker(
        self,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        timeout: int = 240,
        input: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the same home."""
        return subprocess.run(
            [*COMMAND, *self._where(), *arguments],
            input=input,
            env=self.env(variables),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a person who has set nothing of ours."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        return kept | dict(self.environment) | dict(more or {})

    @property
    def secrets(self) -> Secrets:
        """What opens the servers."""
        return read_secrets(self.home)

    @property
    def prefect(self) -> str:
        """Address of Prefect's server."""
        return running(self.home).prefect_url

    @property
    def console(self) -> str:
        """Address of the console."""
        return running(self.home).console_url

    @property
    def mlflow(self) -> str:
        """Address of MLflow's server."""
        return running(self.home).mlflow_url

    def api(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Ask Prefect's API, with credentials; again while its SQLite is busy."""
        server = running(self.home).prefect_server(self.secrets)
        return server.json(path, body, method, patience=120)

    def processes(self, part: str | None = None) -> list[psutil.Process]:
        """All that ``up`` started, and all that it started: of one part, or of all."""
        # process_iter leaves out what ends while we look, and gives None for what is not ours to
        # read.
        environments = ((p, p.info["environ"] or {}) for p in psutil.process_iter(["environ"]))
        return [
            process
            for process, environment in environments
            if environment.get("KINGMAKER_UP") == str(self.home.resolve())
            and part in (None, environment.get("KINGMAKER_UP_PART"))
        ]

    @property
    def directory(self) -> Path:
        """Where a person types the commands."""
        return crowd(self.home.parent / "crowded")

    def _where(self) -> tuple[str, ...]:
        return "--home", str(self.home), "--project", str(self.project)


def ask(
    url: str, password: str | None = None, body: Any = None, method: str | None = None
) -> tuple[int, bytes]:
    """Return status and content of one request, with or without credentials."""
    headers = {"Content-Type": "application/json"}
    if password is not None:
        headers["Authorization"] = (
            "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()
        )
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own http URL
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(look: Any, seconds: float = 300) -> Any:
    """Return what ``look`` returns as soon as it is true; AssertionError when that takes too
    long.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"nothing within {seconds} s"
        time.sleep(0.5)
    return found


def free_port() -> str:
    """Return a free port."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="session")
def full_postgres() -> Iterator[str]:
    """URL of a PostgreSQL server of the tests' own, on loopback, with a password, from this
    machine's packages.

    The one in a wheel lacks pg_trgm, which Prefect's tables need; without another one the test is
    skipped, and says so.
    """
    # Debian keeps its programs off the PATH, one folder for each version.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    control = shutil.which("pg_ctl", path=os.pathsep.join([os.environ["PATH"], *map(str, debian)]))
    if control is None:
        pytest.skip("no PostgreSQL with pg_trgm is installed: apt-get install postgresql")
    programs = Path(control).resolve().parent
    # Not below pytest's directories: they are closed to the user that the server must run as when
    # we are root.
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(directory, user)
    secret, port = directory / "password", free_port()
    secret.write_text("a-canary-word", encoding="utf-8")
    secret.chmod(0o644)
    data = str(directory / "data")
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c"
        " fsync=off"
    )

    def run(*command: str) -> None:
        subprocess.run(command, user=user, cwd=directory, check=True, stdout=subprocess.DEVNULL)

    run(
        str(programs / "initdb"),
        "-D",
        data,
        "-U",
        "kingmaker",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
    )
    try:
        run(
            str(programs / "pg_ctl"),
            "-D",
            data,
            "-w",
            "-l",
            str(directory / "log"),
            "-o",
            options,
            "start",
        )
        yield f"postgresql://kingmaker:a-canary-word@127.0.0.1:{port}"
    finally:
        with suppress(subprocess.CalledProcessError):  # it did not begin
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(directory)
