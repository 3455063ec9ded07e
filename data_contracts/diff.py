"""What changed between two versions of a contract, and whether what was built on the old one can
use the new.

Breaking is what takes a column away or makes its values mean something else: a model that was
trained before the change would be guessing after it. A rule that came, went or moved is compatible:
it says which rows are let through, not what they mean, and what it lets through is watched for
drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_contracts.contract import Column, Contract, Rule, load_contract

Effect = Literal["compatible", "breaking"]


@dataclass(frozen=True)
class Change:
    """One difference between two versions."""

    where: str
    """The column, the rule or the part of the contract."""
    what: str
    """From what to what."""
    effect: Effect
    why: str
    other_rows: bool = False
    """Whether rows from before cannot stand beside those from after: their values mean something
    else.
    """

    def __str__(self) -> str:
        return f"{self.where}: {self.what} ({self.why})"


def diff(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Return every change from ``old`` to ``new``: of the whole, of columns, of rules; descriptions
    aside.
    """
    changes = [
        *_changed("key", old.key, new.key, "breaking", "rows are told apart by it"),
        *_changed(
            "event time",
            old.event_time,
            new.event_time,
            "breaking",
            "rows lie in other batches",
            True,
        ),
        *_changed(
            "time zone", old.timezone, new.timezone, "breaking", "batches are cut elsewhere", True
        ),
        *_changed("latency", old.lateness, new.lateness, "compatible", "only when a batch closes"),
        *_changed(
            "servers", old.servers, new.servers, "compatible", "only where the data come from"
        ),
    ]
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    for name, column in before.items():
        if name in after:
            changes += _column_changes(column, after[name])
        else:
            changes.append(
                Change(name, "removed", "breaking", "what was built on it has nothing to read")
            )
    for name in after:
        if name not in before:
            changes.append(Change(name, "added", "compatible", "nothing was built on it"))
    return (*changes, *_rule_changes(old, new, set(before) ^ set(after)))


def broken_promises(text: str, contract: Contract) -> tuple[Change, ...]:
    """Return the breaking changes from the version with this ``text`` to ``contract``.

    An empty text, of a training from before texts were kept, has none. Raises ContractError when
    the text is no contract any more.
    """
    if not text:
        return ()
    return tuple(
        c for c in diff(load_contract(contract.file, text), contract) if c.effect == "breaking"
    )


def load_pair(old: Path, new: Path) -> tuple[Change, ...]:
    """Return every change between the contracts in two files; ContractError when one of them is
    none.
    """
    return diff(load_contract(old), load_contract(new))


def _column_changes(old: Column, new: Column) -> list[Change]:
    name = old.name
    changes = [
        *_changed(
            name,
            old.logical_type,
            new.logical_type,
            "breaking",
            "its values are of another type",
            True,
        ),
        *_changed(
            name,
            old.unit or "no unit",
            new.unit or "no unit",
            "breaking",
            "its numbers mean something else",
            True,
        ),
        *_changed(
            name, _kind(old), _kind(new), "breaking", "codes and quantities are different features"
        ),
    ]
    for was, is_, words, lost in (
        (old.required, new.required, ("optional", "required"), False),
        (old.unique, new.unique, ("not unique", "unique"), True),
        (old.sensitive, new.sensitive, ("open", "classified"), True),
        (not old.available, not new.available, ("known at event time", "known later"), True),
    ):
        if was != is_:
            effect: Effect = "breaking" if is_ == lost else "compatible"
            why = "it promises more" if effect == "compatible" else "it may have gaps"
            if lost:
                why = (
                    "it can be a feature no more"
                    if effect == "breaking"
                    else "it can be a feature from now on"
                )
            changes.append(Change(name, f"{words[was]} -> {words[is_]}", effect, why))
    return changes


def _kind(column: Column) -> str:
    return "categorical" if column.categorical else "numerical"


def _rule_changes(old: Contract, new: Contract, moved: set[str]) -> list[Change]:
    """The rules that came, went or changed, without those that only follow a column that came or
    went.
    """
    before, after = _rules(old, moved), _rules(new, moved)
    changes = []
    for id in dict.fromkeys([*before, *after]):
        if id not in after:
            changes.append(
                Change(
                    id,
                    "removed",
                    "compatible",
                    "values that it held back come through, and may drift",
                )
            )
        elif id not in before:
            changes.append(
                Change(id, "added", "compatible", "rows or batches that break it are held back")
            )
        elif _promise(before[id]) != _promise(after[id]):
            what = f"{before[id].description} -> {after[id].description}"
            if before[id].severity != after[id].severity:
                what += f", {before[id].severity} -> {after[id].severity}"
            changes.append(Change(id, what, "compatible", "another limit on what comes through"))
    return changes


def _rules(contract: Contract, moved: set[str]) -> dict[str, Rule]:
    """Rules by id; what only restates a column's own promise is told with the column."""
    restated = ("present", "known_columns", "type", "within_batch")
    return {
        rule.id: rule
        for rule in contract.rules
        if rule.check not in restated
        and rule.id != "key:unique"
        and not set(rule.columns) & moved
        and not (rule.check == "not_null" and contract.column(rule.columns[0]).required)
    }


def _promise(rule: Rule) -> object:
    # Where an entry stands in the file is no part of what it promises.
    arguments = {key: value for key, value in rule.arguments.items() if key != "where"}
    return rule.scope, rule.check, rule.columns, arguments, rule.severity


def _changed(
    where: str, old: object, new: object, effect: Effect, why: str, other_rows: bool = False
) -> list[Change]:
    return [] if old == new else [Change(where, f"{old} -> {new}", effect, why, other_rows)]
