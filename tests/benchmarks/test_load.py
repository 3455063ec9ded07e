"""Tests of what the load benchmark sums up, and of the past that it writes; how fast anything is,
no test says.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.load import ENDED, PARTS, summary
from benchmarks.servers.home import Home, weeks
from benchmarks.servers.past import EVENTS_KEPT, EVERY, mlflow_past, moved, prefect_past

ROOT = Path(__file__).parents[2]
RUN, STATE, TASK, EVENT, EVENT_RESOURCE = (
    f"{n}aaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" for n in range(5)
)
BEGAN = datetime(2026, 11, 20, 12, 0, 0, 5)


def test_summary_counts_ends_and_measures_from_the_due_moment() -> None:
    """Three runs ended, one of them badly and begun twice; one never began and was cancelled."""
    due = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def run(
        state: str, began: float | None, ended: float | None, count: int = 1
    ) -> dict[str, object]:
        at = [
            None if s is None else (due + timedelta(seconds=s)).isoformat() for s in (began, ended)
        ]
        return {"state_type": state, "start_time": at[0], "end_time": at[1], "run_count": count}

    found = summary(
        [
            run("COMPLETED", 1, 2),
            run("CRASHED", 3, 40, 2),
            run("COMPLETED", 50, 100),
            run("CANCELLED", None, None),
        ],
        due,
    )

    assert [found[state.lower()] for state in ENDED] == [2, 0, 1, 1]
    assert (found["again"], found["median began"], found["last began"], found["last ended"]) == (
        1,
        3,
        50,
        100,
    )
    assert found["an hour"] == pytest.approx(108)


@pytest.mark.parametrize(
    ("moment", "before"),
    [
        (None, None),
        ("2026-11-20 12:00:00.000005", "2026-11-20 11:40:00.000005"),
        (1_700_000_000_000, 1_699_998_800_000),
    ],
)
def test_moments_are_moved_in_their_own_form(
    moment: str | int | None, before: str | int | None
) -> None:
    """Text as SQLAlchemy writes it, or milliseconds as MLflow does."""
    assert moved(moment, timedelta(minutes=20)) == before


@pytest.fixture
def prefect_store(tmp_path: Path) -> Path:
    """One run with a state, a task run and an event, in tables like Prefect's."""
    file = tmp_path / "prefect.db"
    with closing(sqlite3.connect(file)) as store, store:
        store.executescript("""
            CREATE TABLE flow_run (id CHAR(36) PRIMARY KEY, state_id CHAR(36),
                start_time DATETIME, total_run_time DATETIME);
            CREATE TABLE flow_run_state (id CHAR(36) PRIMARY KEY, flow_run_id CHAR(36),
                timestamp DATETIME, state_details JSON);
            CREATE TABLE task_run (id CHAR(36) PRIMARY KEY, flow_run_id CHAR(36));
            CREATE TABLE task_run_state (id CHAR(36) PRIMARY KEY, task_run_id CHAR(36));
            CREATE TABLE log (id CHAR(36) PRIMARY KEY, flow_run_id CHAR(36));
            CREATE TABLE artifact (id CHAR(36) PRIMARY KEY, flow_run_id CHAR(36));
            CREATE TABLE events (id CHAR(36) PRIMARY KEY, occurred DATETIME, resource JSON);
            CREATE TABLE event_resources (id CHAR(36) PRIMARY KEY, event_id CHAR(36),
                resource_id TEXT, occurred DATETIME);
        """)
        store.execute(
            "INSERT INTO flow_run VALUES (?, ?, ?, '1970-01-01 00:00:09.000000')",
            (RUN, STATE, f"{BEGAN:%F %T.%f}"),
        )
        store.execute(
            "INSERT INTO flow_run_state VALUES (?, ?, ?, ?)",
            (STATE, RUN, f"{BEGAN:%F %T.%f}", f'{{"flow_run_id": "{RUN}"}}'),
        )
        store.execute("INSERT INTO task_run VALUES (?, ?)", (TASK, RUN))
        store.execute(
            "INSERT INTO events VALUES (?, ?, ?)",
            (EVENT, f"{BEGAN:%F %T.%f}", f'{{"id": "prefect.flow-run.{RUN}"}}'),
        )
        store.execute(
            "INSERT INTO event_resources VALUES (?, ?, ?, ?)",
            (EVENT_RESOURCE, EVENT, f"prefect.flow-run.{RUN}", f"{BEGAN:%F %T.%f}"),
        )
    return file


