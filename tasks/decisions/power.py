"""How many rows a comparison of two models takes, and what those that are there can tell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from tasks.records import Comparison

TOLD = 1.645 + 0.842
"""Standard errors at which a one-sided test at 5% finds a difference in four of five cases."""
ASSUMED = 0.4
"""Spread where no comparison was made yet (docs/decisions.md)."""


def spread(comparisons: Iterable[Comparison]) -> float | None:
    """Return by how much the paired loss of a row spreads, as a share of the champion's mean loss:
    the median of what the block-wise errors of past comparisons say; None without one.

    It is the spread that as many independent rows would have.
    """
    found = [
        one.detectable / TOLD * math.sqrt(one.rows)
        for one in comparisons
        if math.isfinite(one.detectable) and one.detectable > 0
    ]
    return median(found) if found else None


def rows_to_tell(gain: float, of: float) -> int:
    """Return the rows by which a gain, as a share of the loss, can be told where losses spread by
    ``of``.
    """
    return math.ceil((TOLD * of / gain) ** 2)


def told_by(rows: int, of: float) -> float:
    """Return the smallest gain, as a share of the loss, that so many rows can tell; endless without
    rows.
    """
    return TOLD * of / math.sqrt(rows) if rows else math.inf
