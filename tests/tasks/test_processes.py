"""Tests of tasks/processes.py: where a new interpreter looks for modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tasks.processes import same_modules, start_module

_CODE = """
import json, os, subprocess, sys, tasks
child = [sys.executable, "-c", "import tasks; print(tasks.__file__)"]
found = subprocess.run(child, capture_output=True, text=True)
print(json.dumps([tasks.__file__, found.stdout.strip(), os.getcwd(), os.getsid(0), sys.argv[1:]]))
"""


def test_a_users_folder_is_not_looked_into_by_a_child_nor_by_what_it_starts(tmp_path, monkeypatch):
    """The same package is found from a directory with a tasks.py of its own, a generation on too;
    a module that this process can import, the child can.
    """
    place, user = tmp_path / "place", tmp_path / "user"
    for directory, name, code in ((place, "looks.py", _CODE), (user, "tasks.py", "")):
        directory.mkdir()
        (directory / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(place))

    process = start_module("looks", "a word", directory=user, stdout=subprocess.PIPE)

    said, _ = process.communicate(timeout=60)
    ours = str(Path(__file__).parents[2] / "tasks" / "__init__.py")
    assert json.loads(said)[:3] == [ours, ours, str(user)]
    assert json.loads(said)[3:] == [process.pid, ["a word"]]


def test_the_working_directory_is_left_out_and_variables_are_kept(monkeypatch):
    """An empty entry of the path means the working directory, so it is not handed on."""
    monkeypatch.setattr(sys, "path", ["", "/a", "/b"])

    found = same_modules({"PYTHONPATH": ".", "KEPT": "1"})

    assert found == {
        "PYTHONPATH": os.pathsep.join(("/a", "/b")),
        "KEPT": "1",
        "PYTHONSAFEPATH": "1",
    }
