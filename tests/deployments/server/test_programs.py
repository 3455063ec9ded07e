"""Tests of deployments/server/programs.py, and of how ``kingmaker up`` waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deployments.server.client import ServerAwayError
from deployments.server.programs import NotReadyError, Program, end, started_in, supervise
from deployments.server.up import AskedToStopError, wait
from tests.deployments.conftest import until


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Program]]:
    """Function: code -> the program that runs it, begun, under supervision; ended with the test."""
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    programs: list[Program] = []

    def begin(code: str) -> Program:
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "program_of_the_test.py").write_text(code, encoding="utf-8")
        begun = Program("worker", "program_of_the_test", [], os.environ, tmp_path)
        programs.append(begun)
        begun.start()
        return begun

    yield begin
    for begun in programs:
        begun.process.kill()
        begun.process.wait()


def test_a_program_that_keeps_dying_ends_all_by_name(program):
    """After the bound, the error names the program, its code and its last words."""
    dying, said = program("print('my last words'); raise SystemExit(7)"), []

    with pytest.raises(NotReadyError, match=r"(?s)worker: died 2 times.*code 7.*my last words"):
        supervise([dying], threading.Event(), said.append, most_deaths=1)

    assert "worker died with code 7; it is started again" in said[0]


def test_what_a_killed_up_left_is_ended_and_no_other_homes(tmp_path):
    """Processes are known by home: those of this one end, those of another go on."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    mine = subprocess.Popen(sleep, env={**os.environ, "KINGMAKER_UP": str(tmp_path)})
    other = subprocess.Popen(sleep, env={**os.environ, "KINGMAKER_UP": f"{tmp_path}-other"})
    try:
        until(lambda: [p.pid for p in started_in(tmp_path)] == [mine.pid])

        end(started_in(tmp_path))
        mine.poll()

        assert not psutil.pid_exists(mine.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


_SLEEPS = "import time; time.sleep(600)"


def test_a_server_that_is_busy_while_it_starts_is_asked_again(program):
    """``up`` does not end because of a first answer of 503."""
    answers = [ServerAwayError("503"), ServerAwayError("503"), False, True]

    def look() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait(program(_SLEEPS), look, threading.Event())

    assert answers == []


def test_a_server_that_stays_busy_ends_by_name_with_its_log(program):
    """Within the patience."""

    def look() -> bool:
        raise ServerAwayError("the server said 503")

    with pytest.raises(NotReadyError, match=r"worker: .* within 0.5 s, found the server said 503"):
        wait(program(_SLEEPS), look, threading.Event(), patience=0.5)


def test_a_program_that_dies_is_not_waited_for(program):
    """Its last words are told."""
    dying = program("raise SystemExit('no room')")

    with pytest.raises(NotReadyError, match=r"(?s)worker: ended before it was ready.*no room"):
        wait(dying, lambda: False, threading.Event())


def test_ctrl_c_is_not_kept_waiting(program):
    """While a server starts, too."""
    stop = threading.Event()
    stop.set()

    with pytest.raises(AskedToStopError):
        wait(program(_SLEEPS), lambda: False, stop)
