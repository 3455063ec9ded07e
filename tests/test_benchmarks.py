"""What ``make bench`` runs still runs, and its engines agree; how fast it is, no test says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ingest_and_validation_run_at_a_small_size(tmp_path):
    """Every way of the benchmark comes to its end on ten thousand rows, and prints a line."""
    said = subprocess.run(
        [sys.executable, "benchmarks/ingest_validate.py", "--rows", "0.01", "--repeat", "1", "--work", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    lines = [line for line in said.stdout.splitlines() if line.startswith("| 10,000")]
    assert len(lines) == 4, said.stdout


def test_decision_runs_at_a_small_size():
    """The decision's steps come to their end on twenty thousand rows, each with a line, and promote what was planted."""
    said = subprocess.run(
        [sys.executable, "benchmarks/decision.py", "--rows", "0.02", "--repeat", "1"],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    assert len([line for line in said.stdout.splitlines() if line.startswith("| ")]) == 6, said.stdout
