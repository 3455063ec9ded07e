"""The model spec: one YAML file for each model under management, composed of the rooms'
configurations.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from data_contracts.contract import Contract, load_contract, nearest
from tasks.batches import Batch, Every, batch_named, batch_of
from tasks.configuration import Config, ConfigurationError, Duration, Schedule, load_config
from tasks.decisions.config import (
    ApprovalConfig,
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.drift.config import DriftConfig
from tasks.evaluation.config import METRICS, FairnessConfig, GuardrailsConfig, known_metric
from tasks.features.config import FeaturesConfig
from tasks.records import Form, Problem
from tasks.scoring.config import OPEN, ScoringConfig, check_scoring
from tasks.settings import Settings
from tasks.training.config import TrainingConfig
from tasks.validation.config import ValidationConfig


class BatchConfig(Config):
    """How event time is cut."""

    every: Every


class LabelsConfig(Config):
    """When the target is known, and where it comes from when the rows do not carry it."""

    delay: Duration = timedelta(0)
    """Time from the end of a batch until its labels are mature."""
    contract: str | None = None
    """A contract of labels, whose event time says when a label became known.

    Left out: the rows carry their labels.
    """
    key: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Columns of both contracts that join a label to its row.

    Left out: the key of the rows. (Not ``on``: to YAML that word is true.)
    """
    every: Every | None = None
    """How the labels' own event time is cut. Left out: as that of the rows."""
    min_share: float = Field(default=0.0, ge=0, le=1)
    """Share of a batch's rows that must have their label before the batch is judged or trained on.
    """

    @model_validator(mode="after")
    def _belong_together(self) -> LabelsConfig:
        stray = [name for name in ("key", "every") if getattr(self, name) is not None]
        if self.contract is None and stray:
            raise ValueError(
                f"expected labels.contract beside {' and '.join(stray)}, which only it gives a"
                " meaning"
            )
        return self


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
    ensemble: EnsembleConfig = EnsembleConfig()
    recalibrate: RecalibrationConfig = RecalibrationConfig()
    guardrails: GuardrailsConfig = GuardrailsConfig()
    fairness: FairnessConfig = FairnessConfig()
    gate: GateConfig = GateConfig()
    watch: WatchConfig = WatchConfig()
    schedule: Schedule | None = None
    """When the monitor runs."""
    scoring: ScoringConfig | None = None
    """None: rows are scored when their batch has closed."""
    trust: Form = "skops"
    """What a stored model may be: ``skops``, held against our own list of types, or also a
    ``pickle``, which may run anything.
    """
    approval: ApprovalConfig = ApprovalConfig()


@dataclass(frozen=True)
class ManagedModel:
    """A model under management: its spec, its contract, and where things live."""

    spec: ModelSpec
    contract: Contract
    settings: Settings
    sha256: str
    """Digest of the spec file and the contract file."""
    labels: ManagedModel | None = None
    """The stream of its labels, managed like the rows under a name of its own; None when the rows
    carry them.
    """
    open_contract: Contract | None = None
    """The contract with the server that the rows to be scored come from; None for a stream of
    labels.
    """

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

    def matures(self, batch: Batch) -> datetime:
        """Return the moment from which every label of ``batch`` is known.

        Whole days are days of the contract's calendar, as batches are: 23 or 25 hours long when the
        clocks change.
        """
        delay = self.spec.labels.delay
        if delay % timedelta(days=1):
            return batch.end + delay
        return (batch.end.astimezone(ZoneInfo(self.contract.timezone)) + delay).astimezone(UTC)

    @property
    def label_key(self) -> tuple[str, ...]:
        """The columns that join a label to its row."""
        return self.spec.labels.key or self.contract.key

    def closed(self, batch: Batch, as_of: datetime) -> bool:
        """Whether ``batch`` has ended and its lateness is over at ``as_of``."""
        return batch.end + self.contract.lateness <= as_of


def managed_models(settings: Settings) -> tuple[str, ...]:
    """Return the names of the models that the project's ``deployments/`` describes."""
    return tuple(
        sorted(file.parent.name for file in (settings.project / "deployments").glob("*/model.yaml"))
    )


def manage(name: str, settings: Settings) -> ManagedModel:
    """Load and check the spec and the contract of the model called ``name``.

    Raises ConfigurationError or ContractError, both ValueError, with file, key path, expected and
    found.
    """
    file = settings.project / "deployments" / name / "model.yaml"
    if not file.is_file():
        known = managed_models(settings)
        raise ConfigurationError(
            settings.project / "deployments",
            "model",
            f"one of {list(known)}",
            f"{name!r}{nearest(name, known)}",
        )
    spec = load_config(file, ModelSpec)
    contract, open_contract = _servers(
        file, spec, load_contract(_contract_file(spec.contract, settings)), settings
    )
    labels = None
    if spec.labels.contract is not None:
        if spec.labels.contract == spec.contract:
            raise ConfigurationError(
                file,
                "labels.contract",
                "another contract than the rows'; leave it out when they carry their labels",
                repr(spec.contract),
            )
        theirs = load_contract(_contract_file(spec.labels.contract, settings)).at(settings.server)
        labels = _label_stream(file, spec, theirs, settings)
        _check_labels(file, spec, contract, labels.contract)
    _check(file, name, spec, contract, labels.contract if labels else contract)
    return ManagedModel(spec, contract, settings, _digest(file, contract), labels, open_contract)


