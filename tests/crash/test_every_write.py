"""SIGKILL before each write of ingest, scoring, training, registration, promotion and publishing;
then the next run.

Before a write is after the one before it, and after the last one is before the end, which counts as
one more place.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.crash.conftest import Stage
from tests.crash.writes import site

pytestmark = pytest.mark.flow

EVERY_WAY = bool(os.environ.get("KINGMAKER_CRASH_ALL"))
"""Every way to every line that writes, and not only one; under PostgreSQL every line, and not only
a sample.
"""


def test_killed_at_the_turning_points_the_next_run_comes_to_the_same_end(
    stage: Stage, whole: dict[str, Any]
) -> None:
    """Before the snapshot is there, the predictions are, the journal names the next champion and
    the alias does.
    """
    turns = [
        next(w for w in whole["writes"] if w.startswith("os.rename") and "tasks/ingest/" in w),
        next(w for w in whole["writes"] if w.startswith("os.mkdir") and "tasks/scoring/" in w),
        next(
            w
            for w in whole["writes"]
            if w.startswith("commit < tasks/ledger/entries.py") and "flows/retrain.py" in w
        ),
        [w for w in whole["writes"] if w.startswith("commit < tasks/registry/aliases.py")][-1],
    ]
    kill_at_each(stage, whole, turns)


@pytest.mark.crash
def test_killed_before_any_write_the_next_run_comes_to_the_same_end(
    stage: Stage, whole: dict[str, Any]
) -> None:
    """Every write is found by a run that is watched; death before it costs nothing but time, and
    leaves one champion.
    """
    kill_at_each(stage, whole, places(whole["writes"]))


def places(writes: list[str]) -> list[str]:
    """Where to kill: at one write of each line of ours that writes, or at every one that differs,
    the end included.
    """
    once = list(dict.fromkeys(writes))
    if EVERY_WAY:
        return once
    return list({site(write): write for write in reversed(once)}.values())[::-1]


def kill_at_each(stage: Stage, whole: dict[str, Any], writes: list[str]) -> None:
    """Kill a run before each of the writes, and see the next one come to the end that a run comes
    to undisturbed.
    """
    expected = whole["state"]
    assert [d[1] for d in expected["decisions"]][-2:] == ["Retrain", "Promote"]
    assert (expected["aliases"]["champion"], expected["aliases"]["previous_champion"]) == (2, 1)

    wrong = {}
    for number, write in enumerate(writes, 1):
        print(f"{number} of {len(writes)} ({len(wrong)} wrong): {write}", flush=True)
        stage.reset()
        killed = stage.ask(watch=True, fatal=write)
        assert killed["status"] == -9, (write, killed)
        after = stage.ask(look=True)
        if after["status"] != 0 or "error" in after["found"] or after["found"]["state"] != expected:
            wrong[write] = after

    assert wrong == {}
