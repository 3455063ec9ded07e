"""Tests of deployments/command/__main__.py: nothing but our own packages is run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def started(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, begun with ``path`` in front of where modules are looked for."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "deployments.command", *arguments],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["tasks.py", "tasks/__init__.py", "flows/__init__.py"])
def test_anothers_module_under_our_name_is_refused_by_its_file(tmp_path, name):
    """Before a line of it is run."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("print('it was run')\n", encoding="utf-8")

    said = started(str(tmp_path), "check")

    assert said.returncode == 2
    assert f"found {file}, which would stand in its place" in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert said.stdout == ""


def test_with_our_own_packages_it_runs(tmp_path):
    """A folder without code under one of our names does no harm."""
    (tmp_path / "tasks").mkdir()

    said = started(str(tmp_path), "--version")

    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("kingmaker 0.")
