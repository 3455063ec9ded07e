"""KM018: whether the intervals around a regression's predictions hold in every slice."""

from __future__ import annotations

import math

import numpy as np

from tasks.evaluation.checks.base import CheckContext, ModelCheck, beside
from tasks.evaluation.compare import block_test
from tasks.evaluation.margins import errors_of, interval_margins
from tasks.evaluation.scored import Scored
from tasks.records import Guardrail

ROWS, BLOCKS, LEVEL = 100, 3, 0.05
"""Rows and blocks of time below which a slice is not looked at, and the level that all slices
share.
"""
_ALL = "all rows"


class CoversSlices(ModelCheck):
    """KM018: where the spec asks for intervals, they hold the labels of every slice nearly as often
    as of all rows.

    Margins are made as those of delivered rows are (tasks/evaluation/margins.py), by the errors on
    the older half of the holdout, and held against the newer half. A slice fails when it is told,
    at a level shared by all slices, that its share is below the asked one by more than the limit.
    """

    code = "KM018"
    needs_numbers = True

    def check(self, context: CheckContext) -> Guardrail:
        """Count the labels within the intervals, slice by slice."""
        asked, most = context.interval, context.config.coverage
        if asked is None:
            return self.result(True, "no interval is asked for", "none")
        limit = f"{asked - most:.0%} in each slice, for {asked:.0%} asked"
        shares = _shares(context.challenger, asked, asked - most)
        if shares is None:
            found = f"too few rows to tell: {len(context.challenger.rows):,} for margins and check"
            return self.result(True, found, limit)
        others = None if context.peer is None else _shares(context.peer, asked, asked - most)
        worst = min(shares, key=lambda name: shares[name][0])
        failed = [
            name
            for name, (share, p) in shares.items()
            if p < LEVEL / len(shares) and not (others and others[name][0] <= share)
        ]
        shown = min(failed, key=lambda name: shares[name][0]) if failed else worst
        peer = context.peer if others else None
        return self.result(
            not failed,
            f"{shares[shown][0]:.0%} of the labels of {shown} lie within"
            + beside(peer, f"{others[shown][0]:.0%}" if others else ""),
            limit,
        )


def _shares(scored: Scored, asked: float, least: float) -> dict[str, tuple[float, float]] | None:
    """Slice -> share of its labels within the intervals, and the one-sided p-value of its being no
    less than ``least``; None where the rows make no margins, or none are left to check.
    """
    rows, target = scored.rows, scored.rows.target.astype("float64")
    old = rows.frame.moments < np.sort(rows.frame.moments)[len(rows) // 2]
    if not old.any():
        return None
    margins = interval_margins([errors_of(target[old], scored.predicted[old])], asked)
    if margins is None:
        return None
    errors = target - scored.predicted
    within = ((errors >= margins[0]) & (errors <= margins[1])).astype("float64")
    slices = rows.frame.slices.reset_index(drop=True).assign(**{_ALL: ""})
    found = dict[str, tuple[float, float]]()
    for column in slices.columns:
        for value, positions in slices[~old].groupby(column).indices.items():
            at = np.flatnonzero(~old)[positions]
            test = block_test(within[at] - least, rows.blocks[at])
            if len(at) >= ROWS and test.blocks >= BLOCKS and math.isfinite(test.t):
                name = _ALL if column == _ALL else f"{column} = {value}"
                found[name] = (float(within[at].mean()), test.p_below)
    return found or None
