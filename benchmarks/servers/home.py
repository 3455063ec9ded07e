"""A home with a generated project, and the product's own servers in it, run as a person runs
them.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from sqlalchemy import insert, select

from benchmarks.harness import Cost, cost_of
from deployments.names import POOL
from deployments.server.home import read_secrets, running
from tasks.batches import batch_named
from tasks.ledger.tables import batches, decisions, open_ledger, trainings
from tasks.settings import REPOSITORY

WEATHER = REPOSITORY / "tests" / "projects" / "weather"
COMMAND = (sys.executable, "-P", "-c", "from deployments.command.cli import main; main()")
_OURS = ("KINGMAKER_", "PREFECT_", "MLFLOW_", "TMPDIR", "MPLCONFIGDIR")
_HERE = ("127.0.0.1", 0)


def weeks(count: int) -> list[str]:
    """Names of the first whole weeks of 2013."""
    return [f"2013-W{week:02d}" for week in range(2, 2 + count)]


@dataclass(frozen=True)
class Home:
    """A KINGMAKER_HOME with its project."""

    root: Path
    database: str = ""
    """URL of a PostgreSQL server for all three stores; left out: files in the home."""

    @property
    def home(self) -> Path:
        """What the product writes to."""
        return self.root / "home"

    @property
    def project(self) -> Path:
        """Contracts and specs."""
        return self.root / "project"

    # --- what is in it ---

    def describe(self, model: str, cron: str = "") -> None:
        """Write the two files of a model like the tests' weather: one quick candidate, its first
        champion in week two.
        """
        contract = yaml.safe_load(
            (WEATHER / "data_contracts/weather.odcs.yaml").read_text(encoding="utf-8")
        )
        contract |= {"id": f"urn:bench:{model}", "name": model}
        contract["servers"][0]["path"] = f"${{KINGMAKER_HOME}}/sources/{model}/{{batch}}.csv"
        spec = yaml.safe_load(
            (WEATHER / "deployments/weather/model.yaml").read_text(encoding="utf-8")
        )
        spec |= {"model": model, "contract": model}
        spec["training"] |= {
            "first": 2,
            "candidates": [{"estimator": "sklearn.linear_model.Ridge"}],
        }
        if cron:
            spec["schedule"] = {"cron": cron}
        for file, document in (
            (f"data_contracts/{model}.odcs.yaml", contract),
            (f"deployments/{model}/model.yaml", spec),
        ):
            (self.project / file).parent.mkdir(parents=True, exist_ok=True)
            (self.project / file).write_text(
                yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
            )

    def deliver(self, model: str, week: str) -> None:
        """Write one week of drawn observations to the model's source; the same for every home and
        model.
        """
        rng = np.random.default_rng(int(week[-2:]))
        batch = batch_named(week, "week", "America/New_York")
        columns = [
            "time_hour",
            "origin",
            "temp",
            "dewp",
            "humid",
            "wind_dir",
            "wind_speed",
            "wind_gust",
            "precip",
            "pressure",
            "visib",
        ]
        rows = []
        for hour in range(int((batch.end - batch.start) / timedelta(hours=1))):
            for origin in ("EWR", "JFK", "LGA"):
                temp, wet, wind = 40 + 8 * rng.normal(), rng.random(), 20 * rng.random()
                visible = min(10.0, max(0.0, 11 - 6 * wet + 0.05 * wind + rng.normal(0, 0.5)))
                seen = [
                    temp,
                    temp - 10 * (1 - wet),
                    100 * wet,
                    360 * rng.random(),
                    wind,
                    1.5 * wind,
                    0.0,
                    1013 + 5 * rng.normal(),
                    visible,
                ]
                moment = batch.start + timedelta(hours=hour)
                rows.append(
                    [f"{moment:%Y-%m-%dT%H:%M:%SZ}", origin, *(f"{value:.2f}" for value in seen)]
                )
        file = self.home / "sources" / model / f"{week}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as target:
            csv.writer(target).writerows([columns, *rows])

    def know_as(self, known: str, others: Sequence[str]) -> None:
        """Give each of ``others`` the ledger rows and the source of ``known``, under its own name.

        What an idle run looks at is then what it would be after as many real runs, which would take
        an hour.
        """
        secrets = read_secrets(self.home)
        engine = open_ledger((secrets and secrets.ledger) or f"sqlite:///{self.home}/ledger.db")
        with engine.begin() as ledger:
            for table in (batches, decisions, trainings):
                for row in (
                    ledger.execute(select(table).where(table.c.model == known)).mappings().all()
                ):
                    copies = [
                        {
                            column: (
                                json.loads(json.dumps(value).replace(known, other))
                                if isinstance(value, str | dict)
                                else value
                            )
                            for column, value in row.items()
                            if column != "id"
                        }
                        for other in others
                    ]
                    ledger.execute(insert(table), copies)
        for other in others:
            directory = self.home / "sources" / other
            directory.mkdir(parents=True)
            for file in (self.home / "sources" / known).iterdir():
                # The same bytes at the same moment: a fingerprint may be made of either.
                (directory / file.name).write_bytes(file.read_bytes())
                os.utime(
                    directory / file.name, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns)
                )

    # --- its servers ---

    @contextmanager
    def up(self) -> Iterator[None]:
        """Run ``kingmaker up`` for the block, on free ports, and end it by Ctrl-C."""
        options = [
            "--prefect-port",
            _free_port(),
            "--mlflow-port",
            _free_port(),
            "--console-port",
            _free_port(),
        ]
        database = {"KINGMAKER_DATABASE": self.database} if self.database else {}
        process = subprocess.Popen(
            [*COMMAND, *self._where(), "up", *options],
            env=self.environment() | database,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        assert process.stdout is not None  # noqa: S101 - for the type checker
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C ends" in line:
                break
        else:
            raise RuntimeError(f"kingmaker up ended with {process.wait()}: {''.join(said)}")
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)

    def kingmaker(self, *arguments: str) -> str:
        """Run a command in the home, and return what it printed; RuntimeError when it fails."""
        done = subprocess.run(
            [*COMMAND, *self._where(), *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"kingmaker {' '.join(arguments)}: exit code {done.returncode}: {done.stderr}"
            )
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        """Words of a command in the home."""
        return [*COMMAND, *self._where(), *arguments]

    def environment(self) -> dict[str, str]:
        """The environment of a person who has set nothing of ours."""
        return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}

    def _where(self) -> tuple[str, ...]:
        return "--home", str(self.home), "--project", str(self.project)

    def api(self, path: str, body: Any = None, method: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask Prefect's server, again while its SQLite is busy, as Prefect's own client does."""
        there, known = running(self.home), read_secrets(self.home)
        if there is None or known is None:
            raise RuntimeError(f"{self.home}: no server runs")
        return there.prefect_server(known).json(path, body, method, patience=120)

    def processes(self, part: str) -> list[psutil.Process]:
        """Processes of one part of ``kingmaker up``: prefect, mlflow, or worker, with the runs that
        it started.
        """
        found = []
        for process in psutil.process_iter(["environ"]):
            environment = process.info["environ"] or {}
            if (
                environment.get("KINGMAKER_UP") == str(self.home.resolve())
                and environment.get("KINGMAKER_UP_PART") == part
            ):
                found.append(process)
        return found

    def worker(self) -> psutil.Process:
        """The worker itself: the oldest of its part."""
        return min(self.processes("worker"), key=lambda process: process.create_time())

    def resident(self, part: str) -> float:
        """Resident memory of a part in MB, summed over its processes."""
        return sum(process.memory_info().rss for process in self.processes(part)) / 1e6

    def cpu(self, part: str) -> float:
        """CPU seconds that the processes of a part have used so far, ended children included."""
        return sum(sum(process.cpu_times()[:4]) for process in self.processes(part))

    # --- runs as the worker begins them ---

    def deployment(self, name: str) -> str:
        """Id of the deployment ``flow/name``."""
        return str(self.api(f"/deployments/name/{name}")["id"])

    def run_as_scheduled(self, deployment: str) -> tuple[str, Cost]:
        """Run a deployment in a process as the worker's own, at once, and return how it ended and
        what it cost.

        The run is born Pending, so the worker leaves it alone; its process has the worker's
        environment.
        """
        run = self.api(f"/deployments/{deployment}/create_flow_run", {"state": {"type": "PENDING"}})
        flow = self.api(f"/flows/{run['flow_id']}")["name"]
        environment = self.worker().environ() | {
            "PREFECT__FLOW_RUN_ID": run["id"],
            "PREFECT__FLOW_NAME": flow,
        }
        pool = self.api(f"/work_pools/{POOL}")["base_job_template"]["variables"]["properties"]
        took = cost_of(shlex.split(pool["command"]["default"]), environment)
        return str(self.api(f"/flow_runs/{run['id']}")["state"]["type"]), took


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(_HERE)
        return str(probe.getsockname()[1])
