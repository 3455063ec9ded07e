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
