"""Clocks: days of 23 and 25 hours, machines an hour apart, schedules that were missed; no batch
skipped, none twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from flows.steps.pending import waiting_batches
from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease, lease
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import BatchRecord
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT
from tests.tasks.builders import batch_record

ZONE = ZoneInfo("America/New_York")
SPRING, AUTUMN = datetime(2013, 3, 10), datetime(2013, 11, 3)
"""The days of 2013 on which New York turned its clocks."""


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> ManagedModel:
    """The weather by day, in New York's zone, with a file for each day around both changes of the
    clock.
    """
    root = tmp_path_factory.mktemp("daily")
    project = root / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["batch"] = {"every": "day"}
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    sources = root / "home" / "sources" / "weather"
    sources.mkdir(parents=True)
    for day in _days():
        (sources / f"{day}.csv").write_text("the day's rows", encoding="utf-8")
    return manage("weather", Settings(home=root / "home", project=project))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An empty ledger."""
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def held(engine: Engine) -> Iterator[Lease]:
    """The lease of the one run that acts."""
    with lease(engine, "weather", "another machine process 1 run a") as mine:
        yield mine


def _days() -> list[str]:
    return [
        (turn + timedelta(days=day)).date().isoformat()
        for turn in (SPRING, AUTUMN)
        for day in range(-2, 3)
    ]


def _run(managed: ManagedModel, engine: Engine, held: Lease, clock: datetime) -> list[str]:
    """What a run whose clock shows ``clock`` takes in, and completes."""
    done = []
    for item in waiting_batches(managed.rows, engine, clock):
        record: BatchRecord = batch_record(model="weather", batch=item.batch)
        whole = {"fingerprint": item.fingerprint, "completed": True}
        ledger.record_batch(engine, held, record.model_copy(update=whole))
        done.append(item.batch.id)
    return done


@pytest.mark.parametrize("turn", [SPRING, AUTUMN], ids=["23 hours", "25 hours"])
def test_every_day_is_taken_in_once_when_the_clock_turns(
    daily: ManagedModel, engine: Engine, held: Lease, turn: datetime
) -> None:
    """Scheduled at half past two in the morning, an hour that one day lacks and another has
    twice.
    """
    taken = []
    for day in range(-1, 4):
        for fold in (0, 1):
            local = (turn + timedelta(days=day, hours=2, minutes=30)).replace(
                tzinfo=ZONE, fold=fold
            )
            taken += _run(daily, engine, held, local.astimezone(UTC))

    assert taken == [d for d in _days() if d <= (turn + timedelta(days=2)).date().isoformat()]


@pytest.mark.parametrize(("turn", "hours"), [(SPRING, 23), (AUTUMN, 25)])
def test_a_day_closes_when_it_has_ended_there(
    daily: ManagedModel, engine: Engine, turn: datetime, hours: int
) -> None:
    """The day of the change is as long as it was in New York; one second before its end it does not
    exist yet.
    """
    batch = daily.rows.batch(turn.date().isoformat())
    end = batch.end + daily.contract.lateness

    assert batch.end - batch.start == timedelta(hours=hours)
    assert batch.id not in {
        i.batch.id for i in waiting_batches(daily.rows, engine, end - timedelta(seconds=1))
    }
    assert batch.id in {i.batch.id for i in waiting_batches(daily.rows, engine, end)}


def test_missed_schedules_are_made_up_in_order(
    daily: ManagedModel, engine: Engine, held: Lease
) -> None:
    """After months without a run everything that closed waits, oldest first, and waits no more
    after it was taken in.
    """
    late = datetime(2014, 1, 1, tzinfo=UTC)

    assert _run(daily, engine, held, late) == _days()
    assert _run(daily, engine, held, late) == []


@settings(max_examples=20, deadline=None)
@given(skews=st.lists(st.integers(-60, 60), min_size=30, max_size=30))
def test_machines_whose_clocks_disagree_take_each_batch_in_once(
    daily: ManagedModel, tmp_path_factory: pytest.TempPathFactory, skews: list[int]
) -> None:
    """Runs every six hours on machines up to an hour off: in the end every day was taken in, in
    order, once.
    """
    engine = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('skewed')}/ledger.db")
    begin = SPRING.replace(tzinfo=UTC) - timedelta(days=3)
    taken = []
    with lease(engine, "weather", "another machine process 1 run a") as held:
        for step, skew in enumerate(skews):
            taken += _run(daily, engine, held, begin + timedelta(hours=6 * step, minutes=skew))

    assert taken == [day for day in _days() if day < "2013-04"]
