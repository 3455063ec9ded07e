"""A candidate of another library goes the whole way: stopped early, a member, judged, serving."""

from __future__ import annotations

import pytest
import yaml

from flows.monitor import monitor
from flows.promote import promote
from flows.retrain import retrain
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.training.fit import ENSEMBLE
from tests.conftest import run_flow

pytestmark = pytest.mark.flow


def test_booster_joins_the_ensemble_and_serves(
    use_home, make_replayed_home, make_weather_home, quick_project
):
    """What was registered predicts the same by itself, and serves raw rows as
    a package; the next batch is scored by it.
    """
    settings = use_home(make_replayed_home(4), quick_project)
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"]["candidates"] = [
        {
            "estimator": "catboost.CatBoostRegressor",
            "params": {"iterations": 60, "monotone_constraints": {"temp": 1}},
            "early_stopping": 10,
        }
    ]
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")

    judged = run_flow(retrain("weather"))
    version = judged.evidence.challenger
    trained = ledger.training(open_ledger(settings.ledger_url), "weather", version)
    run_flow(promote("weather", version, "a test", "ada"))
    make_weather_home(5)
    (record,) = run_flow(monitor("weather"))

    outcomes = {one.code: one.outcome for one in judged.evidence.guardrails}
    assert trained.recipe.estimator == ENSEMBLE
    assert trained.new_member.estimator == "catboost.CatBoostRegressor"
    assert 1 <= trained.new_member.params["iterations"] <= 60
    assert trained.form == "skops"
    assert (outcomes["KM012"], outcomes["KM017"]) == ("passed", "passed")
    assert record.predictions.version == version