def _servers(
    file: Path, spec: ModelSpec, contract: Contract, settings: Settings
) -> tuple[Contract, Contract]:
    """The contract with the server of the batches, and with that of the open rows."""
    name = OPEN if spec.scoring is None else spec.scoring.rows
    if name == OPEN:
        found = contract.at(settings.server)
        return found, found
    named = tuple(server for server in contract.servers if server.name == name)
    others = tuple(server for server in contract.servers if server.name != name)
    if not named or not others:
        names = [server.name for server in contract.servers]
        raise ConfigurationError(
            file,
            "scoring.rows",
            f"'{OPEN}', or a server of contract {contract.name} beside that of the batches",
            f"{name!r}{nearest(name, [OPEN, *names])}; its servers are {names}",
        )
    return replace(contract, servers=others).at(settings.server), replace(contract, servers=named)


def _contract_file(name: str, settings: Settings) -> Path:
    return settings.project / "data_contracts" / f"{name}.odcs.yaml"


def _digest(file: Path, contract: Contract) -> str:
    return hashlib.sha256(file.read_bytes() + b"\0" + contract.file.read_bytes()).hexdigest()


def _label_stream(
    file: Path, spec: ModelSpec, contract: Contract, settings: Settings
) -> ManagedModel:
    """The labels as a stream of batches of their own: taken in, judged and kept by the same code as
    the rows.

    No model is called so: a slash stands in no model's name.
    """
    cut = spec.batch if spec.labels.every is None else BatchConfig(every=spec.labels.every)
    stream = spec.model_copy(
        update={
            "model": f"{spec.model}/labels",
            "contract": contract.name,
            "batch": cut,
            "labels": LabelsConfig(),
        }
    )
    return ManagedModel(stream, contract, settings, _digest(file, contract))


def _check_labels(file: Path, spec: ModelSpec, rows: Contract, labels: Contract) -> None:
    """Refuse labels that could not be joined to their rows one to one."""
    if spec.target in rows.column_names:
        raise ConfigurationError(
            file,
            "target",
            f"a column that contract {labels.name} alone has",
            f"{spec.target!r} in {rows.name} too",
        )
    if not rows.key:
        raise ConfigurationError(
            file,
            "labels.contract",
            f"a primary key in contract {rows.name}, to join labels to its rows",
            "none",
        )
    on = spec.labels.key or rows.key
    for name in on:
        for contract in (rows, labels):
            if name not in contract.column_names:
                raise ConfigurationError(
                    file,
                    "labels.key",
                    f"a column of contract {contract.name}",
                    f"{name!r}{nearest(name, contract.column_names)}",
                )
        kinds = [contract.column(name).logical_type for contract in (rows, labels)]
        if kinds[0] != kinds[1]:
            raise ConfigurationError(
                file,
                "labels.key",
                f"a column of one type in {rows.name} and {labels.name}",
                f"{name!r} of type {kinds[0]} and {kinds[1]}",
            )
    for contract in (rows, labels):
        # The event time may be a part of the key: of the rows', or, where labels are corrected, of
        # the labels'.
        key = set(contract.key)
        if set(on) not in (key, key - {contract.event_time}):
            raise ConfigurationError(
                file,
                "labels.key",
                f"the primary key of contract {contract.name}, {list(contract.key)}, with or"
                " without its event time",
                repr(list(on)),
            )


def _check(file: Path, name: str, spec: ModelSpec, contract: Contract, labels: Contract) -> None:
    """Refuse what each part allows but the parts together do not."""
    if spec.model != name:
        raise ConfigurationError(
            file, "model", f"the name of its directory, {name!r}", repr(spec.model)
        )
    if not known_metric(spec.metric, spec.problem):
        raise ConfigurationError(
            file,
            "metric",
            f"one of {list(METRICS[spec.problem])} for a {spec.problem} problem",
            f"{spec.metric!r}{nearest(spec.metric, METRICS[spec.problem])}",
        )
    columns = contract.column_names
    if spec.target not in labels.column_names:
        raise ConfigurationError(
            file,
            "target",
            f"a column of contract {labels.name}",
            f"{spec.target!r}{nearest(spec.target, labels.column_names)}",
        )
    named = {
        "slices": spec.slices,
        "features.exclude": spec.features.exclude,
        "fairness.columns": spec.fairness.columns,
    }
    for where, names in {**named, "features.include": spec.features.include or ()}.items():
        for column in names:
            if column not in columns:
                raise ConfigurationError(
                    file,
                    where,
                    f"a column of contract {contract.name}",
                    f"{column!r}{nearest(column, columns)}",
                )
    allowed = {column.name for column in contract.feature_columns} - {spec.target}
    for column in spec.features.include or ():
        if column not in allowed:
            raise ConfigurationError(
                file,
                "features.include",
                "columns that are known at event time, not sensitive, not unique, and neither date"
                " nor time",
                f"{column!r}: using it would be a leak or a breach",
            )
    wanted = (
        allowed if spec.features.include is None else allowed.intersection(spec.features.include)
    )
    if spec.features.code is None and not wanted.difference(spec.features.exclude):
        raise ConfigurationError(
            file, "features", "at least one column, or code of its own", "neither"
        )
    for column in spec.slices:
        if contract.column(column).sensitive:
            raise ConfigurationError(file, "slices", "columns that are not sensitive", repr(column))
    target = labels.column(spec.target)
    expected = {
        "binary": ("boolean", "integer"),
        "multiclass": ("string", "integer"),
        "regression": ("number", "integer"),
    }[spec.problem]
    if target.logical_type not in expected:
        raise ConfigurationError(
            file,
            "target",
            f"a column of type {' or '.join(expected)} for a {spec.problem} problem",
            f"{spec.target!r} of type {target.logical_type}",
        )
    if spec.scoring is not None:
        check_scoring(file, spec.scoring, contract, spec.problem)
