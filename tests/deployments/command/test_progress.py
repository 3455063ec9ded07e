"""Tests of deployments/command/progress.py: what people read while a command runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SAYS = """
import logging
from pathlib import Path

from deployments.command.progress import show_progress
from tasks.settings import Settings, prepare_environment

settings = Settings(home=Path({home!r}))
prepare_environment(settings)
show_progress(settings, print)

import flows.replay  # as a command does that imports its flow when it needs it

for name, file in (("prefect.flow_runs", flows.replay.__file__), ("prefect.task_runs", "else.py")):
    record = logging.LogRecord(name, logging.INFO, file, 1, "of %s", (name,), None)
    logging.getLogger(name).handle(record)
"""


def test_our_sentences_are_passed_on_whatever_is_imported_later(tmp_path: Path) -> None:
    """Prefect sets up logging when its flows are imported; what others say is in the log alone."""
    said = subprocess.run(
        [sys.executable, "-c", _SAYS.format(home=str(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    log = (tmp_path / "logs" / "kingmaker.log").read_text(encoding="utf-8")
    assert said.stdout == "of prefect.flow_runs\n", said.stderr
    assert "of prefect.flow_runs" in log
    assert "of prefect.task_runs" in log
