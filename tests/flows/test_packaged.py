"""Tests of a champion that anyone can load: by MLflow alone, in a bare environment."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows.monitor import monitor
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


@pytest.fixture
def home(replayed_home: Path, use_home: Callable[..., Settings]) -> Settings:
    """A home with a champion whose weights and recalibration were refreshed."""
    return use_home(replayed_home)


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


def test_champion_in_a_bare_environment(home: Settings, tmp_path: Path) -> None:
    """MLflow with nothing but the champion's own requirements serves raw rows to the last digit as
    Kingmaker does, by Python and by MLflow's command; weights and recalibration are in force.
    """
    rows = tmp_path / "rows.csv"
    shutil.copy(home.home / "sources" / "weather" / f"{WEATHER_WEEKS[9]}.csv", rows)
    known = _served(home, rows, tmp_path / "ours.parquet")
    champion = champion_to_score_by(manage("weather", home), open_ledger(home.ledger_url))
    python = bare_environment(tmp_path / "bare", _requirements(home))
    (tmp_path / "load.py").write_text(LOAD, encoding="utf-8")
    split = json.loads(
        pd.read_csv(rows, dtype="str", keep_default_na=False).to_json(orient="split", index=False)
    )
    (tmp_path / "rows.json").write_text(json.dumps({"dataframe_split": split}), encoding="utf-8")

    printed = ask(python, "load.py", directory=tmp_path, MLFLOW_TRACKING_URI=home.tracking_uri)
    words = ["-m", "mlflow", "models", "predict", "-m", "models:/weather@champion"]
    words += ["-i", "rows.json", "-o", "told.json", "--env-manager", "local"]
    ask(python, *words, directory=tmp_path, MLFLOW_TRACKING_URI=home.tracking_uri)

    assert champion.recalibration is not None
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


def test_what_the_alias_names_is_what_serves(
    replayed_home: Path, tmp_path: Path, use_home: Callable[..., Settings]
) -> None:
    """A refresh is in MLflow when its run has ended; one that died before that is made up for by
    the next run, though nothing is new. Members are not copied.
    """
    settings = use_home(replayed_home)
    shown = _in_registry(settings, _champion(settings))
    settings = use_home(tmp_path / "home", WEATHER_PROJECT)
    shutil.copytree(replayed_home, settings.home)
    _move_artifacts(replayed_home, settings)
    newest = ledger.history(open_ledger(settings.ledger_url), "weather")
    made = newest.adjustments(_champion(settings))[-1]
    expected = in_force(made.decision, made.id)
    size = sum(file.stat().st_size for file in settings.artifacts.rglob("model.skops"))
    _stop_before_it_shows(settings, made.id, _champion(settings))

    run_flow(monitor("weather", as_of=made.as_of))

    assert shown == (expected, f"v{made.decision.version}.{made.id}")
    assert _in_registry(settings, _champion(settings)) == shown
    assert sum(file.stat().st_size for file in settings.artifacts.rglob("model.skops")) == size
    history = ledger.history(open_ledger(settings.ledger_url), "weather")
    assert not history.unfinished
    assert len(history) == len(newest)


def _champion(settings: Settings) -> int:
    version = ledger.history(open_ledger(settings.ledger_url), "weather").champion
    assert version is not None
    return version


def _move_artifacts(old: Path, settings: Settings) -> None:
    """Have a copied store name its own files."""
    with closing(sqlite3.connect(settings.home / "mlflow.db")) as connection:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",  # noqa: S608
                [str(old), str(settings.home)],
            )
        connection.commit()
