"""Tests of the second project: real data of another kind, through the same code, without a line of
its own.
"""

import csv
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tasks.features.frame import build_frame
from tasks.ingest.arrivals import open_source
from tasks.ingest.snapshot import write_snapshot
from tasks.lake import read_accepted, read_reasons
from tasks.model_spec import manage
from tasks.records import Snapshot, Verdict
from tasks.settings import Settings
from tasks.validation.verdict import judge
from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS


def ingested(settings: Settings) -> dict[str, tuple[Snapshot, Verdict]]:
    """Snapshot and verdict of every week that is there."""
    managed = manage("weather", settings)
    source = open_source(managed.rows)
    found = {}
    for week in source.batches():
        table = source.read(managed.rows.batch(week)).table()
        snapshot = write_snapshot(
            settings.lake, table, managed.contract, managed.rows.batch(week), source.name
        )
        found[week] = (
            snapshot,
            judge(settings.lake, snapshot, managed.contract, managed.spec.validation),
        )
    return found


def test_project_holds_no_code() -> None:
    """A contract and a model spec are all that a model needs."""
    files = sorted(
        path.relative_to(WEATHER_PROJECT).as_posix()
        for path in WEATHER_PROJECT.rglob("*")
        if path.is_file()
    )

    assert files == ["data_contracts/weather.odcs.yaml", "deployments/weather/model.yaml"]


@pytest.mark.parametrize("weather_home", [51], indirect=True)
def test_every_week_is_accepted(weather_settings: Settings) -> None:
    """A year of real data keeps the contract, but for the one wind of 1,048 miles an hour."""
    weeks = ingested(weather_settings)

    assert tuple(weeks) == WEATHER_WEEKS
    assert {week for week, (_, verdict) in weeks.items() if verdict.outcome != "accept"} == {
        "2013-W07"
    }
    snapshot, verdict = weeks["2013-W07"]
    assert list(read_reasons(weather_settings.lake, str(verdict.quarantine)).values()) == [
        "wind_speed:between"
    ]
    assert "such as 1048.36058" in verdict.reason
    speeds = read_accepted(weather_settings.lake, snapshot, verdict, ["wind_speed"])["wind_speed"]
    assert (len(speeds), max(speeds.drop_null().to_pylist()) < 60) == (502, True)


@pytest.mark.parametrize("weather_home", [3], indirect=True)
@pytest.mark.parametrize("kind", ["growing", "table"])
def test_same_snapshots_from_another_source(
    weather_settings: Settings, tmp_path: Path, kind: str
) -> None:
    """Three weeks from a growing file, or from a table, are the very snapshots that a file a week
    gives.
    """
    expected = {week: snapshot.sha256 for week, (snapshot, _) in ingested(weather_settings).items()}
    rows = [
        row
        for file in sorted(
            (weather_settings.home / "sources" / "weather").glob("*.csv"), reverse=True
        )
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    ]
    if kind == "growing":
        write_growing(tmp_path / "all.csv", rows)
        server = {"server": "x", "type": "local", "path": "${WEATHER}/all.csv", "format": "csv"}
    else:
        write_table(tmp_path / "weather.db", rows)
        custom = [{"property": "url", "value": "sqlite:///${WEATHER}/weather.db"}]
        server = {"server": "x", "type": "custom", "customProperties": custom}
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    contract = project / "data_contracts" / "weather.odcs.yaml"
    document = yaml.safe_load(contract.read_text(encoding="utf-8")) | {"servers": [server]}
    contract.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEATHER", str(tmp_path))
        found = ingested(Settings(home=tmp_path / "home", project=project))

    assert {week: snapshot.sha256 for week, (snapshot, _) in found.items()} == expected


def write_growing(file: Path, rows: list[dict[str, str]]) -> None:
    """Write all rows to one CSV file."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_table(file: Path, rows: list[dict[str, str]]) -> None:
    """Write all rows to a table in SQLite: numbers as numbers, nothing as NULL."""
    names = list(rows[0])
    with closing(sqlite3.connect(file)) as connection, connection:
        kinds = ["text" if name in ("time_hour", "origin") else "real" for name in names]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
        connection.execute(f"CREATE TABLE weather ({columns})")
        places = ", ".join("?" * len(names))
        values = [[None if cell in ("", "NA") else cell for cell in row.values()] for row in rows]
        connection.executemany(f"INSERT INTO weather VALUES ({places})", values)  # noqa: S608 - question marks


@pytest.mark.parametrize("weather_home", [3], indirect=True)
def test_features(weather_settings: Settings) -> None:
    """Everything but the visibility itself and the time is a feature."""
    managed = manage("weather", weather_settings)
    weeks = ingested(weather_settings)
    tables = {week: read_accepted(weather_settings.lake, *pair) for week, pair in weeks.items()}

    frame = build_frame(
        tables,
        {week: snapshot.sha256 for week, (snapshot, _) in weeks.items()},
        managed.contract,
        managed.spec.features,
        target=managed.spec.target,
        problem=managed.spec.problem,
        slices=managed.spec.slices,
        code=None,
    )

    assert frame.schema.categorical == ("origin",)
    assert "visib" not in frame.schema.names
    assert len(frame.features) == sum(table.num_rows for table in tables.values())
    assert frame.target.notna().all()


def test_homes_are_apart(weather_home: Path, weather_source: Path) -> None:
    """What a test does to its home touches neither the source nor another home."""
    file = weather_home / "sources" / "weather" / "2013-W02.csv"
    assert len(list(file.parent.iterdir())) == 8

    file.write_text("changed")

    assert (weather_source / "2013-W02.csv").read_text() != "changed"
