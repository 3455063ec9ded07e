"""Tests of what the benchmark of a scheduled run prepares and prints; how fast anything is, no test
says.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.harness import Cost
from benchmarks.ingest_validate import CONTRACT
from benchmarks.scheduled import FLOOR, OURS, describe, months, tell
from benchmarks.servers.home import Home


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a year of a flight a day, as the stored stream has them."""
    moments = pd.date_range("2013-01-01 12:00", "2013-12-31 12:00", freq="D")
    numbers = dict.fromkeys(set(CONTRACT) - {"ts", "carrier", "origin", "dest", "id"}, 1)
    frame = pd.DataFrame({"ts": moments, "carrier": "AA", "origin": "JFK", "dest": "LAX"} | numbers)
    (tmp_path / "flights").mkdir()
    frame.to_csv(tmp_path / "flights" / "data.csv.gz", index=False)
    return tmp_path


def test_a_model_is_described_with_all_months_but_the_last(data: Path) -> None:
    """Twelve files, each of one month, numbered through; contract and spec are what the product
    takes.
    """
    files, home = months(data, data), Home(data / "ours")

    describe(home, "flights-0", files)

    assert [file.stem for file in files] == [f"2013-{month:02d}" for month in range(1, 13)]
    ids = pd.concat([pd.read_parquet(file) for file in files])["id"]
    assert list(ids) == list(range(365))
    assert len(list((home.home / "sources" / "flights-0").iterdir())) == 11
    assert "flights-0" in home.kingmaker("check")


def test_ours_stands_beside_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    """Both have their line, with ratios to the floor; without a floor there are none."""
    floor = [Cost(wall, 10.0, 900.0) for wall in (10.0, 20.0, 40.0)]
    ours = [Cost(1.5 * run.wall, 12.0, 999.0) for run in floor]

    tell({FLOOR: floor, OURS: ours})
    tell({OURS: ours})

    said = capsys.readouterr().out.strip()
    assert f"| {OURS} | 30.00 | 12.00 | 999 | 1.50 | 1.20 |" in said
    assert said.endswith(f"| {OURS} | 30.00 | 12.00 | 999 |")
