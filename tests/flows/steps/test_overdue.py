"""What should have come by now: told once a scheduled run has not found it, and only then."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from flows.steps.events import BEHIND, MISSING, UNLABELLED
from flows.steps.overdue import overdue
from tasks.ledger.entries import record_batch
from tasks.ledger.lease import lease
from tasks.ledger.served import mark_delivered, record_served
from tasks.ledger.tables import Engine, open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import Labelled
from tasks.scoring.config import ScoringConfig, SinkConfig
from tasks.settings import Settings
from tests.tasks.builders import batch_record
from tests.tasks.ledger.test_served import part

PROJECT = Path(__file__).parents[2] / "projects" / "bookings"
MONDAY = {"cron": "0 6 * * 1", "timezone": "UTC"}


@pytest.fixture
def managed(tmp_path: Path) -> ManagedModel:
    """Bookings by week, run each Monday at six, whose outcomes come within three weeks."""
    project, home = tmp_path / "project", tmp_path / "home"
    shutil.copytree(PROJECT, project)
    file = project / "deployments" / "bookings" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8")) | {"schedule": MONDAY}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    for source in ("bookings", "outcomes"):
        (home / "sources" / source).mkdir(parents=True)
    return manage("bookings", Settings(home=home, project=project))


@pytest.fixture
def engine(managed: ManagedModel) -> Engine:
    """Its ledger, with the batch of the fifth week, which ended on 4 February."""
    engine = open_ledger(managed.settings.ledger_url)
    batch = managed.rows.batch("2024-W05")
    snapshot = batch_record().snapshot.but(batch=batch)
    record = batch_record(model="bookings", batch=batch, snapshot=snapshot, completed=True)
    with lease(engine, "bookings", "the test") as held:
        record_batch(engine, held, record)
    return engine


def told(managed: ManagedModel, engine: Engine, now: datetime) -> list[tuple[str, str]]:
    """Kind and batch of each message."""
    return [(one.event, one.payload["batch"]) for one in overdue(managed, engine, now)]


def test_a_batch_that_did_not_come_is_told_after_the_run_that_should_have_found_it(managed, engine):
    """An hour later: until then the run may be under way."""
    run = datetime(2024, 2, 12, 6, tzinfo=UTC)

    assert told(managed, engine, run + timedelta(minutes=59)) == []
    assert told(managed, engine, run + timedelta(minutes=61)) == [(MISSING, "2024-W06")]
    (message,) = overdue(managed, engine, run + timedelta(minutes=61))
    assert message.payload["todo"].startswith("Soon: the run of 2024-02-12 06:00 UTC should have")


def test_it_is_the_same_message_for_as_long_as_it_is_the_same_batch(managed, engine):
    """By its id, by which it is told once."""
    found = [
        next(iter(overdue(managed, engine, datetime(2024, 2, day, 12, tzinfo=UTC))))
        for day in (12, 13, 20)
    ]

    assert len({message.id for message in found}) == 1


def test_what_has_come_and_waits_to_be_taken_in_is_not_missing(managed, engine):
    """Then the run is late or has failed, which is told by itself; nor is it when the source is
    away.
    """
    now = datetime(2024, 2, 12, 12, tzinfo=UTC)
    source = managed.settings.home / "sources" / "bookings"

    (source / "2024-W06.csv").write_text("booked_at\n", encoding="utf-8")
    assert told(managed, engine, now) == []
    shutil.rmtree(source)

    assert told(managed, engine, now) == []


def test_without_a_schedule_nothing_is_expected(managed, engine):
    """A person runs such a model, and knows when."""
    plain = replace(managed, spec=managed.spec.model_copy(update={"schedule": None}))

    assert told(plain, engine, datetime(2024, 6, 1, tzinfo=UTC)) == []


def test_labels_are_overdue_when_the_run_after_their_time_found_too_few(managed, engine):
    """Of several batches the oldest is told; when it has its labels, it is none of them."""
    run = datetime(2024, 2, 26, 6, tzinfo=UTC)

    before, after = (told(managed, engine, run + timedelta(minutes=m)) for m in (59, 61))

    assert (UNLABELLED, "2024-W05") not in before
    assert (UNLABELLED, "2024-W05") in after
    labels = managed.labels.batch("2024-W08")
    with lease(engine, "bookings", "the test") as held:
        rows = batch_record(
            model="bookings",
            batch=managed.rows.batch("2024-W05"),
            snapshot=batch_record().snapshot.but(batch=managed.rows.batch("2024-W05")),
            labelled=Labelled(rows=100, labelled=95, as_of=run),
            completed=True,
        )
        record_batch(engine, held, rows)
        record_batch(
            engine,
            held,
            batch_record(model="bookings", stream="labels", batch=labels, completed=True),
        )
    assert UNLABELLED not in [event for event, _ in told(managed, engine, run + timedelta(hours=2))]


def test_a_sink_is_behind_after_an_hour(managed, engine, tmp_path):
    """That sink alone, until it has been given all."""
    sink = SinkConfig(name="desk", url=f"sqlite:///{tmp_path}/desk.db")
    spec = managed.spec.model_copy(update={"scoring": ScoringConfig(sinks=(sink,))})
    scored = datetime(2024, 2, 5, 6, tzinfo=UTC)
    given = record_served(engine, part("2024-W06", model="bookings", scored_at=scored), 1)
    served = replace(managed, spec=spec)

    assert told(served, engine, scored + timedelta(minutes=59)) == []
    assert told(served, engine, scored + timedelta(minutes=61)) == [(BEHIND, "2024-W06")]
    mark_delivered(engine, "desk", given)

    assert told(served, engine, scored + timedelta(minutes=61)) == []
