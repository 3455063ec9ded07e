"""The features room's slice of the model spec; of joins it stands in ``join_config.py``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from data_contracts.contract import Column, Contract, nearest
from tasks.configuration import Config, ConfigurationError, Duration
from tasks.features.join_config import (
    KEY_TYPES,
    JoinConfig,
)
from tasks.features.join_config import (
    check_contracts as check_contracts,  # noqa: PLC0414 - a spec has all of features from here
)
from tasks.features.join_config import check_joins as check_joins  # noqa: PLC0414 - as above

Function = Literal[
    "last",
    "mean",
    "sum",
    "count",
    "min",
    "max",
    "std",
    "distinct_count",
    "share",
    "time_since_last",
]
Value = str | bool | int | float
DatePart = Literal["hour", "weekday", "day", "month", "age"]

_ANYTHING = ("string", "integer", "number", "boolean")
TYPES: dict[Function, tuple[str, ...]] = {
    "last": _ANYTHING,
    "mean": ("integer", "number", "boolean"),
    "sum": ("integer", "number", "boolean"),
    "count": (*_ANYTHING, "date", "timestamp"),
    "min": ("integer", "number"),
    "max": ("integer", "number"),
    "std": ("integer", "number"),
    "distinct_count": (*_ANYTHING, "date", "timestamp"),
    "share": _ANYTHING,
    "time_since_last": (*_ANYTHING, "date", "timestamp"),
}
"""Function -> the types of column that it can be taken of."""
_VALUES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class HistoryConfig(Config):
    """A feature that looks back: a function of the earlier rows with the same keys."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    """What the feature is called; no column of the contract is called so."""
    function: Function
    """``count`` and ``distinct_count`` are 0 where no row is in the window, ``time_since_last`` is
    in hours; every function but ``count`` of no column leaves out rows whose value is missing.
    """
    column: str | None = None
    """What it is taken of: a column of the contract, or the target. Left out, which ``count`` and
    ``time_since_last`` allow: the rows themselves.
    """
    value: Value | None = None
    """Of ``share``: the value whose share it is."""
    by: tuple[str, ...] = Field(min_length=1)
    """Columns that an earlier row must have in common with the row."""
    over: Duration | None = None
    """How far back: a span of time, such as ``7d`` ..."""
    rows: int | None = Field(default=None, ge=1)
    """... or a number of rows, the newest."""
    gap: Duration = timedelta(0)
    """How long before the row's event time the window ends. At least the lateness of the contract,
    and of a label ``labels.delay``, are kept in any case.
    """

    @model_validator(mode="after")
    def _belong_together(self) -> HistoryConfig:
        if (self.over is None) == (self.rows is None):
            found = "neither" if self.over is None else "both"
            raise ValueError(
                f"expected over, a span of time, or rows, a number of them, not {found}"
            )
        if self.over == timedelta(0):
            raise ValueError("expected over to be longer than nothing")
        if self.column is None and self.function not in ("count", "time_since_last"):
            raise ValueError(f"expected a column that {self.function} is taken of")
        if (self.value is None) != (self.function != "share"):
            raise ValueError("expected a value with the function share, and with no other")
        return self


class FeaturesConfig(Config):
    """Which columns become features, and the model's own code, if it has any."""

    code: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
    """``module.path:function``, found in the project first: a pure function from a frame of the
    contract's available columns, event time and keys to a frame of features with the same index.
    What is numeric in that frame is a number; everything else is a category.
    """
    include: tuple[str, ...] | None = None
    """Contract columns to take; all that the contract allows when left out."""
    exclude: tuple[str, ...] = ()
    """Contract columns, and features of ``history`` and ``join``, to leave out; ``code`` sees them
    all the same.
    """
    dates: Mapping[str, tuple[DatePart, ...]] = Field(default_factory=dict)
    """Dates and times that become numbers: column -> parts, such as ``hour``, ``weekday``, ``day``,
    ``month``, on the clock of the contract's zone, and ``age``, the days from it to the event. They
    are called ``<column>_<part>``.
    """
    history: tuple[HistoryConfig, ...] = ()
    """Features that look back on earlier rows: of batches, and of rows to be scored, as much as had
    been delivered at the row's event time.
    """
    join: tuple[JoinConfig, ...] = ()
    """Features from other contracts: of each the newest row, as it had been delivered at the row's
    event time.
    """

    @property
    def of_dates(self) -> tuple[str, ...]:
        """The features that are parts of dates."""
        return tuple(dated(name, part) for name, parts in self.dates.items() for part in parts)

    @property
    def of_past(self) -> tuple[str, ...]:
        """The features that are made of what the lake holds beside the row."""
        joined = [name for one in self.join for name in one.features]
        return (*(one.name for one in self.history), *joined)


def dated(column: str, part: DatePart) -> str:
    """Return what the feature is called that is a part of a date."""
    return f"{column}_{part}"


