"""A real MLflow store, and one training logged to it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.records import (
    BaselineProfile,
    FeatureProfile,
    FeatureSchema,
    Lineage,
    TrainedModel,
    Trial,
)
from tasks.registry.package import Package
from tasks.registry.runs import Training, log_training
from tasks.settings import Settings, prepare_environment
from tasks.training.pipeline import make_pipeline
from tests.tasks.builders import OPEN, recipe, span

SCHEMA = FeatureSchema(numerical=("x",), categorical=("carrier",))
FEATURES = pd.DataFrame({"carrier": ["AA", "UA"] * 50, "x": np.linspace(-1, 1, 100)})
PROFILE = BaselineProfile(
    rows=100,
    features=(
        FeatureProfile(feature="x", kind="numerical", edges=(0.0,), counts=(50, 50), missing=0),
    ),
)

PACKAGE = Package(
    entry="tasks.errors",
    record={"model": "flights"},
    contract_text="kind: DataContract",
    project=Path(),
    code=None,
    inputs={"carrier": True, "x": False},
    outputs=("prediction",),
    example=FEATURES,
)
"""What is enough to be logged."""


def training(
    estimator: str = "sklearn.linear_model.LogisticRegression", **params: object
) -> Training:
    """A training of a small model."""
    made_by = recipe(estimator=estimator, params=params)
    pipeline = make_pipeline(estimator, params, SCHEMA, encode="auto", seed=0)
    pipeline.fit(FEATURES, (FEATURES["x"] > 0).astype("float64"))
    trial = Trial(
        estimator=estimator, params=params, loss=0.5, loss_by_fold=(0.4, 0.6), trials=1, seconds=0.1
    )
    other = trial.model_copy(
        update={"estimator": "sklearn.tree.DecisionTreeClassifier", "loss": 0.7}
    )
    lineage = Lineage(
        model="flights",
        recipe=made_by,
        schema_=SCHEMA,
        trained_on=(span(0, 10), span(30, 40, batch="b001", rows=50)),
        classes=(),
        spec_sha256="1" * 64,
        contract_version="1.0.0",
        contract_text="kind: DataContract",
        seed=0,
        code_version="test",
    )
    return Training(
        lineage=lineage,
        batch="2020-01",
        kind="first",
        pipeline=pipeline,
        baseline=FEATURES,
        profile=PROFILE,
        held=FEATURES,
        trials=(trial, other),
        spec_text="model: flights",
        seconds=1.5,
        package=PACKAGE,
    )


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> None:
    """MLflow reports home to nobody, and keeps its files out of the repository."""
    before = dict(os.environ)
    prepare_environment(Settings(home=tmp_path_factory.mktemp("home")))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def settings(quiet: None, empty_store: Path, tmp_path: Path) -> Settings:
    """Settings of an empty store."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").write_bytes(empty_store.read_bytes())
    return Settings(home=home)


@pytest.fixture
def trained(settings: Settings) -> TrainedModel:
    """The first version, registered."""
    return log_training(settings, training(), OPEN)
