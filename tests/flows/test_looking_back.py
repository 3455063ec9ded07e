"""Features that look back, through the flows: the same in training, in a batch, and for open
rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from deployments.command.look_cli import features
from flows.monitor import monitor
from flows.retrain import retrain
from flows.steps.predictions import score_file
from tasks.ledger import entries as ledger
from tasks.ledger.served import served_parts
from tasks.settings import Settings
from tests.conftest import run_flow
from tests.flows.test_score import CLOSED, MONDAY, THURSDAY, WEEK, Desk

pytestmark = pytest.mark.flow

HISTORY = [
    {"name": "temp_day", "function": "mean", "column": "temp", "by": ["origin"], "over": "1d"},
    {"name": "rains", "function": "count", "column": "precip", "by": ["origin"], "rows": 5},
    {
        "name": "seen_before",
        "function": "last",
        "column": "visib",
        "by": ["origin"],
        "over": "3d",
    },
]
CODE = '''"""What the hour before was like."""


def build(rows):
    """Return the temperature against that of the day before."""
    return (rows["temp"] - rows["temp_day"]).to_frame("warmer")
'''


@pytest.fixture
def project(quick_project: Path) -> Path:
    """The weather project with features that look back, on labels too, and code that sees them."""
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec |= {"labels": {"delay": "6h"}}
    spec["features"] = {"code": "deployments.weather.past:build", "history": HISTORY}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    file.with_name("past.py").write_text(CODE, encoding="utf-8")
    return quick_project


@pytest.fixture
def desk(
    make_weather_home: Callable[[int], Path], project: Path, use_home: Callable[..., Settings]
) -> Desk:
    """The desk in the third week, when the labels of the second are known."""
    made = Desk(make_weather_home(3), project, use_home)
    run_flow(monitor("weather", as_of=MONDAY))
    return made


def test_open_rows_and_the_closed_batch_have_the_same_features(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No row was served by features that its batch does not have: those of the label either, and
    rows of a file neither.
    """
    desk.arrive(THURSDAY)
    served = desk.score(THURSDAY)
    file, out = tmp_path / "rows.csv", tmp_path / "out.parquet"
    shutil.copy(desk.weeks / f"{WEEK}.csv", file)
    score_file(desk.managed, file, "", out, THURSDAY)
    desk.arrive(CLOSED)
    run_flow(monitor("weather", as_of=CLOSED))
    features("weather", sql=True)
    told = capsys.readouterr().out

    record = desk.record()
    trained = ledger.training(desk.engine, "weather", 1)
    assert {"temp_day", "rains", "seen_before", "warmer"} <= set(trained.schema_.names)
    assert "mean of temp over 1d, with the same origin; ends 0d before the row" in told
    assert "of visib over 3d, with the same origin; ends 6h before the row (labels.delay)" in told
    assert f"{WEEK}: 0." in told
    assert told.count("WITH facts AS") == len(HISTORY)
    assert record.skew.rows == served > 50
    assert record.skew.features == ()
    (part,) = served_parts(desk.engine, "weather")
    kept = pq.read_table(desk.settings.lake / part.path)["prediction"].to_pylist()
    assert sorted(pq.read_table(out)["prediction"].to_pylist()) == pytest.approx(sorted(kept))


def test_another_definition_is_another_recipe(desk: Desk) -> None:
    """The guardrails let either pass, and the gate judges the second as a change of recipe."""
    longer = [HISTORY[0] | {"over": "2d"}, *HISTORY[1:]]
    desk.change(features={"code": "deployments.weather.past:build", "history": longer})
    desk.arrive(CLOSED)
    run_flow(monitor("weather", as_of=CLOSED))
    run_flow(retrain("weather", as_of=CLOSED))

    one, other = (ledger.training(desk.engine, "weather", version) for version in (1, 2))
    assert one.recipe.features != other.recipe.features
    history = ledger.history(desk.engine, "weather")
    (first,), (second,) = history.judgements(1), history.judgements(2)
    assert second.evidence.kind == "change of recipe"
    for judged in (first, second):
        outcomes = {one.code: one.outcome for one in judged.evidence.guardrails}
        assert {outcomes[code] for code in ("KM010", "KM011", "KM015", "KM016", "KM017")} == {
            "passed"
        }
