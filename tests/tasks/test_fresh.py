"""Tests of a new interpreter: what it finds, what it does not see, what it says when it fails."""

from pathlib import Path

import pytest

from tasks.fresh import FreshInterpreterError, NoAnswerError, ask


def _module(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A module that a project has where this process looks for modules."""
    (directory / "project_module.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(directory)


def test_it_runs_a_module_of_ours_or_of_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its arguments, in the directory that is given."""
    _module(tmp_path, monkeypatch, "import os, sys; print(os.getcwd(), *sys.argv[1:])")
    (tmp_path / "here").mkdir()

    answer = ask("project_module", ["one", "two"], tmp_path / "here")

    assert answer.split() == [str(tmp_path / "here"), "one", "two"]


def test_where_it_runs_and_where_we_were_started_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's file with the name of a package of ours is not imported."""
    (tmp_path / "tasks.py").write_text("raise RuntimeError('not this one')", encoding="utf-8")
    (tmp_path / "project").mkdir()
    _module(tmp_path / "project", monkeypatch, "import tasks.records; print('ours')")
    monkeypatch.chdir(tmp_path)

    assert ask("project_module", [], tmp_path).strip() == "ours"


def test_hashes_of_texts_are_seeded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where this process was given a seed."""
    _module(tmp_path, monkeypatch, "import os; print(os.environ.get('PYTHONHASHSEED'))")
    monkeypatch.setenv("PYTHONHASHSEED", "7")

    assert ask("project_module", [], tmp_path).strip() == "None"


def test_its_last_words_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is told by its last line; an end without a word by its code."""
    _module(tmp_path, monkeypatch, "raise ValueError('no such column')")
    with pytest.raises(FreshInterpreterError, match=r"^ValueError: no such column$"):
        ask("project_module", [], tmp_path)

    _module(tmp_path, monkeypatch, "raise SystemExit(3)")
    with pytest.raises(FreshInterpreterError, match=r"^exit code 3$"):
        ask("project_module", [], tmp_path)


def test_without_an_answer_it_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for beyond the time that it has."""
    _module(tmp_path, monkeypatch, "import time; time.sleep(60)")

    with pytest.raises(NoAnswerError, match=r"^no answer in 0\.2 s$"):
        ask("project_module", [], tmp_path, timeout=0.2)
