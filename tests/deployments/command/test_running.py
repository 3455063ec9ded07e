"""Tests of deployments/command/running.py: a real Ctrl-C in a real replay."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deployments.command.test_cli import kingmaker
from tests.deployments.conftest import COMMAND, until

pytestmark = pytest.mark.flow

_WAITS = """
import time
from pathlib import Path


def build(rows):
    Path({reached!r}).touch()
    while not Path({go!r}).exists():
        time.sleep(0.02)
    return rows[["temp"]].rename(columns={{"temp": "warmth"}})
"""


@pytest.fixture
def replay(tmp_path: Path, quick_project: Path, make_weather_home):
    """Function: begins a replay that waits at the features of its first batch, as a terminal would;
    returns its process. The file ``go`` lets it go on.
    """
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 1}
    spec["features"] = {"code": "deployments.weather.features:build"}
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    reached, go = tmp_path / "reached", tmp_path / "go"
    code = _WAITS.format(reached=str(reached), go=str(go))
    (file.parent / "features.py").write_text(code, encoding="utf-8")
    where = ["--home", str(make_weather_home(3)), "--project", str(quick_project)]

    def begin() -> subprocess.Popen[str]:
        reached.unlink(missing_ok=True)
        process = subprocess.Popen(
            [*COMMAND, *where, "replay", "weather"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        until(lambda: reached.exists() or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
        return process

    return begin


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """What a terminal sends: SIGINT to all processes of the command."""
    os.killpg(process.pid, signal.SIGINT)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says up to the line with these words."""
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended with {process.wait()}: {said}")


def test_ctrl_c_ends_a_replay_after_its_batch_and_twice_at_once(replay, tmp_path, quick_project):
    """It answers while the batch is still under way; what was done is kept, and the rest waits."""
    stopped = replay()
    press_ctrl_c(stopped)
    read_until(stopped, "stopping after this batch")
    (tmp_path / "go").touch()
    last = stopped.communicate()[1].splitlines()[-1]
    assert stopped.returncode == 130, last
    assert "the same command goes on from there" in last
    status = kingmaker(tmp_path / "home", "status", project=quick_project).stdout
    assert "champion  version 1 since batch 2013-W02" in status
    assert "waiting   2013-W03, 2013-W04" in status

    (tmp_path / "go").unlink()
    cut_short = replay()
    press_ctrl_c(cut_short)
    read_until(cut_short, "stopping after this batch")
    press_ctrl_c(cut_short)
    last = cut_short.communicate()[1].splitlines()[-1]
    assert cut_short.returncode == 130, last
    assert last.startswith("kingmaker: stopped at once")