def check_dates(
    file: Path, dates: Mapping[str, tuple[DatePart, ...]], contract: Contract, target: str
) -> None:
    """Refuse parts of what is no date, has no hours, or is not to be used; ConfigurationError names
    the key.
    """
    for name, parts in dates.items():
        where = f"features.dates.{name}"
        if name not in contract.column_names:
            found = f"{name!r}{nearest(name, contract.column_names)}"
            raise ConfigurationError(file, where, f"a column of contract {contract.name}", found)
        column = contract.column(name)
        kind = column.logical_type
        if kind not in ("date", "timestamp"):
            raise ConfigurationError(file, where, "a date or timestamp", f"one of type {kind}")
        if not column.available or column.sensitive or name == target:
            raise ConfigurationError(
                file, where, "a column that is known at event time and not sensitive", repr(name)
            )
        for part in parts:
            if part == "hour" and kind == "date":
                raise ConfigurationError(file, where, "parts that a date has", repr(part))
            if part == "age" and name == contract.event_time:
                raise ConfigurationError(
                    file, where, "parts other than age of the event time", "it"
                )
            if dated(name, part) in contract.column_names or parts.count(part) > 1:
                found = f"another {dated(name, part)!r}"
                raise ConfigurationError(file, where, "features of new names", found)


def looks_at_labels(config: HistoryConfig, contract: Contract, target: str) -> bool:
    """Whether the column becomes known later than its row: the target, or one that the contract
    says so of.
    """
    name = config.column
    if name is None:
        return False
    return name == target or not contract.column(name).available


def past_kinds(
    config: FeaturesConfig, contract: Contract, labels: Contract, joined: Mapping[str, Contract]
) -> dict[str, bool]:
    """Return each feature that looks back or is joined, and whether its values are categories.

    ``labels`` is the contract of the target, ``joined`` are the other contracts by their names.
    """
    found = {}
    for one in config.history:
        own = contract if one.column in contract.column_names else labels
        last = one.function == "last" and one.column is not None
        found[one.name] = last and own.column(str(one.column)).categorical
    for join in config.join:
        for name, column in join.features.items():
            found[name] = joined[join.contract].column(column).categorical
    return found


def check_history(
    file: Path,
    config: FeaturesConfig,
    contract: Contract,
    labels: Contract,
    target: str,
    delay: timedelta,
) -> None:
    """Refuse a history that cannot be made, or that would know the future; ConfigurationError names
    the key.

    ``labels`` is the contract of the target: the rows' own, or another, whose event time says when
    a label became known.
    """
    names = list[str]()
    for number, one in enumerate(config.history):
        where = f"features.history.{number}"

        def refuse(key: str, expected: str, found: str, where: str = where) -> None:
            raise ConfigurationError(file, f"{where}.{key}", expected, found)

        taken = [*contract.column_names, target, *config.of_dates, *names]
        if one.name.casefold() in {name.casefold() for name in taken}:
            refuse("name", "a name that no column and no other feature has", repr(one.name))
        names.append(one.name)
        for name in one.by:
            if name not in contract.column_names:
                found = f"{name!r}{nearest(name, contract.column_names)}"
                refuse("by", f"columns of contract {contract.name}", found)
            column = contract.column(name)
            if not column.available or name == target:
                refuse("by", "columns that are known at event time", repr(name))
            if column.logical_type not in KEY_TYPES:
                found = f"{name!r} of type {column.logical_type}"
                refuse("by", f"columns of type {', '.join(KEY_TYPES)}", found)
        if one.column is None:
            continue
        if one.column != target and one.column not in contract.column_names:
            hint = nearest(one.column, [*contract.column_names, target])
            also = " (no feature may rest on another)" if one.column in names else ""
            expected = f"a column of contract {contract.name}, or the target"
            refuse("column", f"{expected}{also}", f"{one.column!r}{hint}")
        column = (labels if one.column == target else contract).column(one.column)
        if column.sensitive:
            refuse("column", "a column that is not sensitive", repr(one.column))
        if column.logical_type not in TYPES[one.function]:
            found = f"{one.column!r} of type {column.logical_type}"
            kinds = " or ".join(TYPES[one.function])
            refuse("column", f"a column of type {kinds} for {one.function}", found)
        if one.function == "last" and column.unique:
            refuse("column", "a column that is not unique for last", repr(one.column))
        if one.value is not None and not _fits(one.value, column):
            refuse("value", f"a value of type {column.logical_type}", repr(one.value))
        own = labels is not contract and one.column == target
        if looks_at_labels(one, contract, target) and not own and not delay:
            raise ConfigurationError(
                file,
                "labels.delay",
                f"how long it takes until {one.column!r}, which {where} looks back on, is known",
                "none",
            )


def _fits(value: Value, column: Column) -> bool:
    kinds = _VALUES[column.logical_type]
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
