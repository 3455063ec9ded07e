"""Flow tests run on a real Prefect server, a real MLflow store and a real ledger, all in a
temporary home.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.settings import Settings, prepare_environment
from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of the tests' own, on loopback, on a free port, with a database in memory of
    the session.
    """
    home = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    prepare_environment(Settings(home=home))
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def use_home(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Function: home and project -> their settings, in force for the flows of this test."""

    def use(home: Path, project: Path = WEATHER_PROJECT) -> Settings:
        monkeypatch.setenv("KINGMAKER_HOME", str(home))
        monkeypatch.setenv("KINGMAKER_PROJECT", str(project))
        return Settings()

    return use


@pytest.fixture
def quick_project(tmp_path: Path) -> Path:
    """The weather project with its first champion at the second week, and one linear candidate:
    trained in a second.
    """
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 2, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def replayed_home(
    prefect_server: None, weather_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home in which ten weeks of weather were replayed; look at it, do not change it."""
    from flows.replay import replay

    home = tmp_path_factory.mktemp("replayed")
    shutil.copytree(weather_source, home / "sources" / "weather")
    for week in WEATHER_WEEKS[10:]:
        (home / "sources" / "weather" / f"{week}.csv").unlink()
    before = dict(os.environ)
    os.environ |= {"KINGMAKER_HOME": str(home), "KINGMAKER_PROJECT": str(WEATHER_PROJECT)}
    try:
        assert run_flow(replay("weather")) == 10
    finally:
        os.environ.clear()
        os.environ.update(before)
    return home


def run_flow(flow: Coroutine[Any, Any, Any]) -> Any:
    """Run an async flow to its end and return its value."""
    return asyncio.run(flow)
