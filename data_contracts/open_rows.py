"""The contract that rows keep whose outcome is not known yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from data_contracts.contract import Contract


def open_contract(contract: Contract, target: str, also: Collection[str] = ()) -> Contract:
    """Return the contract without what comes later: columns that are known later, the ``target``,
    and the rules about them.

    Rules about a whole batch, such as a number of rows or the share of gaps, are left out too, and
    the one that a row lies within its batch: what is open is not all of one. ``also`` names later
    columns that are read as far as they are there, and are not judged.
    """
    columns = tuple(c for c in contract.columns if c.available and c.name != target)
    names = {column.name for column in columns}
    kept = tuple(c for c in contract.columns if c in columns or c.name in also)
    rules = []
    for rule in contract.rules:
        if rule.check == "known_columns":
            allowed = {column.name for column in kept}
            rule = replace(rule, columns=tuple(name for name in rule.columns if name in allowed))
        elif rule.scope == "batch" or rule.check == "within_batch" or set(rule.columns) - names:
            continue
        rules.append(rule)
    return replace(contract, columns=kept, rules=tuple(rules))
