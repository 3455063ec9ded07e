"""Histograms of one part of a batch in a baseline's bins.

They merge by adding, so a batch need never be whole.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.records import BaselineProfile, FeatureFrame, FeatureProfile

OTHER = "(other)"
EXPECTED = 10
"""Rows that each bin expects of a batch; with fewer, bins are joined: many empty bins tell less
than a few full ones.
"""


@dataclass(frozen=True)
class Counts:
    """Rows, their stretch of time (datetime64[us]), and the counts (bins + 1,) of each column of
    the baseline, in its order, missing values last; None for a target that is not known yet.
    """

    rows: int
    start: np.datetime64
    end: np.datetime64
    columns: tuple[np.ndarray | None, ...]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            rows=self.rows + other.rows,
            start=min(self.start, other.start),
            end=max(self.end, other.end),
            columns=tuple(
                None if mine is None or theirs is None else mine + theirs
                for mine, theirs in zip(self.columns, other.columns, strict=True)
            ),
        )


def count_part(
    baseline: BaselineProfile, part: FeatureFrame, predicted: np.ndarray, *, target: bool = False
) -> Counts:
    """Count one part of a batch, with ``predicted`` (rows,) or (rows, classes); ``target`` when
    labels are mature.
    """
    columns: list[np.ndarray | None] = []
    for profile in baseline.features:
        if profile.kind == "target":
            columns.append(count(profile, part.target.dropna()) if target else None)
        elif profile.kind == "prediction":
            columns.append(count(profile, watched_prediction(predicted)))
        else:
            columns.append(count(profile, part.features[profile.feature]))
    return Counts(
        rows=len(part), start=part.moments.min(), end=part.moments.max(), columns=tuple(columns)
    )


def count_target(baseline: BaselineProfile, part: FeatureFrame) -> Counts:
    """Count the target of one part of a batch alone, once its labels are mature."""
    columns = tuple(
        count(profile, part.target.dropna()) if profile.kind == "target" else None
        for profile in baseline.features
    )
    return Counts(rows=len(part), start=part.moments.min(), end=part.moments.max(), columns=columns)


def watched_prediction(predicted: np.ndarray) -> pd.Series:
    """Return what is watched of predictions: the value itself, or the surest class's
    probability.
    """
    return pd.Series(predicted.max(axis=1) if predicted.ndim == 2 else predicted)


def count(profile: FeatureProfile, values: pd.Series) -> np.ndarray:
    """Count ``values`` in the profile's bins: (bins + 1,), missing values last."""
    return np.bincount(codes(profile, values), minlength=len(profile.counts) + 1)


def codes(profile: FeatureProfile, values: pd.Series) -> np.ndarray:
    """Return the bin of each value, (rows,) int64; a missing value's is the number of bins."""
    bins = len(profile.counts)
    if profile.categories or not pd.api.types.is_numeric_dtype(values.dtype):
        position = {category: i for i, category in enumerate(profile.categories)}
        found, distinct = pd.factorize(values)
        lookup = np.array(
            [*(position.get(_name(value), bins - 1) for value in distinct), bins], dtype="int64"
        )
        return lookup[found]  # a missing value is -1: the last
    numbers = values.to_numpy(dtype="float64")
    # Comparing with each of the few edges is several times faster than a binary search for each
    # value.
    small = np.zeros(len(numbers), dtype="int8")
    for edge in profile.edges:
        small += numbers >= edge
    index = small.astype("int64")
    index[np.isnan(numbers)] = bins
    return index


def coarsened(profile: FeatureProfile, rows: int) -> tuple[FeatureProfile, np.ndarray]:
    """Join bins until each expects ``EXPECTED`` of ``rows`` rows, as far as two are left; missing
    values stay apart.

    Returns the profile in the joined bins, without its earlier blocks, and where each bin went,
    (bins + 1,) int64. It depends on the baseline and on the number of rows alone, never on the
    batch's values.
    """
    blocks = np.array(profile.blocks, dtype="int64").reshape(-1, len(profile.counts) + 1)
    counts = np.array([*profile.counts, profile.missing], dtype="int64")
    known = blocks.sum(0) if len(blocks) else counts
    expected = known[:-1] * (rows / max(known.sum(), 1))
    least = min(
        EXPECTED - 0.5, expected.sum() * 0.4
    )  # quantiles are seldom even: half a row of grace
    names: dict[str, object]
    if profile.categories:
        group, kept = _join_rare(expected, least)
        names = {"categories": tuple(profile.categories[i] for i in kept)}
    else:
        group, kept = _join_neighbours(expected, least)
        names = {"edges": tuple(profile.edges[i] for i in kept)}
    group = np.append(group, group.max(initial=0) + 1)
    *joined, missing = join_bins(counts, group).tolist()
    in_blocks = tuple(map(tuple, join_bins(blocks, group).tolist()))
    update = {
        **names,
        "counts": tuple(joined),
        "missing": missing,
        "blocks": in_blocks,
        "earlier": (),
    }
    return profile.model_copy(update=update), group


def _join_rare(expected: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each category goes, the last of which is all others, and those that stay: the frequent
    ones, one at least.
    """
    kept = np.flatnonzero(expected[:-1] >= least)
    if not len(kept):
        kept = np.array([expected[:-1].argmax()] if len(expected) > 1 else [], dtype="int64")
    group = np.full(len(expected), len(kept))
    group[kept] = np.arange(len(kept))
    return group, kept


def _join_neighbours(expected: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each bin of a number goes, and the edges that stay.

    A bin that training never filled tells most: it stays.
    """
    kept, gathered = list[int](), 0.0
    for i in range(len(expected) - 1):
        gathered += expected[i]
        full = gathered >= least and expected[i + 1 :].sum() >= least
        if full or not expected[i] or not expected[i + 1]:
            kept.append(i)
            gathered = 0.0
    group: np.ndarray = np.searchsorted(kept, np.arange(len(expected)), side="left")
    return group, np.array(kept, dtype="int64")


def join_bins(counts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Add up counts (..., bins + 1) in the bins that ``group`` puts them into."""
    joined: np.ndarray = np.zeros((*counts.shape[:-1], int(group.max()) + 1), dtype=counts.dtype)
    for i, to in enumerate(group):
        joined[..., to] += counts[..., i]
    return joined


def _name(value: object) -> str:
    """A category's text; a class label of a binary target is a whole number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def bin_labels(profile: FeatureProfile) -> tuple[str, ...]:
    """Return a label for each bin, without the missing values."""
    if profile.categories:
        return (*profile.categories, OTHER)
    edges = profile.edges
    if not edges:
        return ("all",) * len(profile.counts)
    inner = [
        f"{low:.4g}" if high == math.nextafter(low, math.inf) else f"{low:.4g} to {high:.4g}"
        for low, high in itertools.pairwise(edges)
    ]
    single = len(edges) > 1 and edges[-1] == math.nextafter(edges[-2], math.inf)
    last = f"above {edges[-1]:.4g}" if single else f"{edges[-1]:.4g} and above"
    return (f"below {edges[0]:.4g}", *inner, last)
