"""Leaks, end to end: what tells the target, or knows the future, is never promoted, and is called
by its name.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from flows.replay import replay
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import Reject
from tasks.registry.aliases import aliased_version
from tests.conftest import run_flow

pytestmark = pytest.mark.flow

PEEKING = """
def build(rows):
    ordered = rows.sort_values("time_hour")
    following = ordered.groupby("origin")["temp"].shift(-1)
    return following.to_frame("next_temp").loc[rows.index]
"""


def _plant(project: Path, source: Path) -> None:
    """A column made of the target and declared to be known in time, and feature code that looks an
    hour ahead.
    """
    for file in source.glob("*.csv"):
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, [*rows[0], "visib_km"])
            writer.writeheader()
            writer.writerows(
                row | {"visib_km": round(1.609 * float(row["visib"]), 3)} for row in rows
            )
    contract = project / "data_contracts" / "weather.odcs.yaml"
    document = yaml.safe_load(contract.read_text(encoding="utf-8"))
    document["schema"][0]["properties"].append(
        {"name": "visib_km", "logicalType": "number", "physicalType": "DOUBLE"}
    )
    contract.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    folder = project / "deployments" / "weather"
    (folder / "features.py").write_text(PEEKING, encoding="utf-8")
    spec = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    spec["features"] = {"code": "deployments.weather.features:build"}
    (folder / "model.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")


def test_planted_leaks_are_refused_by_name(use_home, make_weather_home, quick_project):
    """A feature that tells the target, and one newer than its row, are named; everything else of
    the model passes.
    """
    settings = use_home(make_weather_home(2), quick_project)
    _plant(quick_project, settings.home / "sources" / "weather")

    run_flow(replay("weather"))

    entry = ledger.history(open_ledger(settings.ledger_url), "weather").entries[-1]
    assert isinstance(entry.decision, Reject)
    assert entry.decision.reason.startswith("guardrail KM009 'no feature tells the target' failed")
    assert "visib_km alone explains" in entry.decision.reason
    assert aliased_version(settings, "weather", "champion") is None
    failed = {g.code: g.found for g in entry.evidence.guardrails if g.outcome != "passed"}
    assert set(failed) == {"KM009", "KM010", "KM016"}
    assert failed["KM010"].startswith("next_temp change")
    assert failed["KM016"].startswith("next_temp differs in ")
    assert len(entry.evidence.guardrails) == 15
    assert entry.evidence.generalisation.train_loss > 0
