"""Two runs for one model: one acts, the other is told; a run that was paused and wakes up late
writes nothing.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from tasks.ledger.tables import leases
from tests.crash.conftest import Stage

pytestmark = pytest.mark.flow


def _first(writes: list[str], *words: str) -> str:
    return next(write for write in writes if all(word in write for word in words))


def _paused(stage: Stage, write: str) -> int:
    stage.reset()
    answer = stage.ask(
        watch=True, fatal=write, pause=True, answer=str(stage.home.parent / "paused.json")
    )
    return int(answer["paused"])


def _woken(stage: Stage, process: int) -> dict[str, Any]:
    return stage.run(wake=process, answer=str(stage.home.parent / "paused.json"))


def _run_out(stage: Stage) -> None:
    """The lease's end comes, as after a minute of sleep."""
    engine = create_engine(f"sqlite:///{stage.home}/ledger.db")
    with engine.begin() as connection:
        connection.execute(
            update(leases).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )
    engine.dispose()


@pytest.mark.parametrize(
    "where",
    [
        ("os.rename part-", "tasks/ingest"),
        ("os.rename", "uploading", "log_training"),
        ("os.rename", "uploading", "flows/steps/publish.py"),
    ],
    ids=["ingest", "registration", "publishing"],
)
def test_paused_run_wakes_up_and_cannot_write(
    stage: Stage, whole: dict[str, Any], where: tuple[str, ...]
) -> None:
    """Asleep beyond its lease, it finds another run's work done: nothing of it is changed, and it
    ends by name.
    """
    writes = whole["writes"]
    if "log_training" in where:
        before_register = next(
            i for i, w in enumerate(writes) if "flows/retrain.py" in w and "uploading" in w
        )
        write = writes[before_register]
    elif "tasks/ingest" in where:
        # What is noted of files at a look is written before the lease is taken.
        taken_in = [one for one in writes if "tasks/ingest/contents.py" not in one]
        write = _first(taken_in, "os.rename", "tasks/ingest")
    else:
        write = _first(writes, *where)
    process = _paused(stage, write)
    try:
        told = stage.run()["error"]
        assert told.startswith("LeaseHeldError")
        assert f"process {process} " in told
        _run_out(stage)
        assert stage.run()["state"] == whole["state"]
    except BaseException:
        os.kill(process, 9)
        raise

    late = _woken(stage, process)

    assert late["error"].startswith("LeaseLostError"), late["error"]
    after = stage.run()["state"]
    assert {k: v for k, v in after.items() if k != "finished but unknown"} == {
        k: v for k, v in whole["state"].items() if k != "finished but unknown"
    }


def test_paused_while_the_alias_moves_no_run_overtakes_it(
    stage: Stage, whole: dict[str, Any]
) -> None:
    """The alias is moved while the lease's row is locked: the next run is told, and after the first
    woke all is whole.
    """
    write = [w for w in whole["writes"] if w.startswith("commit < tasks/registry/aliases.py")][-1]
    process = _paused(stage, write)
    try:
        _run_out_is_impossible(stage)
        told = stage.run()["error"]
        assert told.startswith("LeaseHeldError"), told
    except BaseException:
        os.kill(process, 9)
        raise

    late = _woken(stage, process)

    assert "error" not in late
    assert late["state"] == whole["state"]


def _run_out_is_impossible(stage: Stage) -> None:
    from sqlalchemy.exc import OperationalError

    engine = create_engine(f"sqlite:///{stage.home}/ledger.db", connect_args={"timeout": 0.1})
    with pytest.raises(OperationalError, match="locked"), engine.begin() as connection:
        connection.execute(update(leases).values(token=99))
    engine.dispose()
