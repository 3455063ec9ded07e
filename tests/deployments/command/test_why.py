"""What a row was told, and why, from the ledger and the lake of a home that has run."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deployments.command.why import NoSuchRowError, explain_row
from tasks.configuration import ConfigurationError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine, open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import BatchRecord
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT

pytestmark = pytest.mark.flow


@pytest.fixture
def managed(replayed_home: Path) -> ManagedModel:
    """The weather model."""
    return manage("weather", Settings(home=replayed_home, project=WEATHER_PROJECT))


@pytest.fixture
def engine(managed: ManagedModel) -> Engine:
    """Its ledger."""
    return open_ledger(managed.settings.ledger_url)


@pytest.fixture
def scored(managed: ManagedModel, engine: Engine) -> list[BatchRecord]:
    """The batches with predictions, oldest first."""
    known = ledger.known_batches(engine, "weather").values()
    return [one for one in known if one.predictions is not None]


def _row(managed: ManagedModel, record: BatchRecord, i: int) -> tuple[list[str], float]:
    """The key of a row as it is typed, and what it was told."""
    assert record.predictions is not None
    table = pq.read_table(managed.settings.lake / record.predictions.path)
    moment = table["key:time_hour"][i].as_py().isoformat()
    key = [f"time_hour={moment}", f"origin={table['key:origin'][i].as_py()}"]
    return key, table["prediction"][i].as_py()


@pytest.mark.parametrize("which", [0, -1])
def test_a_row_is_told_what_was_served_and_why(managed, engine, scored, which):
    """By the first champion, and by a later version with its weights and recalibration in force."""
    key, told = _row(managed, scored[which], 5)

    found = explain_row(managed, engine, key, 3)

    assert (found.batch, found.version) == (
        scored[which].batch.id,
        scored[which].predictions.version,
    )
    assert found.adjusted_by == scored[which].predictions.adjusted_by
    assert found.prediction == told
    assert len(found.reasons) == 3
    total = found.usual + sum(one.effect for one in found.reasons) + found.rest
    assert total == pytest.approx(told, abs=1e-6)


def test_the_lines_name_version_values_and_the_rest(managed, engine, scored):
    """What is printed has the prediction, a line a reason, and what is left."""
    key, told = _row(managed, scored[-1], 5)

    lines = list(explain_row(managed, engine, key, 2).in_lines())

    assert lines[0].startswith(f"weather {scored[-1].batch.id}: time_hour=")
    assert f"predicted {told:.4g}, by version" in lines[1]
    assert len(lines) == 6
    assert lines[-1].endswith("all other features")


@pytest.mark.parametrize(
    ("key", "error", "sentence"),
    [
        (["orign=EWR"], ConfigurationError, "did you mean 'origin'"),
        (["origin"], ConfigurationError, "NAME=VALUE"),
        (["origin=EWR", "origin=JFK"], ConfigurationError, "at most once"),
        (["time_hour=yesterday"], ConfigurationError, "a value of type timestamp"),
        (["origin=XYZ"], NoSuchRowError, "found none"),
        (["origin=EWR"], NoSuchRowError, "name more of its key"),
    ],
)
def test_a_key_that_names_no_single_row_is_refused(managed, engine, key, error, sentence):
    """The sentence says what was expected and what was found."""
    with pytest.raises(error, match=sentence):
        explain_row(managed, engine, key, 3)
