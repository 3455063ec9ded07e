"""SIGKILL before each write of ingest, scoring, training, registration, promotion and publishing; then the next run."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.crash.conftest import Stage
from tests.crash.writes import site

pytestmark = [pytest.mark.flow, pytest.mark.crash]


def test_killed_before_any_write_the_next_run_comes_to_the_same_end(
    stage: Stage, whole: dict[str, Any]
) -> None:
    """Every write is found by a run that is watched; death before it costs nothing but time, and leaves one champion."""
    expected, writes = whole["state"], list(dict.fromkeys(whole["writes"]))
    assert [d[1] for d in expected["decisions"]][-2:] == ["Retrain", "Promote"]
    assert (expected["aliases"]["champion"], expected["aliases"]["previous_champion"]) == (2, 1)
    if not os.environ.get("KINGMAKER_CRASH_ALL"):  # `make crash`: every way to every line that writes
        writes = list({site(write): write for write in reversed(writes)}.values())[::-1]

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
