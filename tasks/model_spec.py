"""The model spec: one YAML file for each model under management, composed of the rooms' configurations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from data_contracts.contract import Contract, load_contract, nearest
from tasks.batches import Batch, Every, batch_named, batch_of
from tasks.configuration import Config, ConfigurationError, Duration, load_config
from tasks.decisions.config import GateConfig, PolicyConfig, WatchConfig
from tasks.drift.config import DriftConfig
from tasks.evaluation.config import METRICS, FairnessConfig, GuardrailsConfig, known_metric
from tasks.features.config import FeaturesConfig
from tasks.records import Problem
from tasks.settings import Settings
from tasks.training.config import TrainingConfig
from tasks.validation.config import ValidationConfig


class BatchConfig(Config):
    """How event time is cut."""

    every: Every


class LabelsConfig(Config):
    """When the target is known."""

    delay: Duration = timedelta(0)
    """Time from the end of a batch until its labels are mature."""


class Schedule(Config):
    """When the monitor runs."""

    cron: str = Field(pattern=r"^\S+( +\S+){4}$")
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"expected an IANA time zone{nearest(zone, available_timezones())}")
        return zone


class ModelSpec(Config):
    """Everything about one model under management."""

    model: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = ""
    contract: str
    problem: Problem
    target: str
    batch: BatchConfig
    labels: LabelsConfig = LabelsConfig()
    validation: ValidationConfig = ValidationConfig()
    features: FeaturesConfig = FeaturesConfig()
    training: TrainingConfig
    metric: str
    slices: tuple[str, ...] = ()
    drift: DriftConfig = DriftConfig()
    retrain: PolicyConfig = PolicyConfig()
    guardrails: GuardrailsConfig = GuardrailsConfig()
    fairness: FairnessConfig = FairnessConfig()
    gate: GateConfig = GateConfig()
    watch: WatchConfig = WatchConfig()
    schedule: Schedule | None = None
    approval: Literal["auto", "required"] = "auto"


@dataclass(frozen=True)
class ManagedModel:
    """A model under management: its spec, its contract, and where things live."""

    spec: ModelSpec
    contract: Contract
    settings: Settings
    sha256: str
    """Digest of the spec file and the contract file."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.model

    def batch(self, id: str) -> Batch:
        """Return the batch called ``id``; ValueError when this model has no such batches."""
        return batch_named(id, self.spec.batch.every, self.contract.timezone)

    def batch_of(self, moment: datetime) -> Batch:
        """Return the batch in which the aware ``moment`` lies."""
        return batch_of(moment, self.spec.batch.every, self.contract.timezone)

    def mature(self, batch: Batch, as_of: datetime) -> bool:
        """Whether every label of ``batch`` is known at ``as_of``."""
        return batch.end + self.spec.labels.delay <= as_of

    def closed(self, batch: Batch, as_of: datetime) -> bool:
        """Whether ``batch`` has ended and its lateness is over at ``as_of``."""
        return batch.end + self.contract.lateness <= as_of


def managed_models(settings: Settings) -> tuple[str, ...]:
    """Return the names of the models that the project's ``deployments/`` describes."""
    return tuple(sorted(file.parent.name for file in (settings.project / "deployments").glob("*/model.yaml")))


def manage(name: str, settings: Settings) -> ManagedModel:
    """Load and check the spec and the contract of the model called ``name``.

    Raises ConfigurationError or ContractError, both ValueError, with file, key path, expected and found.
    """
    file = settings.project / "deployments" / name / "model.yaml"
    if not file.is_file():
        known = managed_models(settings)
        raise ConfigurationError(
            settings.project / "deployments", "model", f"one of {list(known)}",
            f"{name!r}{nearest(name, known)}",
        )  # fmt: skip
    spec = load_config(file, ModelSpec)
    contract_file = settings.project / "data_contracts" / f"{spec.contract}.odcs.yaml"
    contract = load_contract(contract_file)
    _check(file, name, spec, contract)
    digest = hashlib.sha256(file.read_bytes() + b"\0" + contract_file.read_bytes()).hexdigest()
    return ManagedModel(spec, contract, settings, digest)


def _check(file: Path, name: str, spec: ModelSpec, contract: Contract) -> None:
    """Refuse what each part allows but the parts together do not."""
    if spec.model != name:
        raise ConfigurationError(file, "model", f"the name of its directory, {name!r}", repr(spec.model))
    if not known_metric(spec.metric, spec.problem):
        raise ConfigurationError(
            file, "metric", f"one of {list(METRICS[spec.problem])} for a {spec.problem} problem",
            f"{spec.metric!r}{nearest(spec.metric, METRICS[spec.problem])}",
        )  # fmt: skip
    columns = contract.column_names
    named = {
        "target": (spec.target,),
        "slices": spec.slices,
        "features.exclude": spec.features.exclude,
        "fairness.columns": spec.fairness.columns,
    }
    for where, names in {**named, "features.include": spec.features.include or ()}.items():
        for column in names:
            if column not in columns:
                raise ConfigurationError(
                    file, where, f"a column of contract {contract.name}",
                    f"{column!r}{nearest(column, columns)}",
                )  # fmt: skip
    allowed = {column.name for column in contract.feature_columns} - {spec.target}
    for column in spec.features.include or ():
        if column not in allowed:
            raise ConfigurationError(
                file, "features.include",
                "columns that are known at event time, not sensitive, not unique, and neither date nor time",
                f"{column!r}: using it would be a leak or a breach",
            )  # fmt: skip
    wanted = allowed if spec.features.include is None else allowed.intersection(spec.features.include)
    if spec.features.code is None and not wanted.difference(spec.features.exclude):
        raise ConfigurationError(file, "features", "at least one column, or code of its own", "neither")
    for column in spec.slices:
        if contract.column(column).sensitive:
            raise ConfigurationError(file, "slices", "columns that are not sensitive", repr(column))
    target = contract.column(spec.target)
    expected = {
        "binary": ("boolean", "integer"),
        "multiclass": ("string", "integer"),
        "regression": ("number", "integer"),
    }[spec.problem]
    if target.logical_type not in expected:
        raise ConfigurationError(
            file, "target", f"a column of type {' or '.join(expected)} for a {spec.problem} problem",
            f"{spec.target!r} of type {target.logical_type}",
        )  # fmt: skip
