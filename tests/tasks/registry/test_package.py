"""Tests of a version's directory: signature, example, requirements, what is in force."""

import importlib.metadata
import pickle
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from tasks.records import Fence, InForce, Recalibration, TrainedModel
from tasks.registry.aliases import show_in_force
from tasks.registry.package import NUMERICS, write_package
from tasks.registry.runs import client
from tasks.registry.safe_load import as_stored
from tasks.settings import Settings
from tasks.training.estimators import make_estimator
from tests.tasks.builders import OPEN
from tests.tasks.registry.conftest import FEATURES, PACKAGE


def _stored(settings: Settings) -> Path:
    """The directory of the one version there is."""
    (directory,) = settings.artifacts.glob("flights/models/*/artifacts")
    return directory


def test_version_says_what_goes_in_and_comes_out(settings: Settings, trained: TrainedModel) -> None:
    """Columns by name, which of them may be left out, and an example of raw rows."""
    found = mlflow.models.get_model_info(f"models:/flights/{trained.version}")

    inputs = found.signature.inputs
    assert [(one.name, one.required) for one in inputs] == [("carrier", True), ("x", False)]
    assert found.signature.outputs.input_names() == ["prediction"]
    assert found.saved_input_example_info["artifact_path"] == "input_example.json"
    names = {file.name for file in (_stored(settings) / "data" / "served").iterdir()}
    assert names == {"model.skops", "package.json", "contract.odcs.yaml"}


def test_model_belongs_to_its_run(settings: Settings, trained: TrainedModel) -> None:
    """What MLflow shows of the model leads to the run, with the rows that it was trained on."""
    api = client(settings.tracking_uri)
    source = api.get_model_version("flights", "1").source.removeprefix("models:/")

    logged = api.get_logged_model(source)

    assert (logged.source_run_id, str(logged.status)) == (trained.run_id, "READY")
    run = api.get_run(trained.run_id)
    assert [one.model_id for one in run.outputs.model_outputs] == [source]
    assert {one.tags[0].value for one in run.inputs.dataset_inputs} == {"training"}


@pytest.mark.parametrize(
    ("library", "name", "distribution"),
    [
        ("sklearn.linear_model", "LogisticRegression", "scikit-learn"),
        ("lightgbm", "LGBMClassifier", "lightgbm"),
        ("xgboost", "XGBClassifier", "xgboost-cpu"),
        ("catboost", "CatBoostClassifier", "catboost"),
        ("interpret.glassbox", "ExplainableBoostingClassifier", "interpret-core"),
    ],
)
@pytest.mark.parametrize("form", ["skops", "pickle"])
def test_requirements_name_what_the_model_is_made_of(
    tmp_path: Path, library: str, name: str, distribution: str, form: str
) -> None:
    """Whatever it is stored as, its libraries are named, each with its version here."""
    estimator = make_estimator(f"{library}.{name}", {}, seed=0)
    estimator.fit(FEATURES[["x"]], FEATURES["x"] > 0)
    content = as_stored(estimator, "skops")[1] if form == "skops" else pickle.dumps(estimator)

    found = write_package(PACKAGE, form, content, tmp_path).requirements

    named = dict(text.split("==") for text in found)
    assert {distribution, "mlflow", *NUMERICS} <= named.keys()
    assert named[distribution] == importlib.metadata.version(distribution)
    assert {"prefect", "great-expectations", "kingmaker"}.isdisjoint(named)


def _now(number: int) -> InForce:
    moved = Recalibration(problem="binary", shift=(0.1 * number,), rows=9, reason="test")
    return InForce(served_by=f"v1.{number}", weights=(0.2, 0.8), recalibration=moved)


def test_what_is_in_force_is_written_anew(settings: Settings, trained: TrainedModel) -> None:
    """The newest stands, in the version's directory and in its tag; nothing else there changes."""
    before = {file for file in _stored(settings).rglob("*") if file.is_file()}
    for number in (3, 7):
        show_in_force(settings, "flights", trained.version, _now(number), OPEN)

    after = {file for file in _stored(settings).rglob("*") if file.is_file()}
    (file,) = after - before
    assert InForce.model_validate_json(file.read_bytes()) == _now(7)
    assert file.parent.name == "served"
    assert (
        client(settings.tracking_uri).get_model_version("flights", "1").tags["served_by"] == "v1.7"
    )


def test_run_that_lost_its_lease_shows_nothing(settings: Settings, trained: TrainedModel) -> None:
    """The fence stands before each write."""

    @contextmanager
    def lost():
        raise RuntimeError("the lease has passed on")
        yield

    with pytest.raises(RuntimeError, match="passed on"):
        show_in_force(settings, "flights", trained.version, _now(3), Fence(token=1, hold=lost))

    assert not list(settings.artifacts.rglob("in_force.json"))
    assert "served_by" not in client(settings.tracking_uri).get_model_version("flights", "1").tags
