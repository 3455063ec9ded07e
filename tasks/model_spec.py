"""The model spec: one YAML file for each model under management, composed of the rooms'
configurations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, model_validator

from data_contracts.contract import Contract, Rule, load_contract, nearest
from tasks.batches import Batch, Every
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
from tasks.evaluation.config import (
    METRICS,
    FairnessConfig,
    GuardrailsConfig,
    UtilityConfig,
    known_metric,
)
from tasks.features.config import (
    FeaturesConfig,
    check_contracts,
    check_dates,
    check_history,
    check_joins,
    past_kinds,
)
from tasks.presets import Preset, complete
from tasks.records import Form, Problem, StreamName, joined_stream
from tasks.scoring.config import OPEN, ScoringConfig, check_scoring
from tasks.settings import Settings
from tasks.streams import Stream
from tasks.training.config import TrainingConfig, check_preparation
from tasks.validation.config import ValidationConfig


class BatchConfig(Config):
    """How event time is cut."""

    every: Every
    """The length of a batch. Batches begin with the hour, day, Monday, month, quarter or year of
    the contract's time zone.
    """


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
    """The model's name, which is also the name of its directory in ``deployments/``."""
    description: str = ""
    """One sentence for the pages: what is predicted, and when."""
    preset: Preset = "balanced"
    """What is taken for keys that the spec leaves out; what it says itself wins."""
    contract: str
    """Name of the rows' contract: ``data_contracts/<name>.odcs.yaml``."""
    problem: Problem
    """What kind of target it is."""
    target: str
    """The column to predict."""
    batch: BatchConfig
    """How the rows are cut into batches."""
    labels: LabelsConfig = LabelsConfig()
    """When the target is known, and where it comes from."""
    validation: ValidationConfig = ValidationConfig()
    """When a batch is refused as a whole."""
    features: FeaturesConfig = FeaturesConfig()
    """What the model learns from."""
    training: TrainingConfig = TrainingConfig()
    """What is trained, and on what."""
    metric: str = Field(default="", min_length=1)
    """The metric that is reported beside the loss. Left out: ``roc_auc``, ``log_loss`` or ``mae``
    for a binary, multiclass or regression problem.
    """
    utility: UtilityConfig | None = None
    """What predictions are worth to those who act on them. Left out: nothing is said of it."""
    slices: tuple[str, ...] = ()
    """Columns whose values are also judged each for itself; no slice may become clearly worse."""
    drift: DriftConfig = DriftConfig()
    """When a column is reported as drifted."""
    retrain: PolicyConfig = PolicyConfig()
    """When a challenger is trained."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """How many trained models are kept and mixed."""
    recalibrate: RecalibrationConfig = RecalibrationConfig()
    """How far predictions are corrected between trainings."""
    guardrails: GuardrailsConfig = GuardrailsConfig()
    """What a challenger must pass in any case."""
    fairness: FairnessConfig = FairnessConfig()
    """Which groups must not be treated worse than before."""
    gate: GateConfig = GateConfig()
    """How clearly a challenger must be as good as or better than the champion."""
    watch: WatchConfig = WatchConfig()
    """How long the previous champion may come back by itself."""
    schedule: Schedule | None = None
    """When the monitor runs on a server. Left out: only when it is started."""
    scoring: ScoringConfig | None = None
    """Which rows are scored before their batch has closed, when, and where their predictions are
    delivered. Left out: none are.
    """
    trust: Form = "skops"
    """What a stored model may be: ``skops``, whose types are held against an allowed list, or also
    a ``pickle``, which may run anything.
    """
    approval: ApprovalConfig = ApprovalConfig()
    """Whether a person approves promotions."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: object) -> object:
        return complete(given) if isinstance(given, Mapping) else given

    def in_full(self) -> str:
        """Return the spec as YAML with every key, those from preset and defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@dataclass(frozen=True)
class ManagedModel:
    """A model under management: its spec, its streams of batches, and where things live."""

    spec: ModelSpec
    settings: Settings
    rows: Stream
    open_rows: Stream
    """What is scored before its batch has closed: the same rows, or those of another server."""
    labels: Stream | None = None
    """None when the rows carry their labels."""
    joined: Mapping[str, Stream] = field(default_factory=dict)
    """Contract -> its batches, of each from which features are joined."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.model

    @property
    def contract(self) -> Contract:
        """The contract of its rows."""
        return self.rows.contract

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
    def label_contract(self) -> Contract:
        """The contract of its labels: the rows' own where they carry theirs."""
        return (self.labels or self.rows).contract

    @property
    def beside(self) -> tuple[Stream, ...]:
        """Its streams beside the rows: labels, and what is joined."""
        return (*([] if self.labels is None else [self.labels]), *self.joined.values())

    @property
    def past_kinds(self) -> dict[str, bool]:
        """Each feature that looks back or is joined, and whether its values are categories."""
        joined = {name: stream.contract for name, stream in self.joined.items()}
        return past_kinds(self.spec.features, self.contract, self.label_contract, joined)

    @property
    def label_key(self) -> tuple[str, ...]:
        """The columns that join a label to its row."""
        return self.spec.labels.key or self.contract.key


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
    rows, open_rows = _streams_of_rows(file, spec, settings)
    labels = None
    if spec.labels.contract is not None:
        if spec.labels.contract == spec.contract:
            raise ConfigurationError(
                file,
                "labels.contract",
                "another contract than the rows'; leave it out when they carry their labels",
                repr(spec.contract),
            )
        theirs = _contract(spec.labels.contract, settings)
        every = spec.labels.every
        labels = _stream(file, spec, "labels", _with_classes(theirs, spec), settings, every)
        _check_labels(file, spec, rows.contract, labels.contract)
    _check(file, name, spec, rows.contract, (labels or rows).contract)
    known_from, delay = (labels or rows).contract, spec.labels.delay
    check_history(file, spec.features, rows.contract, known_from, spec.target, delay)
    check_dates(file, spec.features.dates, rows.contract, spec.target)
    joined = _joined(file, spec, rows.contract, settings)
    check_preparation(
        file,
        spec.training.candidates,
        _known_kinds(spec, rows.contract, (labels or rows).contract, joined),
        code=spec.features.code is not None,
    )
    if spec.scoring is not None:
        check_scoring(file, spec.scoring, rows.contract, spec.problem)
    return ManagedModel(spec, settings, rows, open_rows, labels, joined)


