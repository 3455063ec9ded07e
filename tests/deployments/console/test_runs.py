"""What of Prefect's runs needs a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deployments.console.runs import needs_of
from tasks.records import FlowRun

NOW = datetime(2013, 6, 1, 12, tzinfo=UTC)


def run(**changes: object) -> FlowRun:
    """A run of the schedule that failed an hour ago."""
    return FlowRun(
        id="1",
        name="monitor weather",
        flow="monitor",
        model="weather",
        state="Failed",
        kind="FAILED",
        message="SourceError: no such directory",
        due=NOW - timedelta(hours=1),
        began=NOW - timedelta(hours=1),
        ended=NOW - timedelta(minutes=59),
    ).but(**changes)


def test_the_newest_run_that_failed_needs_a_person() -> None:
    """By its message; one that went well since takes it back, one under way does not."""
    well = run(id="2", kind="COMPLETED", state="Completed", message="")
    under_way = run(id="3", kind="RUNNING", state="Running", ended=None)

    (need,) = needs_of([under_way, run()], NOW)["weather"]

    assert need.run == "1"
    assert need.what == (
        "its monitor run of 2013-06-01 11:01 UTC failed: SourceError: no such directory"
    )
    assert needs_of([well, run()], NOW) == {}
    assert needs_of([run(message="BatchRefusedError: weather 2013-05 refused")], NOW) == {}
    assert needs_of([run(flow="retrain")], NOW) == {}, "who asked for it sees it"


@pytest.mark.parametrize(("minutes", "told"), [(5, False), (15, True)])
def test_a_run_that_was_due_and_has_not_begun_needs_a_person(minutes: int, told: bool) -> None:
    """After ten minutes: the worker may be away."""
    due = NOW - timedelta(minutes=minutes)
    late = run(kind="SCHEDULED", state="Late", began=None, ended=None, due=due)

    found = needs_of([late], NOW).get("weather", ())

    assert bool(found) == told
    assert all("was due 2013-06-01 11:45 UTC and has not begun" in one.what for one in found)
