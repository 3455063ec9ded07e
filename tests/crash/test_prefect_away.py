"""Prefect's server killed in the middle of a run, for good or for some seconds: it holds nothing
that would be missed.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.conftest import Program, Stage

pytestmark = [pytest.mark.flow, pytest.mark.crash]


@pytest.fixture
def paused(
    request: pytest.FixtureRequest, stage: Stage, whole: dict[str, Any], own_prefect: Program
) -> int:
    """The process of a run that is paused before the first write of ours in the file that the test
    names.
    """
    stage.reset()
    write = next(write for write in whole["writes"] if request.param in write)
    return int(
        stage.ask(watch=True, fatal=write, pause=True, prefect=_address(own_prefect))["paused"]
    )


def _address(server: Program) -> str:
    return server.health.removesuffix("/health")


WHEN = pytest.mark.parametrize(
    "paused", ["tasks/ingest", "tasks/registry"], ids=["early", "late"], indirect=True
)


@WHEN
def test_prefect_killed_for_good(
    stage: Stage, whole: dict[str, Any], own_prefect: Program, paused: int
) -> None:
    """The run completes or ends by name, in bounded time; with Prefect back the next one comes to
    the same end.
    """
    own_prefect.kill()

    _completes_or_ends_by_name(stage, paused)

    own_prefect.start()
    _next_comes_to_the_same_end(stage, whole, own_prefect)


@WHEN
def test_prefect_killed_and_started_again(
    stage: Stage, whole: dict[str, Any], own_prefect: Program, paused: int
) -> None:
    """It needs its seconds to come up: the run waits for it, or ends by name; after the next one
    the end is the same.
    """
    own_prefect.kill()
    own_prefect.start()

    _completes_or_ends_by_name(stage, paused)

    _next_comes_to_the_same_end(stage, whole, own_prefect)


def _completes_or_ends_by_name(stage: Stage, paused: int) -> None:
    error = stage.run(wake=paused, state=False).get("error")
    print(error)
    assert error is None or error.startswith("ServerAwayError")


def _next_comes_to_the_same_end(stage: Stage, whole: dict[str, Any], prefect: Program) -> None:
    prefect.wait()
    after = stage.run(look=True, prefect=_address(prefect))
    assert "error" not in after, after["error"]
    assert after["state"] == whole["state"]
