"""KM016: whether the features of a row rest on the rows that stand beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.checks import Check
from tasks.features.checks import differing_rows
from tasks.records import FeatureFrame, Guardrail

if TYPE_CHECKING:
    Build = Callable[[Mapping[str, pa.Table]], FeatureFrame]

ROWS = 5_000
"""Oldest rows of the batch that are looked at, and newest ones of the batch before it."""
NAMED = 3
"""Features that are named, and rows of each."""


class SameAlone(Check):
    """KM016: a row's features are the same alone and beside other rows, in whatever order.

    A batch is built as scoring builds it, alone; then as training does, behind the batch before it;
    then in the opposite order, and in two halves, every other row in each. Code that looks at other
    rows, even at earlier ones only, gives other values in training than in scoring.
    """

    code = "KM016"

    def check(
        self, batch: str, table: pa.Table, before: Mapping[str, pa.Table], build: Build
    ) -> Guardrail:
        """Build the features of ``table``, the rows of ``batch`` in order of time, in those ways.

        ``before`` holds the rows of the batch before it by its id; it is empty where there is none.
        """
        limit = (
            "the same in training and in scoring: make it of the row alone, or of features.history"
        )
        table = table.slice(0, ROWS)
        beside = {id: rows.slice(max(0, rows.num_rows - ROWS)) for id, rows in before.items()}
        every = np.arange(table.num_rows)
        ways = [(f"beside {id}", {id: rows}, every) for id, rows in beside.items()]
        ways += [("in the opposite order", {}, every[::-1])]
        ways += [("in halves", {}, every[half::2]) for half in (0, 1) if len(every) > half]
        found: dict[str, str] = {}
        try:
            alone = build({batch: table}).features
            for how, others, rows in ways:
                made = build({**others, batch: table.take(pa.array(rows))}).features
                one, other = (
                    part.tail(len(rows)).set_axis(rows) for part in (alone.iloc[rows], made)
                )
                for name, differs in differing_rows(one, other).items():
                    found.setdefault(name, _told(name, how, one, other, differs))
        except Exception as error:  # noqa: BLE001 - a project's code may raise anything, and what is not known refuses
            return self.result("not made", f"{type(error).__name__}: {error}"[:300], limit)
        if not found:
            return self.result(True, f"{len(every):,} rows of {batch}, none differs", limit)
        told = [found[name] for name in sorted(found)]
        more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
        return self.result(False, "; ".join(told[:NAMED]) + more, limit)


def _told(
    name: str, how: str, alone: pd.DataFrame, other: pd.DataFrame, differs: np.ndarray
) -> str:
    """Name a feature with three of the rows in which it differs, numbered from 0."""
    if name not in alone.columns or name not in other.columns:
        return f"{name} is made only {'alone' if name in alone.columns else how}"
    rows = np.sort(alone.index.to_numpy()[differs])
    examples = ", ".join(
        f"row {row}: {_short(alone.loc[row, name])} alone, {_short(other.loc[row, name])} {how}"
        for row in rows[:NAMED]
    )
    return f"{name} differs in {len(rows):,} of {len(alone):,} rows ({examples})"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(str(value)[:20])
