"""Tests of a champion that anyone can load: by MLflow alone, in a bare environment."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from flows.monitor import monitor
from flows.replay import replay
from flows.steps.models import in_force
from flows.steps.predictions import score_file
from flows.steps.serving import champion_to_score_by
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import InForce
from tasks.registry.runs import client
from tasks.settings import Settings
from tests.bare import ask, bare_environment
from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS, run_flow

pytestmark = pytest.mark.flow

LOAD = """
import sys

import mlflow
import pandas as pd

rows = pd.read_csv("rows.csv", float_precision="round_trip").drop(columns=["visib"])
champion = mlflow.pyfunc.load_model("models:/weather@champion")
champion.predict(rows).to_parquet("found.parquet")
example = champion.input_example
assert len(champion.predict(example)) == 5
print(sorted({name.partition(".")[0] for name in sys.modules} & {
    "tasks", "flows", "data_contracts", "prefect", "duckdb", "great_expectations", "evidently"
}))
"""


FEATURES = """
from . import clock


def build(rows):
    return clock.read(rows)
"""
CLOCK = """
import pandas as pd


def read(rows):
    local = rows["time_hour"].dt.tz_convert("America/New_York")
    return pd.DataFrame(
        {"hour": local.dt.hour.astype("float64"), "weekday": local.dt.day_name().astype("str")},
        index=rows.index,
    )
