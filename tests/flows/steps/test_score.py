"""Tests of a batch that is more than is held in memory at a time: on a real Prefect harness, MLflow
store and ledger.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect import flow

from flows.monitor import monitor, process_batch
from flows.steps.intake import take_in_rows
from flows.steps.run import model_run
from tasks.records import BatchRecord, Predictions
from tests.conftest import copy_home, run_flow

pytestmark = pytest.mark.flow
MOST = 200
"""Of the 504 rows of a week."""


@flow
async def monitor_bounded() -> BatchRecord:
    """Take in and process the newest batch, no more than ``MOST`` rows of it at a time."""
    with model_run("weather", None) as run:
        (record,) = take_in_rows(run, None)
        return await process_batch(replace(run, most=MOST), record)


def test_a_large_batch(
    use_home, make_replayed_home, make_weather_home, quick_project, tmp_path
) -> None:
    """Every row is predicted and counted, to the last bit as in a batch that is held whole; what
    looks at rows one by one looks at those that are drawn.
    """
    make_replayed_home(4)
    home = make_weather_home(5)
    copy_home(home, tmp_path / "other")
    settings = use_home(home, quick_project)
    cut = run_flow(monitor_bounded())
    told = _read(settings.lake, cut.predictions)
    settings = use_home(tmp_path / "other", quick_project)
    (whole,) = run_flow(monitor("weather"))

    assert cut.predictions == whole.predictions
    assert told.equals(_read(settings.lake, whole.predictions))
    assert cut.drift.rows == whole.drift.rows == told.num_rows > MOST
    scores = [
        [(f.feature, f.score, f.p_value) for f in record.drift.inputs] for record in (cut, whole)
    ]
    assert scores[0] == scores[1]
    assert cut.labelled.labelled == whole.labelled.labelled == whole.performances[0].rows
    assert cut.performances[0].rows <= MOST < whole.performances[0].rows
    assert cut.performances[0].score.low < whole.performances[0].score.value


def _read(lake: Path, predictions: Predictions):
    return pq.ParquetFile(lake / predictions.path).read()
