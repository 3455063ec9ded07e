"""Features from another contract, through the flows: the same in training, in a batch, and for open
rows.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from deployments.command.look_cli import features
from deployments.command.status import status_of
from flows.monitor import BatchRefusedError, monitor
from flows.steps.pending import is_idle
from tasks.batches import batch_named
from tasks.ingest.source import SourceError
from tasks.ledger import entries as ledger
from tasks.settings import Settings
from tests.conftest import WEATHER_WEEKS, run_flow
from tests.flows.test_score import CLOSED, MONDAY, THURSDAY, Desk

pytestmark = pytest.mark.flow

ZONE = "America/New_York"
CONTRACT = f"""\
apiVersion: v3.1.0
kind: DataContract
id: urn:test:gauge
name: gauge
version: 1.0.0
status: active
servers:
  - server: gauge
    type: local
    path: "${{KINGMAKER_HOME}}/sources/gauge/{{batch}}.csv"
    format: csv
slaProperties:
  - {{property: latency, value: 1, unit: h}}
schema:
  - name: gauge
    customProperties: [{{property: eventTime, value: told_at}}]
    properties:
      - name: told_at
        logicalType: timestamp
        primaryKey: true
        logicalTypeOptions: {{timezone: true, defaultTimezone: {ZONE}}}
      - {{name: airport, logicalType: string, primaryKey: true, primaryKeyPosition: 2}}
      - name: level
        logicalType: number
        logicalTypeOptions: {{minimum: 0}}
"""
JOIN = {"contract": "gauge", "by": {"origin": "airport"}, "columns": ["level"], "max_age": "6h"}


def _tell(home: Path, until: datetime, changed: float = 0.0) -> None:
    """Have the source hold the gauge's levels up to a moment, one every two hours; ``changed`` is
    added to those of the second week.
    """
    directory = home / "sources" / "gauge"
    directory.mkdir(parents=True, exist_ok=True)
    for week in WEATHER_WEEKS[:3]:
        batch = batch_named(week, "week", ZONE)
        moment, rows = batch.start, []
        while moment < min(batch.end, until):
            added = changed if week == WEATHER_WEEKS[1] else 0.0
            level = 50.0 + moment.hour + moment.day / 10 + added
            rows += [(moment.isoformat(), origin, level) for origin in ("EWR", "JFK", "LGA")]
            moment += timedelta(hours=2)
        if rows:
            with (directory / f"{week}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("told_at", "airport", "level"))
                writer.writerows(rows)


@pytest.fixture
def project(quick_project: Path) -> Path:
    """The weather project, with what a gauge tells."""
    (quick_project / "data_contracts" / "gauge.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8")) | {"features": {"join": [JOIN]}}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return quick_project


@pytest.fixture
def desk(
    make_weather_home: Callable[[int], Path], project: Path, use_home: Callable[..., Settings]
) -> Desk:
    """The desk in the third week, with a champion."""
    made = Desk(make_weather_home(3), project, use_home)
    _tell(made.home, MONDAY)
    run_flow(monitor("weather", as_of=MONDAY))
    return made


def test_open_rows_and_the_closed_batch_have_the_same_features(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """No row was served by a level that its batch does not have."""
    desk.arrive(THURSDAY)
    _tell(desk.home, THURSDAY)
    served = desk.score(THURSDAY)
    desk.arrive(CLOSED)
    _tell(desk.home, CLOSED)
    run_flow(monitor("weather", as_of=CLOSED))
    features("weather")
    told = capsys.readouterr().out

    record = desk.record()
    trained = ledger.training(desk.engine, "weather", 1)
    assert "gauge_level" in trained.schema_.names
    assert record.skew.rows == served > 50
    assert record.skew.features == ()
    assert "newest row with the same origin as airport, at least 1h before the row" in told
    assert "from column level of contract gauge" in told
    assert f"{WEATHER_WEEKS[2]}: 0.0% of" in told


def test_status_names_what_rests_on_a_revised_batch(desk: Desk) -> None:
    """A level that is corrected later was another one then, and the version was trained on it."""
    _tell(desk.home, MONDAY, changed=1.0)
    waiting = status_of(desk.managed, desk.engine, MONDAY).waiting_beside
    run_flow(monitor("weather", as_of=MONDAY + timedelta(hours=1)))

    found = [str(one) for one in status_of(desk.managed, desk.engine, MONDAY).replaced]
    assert WEATHER_WEEKS[1] in waiting["gauge"].batches
    (line,) = [one for one in found if one.startswith(f"gauge of {WEATHER_WEEKS[1]} revision 1")]
    assert line.endswith("features look back on it: gauge_level (version 1)")
    assert is_idle(desk.managed, desk.engine, MONDAY + timedelta(hours=2))


def test_what_is_joined_is_judged_by_its_contract(desk: Desk) -> None:
    """A batch that breaks its contract is refused by name, and the rows go through without it."""
    desk.arrive(CLOSED)
    _tell(desk.home, CLOSED)
    file = desk.home / "sources" / "gauge" / f"{WEATHER_WEEKS[2]}.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("level", "depth"), encoding="utf-8")

    with pytest.raises(BatchRefusedError, match=f"weather gauge {WEATHER_WEEKS[2]} refused: "):
        run_flow(monitor("weather", as_of=CLOSED))

    assert desk.record().completed


def test_rows_wait_while_the_joined_source_is_away(desk: Desk) -> None:
    """Without it they would lack a feature in silence."""
    desk.arrive(CLOSED)
    (desk.home / "sources" / "gauge").rename(desk.home / "elsewhere")

    with pytest.raises(SourceError, match="gauge"):
        run_flow(monitor("weather", as_of=CLOSED))

    assert WEATHER_WEEKS[2] not in ledger.known_batches(desk.engine, "weather")
