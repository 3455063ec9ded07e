"""Holdout and batch side by side: the columns by which what should be lost is expected."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tasks.drift.effect import LEAST, MOST_BLOCKS
from tasks.drift.histograms import MISSING
from tasks.records import FeatureProfile

KNOTS = 0.1, 0.3, 0.5, 0.7, 0.9
"""Quantiles of the holdout between which a number's function is a straight line."""
TOGETHER = 4
"""Columns that moved most, the prediction among them, whose products are looked at."""
FARTHEST = 5.0
"""Standard deviations at which numbers are cut."""


def join_blocks(block: np.ndarray) -> np.ndarray:
    """Return numbers of blocks from 0; of more than ``MOST_BLOCKS`` neighbours are joined."""
    names, numbered = np.unique(block, return_inverse=True)
    return numbered * min(MOST_BLOCKS, len(names)) // max(len(names), 1)


class Grouped(NamedTuple):
    """One column of both sides, in groups of which the holdout has enough rows."""

    group: np.ndarray
    """(rows of the holdout, then of the batch,) int64 from 0; the most frequent one is 0."""
    groups: int
    far: np.ndarray
    """(rows of the batch,) bool: in a bin that the holdout hardly has, and the batch often."""

    @property
    def columns(self) -> np.ndarray:
        """A column for each group but the first, (rows, columns) float32."""
        columns: np.ndarray = self.group[:, np.newaxis] == np.arange(1, self.groups)
        return columns.astype("float32")


def group_bins(held: np.ndarray, batch: np.ndarray) -> Grouped:
    """Return a column in groups: bins of which the holdout has too few rows count as the nearest
    one that has enough.
    """
    width = int(max(held.max(), batch.max(initial=0))) + 1
    counts = np.bincount(held, minlength=width)
    full = np.flatnonzero(counts >= LEAST)
    if not len(full):
        full = np.array([counts.argmax()])
    nearest = np.abs(np.arange(width)[:, np.newaxis] - full).argmin(axis=1)
    order = np.argsort(-np.bincount(nearest, counts), kind="stable")
    place = np.empty(len(full), dtype="int64")
    place[order] = np.arange(len(full))
    often = np.bincount(batch, minlength=width) / max(len(batch), 1) > 2 * LEAST / len(held)
    far = ((counts < LEAST) & often)[batch]
    return Grouped(place[nearest][np.concatenate([held, batch])], len(full), far)


def curve(values: np.ndarray, cut: int) -> np.ndarray:
    """Return columns for a function of a number that is straight between knots, (rows, columns)
    float32; the first ``cut`` rows are those of the holdout.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest double
        spread = values[:cut].std()
    if not 0 < spread < np.inf:
        return np.zeros((len(values), 0), dtype="float32")
    scaled = np.clip((values - values[:cut].mean()) / spread, -FARTHEST, FARTHEST)
    knots = np.unique(np.quantile(scaled[:cut], KNOTS))
    columns = [scaled, *(np.maximum(scaled - knot, 0) for knot in knots)]
    bent: np.ndarray = np.stack(columns, axis=1).astype("float32")
    return bent


def number_columns(profile: FeatureProfile, at: np.ndarray, cut: int) -> np.ndarray:
    """Return columns for a function of a feature that is a number, by its places; missing values
    have a column of their own.
    """
    missing = at == MISSING
    known = np.array(profile.quantiles)[np.where(missing, 0, at)]
    there = known[:cut][~missing[:cut]]
    values = np.where(missing, there.mean() if len(there) else 0.0, known)
    bent = curve(values, cut)
    if missing[:cut].sum() < LEAST:
        return bent
    return np.concatenate([bent, missing[:, np.newaxis].astype("float32")], axis=1)


def products(columns: Sequence[np.ndarray], cut: int) -> np.ndarray:
    """Return products of the first columns of those that moved most, (rows, products) float32: what
    they do together is asked about.
    """
    some = [one[:, :1] for one in columns if one.shape[1]]
    first = np.concatenate([np.zeros((len(columns[0]), 0), dtype="float32"), *some], axis=1)
    moved = np.abs(first[:cut].mean(axis=0) - first[cut:].mean(axis=0)) / (first.std(axis=0) + 1e-9)
    most = np.argsort(-moved)[:TOGETHER]
    pairs = [first[:, i] * first[:, j] for i, j in itertools.combinations(most, 2)]
    return np.stack(pairs, axis=1) if pairs else np.zeros((len(first), 0), dtype="float32")


@dataclass(frozen=True)
class Design:
    """Both sides as a matrix: 1, the columns of the prediction, then those of each feature."""

    rows: np.ndarray
    """(rows, width) float32."""
    columns: tuple[np.ndarray, ...]
    """Of each feature the places of its columns."""
    groups: tuple[np.ndarray, ...]
    """Of each feature the group of each row."""

    @classmethod
    def of(
        cls, predicted: np.ndarray, features: Sequence[np.ndarray], grouped: Sequence[Grouped]
    ) -> Design:
        """Put columns, (rows, columns) float32 of each, beside each other."""
        one = np.ones((len(predicted), 1), dtype="float32")
        ends = 1 + predicted.shape[1] + np.cumsum([0, *(own.shape[1] for own in features)])
        return cls(
            np.concatenate([one, predicted, *features], axis=1),
            tuple(np.arange(start, end) for start, end in itertools.pairwise(ends)),
            tuple(own.group for own in grouped),
        )


@dataclass(frozen=True)
class Side:
    """Rows of the holdout, or of the batch that are near it."""

    design: np.ndarray
    target: np.ndarray
    predicted: np.ndarray
    loss: np.ndarray
    block: np.ndarray
    blocks: int
    """How many there are; some may have no row."""

    def by(self, parameters: np.ndarray) -> np.ndarray:
        """Return the design times parameters (width,): (rows,)."""
        found: np.ndarray = (self.design @ parameters.astype("float32")).astype("float64")
        return found

    def onto(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of the design's columns times values (rows,): (width,)."""
        found: np.ndarray = (values.astype("float32") @ self.design).astype("float64")
        return found

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the same by block, (blocks, width)."""
        apart = np.zeros((self.blocks, len(self.block)), dtype="float32")
        apart[self.block, np.arange(len(self.block))] = values
        found: np.ndarray = (apart @ self.design).astype("float64")
        return found

    def weights(self, without: int | None = None) -> np.ndarray:
        """Return a weight for each row, adding up to 1, without one block."""
        return weights_without(self.block, without)

    def means(self, without: int | None = None) -> np.ndarray:
        """Return the means of the design's columns, (width,), without one block."""
        sums, rows = self._sums
        left, of = sums.sum(0), rows.sum()
        if without is not None:
            left, of = left - sums[without], of - rows[without]
        means: np.ndarray = left / of
        return means

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.bincount(self.block, minlength=self.blocks)
        return self.sums(np.ones(len(self.block))), rows


def weights_without(block: np.ndarray, without: int | None) -> np.ndarray:
    """Return a weight for each row, adding up to 1, without one block."""
    kept = block != (-1 if without is None else without)
    weights: np.ndarray = kept / kept.sum()
    return weights
