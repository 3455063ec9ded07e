"""The scoring room's slice of the model spec: which open rows are scored when, what a delivered row
holds, and where it goes.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from data_contracts.contract import Contract, nearest
from data_contracts.servers import REFERENCE, SECRET_NAME, shows_secret
from tasks.configuration import Config, ConfigurationError, Schedule
from tasks.records import Problem

FORMATS = (".parquet", ".csv")
"""How the path of a file that is delivered ends."""
OPEN = "open"
"""The rows of the same source whose batch has not closed."""


class SinkConfig(Config):
    """One place that served predictions are delivered to: a table in a database, or files."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    """The ledger keeps under this name what was delivered: another name begins anew."""
    url: str | None = None
    """Of a database: its address, as SQLAlchemy writes it; a secret as a reference only."""
    table: str = Field(
        default="predictions", pattern=r"^([A-Za-z_]\w{0,50}\.)?[A-Za-z_][A-Za-z0-9_]{0,50}$"
    )
    """Made on first use, in a schema if one stands before the dot. Beside it a view of the same
    name and ``_current``: the newest prediction of each key.
    """
    path: str | None = None
    """Of files: an address that fsspec can open, with ``{batch}`` in it, and ``{part}`` for a file
    each time that rows were scored; without it there is one file a batch, its newest predictions.
    """
    endpoint: str = ""
    """Address of an S3 service; left out: Amazon's."""
    options: dict[str, str] = Field(default_factory=dict)
    """What the file system is told beside the address, in fsspec's words; secrets as references."""


class DecisionCosts(Config):
    """What a wrong decision costs, in any unit; a right one costs nothing."""

    false_positive: float = Field(gt=0)
    """Of deciding yes where the answer is no."""
    false_negative: float = Field(gt=0)
    """Of deciding no where the answer is yes."""

    @property
    def threshold(self) -> float:
        """The probability from which on deciding yes costs less (Elkan, 2001, equation 2)."""
        return self.false_positive / (self.false_positive + self.false_negative)


class SkewConfig(Config):
    """When the features that rows were served by differ too often from those of the closed
    batch.
    """

    limit: float = Field(default=0.01, ge=0, le=1)
    """Share of the served rows in which a feature may differ."""
    examples: int = Field(default=3, ge=0, le=20)
    """Rows shown of each feature that differs."""


class ScoringConfig(Config):
    """Scoring of rows whose batch has not closed; a spec without it scores closed batches alone."""

    rows: str = OPEN
    """``open``: the rows of the same source whose batch has not closed, as they come; or the name
    of another server of the contract.
    """
    schedule: Schedule | None = None
    """When; left out: only when it is asked for."""
    sinks: tuple[SinkConfig, ...] = ()
    """Where served predictions are delivered; left out: nowhere but the lake."""
    include: tuple[str, ...] = ()
    """Columns of the contract that a delivered row carries besides."""
    decision_threshold: float | None = Field(default=None, gt=0, lt=1)
    """Of a binary problem: the probability from which on the delivered decision is yes."""
    costs: DecisionCosts | None = None
    """The same by what a wrong decision costs."""
    interval: float | None = Field(default=None, gt=0, lt=1)
    """Of a regression: the share of labels that are to lie between ``prediction_low`` and
    ``prediction_high`` of a delivered row, such as 0.9. By the champion's errors on its newest
    mature batches; missing while these have too few rows. Left out: no such columns.
    """
    explain: int = Field(default=0, ge=0, le=100)
    """Features named in ``reasons`` of a delivered row, those that moved its prediction most; 0:
    none. It takes about eight predictions a row and feature.
    """
    skew: SkewConfig = SkewConfig()
    """When features at scoring differ too often from those of the closed batch."""

    @property
    def threshold(self) -> float | None:
        """The probability from which on the decision is yes; None: no decision is delivered."""
        return self.costs.threshold if self.costs is not None else self.decision_threshold


def check_scoring(file: Path, config: ScoringConfig, contract: Contract, problem: Problem) -> None:
    """Refuse what cannot be recorded or must not be delivered; ConfigurationError names the key and
    shows no secret.
    """

    def refuse(where: str, expected: str, found: str) -> None:
        raise ConfigurationError(file, f"scoring{where}", expected, found)

    if not contract.key:
        refuse("", f"a primary key in contract {contract.name}, to know each row again", "none")
    for name in config.include:
        if name not in contract.column_names:
            found = f"{name!r}{nearest(name, contract.column_names)}"
            refuse(".include", f"a column of contract {contract.name}", found)
        if contract.column(name).sensitive or not contract.column(name).available:
            refuse(
                ".include",
                "columns that are known at event time and not classified as sensitive",
                repr(name),
            )
    if config.threshold is not None and problem != "binary":
        key = ".decision_threshold" if config.costs is None else ".costs"
        refuse(key, "a binary problem", f"a {problem} one")
    if config.interval is not None and problem != "regression":
        refuse(".interval", "a regression", f"a {problem} problem")
    if config.costs is not None and config.decision_threshold is not None:
        refuse("", "decision_threshold or costs", "both")
    hidden = [name for name in (*contract.key, contract.event_time) if _sensitive(contract, name)]
    if config.sinks and hidden:
        refuse(
            ".sinks",
            "a key and an event time that may leave: a delivered row is known by them",
            f"{hidden}, which contract {contract.name} classifies as sensitive",
        )
    names = [sink.name for sink in config.sinks]
    for number, sink in enumerate(config.sinks):
        where = f".sinks.{number}"
        if names.index(sink.name) != number:
            refuse(f"{where}.name", "a name that no other sink has", repr(sink.name))
        if (sink.url is None) == (sink.path is None):
            found = "neither" if sink.url is None else "both"
            refuse(where, "either the url of a database or the path of files", found)
        for key in ("url", "path", "endpoint"):
            if shows_secret(getattr(sink, key) or ""):
                refuse(f"{where}.{key}", "its secret as a reference, ${NAME}", "one in clear")
        for key, value in sink.options.items():
            if SECRET_NAME.search(key) and REFERENCE.sub("", value):
                refuse(f"{where}.options.{key}", "a reference, ${NAME}", "one in clear")
        if sink.path is not None and not (sink.path.endswith(FORMATS) and "{batch}" in sink.path):
            refuse(
                f"{where}.path",
                f"a path with {{batch}} in it that ends in one of {list(FORMATS)}",
                repr(sink.path),
            )


def _sensitive(contract: Contract, name: str) -> bool:
    return contract.column(name).sensitive