def test_past_of_prefect_hangs_together(prefect_store: Path) -> None:
    """Each copy has its own ids, in JSON too, and its own moment; a duration stays; old events are
    not there.
    """
    copies = EVENTS_KEPT // EVERY + 5
    prefect_past(prefect_store, RUN, copies)

    with closing(sqlite3.connect(prefect_store)) as store:
        runs = store.execute(
            "SELECT id, state_id, start_time, total_run_time FROM flow_run ORDER BY start_time DESC"
        ).fetchall()
        states = dict(store.execute("SELECT id, state_details FROM flow_run_state").fetchall())
        (tasks,) = store.execute("SELECT count(DISTINCT flow_run_id) FROM task_run").fetchone()
        events = {row[0] for row in store.execute("SELECT resource_id FROM event_resources")}
    assert len(runs) == len({run[0] for run in runs}) == len(states) == tasks == copies + 1
    assert all(run[0] in states[run[1]] for run in runs)
    assert [datetime.fromisoformat(run[2]) for run in runs[:3]] == [
        BEGAN - n * EVERY for n in range(3)
    ]
    assert {run[3] for run in runs} == {"1970-01-01 00:00:09.000000"}
    assert events == {
        f"prefect.flow-run.{run[0]}"
        for run in runs
        if datetime.fromisoformat(run[2]) > BEGAN - EVENTS_KEPT
    }


def test_past_of_mlflow_takes_turns(tmp_path: Path) -> None:
    """Of two runs each is copied in its turn, with its tags."""
    file = tmp_path / "mlflow.db"
    ids = ["a" * 32, "b" * 32]
    with closing(sqlite3.connect(file)) as store, store:
        store.execute(
            "CREATE TABLE runs (run_uuid VARCHAR(32), start_time BIGINT, artifact_uri VARCHAR)"
        )
        for table in ("tags", "params", "metrics", "latest_metrics"):
            store.execute(
                f"CREATE TABLE {table} (key VARCHAR, value VARCHAR, run_uuid VARCHAR(32))"
            )
        for number, run in enumerate(ids):
            store.execute(
                "INSERT INTO runs VALUES (?, ?, ?)", (run, 10**12 + number, f"/artifacts/{run}")
            )
            store.execute("INSERT INTO tags VALUES ('kind', ?, ?)", (str(number), run))

    assert mlflow_past(file, 5) == 10
    with closing(sqlite3.connect(file)) as store:
        runs = store.execute(
            "SELECT run_uuid, artifact_uri, value FROM runs JOIN tags USING (run_uuid)"
        ).fetchall()
    assert len({run[0] for run in runs}) == 7
    assert all(run[1] == f"/artifacts/{run[0]}" for run in runs)
    assert sorted(run[2] for run in runs) == ["0"] * 3 + ["1"] * 4


def test_generated_models_are_in_order(tmp_path: Path) -> None:
    """Contract, spec and source of a generated model are what the product takes; a week has all its
    hours.
    """
    home = Home(tmp_path)
    home.describe("weather-007", "5 4 * * *")
    for week in weeks(2):
        home.deliver("weather-007", week)

    assert "weather-007: all is well" in home.kingmaker("check")
    written = sorted((home.home / "sources" / "weather-007").iterdir())
    assert [file.stem for file in written] == ["2013-W02", "2013-W03"]
    assert len(written[0].read_text(encoding="utf-8").splitlines()) == 1 + 7 * 24 * 3


def test_load_says_what_its_parts_are() -> None:
    """The command knows its parts by name."""
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert all(part in said.stdout for part in PARTS)
