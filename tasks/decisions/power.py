"""How many rows a comparison of two models takes, and what those that are there can tell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from statistics import median

from tasks.decisions.config import GateConfig, PolicyConfig
from tasks.records import Comparison

TOLD = 1.645 + 0.842
"""Standard errors at which a one-sided test at 5% finds a difference in four of five cases."""
ASSUMED = 0.4
"""Spread where no comparison was made yet (docs/decisions.md)."""

COMPARISONS = 12
"""Newest comparisons that say how far losses spread."""


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


def least_rows(gate: GateConfig, retrain: PolicyConfig, newest_first: Iterable[Comparison]) -> int:
    """Return the rows that a champion must not have seen before a challenger is trained: those that
    the gate compares by, and as many as tell the difference that ``retrain.tell`` names, by how far
    losses spread in the model's own comparisons.
    """
    least = gate.min_rows if gate.without_evidence == "keep" else 0
    if retrain.tell is None:
        return least
    of = spread(islice(newest_first, COMPARISONS))
    return max(least, rows_to_tell(retrain.tell, ASSUMED if of is None else of))
