"""KM009: whether a feature alone tells the target."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.evaluation.checks.base import CheckContext, ModelCheck
from tasks.records import FeatureFrame, Guardrail, Problem

BINS = 256
"""Bins of equal counts that a number is cut in: a threshold that makes the target lies within one
of them.
"""
ROWS = 100
"""Training rows from which on a feature that tells the target does so by more than chance."""


class NoLeak(ModelCheck):
    """KM009: no single feature explains the target of the training rows; those that do are named.

    A feature that alone tells the target nearly perfectly is no feature but a leak.
    """

    code = "KM009"

    def check(self, context: CheckContext) -> Guardrail:
        """Find the share of the target that each feature alone explains."""
        frame, config = context.train.rows.frame, context.config
        limit = (
            f"below {config.leak:.0%}; exclude it (features.exclude), or name it in"
            " guardrails.known_early if it is known in time"
        )
        if len(frame) < ROWS:
            return self.result(True, f"too few rows to tell: {len(frame)} of {ROWS}", limit)
        shares = explained_by_one(frame, context.train.objective.problem)
        suspects = [
            name
            for name, share in shares.items()
            if share >= config.leak and name not in config.known_early
        ]
        strongest = max(shares, key=lambda name: shares[name])
        found = (
            ", ".join(
                f"{name} alone explains {shares[name]:.1%} of the target" for name in suspects
            )
            or f"{strongest} explains most: {shares[strongest]:.1%}"
        )
        return self.result(not suspects, found, limit)


def explained_by_one(frame: FeatureFrame, problem: Problem) -> dict[str, float]:
    """Return feature -> share of the target's variance that its bins alone explain, out of fold; 1
    is all of it.

    Numbers are cut at quantiles; a category and a gap are bins of their own. Means by bin come from
    the other half of the rows, so that many categories explain nothing by chance. Of classes it is
    the share of the variance of their indicators (Goodman and Kruskal's tau); a number is taken by
    its rank, in which a large value weighs no more than others and any relation shows, rising or
    not.
    """
    outcome = _outcome(frame.target, problem)
    half = np.arange(len(frame)) % 2 == 0
    shares = {}
    for name in frame.schema.names:
        codes = _bins(frame.features[name], name in frame.schema.categorical)
        errors = np.empty_like(outcome)
        for test in (half, ~half):
            errors[test] = outcome[test] - _means(codes, outcome, ~test)[codes[test]]
        whole = ((outcome - outcome.mean(axis=0)) ** 2).sum()
        shares[name] = float(1 - (errors**2).sum() / whole) if whole > 0 else 0.0
    return shares


def _outcome(target: pd.Series, problem: Problem) -> np.ndarray:
    """float64 (rows, columns)."""
    if problem == "multiclass":
        values = target.to_numpy()
        classes: np.ndarray = (values[:, np.newaxis] == np.unique(values)).astype("float64")
        return classes
    outcome: np.ndarray = (target.rank() if problem == "regression" else target).to_numpy(
        dtype="float64"
    )
    return outcome[:, np.newaxis]


def _bins(values: pd.Series, categorical: bool) -> np.ndarray:
    """int64 (rows,) from 0."""
    if categorical:
        return np.asarray(pd.factorize(values)[0])
    numbers = values.to_numpy(dtype="float64")
    known = np.sort(numbers[~np.isnan(numbers)])
    if not len(known):
        return np.zeros(len(numbers), dtype="int64")
    edges = np.unique(known[:: max(1, len(known) // BINS)])
    # NaN sorts after every number: a bin of its own.
    return np.where(
        np.isnan(numbers), len(edges), np.searchsorted(edges, numbers, side="right") - 1
    )


def _means(codes: np.ndarray, outcome: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Mean outcome by bin over the rows ``of``, (bins, columns); of all of them where a bin has
    none.
    """
    size = int(codes.max()) + 1
    counts = np.bincount(codes[of], minlength=size)[:, np.newaxis]
    sums = np.column_stack(
        [np.bincount(codes[of], weights=column[of], minlength=size) for column in outcome.T]
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1), outcome[of].mean(axis=0))
