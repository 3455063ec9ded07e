"""What a spec may say of features from another contract, and what it may not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from data_contracts.contract import Contract, nearest
from tasks.batches import Every
from tasks.configuration import Config, ConfigurationError, Duration, duration_text

KEY_TYPES = ("string", "integer", "boolean", "date")
"""Of columns that rows can have in common."""
_Names = Annotated[tuple[str, ...], Field(min_length=1)]
_Refuse = Callable[[str, str, str], None]


class JoinConfig(Config):
    """Features from another contract: columns of the newest of its rows that has the same keys, at
    or before the row's event time.
    """

    contract: str
    """Name of the contract: ``data_contracts/<name>.odcs.yaml``. Its primary key lies within its
    columns of ``by`` and its event time: a row must not find two.
    """
    by: _Names | Annotated[Mapping[str, str], Field(min_length=1)]
    """Columns that both have in common; or, where they are called otherwise there, column of the
    rows: column of the contract.
    """
    columns: _Names
    """Columns of the contract that become features, called ``<name>_<column>``."""
    name: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,62})?$")
    """What stands before the features' names. Left out: the name of the contract."""
    max_age: Duration | None = None
    """How long before the row's event time the joined row may lie at most; an older one is none.
    Left out: as long as there is anything.
    """
    valid_until: str | None = None
    """A timestamp of the contract: from then on the row holds no more. Its event time says since
    when it does.
    """
    gap: Duration = timedelta(0)
    """How long before the row's event time the joined row lies at least. The lateness of its
    contract is kept in any case.
    """
    every: Every | None = None
    """How the contract's event time is cut into batches. Left out: as that of the rows."""

    @property
    def keys(self) -> dict[str, str]:
        """Column of the rows -> column of the contract that equals it."""
        return dict(self.by) if isinstance(self.by, Mapping) else {name: name for name in self.by}

    @property
    def features(self) -> dict[str, str]:
        """Feature -> column of the contract."""
        return {f"{self.name or self.contract}_{column}": column for column in self.columns}


def check_contracts(
    file: Path, joins: tuple[JoinConfig, ...], known: Collection[str], own: Collection[str]
) -> None:
    """Refuse a contract that is not among the ``known`` or that is the rows' or the labels'
    ``own``, and one that is cut in two ways; ConfigurationError names the key.
    """
    cut: dict[str, Every | None] = {}
    for number, one in enumerate(joins):
        where = f"features.join.{number}"
        if one.contract not in known:
            found = f"{one.contract!r}{nearest(one.contract, known)}"
            raise ConfigurationError(
                file, f"{where}.contract", f"one of the project's contracts {sorted(known)}", found
            )
        if one.contract in own:
            expected = (
                "another contract than those of the rows and their labels, on which"
                " features.history looks back"
            )
            raise ConfigurationError(file, f"{where}.contract", expected, repr(one.contract))
        if cut.setdefault(one.contract, one.every) != one.every:
            expected = f"{cut[one.contract]!r}, as in the join of {one.contract} before it"
            raise ConfigurationError(file, f"{where}.every", expected, repr(one.every))


def check_joins(
    file: Path,
    joins: tuple[JoinConfig, ...],
    rows: Contract,
    joined: Mapping[str, Contract],
    target: str,
    others: Collection[str],
) -> None:
    """Refuse joins that cannot be made, that would find several rows for one, or none in any case;
    ConfigurationError names the key.

    ``joined`` maps names to contracts; ``others`` are the features that look back.
    """
    taken = [*rows.column_names, target, *others]
    for number, one in enumerate(joins):
        where, theirs = f"features.join.{number}", joined[one.contract]

        def refuse(key: str, expected: str, found: str, where: str = where) -> None:
            raise ConfigurationError(file, f"{where}.{key}", expected, found)

        for own, other in one.keys.items():
            for name, contract in ((own, rows), (other, theirs)):
                if name not in contract.column_names:
                    also = " (no feature may rest on another)" if name in taken else ""
                    found = f"{name!r}{nearest(name, contract.column_names)}"
                    refuse("by", f"a column of contract {contract.name}{also}", found)
                if not contract.column(name).available or name == target:
                    refuse("by", "columns that are known at event time", repr(name))
            kinds = [rows.column(own).logical_type, theirs.column(other).logical_type]
            if kinds[0] != kinds[1] or kinds[0] not in KEY_TYPES:
                found = f"{own!r} of type {kinds[0]} and {other!r} of type {kinds[1]}"
                refuse("by", f"columns of one type, {', '.join(KEY_TYPES)}, in both", found)
        _check_key(one, theirs, refuse)
        _check_columns(one, theirs, refuse)
        for name in one.features:
            if name.casefold() in {other.casefold() for other in taken}:
                refuse(
                    "name", f"one under which {name!r} is new", "a column or feature of that name"
                )
            taken.append(name)
        least = max(one.gap, theirs.lateness)
        if one.max_age is not None and one.max_age < least:
            refuse(
                "max_age",
                f"at least {duration_text(least)}, the lateness of {theirs.name} or the gap: rows"
                " that lie nearer are not joined",
                duration_text(one.max_age),
            )


def _check_key(one: JoinConfig, theirs: Contract, refuse: _Refuse) -> None:
    """Of one moment, a key must have one row: else which of them is the newest is not known."""
    allowed = {*one.keys.values(), theirs.event_time}
    beside = [name for name in theirs.key if name not in allowed]
    if beside or not theirs.key:
        found = f"{list(theirs.key)}: several rows of one moment would fit" if beside else "none"
        refuse(
            "by",
            f"columns that hold, with its event time, the primary key of contract {theirs.name}",
            found,
        )


def _check_columns(one: JoinConfig, theirs: Contract, refuse: _Refuse) -> None:
    allowed = [column.name for column in theirs.feature_columns]
    for name in one.columns:
        if name not in theirs.column_names:
            found = f"{name!r}{nearest(name, theirs.column_names)}"
            refuse("columns", f"columns of contract {theirs.name}", found)
        if name not in allowed:
            refuse(
                "columns",
                "columns that are known at event time, not sensitive, not unique, and neither date"
                " nor time",
                repr(name),
            )
    if (until := one.valid_until) is None:
        return
    if until not in theirs.column_names:
        found = f"{until!r}{nearest(until, theirs.column_names)}"
        refuse("valid_until", f"a column of contract {theirs.name}", found)
    kind = theirs.column(until).logical_type
    if kind != "timestamp":
        refuse("valid_until", "a column of type timestamp", f"{until!r} of type {kind}")
