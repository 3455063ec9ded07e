"""Sinks for the tests: a model that delivers sales."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.model_spec import BatchConfig, ManagedModel, ModelSpec
from tasks.scoring.config import ScoringConfig, SinkConfig
from tasks.scoring.sinks.sink import Sink, open_sink
from tasks.settings import Settings
from tasks.streams import Stream
from tasks.training.config import Candidate, TrainingConfig
from tests.sample_contract import Document, sample_contract


def managed_sales(
    directory: Path,
    scoring: ScoringConfig,
    change: Callable[[Document], object] = lambda document: None,
) -> ManagedModel:
    """A model over the sample contract, below ``directory``."""
    spec = ModelSpec(
        model="sales",
        contract="sales",
        problem="binary",
        target="returned",
        batch=BatchConfig(every="day"),
        metric="log_loss",
        training=TrainingConfig(
            candidates=(Candidate(estimator="sklearn.linear_model.LogisticRegression"),)
        ),
        scoring=scoring,
    )
    settings = Settings(home=directory / "home", project=directory / "project")
    rows = Stream(
        model="sales",
        name="rows",
        contract=sample_contract(directory / "project" / "data_contracts", change),
        every="day",
        settings=settings,
        sha256="0" * 64,
        validation=spec.validation,
    )
    return ManagedModel(spec, settings, rows, rows)


def no_blocks(reference: str) -> str:
    """A reader of blocks for a project that has none."""
    raise LookupError(f"expected {reference} to be a block, found none")


def sink_of(directory: Path, scoring: ScoringConfig | None = None, **config: Any) -> Sink:
    """A sink called desk."""
    scoring = scoring or ScoringConfig(include=("shop",))
    managed = managed_sales(directory, scoring)
    return open_sink(SinkConfig(name="desk", **config), managed, no_blocks)
