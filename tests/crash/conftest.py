"""A warm process to run and to kill in, and a home just before the batch that replaces the champion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS
from tests.flows.conftest import prefect_server

__all__ = ["prefect_server"]

AS_OF = "2013-03-01T00:00:00+00:00"


@dataclass(frozen=True)
class Stage:
    """A home that can be put back to where it was, and the warm process that acts in it."""

    home: Path
    before: Path
    """A copy of the home before the run."""
    ask: Callable[..., dict[str, Any]]
    """Function: what the job is to do -> its exit status and what it found."""

    def reset(self) -> None:
        """Put the home back; its place must stay the same, since MLflow writes absolute paths down."""
        shutil.rmtree(self.home)
        shutil.copytree(self.before, self.home)


@pytest.fixture(scope="module")
def stage(
    prefect_server: None,
    weather_source: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """Two weeks are done and version 1 reigns; in the third a better version 2 is trained and crowned."""
    from prefect.settings import PREFECT_API_URL

    root = tmp_path_factory.mktemp("crash")
    home, project = root / "home", root / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 2, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    spec["retrain"] = {"every": 1}
    spec["gate"] = {"refresh_worse": 9.0, "refresh_worse_outright": 9.0}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.driver"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == "ready"

    def ask(**job: Any) -> dict[str, Any]:
        environment = {"KINGMAKER_HOME": str(home), "KINGMAKER_PROJECT": str(project)}
        whole = {"as_of": AS_OF, "answer": str(root / "answer.json")} | job
        whole["environment"] = environment | job.get("environment", {})
        process.stdin.write(json.dumps(whole) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    sources = home / "sources" / "weather"
    sources.mkdir(parents=True)
    for week in WEATHER_WEEKS[:2]:
        shutil.copy(weather_source / f"{week}.csv", sources)
    began = ask()
    assert began["status"] == 0, began
    assert "error" not in began["found"], began
    shutil.copy(weather_source / f"{WEATHER_WEEKS[2]}.csv", sources)
    shutil.copytree(home, root / "before")
    yield Stage(home, root / "before", ask)
    process.stdin.close()
    process.wait(60)
    process.stdout.close()