"""
WEEKS = 6


@pytest.fixture(scope="module")
def replayed(
    prefect_server: None, weather_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A directory with a project, whose feature code lies in two files, and a home in which it was
    replayed until an ensemble served with weights and a recalibration that were refreshed.
    """
    root = tmp_path_factory.mktemp("packaged")
    shutil.copytree(WEATHER_PROJECT, root / "project")
    directory = root / "project" / "deployments" / "weather"
    spec = yaml.safe_load((directory / "model.yaml").read_text(encoding="utf-8"))
    spec["training"] |= {"first": 2, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    spec |= {"retrain": {"every": 2}, "features": {"code": "deployments.weather.features:build"}}
    (directory / "model.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    (directory / "features.py").write_text(FEATURES, encoding="utf-8")
    (directory / "clock.py").write_text(CLOCK, encoding="utf-8")
    source = root / "home" / "sources" / "weather"
    source.mkdir(parents=True)
    for week in WEATHER_WEEKS[:WEEKS]:
        shutil.copy(weather_source / f"{week}.csv", source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINGMAKER_HOME", str(root / "home"))
        patch.setenv("KINGMAKER_PROJECT", str(root / "project"))
        assert run_flow(replay("weather")) == WEEKS
    return root


@pytest.fixture
def settings(replayed: Path, use_home: Callable[..., Settings]) -> Settings:
    """The settings of that home."""
    return use_home(replayed / "home", replayed / "project")


def _served(settings: Settings, file: Path, target: Path) -> pd.DataFrame:
    """What Kingmaker serves for the rows of a file, those that keep the contract, by their key."""
    managed = manage("weather", settings)
    moment = pd.Timestamp("2013-03-20", tz="UTC").to_pydatetime()
    score_file(managed, file, "", target, moment)
    return pq.read_table(target).to_pandas().set_index(["time_hour", "origin"])


def _told(rows: Path, predictions: pd.Series, known: pd.DataFrame) -> np.ndarray:
    """The predictions of another for the same rows."""
    frame = pd.read_csv(rows)
    moments = pd.to_datetime(frame["time_hour"], utc=True).astype("datetime64[us, UTC]")
    index = pd.MultiIndex.from_arrays([moments, frame["origin"]])
    return pd.Series(predictions.to_numpy(), index=index).loc[known.index].to_numpy()


def _requirements(settings: Settings) -> list[str]:
    """What the champion's own files name."""
    api = client(settings.tracking_uri)
    version = api.get_model_version_by_alias("weather", "champion")
    stored = version.source.removeprefix("models:/")
    (file,) = settings.artifacts.glob(f"weather/models/{stored}/artifacts/requirements.txt")
    return file.read_text(encoding="utf-8").splitlines()


def test_champion_in_a_bare_environment(
    settings: Settings, weather_source: Path, tmp_path: Path
) -> None:
    """MLflow with nothing but the champion's own requirements serves raw rows to the last digit as
    Kingmaker does, by Python and by MLflow's command; weights and recalibration are in force.
    """
    rows = tmp_path / "rows.csv"
    shutil.copy(weather_source / f"{WEATHER_WEEKS[WEEKS]}.csv", rows)
    known = _served(settings, rows, tmp_path / "ours.parquet")
    champion = champion_to_score_by(manage("weather", settings), open_ledger(settings.ledger_url))
    python = bare_environment(tmp_path / "bare", _requirements(settings))
    (tmp_path / "load.py").write_text(LOAD, encoding="utf-8")
    split = json.loads(
        pd.read_csv(rows, dtype="str", keep_default_na=False).to_json(orient="split", index=False)
    )
    (tmp_path / "rows.json").write_text(json.dumps({"dataframe_split": split}), encoding="utf-8")

    printed = ask(python, "load.py", directory=tmp_path, MLFLOW_TRACKING_URI=settings.tracking_uri)
    words = ["-m", "mlflow", "models", "predict", "-m", "models:/weather@champion"]
    words += ["-i", "rows.json", "-o", "told.json", "--env-manager", "local"]
    ask(python, *words, directory=tmp_path, MLFLOW_TRACKING_URI=settings.tracking_uri)

    assert champion.recalibration is not None
    assert 0 < min(champion.weights) < 1
    assert printed.split() == ["[]"]
    found = pd.read_parquet(tmp_path / "found.parquet")["prediction"]
    told = pd.DataFrame(json.loads((tmp_path / "told.json").read_text())["predictions"])
    assert np.array_equal(_told(rows, found, known), known["prediction"])
    assert np.array_equal(_told(rows, told["prediction"], known), known["prediction"])
    assert known["version"].unique().tolist() == [
        f"v{champion.trained.version}.{champion.adjusted_by}"
    ]


def _in_registry(settings: Settings, version: int) -> tuple[InForce, str]:
    """What the files of a version say is in force, and its tag."""
    found = client(settings.tracking_uri).get_model_version("weather", str(version))
    stored = found.source.removeprefix("models:/")
    (file,) = settings.artifacts.glob(
        f"weather/models/{stored}/artifacts/data/served/in_force.json"
    )
    return InForce.model_validate_json(file.read_bytes()), found.tags["served_by"]


def _stop_before_it_shows(settings: Settings, number: int, version: int) -> None:
    """Leave things as a run does that is killed when it has written a refresh down."""
    with closing(sqlite3.connect(settings.ledger_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE decisions SET effective_at = NULL WHERE id = ?", [number])
        connection.commit()
    for file in settings.artifacts.rglob("in_force.json"):
        file.unlink()
    client(settings.tracking_uri).set_model_version_tag("weather", str(version), "served_by", "")


def test_what_the_alias_names_is_what_serves(settings: Settings) -> None:
    """A refresh is in MLflow when its run has ended; one that died before that is made up for by
    the next run, though nothing is new. Members are not copied.
    """
    version = _champion(settings)
    shown = _in_registry(settings, version)
    before = ledger.history(open_ledger(settings.ledger_url), "weather")
    made = before.adjustments(version)[-1]
    stored = sorted(settings.artifacts.rglob("model.skops"))
    _stop_before_it_shows(settings, made.id, version)

    run_flow(monitor("weather", as_of=made.as_of))

    assert shown == (in_force(made.decision, made.id), f"v{version}.{made.id}")
    assert _in_registry(settings, version) == shown
    assert sorted(settings.artifacts.rglob("model.skops")) == stored
    after = ledger.history(open_ledger(settings.ledger_url), "weather")
    assert not after.unfinished
    assert len(after) == len(before)


def _champion(settings: Settings) -> int:
    version = ledger.history(open_ledger(settings.ledger_url), "weather").champion
    assert version is not None
    return version


@pytest.mark.spark
def test_champion_in_spark(
    settings: Settings, weather_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a function over a Spark table it serves the same digits; Spark's moments have no zone, so
    its session has that of the contract.
    """
    sql = pytest.importorskip("pyspark.sql", reason="pyspark: make test-spark installs it")
    file = tmp_path / "rows.csv"
    shutil.copy(weather_source / f"{WEATHER_WEEKS[WEEKS]}.csv", file)
    known = _served(settings, file, tmp_path / "ours.parquet")
    rows = pd.read_csv(file, float_precision="round_trip").drop(columns=["visib"])
    rows["time_hour"] = pd.to_datetime(rows["time_hour"], utc=True).astype("datetime64[us, UTC]")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    builder = sql.SparkSession.builder.master("local[1]")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": manage("weather", settings).contract.timezone,
    }.items():
        builder = builder.config(name, value)
    mlflow.set_tracking_uri(settings.tracking_uri)
    with builder.getOrCreate() as spark:
        champion = mlflow.pyfunc.spark_udf(
            spark, "models:/weather@champion", env_manager="local", result_type="double"
        )
        table = spark.createDataFrame(rows)
        served = table.withColumn("served", champion(sql.functions.struct(*table.columns)))
        found = served.toPandas()["served"]

    assert np.array_equal(_told(file, found, known), known["prediction"])
