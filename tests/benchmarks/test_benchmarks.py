"""What ``make bench`` runs still runs, and its engines agree; how fast it is, no test says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.estimators import one
from tasks.records import FeatureSchema

ROOT = Path(__file__).parents[2]


def test_ingest_and_validation_run_at_a_small_size(tmp_path):
    """Every way of the benchmark comes to its end on ten thousand rows, and prints a line."""
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.ingest_validate",
            "--rows",
            "0.01",
            "--repeat",
            "1",
            "--work",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    lines = [line for line in said.stdout.splitlines() if line.startswith("| 10,000")]
    assert len(lines) == 4, said.stdout


def test_decision_runs_at_a_small_size():
    """The decision's steps come to their end on twenty thousand rows, each with a line, and promote
    what was planted.
    """
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.decision", "--rows", "0.02", "--repeat", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert len([line for line in said.stdout.splitlines() if line.startswith("| ")]) == 6, (
        said.stdout
    )


def test_features_run_at_a_small_size(tmp_path):
    """Ours and the bare queries come to their end on sixteen thousand rows, each with a line."""
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.features",
            *("--only", "speed", "--rows", "0.016", "--repeat", "1", "--work", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert len([line for line in said.stdout.splitlines() if "| 16,000" in line]) == 2, said.stdout


def test_yardstick_runs_at_a_small_size(tmp_path):
    """A stream of fourteen months, two of them served: every policy has its line, and the scale its
    ends.
    """
    rng = np.random.default_rng(0)
    moments = pd.date_range("2020-01-01", "2021-02-28", freq="12h")
    x = rng.normal(0, 1, len(moments))
    y = 50 + 10 * x + np.arange(len(moments)) / 50 + rng.normal(0, 1, len(moments))
    (tmp_path / "beijing_pm25").mkdir()
    file = tmp_path / "beijing_pm25" / "data.csv.gz"
    pd.DataFrame({"ts": moments, "x": x, "y": y}).to_csv(file, index=False)
    picture = tmp_path / "yardstick.png"
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.yardstick",
            "--data",
            str(tmp_path),
            "--trials",
            "2",
            "--plot",
            str(picture),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    lines = {
        line.split(" | ")[0][2:]: line for line in said.stdout.splitlines() if line.startswith("| ")
    }
    assert "(0.00)" in lines["never"]
    assert "(1.00)" in lines["always, all history"] + lines["always, sliding window"]
    assert {"Kingmaker, every 2 or alarm", "Kingmaker, every 2 or alarm, broken"} <= set(lines)
    assert sum("of an equal recipe" in name for name in lines) == 2
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_yardstick_says_what_is_missing(tmp_path):
    """A folder without a stream is refused by name."""
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.yardstick", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )

    assert said.returncode == 1
    assert "expected <stream>/data.csv.gz for one of ['flights'" in said.stderr


def test_one_candidate_is_measured(tmp_path, capsys):
    """A candidate is fitted on prepared rows, and its time, loss, size and sameness are told."""
    rng = np.random.default_rng(0)
    for half in ("train", "test"):
        rows = pd.DataFrame({"kind": rng.choice(["a", "b"], 80), "x": rng.normal(size=80)})
        rows.assign(**{"": (rows["x"] > 0).astype("float64")}).to_parquet(
            tmp_path / f"{half}.parquet"
        )
    schema = FeatureSchema(numerical=("x",), categorical=("kind",))
    (tmp_path / "schema.json").write_text(schema.model_dump_json(), encoding="utf-8")

    one("LightGBM", tmp_path)

    seconds, loss, stored, form, same = capsys.readouterr().out.split()
    assert float(seconds) >= 0
    assert float(loss) < 0.69  # what a coin loses
    assert int(stored) > 0
    assert (form, same) == ("skops", "equal")
