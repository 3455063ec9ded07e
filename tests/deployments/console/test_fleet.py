"""What is told of the fleet beside the ledger's decisions."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from deployments.console.fleet import Fleet
from tasks.ledger.served import LATE, mark_delivered, record_served
from tasks.ledger.tables import open_ledger
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT
from tests.tasks.ledger.test_served import part


@pytest.fixture
def settings(tmp_path) -> Settings:
    """A model that delivers to two sinks."""
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    sinks = "\n".join(
        f'    - {{name: {name}, url: "sqlite:///{tmp_path}/{name}.db"}}'
        for name in ("desk", "lake")
    )
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}scoring:\n  sinks:\n{sinks}\n", encoding="utf-8")
    return Settings(home=tmp_path / "home", project=project)


def test_a_sink_that_is_behind_needs_a_person(settings):
    """From an hour on, that sink alone, and no longer than until it has been given all."""
    engine, now = open_ledger(settings.ledger_url), datetime.now(UTC)

    def needs() -> list[str]:
        (model,) = Fleet(settings, engine).models()
        return [need.what for need in model.needs]

    lately = part("2013-W03", model="weather", scored_at=now - LATE / 2)
    new = record_served(engine, lately, 1)
    assert needs() == [], "a sink may be away for a while"
    for sink in ("desk", "lake"):
        mark_delivered(engine, sink, new)
    old = part("2013-W04", model="weather", scored_at=now - LATE - timedelta(minutes=1))
    given = record_served(engine, old, 2)
    mark_delivered(engine, "lake", given)

    (told,) = needs()

    assert told == f"sink desk is behind: 1 part since {old.scored_at:%Y-%m-%d %H:%M} UTC"
    mark_delivered(engine, "desk", given)
    assert needs() == []
