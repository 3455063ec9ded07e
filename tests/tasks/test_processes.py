"""Tests of tasks/processes.py: where a new interpreter looks for modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.processes import (
    ALLOCATIONS,
    ModuleFailedError,
    NoAnswerError,
    ask_module,
    same_modules,
    start_module,
)

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


def _module(directory: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A module that this process can import."""
    (directory / "asked.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(directory))


def test_what_a_module_prints_is_its_answer(tmp_path, monkeypatch):
    """With its arguments, and with hashes of texts that are seeded anew."""
    _module(
        tmp_path,
        monkeypatch,
        "import os, sys; print(sys.argv[1], os.environ.get('PYTHONHASHSEED'))",
    )
    monkeypatch.setenv("PYTHONHASHSEED", "7")

    assert ask_module("asked", "word", directory=tmp_path) == "word None\n"


def test_a_modules_collector_looks_seldom(tmp_path, monkeypatch):
    """Before anything that it imports; it is its own main module."""
    _module(tmp_path, monkeypatch, "import gc; print(gc.get_threshold()[0], __name__)")

    assert ask_module("asked", directory=tmp_path) == f"{ALLOCATIONS} __main__\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [("raise ValueError('no column')", "ValueError: no column"), ("exit(3)", "exit code 3")],
)
def test_a_module_that_fails_is_told_by_its_last_words(tmp_path, monkeypatch, code, words):
    """An error by its last line; an end without a word by its code."""
    _module(tmp_path, monkeypatch, code)

    with pytest.raises(ModuleFailedError) as failed:
        ask_module("asked", directory=tmp_path)

    assert str(failed.value) == words


def test_a_module_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    """It is not waited for beyond the time that it has."""
    _module(tmp_path, monkeypatch, "import time; time.sleep(60)")

    with pytest.raises(NoAnswerError, match=r"^no answer in 0\.2 s$"):
        ask_module("asked", directory=tmp_path, timeout=0.2)
