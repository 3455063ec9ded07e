"""Preparation, weights and periods that are left out, through the flows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml

from flows.monitor import monitor
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.settings import Settings
from tests.conftest import WEATHER_WEEKS, run_flow
from tests.flows.test_score import CLOSED

pytestmark = pytest.mark.flow

PREPARE = {
    "temp": "spline",
    "wind_dir": {"cyclic": 360},
    "origin": {"target": 3},
    "humid": "products",
    "pressure": "products",
}


def test_a_version_is_made_as_the_spec_says(
    make_weather_home: Callable[[int], Path], quick_project: Path, use_home: Callable[..., Settings]
) -> None:
    """It passes every guardrail, serves the same where MLflow loads it, and says how it was
    made.
    """
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"]["candidates"][0]["prepare"] = PREPARE
    first = date(2013, 1, 9)
    spec["training"] |= {
        "weights": {"half_life": "10d"},
        "exclude": [{"from": first, "to": first, "why": "ice on the sensor"}],
    }
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    settings = use_home(make_weather_home(2), quick_project)

    run_flow(monitor("weather", as_of=CLOSED))

    engine = open_ledger(settings.ledger_url)
    trained = ledger.training(engine, "weather", 1)
    recipe = trained.new_member or trained.recipe
    (judged,) = ledger.history(engine, "weather").judgements(1)
    assert {one.outcome for one in judged.evidence.guardrails} == {"passed"}
    assert recipe.prepare == {
        "humid": {"products": True},
        "origin": {"target": 3},
        "pressure": {"products": True},
        "temp": {"spline": 5},
        "wind_dir": {"cyclic": 360.0},
    }
    assert recipe.weights == {"half_life": "10d"}
    assert recipe.window.endswith(", without 2013-01-09 to 2013-01-09 (ice on the sensor)")
    seen = {span.batch: span.rows for span in trained.trained_on}
    there = {id: one.verdict.rows for id, one in ledger.known_batches(engine, "weather").items()}
    assert seen[WEATHER_WEEKS[0]] == there[WEATHER_WEEKS[0]] - 72, "a day of three airports"
    card = next(settings.reports.rglob("*card*.html")).read_text(encoding="utf-8")
    for told in ("ice on the sensor", "prepared wind_dir", "cyclic 360", "half life"):
        assert told in card
