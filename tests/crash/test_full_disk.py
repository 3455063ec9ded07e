"""A disk that is full in the middle of a run, on a real small filesystem."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.conftest import Stage

pytestmark = pytest.mark.flow


def _mount(*words: str) -> int:
    program = shutil.which(words[0])
    return (
        1
        if program is None
        else subprocess.run([program, *words[1:]], check=False, capture_output=True).returncode
    )


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[int]:
    """The home lies on a filesystem of its own; its size in KiB leaves room for half of what a run
    writes.
    """
    stage.reset()
    size = (
        sum(
            -(-path.stat().st_size // 4096) * 4
            for path in stage.before.rglob("*")
            if path.is_file()
        )
        + 400
    )
    if _mount("mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(stage.home)):
        pytest.skip("this system lets us mount nothing")
    stage.reset()
    yield size
    assert _mount("umount", "-l", str(stage.home)) == 0


def test_full_disk_ends_the_run_by_name_and_the_next_goes_on(
    stage: Stage, whole: dict[str, Any], small_disk: int
) -> None:
    """The run says that there is no space; with room again the next one comes to the same end."""
    full = stage.run(look=True, state=False)
    assert "No space left" in full["error"] or "disk is full" in full["error"], full["error"]
    assert full["champion"]["version"] == 1

    assert _mount("mount", "-o", f"remount,size={small_disk * 4}k", str(stage.home)) == 0
    after = stage.run(look=True)

    assert "error" not in after, after["error"]
    assert after["state"] == whole["state"]
