"""SIGKILL before each write of the scoring of open rows and of their delivery; then the next run.

Whatever died: each row is written down once and delivered, nothing twice, and nothing half.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import WEATHER_WEEKS
from tests.crash.conftest import Stage, _stage
from tests.crash.test_every_write import places

pytestmark = pytest.mark.flow

OPEN = WEATHER_WEEKS[2]
IN_THE_WEEK = "2013-01-22T12:00:00+00:00"


@pytest.fixture(scope="module")
def open_week(
    prefect_server: None, weather_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Two weeks are done and version 1 is champion; the third is open, and goes to two sinks."""
    with _stage(tmp_path_factory.mktemp("score"), weather_source, 2, {}) as stage:
        file = stage.home.with_name("project") / "deployments" / "weather" / "model.yaml"
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
        out = stage.home / "out"
        spec["scoring"] = {
            "sinks": [
                {"name": "desk", "url": f"sqlite:///{out}/desk.db"},
                {"name": "files", "path": f"{out}/{{batch}}.csv"},
            ]
        }
        file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
        stage.deliver(2)
        stage.keep()
        yield stage


def scored(stage: Stage, **job: Any) -> dict[str, Any]:
    """Score the open week in a fork."""
    return stage.ask(flow="score", as_of=IN_THE_WEEK, **job)


@pytest.fixture(scope="module")
def undisturbed(open_week: Stage) -> dict[str, Any]:
    """What a run that nobody disturbs writes, and what is there then."""
    open_week.reset()
    answer = scored(open_week, watch=True)
    assert answer["status"] == 0, answer
    assert "error" not in answer["found"], answer["found"]
    return answer["found"] | {"outside": outside(open_week)}


def outside(stage: Stage) -> dict[str, Any]:
    """What analysts see: the table, its view, the file and the current view in the lake."""
    out = stage.home / "out"
    with closing(sqlite3.connect(out / "desk.db")) as connection:
        rows = connection.execute("SELECT * FROM predictions ORDER BY 1, 2").fetchall()
        view = connection.execute("SELECT count(*) FROM predictions_current").fetchone()
    file = pc.read_csv(out / f"{OPEN}.csv").to_pylist()
    current = pq.read_table(stage.home / "lake" / "current" / "weather.parquet", partitioning=None)
    return {
        "table": [list(map(str, row)) for row in rows],
        "view": view[0],
        "file": sorted(str(sorted(row.items(), key=str)) for row in file),
        "current": current.num_rows,
        "unfinished": sorted(p.name for p in out.iterdir() if p.name.startswith(".")),
    }


def kill_at_each(stage: Stage, whole: dict[str, Any], writes: list[str]) -> None:
    """Kill a run before each of the writes, and see the next one come to the same end."""
    rows = whole["state"]["served"][0][3]
    assert [one[3] for one in whole["state"]["served"]] == [rows]
    assert (len(whole["outside"]["table"]), whole["outside"]["view"]) == (rows, rows)
    wrong = {}
    for number, write in enumerate(writes, 1):
        print(f"{number} of {len(writes)} ({len(wrong)} wrong): {write}", flush=True)
        stage.reset()
        killed = scored(stage, watch=True, fatal=write)
        assert killed["status"] == -9, (write, killed)
        after = scored(stage)
        found = after["found"]
        if after["status"] != 0 or "error" in found or found["state"] != whole["state"]:
            wrong[write] = after
        elif outside(stage) != whole["outside"]:
            wrong[write] = outside(stage)
    assert wrong == {}


def turns(writes: list[str]) -> list[str]:
    """Before the part has its name, the ledger knows it, the table has it, and says so."""
    commits = [w for w in writes if w.startswith("commit")]
    return [
        next(w for w in writes if "tasks/scoring/served.py" in w),
        next(w for w in commits if "record_served" in w or "tasks/ledger/served.py" in w),
        next(w for w in commits if "tasks/scoring/sinks/table.py" in w),
        [w for w in commits if "tasks/ledger/served.py" in w][-1],
    ]


def test_killed_at_the_turning_points_each_row_is_served_once(
    open_week: Stage, undisturbed: dict[str, Any]
) -> None:
    """What was told stays told; what was not is told by the next run."""
    kill_at_each(open_week, undisturbed, turns(undisturbed["writes"]))


@pytest.mark.crash
def test_killed_before_any_write_each_row_is_served_once(
    open_week: Stage, undisturbed: dict[str, Any]
) -> None:
    """Every write is found by a run that is watched."""
    kinds = Counter(write.split()[0] for write in undisturbed["writes"])
    assert kinds["commit"] >= 5
    kill_at_each(open_week, undisturbed, places(undisturbed["writes"]))