def _joined(file: Path, spec: ModelSpec, rows: Contract, settings: Settings) -> dict[str, Stream]:
    """The batches of each contract from which features are joined."""
    config = spec.features
    known = sorted(
        found.name.removesuffix(".odcs.yaml")
        for found in (settings.project / "data_contracts").glob("*.odcs.yaml")
    )
    check_contracts(file, config.join, known, (spec.contract, spec.labels.contract or ""))
    found = {
        one.contract: _stream(
            file,
            spec,
            joined_stream(one.contract),
            _contract(one.contract, settings),
            settings,
            one.every,
        )
        for one in config.join
    }
    contracts = {name: stream.contract for name, stream in found.items()}
    others = [*(one.name for one in config.history), *config.of_dates]
    check_joins(file, config.join, rows, contracts, spec.target, others)
    return found


def _known_kinds(
    spec: ModelSpec, rows: Contract, labels: Contract, joined: Mapping[str, Stream]
) -> dict[str, bool]:
    """Each feature that is not made by code, and whether its values are categories."""
    contracts = {name: stream.contract for name, stream in joined.items()}
    kinds = {c.name: c.categorical for c in rows.feature_columns if c.name != spec.target}
    if spec.features.include is not None:
        kinds = {name: kinds[name] for name in spec.features.include}
    kinds |= dict.fromkeys(spec.features.of_dates, False)
    kinds |= past_kinds(spec.features, rows, labels, contracts)
    return {name: kind for name, kind in kinds.items() if name not in spec.features.exclude}


def _streams_of_rows(file: Path, spec: ModelSpec, settings: Settings) -> tuple[Stream, Stream]:
    """The rows in batches, and the rows to be scored before theirs has closed."""
    server = OPEN if spec.scoring is None else spec.scoring.rows
    contract = _with_classes(_contract(spec.contract, settings), spec)
    if server == OPEN:
        rows = _stream(file, spec, "rows", contract, settings)
        return rows, rows
    names = [one.name for one in contract.servers]
    if server not in names or len(names) == 1:
        raise ConfigurationError(
            file,
            "scoring.rows",
            f"'{OPEN}', or a server of contract {contract.name} beside that of the batches",
            f"{server!r}{nearest(server, [OPEN, *names])}; its servers are {names}",
        )
    theirs = tuple(one for one in contract.servers if one.name == server)
    others = tuple(one for one in contract.servers if one.name != server)
    rows = _stream(file, spec, "rows", replace(contract, servers=others), settings)
    return rows, replace(rows, contract=replace(contract, servers=theirs))


def _contract(name: str, settings: Settings) -> Contract:
    return load_contract(settings.project / "data_contracts" / f"{name}.odcs.yaml")


