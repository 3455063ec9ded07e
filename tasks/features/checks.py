"""What a model's features must stand: rows that the contract allows and the batch did not hold, and
a past without its future.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Column, Contract, Rule
from tasks.checks import Check
from tasks.records import FeatureFrame, Guardrail

if TYPE_CHECKING:
    Build = Callable[[pa.Table], FeatureFrame]

UNSEEN = "(never seen)"
"""A category that no training row has."""
PROBED_ROWS = 20_000
"""Oldest rows of the batch that the past is looked at in."""


def allowed_rows(table: pa.Table, contract: Contract, target: str) -> pa.Table:
    """Return rows of ``table``, each changed as far as the contract allows.

    Each column that may be empty is empty in one row, all of them are in another, and in a last one
    each text that no rule binds is one that was never seen. What the contract says nothing of keeps
    its real value: code that reads a number plate may rely on its pattern.
    """
    fixed = {contract.event_time, target, *contract.key}
    free = [column for column in contract.columns if column.name not in fixed]
    empty = [column.name for column in free if _may_be_empty(column, contract)]
    unbound = {column.name for column in free if _unbound(column, contract)}
    rows = np.arange(len(empty) + 2)
    changed = table.take(pa.array(rows % table.num_rows))
    for name in changed.column_names:
        values = changed[name]
        if name in empty:
            gaps = (rows == empty.index(name)) | (rows == len(empty))
            values = pc.if_else(pa.array(gaps), pa.scalar(None, values.type), values)
        if name in unbound:
            values = pc.if_else(
                pa.array(rows == len(empty) + 1), pa.scalar(UNSEEN).cast(values.type), values
            )
        changed = changed.set_column(
            changed.column_names.index(name), changed.schema.field(name), values
        )
    return changed


def _may_be_empty(column: Column, contract: Contract) -> bool:
    rules = [r for r in contract.rules if column.name in r.columns and r.severity == "error"]
    never = any(
        r.check == "not_null" or (r.check == "null_share" and not _allows_some(r.arguments))
        for r in rules
    )
    return not (column.required or column.unique or never)


def _allows_some(arguments: object) -> bool:
    """Whether a rule on the share of gaps lets a single one pass."""
    return isinstance(arguments, dict) and bool(arguments.get("max"))


def _unbound(column: Column, contract: Contract) -> bool:
    bound = any(
        column.name in rule.columns
        for rule in contract.rules
        if rule.scope == "row" and rule.severity == "error" and not _lets_unseen_pass(rule)
    )
    return column.logical_type == "string" and not bound and not column.unique


def _lets_unseen_pass(rule: Rule) -> bool:
    if rule.check == "length_between":
        least, most = rule.arguments.get("min"), rule.arguments.get("max")
        return (least is None or least <= len(UNSEEN)) and (most is None or len(UNSEEN) <= most)
    return rule.check in ("not_null", "type")


class AcceptsContract(Check):
    """KM011: features can be built of every row that the contract allows, and the model predicts
    numbers for them.

    The last of the rows has, besides, no category that any training row had.
    """

    code = "KM011"

    def check(
        self,
        table: pa.Table,
        contract: Contract,
        target: str,
        build: Build,
        predict: Callable[[FeatureFrame], np.ndarray],
    ) -> Guardrail:
        """Build and predict rows of ``table``, each changed as far as the contract allows."""
        try:
            frame = build(allowed_rows(table, contract, target))
            last = frame.features.index[-1]
            frame.features.loc[last, list(frame.schema.categorical)] = UNSEEN
            predicted = predict(frame)
        except Exception as error:  # noqa: BLE001 - a project's code may raise anything, and that is the finding
            passed, found = False, f"{type(error).__name__}: {error}"[:300]
        else:
            passed = bool(np.isfinite(predicted).all())
            found = (
                f"{len(predicted)} rows, {np.isfinite(predicted).mean():.0%} of the predictions are"
                " numbers"
            )
        return self.result(
            passed,
            found,
            "numbers for empty values where they are allowed, and for an unseen category",
        )


class KnowsNoFuture(Check):
    """KM010: the features of a row are the same when the rows after it are not there yet; those
    that are not are named.

    The rows are cut at a quarter, a half and three quarters of their time. A feature that differs
    rests on later rows: its training values are not those that it would have had at its event time.
    What a cut does not touch, such as a look ahead within the last hour before it, is touched by
    another one only by chance: passing is no proof.
    """

    code = "KM010"

    def check(
        self, table: pa.Table, event_time: str, build: Build, known_early: tuple[str, ...]
    ) -> Guardrail:
        """Build the features of ``table`` with and without its later rows."""
        limit = (
            "the same without later rows; make it of the row alone, or name it in"
            " guardrails.known_early if it is known in time"
        )
        try:
            rows, changed = _change_without_later_rows(table, event_time, build)
        except Exception as error:  # noqa: BLE001 - a project's code may raise anything, and what is not known refuses
            found = f"with earlier rows alone: {type(error).__name__}: {error}"[:300]
            return self.result("not made", found, limit)
        suspects = sorted(changed.difference(known_early))
        found = (
            f"{', '.join(suspects)} change when later rows are taken away"
            if suspects
            else f"{rows:,} rows, none changes"
        )
        return self.result(not suspects, found, limit)


def _change_without_later_rows(
    table: pa.Table, event_time: str, build: Build
) -> tuple[int, set[str]]:
    """How many rows were looked at, and which features change in one of the cuts."""
    times = np.sort(table[event_time].cast(pa.timestamp("us", tz="UTC")).to_numpy())
    if len(times) > PROBED_ROWS:
        table = table.filter(
            pc.less(table[event_time], pa.scalar(times[PROBED_ROWS]).cast(table[event_time].type))
        )
        times = times[:PROBED_ROWS]
    whole = build(table)
    changed = set[str]()
    for share in (0.25, 0.5, 0.75):
        cut = pa.scalar(times[int(share * len(times))]).cast(table[event_time].type)
        past = pc.less(table[event_time], cut)
        if not pc.any(past).as_py():
            continue
        kept = whole.where(np.asarray(past.to_numpy(zero_copy_only=False)))
        changed |= differing(kept.features, build(table.filter(past)).features)
    return len(times), changed


def differing(before: pd.DataFrame, after: pd.DataFrame) -> set[str]:
    """Return the columns that are not the same, to the last digits, or not in both."""
    return set(differing_rows(before, after))


def differing_rows(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return column -> (rows,) bool of those that are not the same, to the last digits; columns
    without such rows are left out, one that is not in both differs in all.
    """
    found = {name: np.ones(len(before), bool) for name in set(before.columns) ^ set(after.columns)}
    for name in set(before.columns) & set(after.columns):
        one, other = before[name].to_numpy(), after[name].to_numpy()
        same = (
            np.isclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)
            if one.dtype.kind == other.dtype.kind == "f"
            else np.asarray(one == other, dtype=bool)
        )
        if not same.all():
            found[name] = ~same
    return found