def _stream(
    file: Path,
    spec: ModelSpec,
    name: StreamName,
    found: Contract,
    settings: Settings,
    every: Every | None = None,
) -> Stream:
    """A stream of the spec in ``file``, under its contract; cut as the rows are where ``every`` is
    None.
    """
    digest = hashlib.sha256(file.read_bytes() + b"\0" + found.file.read_bytes()).hexdigest()
    return Stream(
        model=spec.model,
        name=name,
        contract=found.at(settings.server),
        every=every or spec.batch.every,
        settings=settings,
        sha256=digest,
        validation=spec.validation,
    )


def _with_classes(contract: Contract, spec: ModelSpec) -> Contract:
    """The contract, with the rule that whole numbers of a binary target are 0 and 1: a row with
    another can neither be trained on nor judged.
    """
    column = contract.column(spec.target) if spec.target in contract.column_names else None
    if spec.problem != "binary" or column is None or column.logical_type != "integer":
        return contract
    if any(_is_zero_or_one(rule, spec.target) for rule in contract.rules):
        return contract
    rule = Rule(
        f"{spec.target}:binary",
        "row",
        "in_set",
        (spec.target,),
        {"values": (0, 1)},
        description=f"{spec.target}, the target of a binary problem, is 0 or 1",
    )
    return replace(contract, rules=(*contract.rules, rule))


def _is_zero_or_one(rule: Rule, target: str) -> bool:
    """Whether the rule puts every row into quarantine whose whole-numbered target is another."""
    if (rule.columns, rule.scope, rule.severity) != ((target,), "row", "error"):
        return False
    given = rule.arguments
    if rule.check == "in_set":
        return set(given["values"]) <= {0, 1}
    low, high = given.get("min"), given.get("max")
    return (
        rule.check == "between" and low is not None and high is not None and 0 <= low <= high <= 1
    )


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
    looking_back = spec.features.of_past
    named = {
        "slices": (spec.slices, columns),
        "features.exclude": (spec.features.exclude, columns + looking_back),
        "features.include": (spec.features.include or (), columns),
        "fairness.columns": (spec.fairness.columns, columns),
        "utility": (() if spec.utility is None else spec.utility.needs, columns),
    }
    for where, (names, known) in named.items():
        for column in names:
            if column not in known:
                raise ConfigurationError(
                    file,
                    where,
                    f"a column of contract {contract.name}",
                    f"{column!r}{nearest(column, known)}",
                )
    _check_utility(file, spec, contract)
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
    wanted |= {*looking_back, *spec.features.of_dates}
    if spec.features.code is None and not wanted.difference(spec.features.exclude):
        raise ConfigurationError(
            file, "features", "at least one column, or code of its own", "neither"
        )
    _check_weights(file, spec, contract)
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


def _check_weights(file: Path, spec: ModelSpec, contract: Contract) -> None:
    """Refuse weights of classes where there are none, and of a column that is no number."""
    weights = spec.training.weights
    if weights.classes is not None and spec.problem == "regression":
        raise ConfigurationError(
            file, "training.weights.classes", "none for a regression problem", repr(weights.classes)
        )
    if (name := weights.column) is None:
        return
    where = "training.weights.column"
    if name not in contract.column_names:
        found = f"{name!r}{nearest(name, contract.column_names)}"
        raise ConfigurationError(file, where, f"a column of contract {contract.name}", found)
    kind = contract.column(name).logical_type
    if kind not in ("number", "integer") or name == spec.target:
        raise ConfigurationError(
            file, where, "a number beside the target", f"{name!r} of type {kind}"
        )


def _check_utility(file: Path, spec: ModelSpec, contract: Contract) -> None:
    """Refuse a utility that the problem, the contract or the gate does not allow."""
    utility = spec.utility
    if utility is None:
        if spec.gate.loss == "utility":
            raise ConfigurationError(file, "gate.loss", "log_loss or metric, or a utility", "none")
        return
    if utility.costs is None:
        return
    if spec.problem != "binary":
        raise ConfigurationError(
            file,
            "utility.costs",
            "code for a problem that is not binary: costs are those of acting or not",
            f"costs for a {spec.problem} problem",
        )
    for name in utility.needs:
        found = contract.column(name)
        if found.logical_type not in ("number", "integer") or not found.required:
            gaps = "" if found.required else ", which may be missing"
            raise ConfigurationError(
                file,
                "utility.costs",
                "required columns of type number or integer",
                f"{name!r} of type {found.logical_type}{gaps}",
            )
