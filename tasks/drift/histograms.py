"""One part of a batch in a baseline's bins, with its medians and the rows outside of training.

Parts merge by adding, so a batch need never be whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tasks.records import BaselineProfile, FeatureFrame, FeatureProfile, Histogram

OTHER = "(other)"
EXPECTED = 10
"""Rows that each bin expects of a batch; with fewer, bins are joined: many empty bins tell less
than a few full ones.
"""


DRAWN = 50_000
"""Rows of a part whose numbers are ordered: of more rows, so many are drawn with a seed."""
POINTS = 201
"""Quantiles that numbers are known by."""
MISSING = 255
"""The place of a missing number among them."""
AXIS = 24
"""Bins of a number that are drawn, all of one width."""
LARGEST = 1e300
"""Beyond it no axis has a length."""


@dataclass(frozen=True)
class Spread:
    """Where the values of one column lie."""

    below: int
    """Rows below anything in training."""
    above: int
    unseen: int
    """Rows whose category training never held."""
    total: float
    """Sum of the finite values of a number."""
    points: np.ndarray
    """(points,) float64: quantiles of a number, of each part in turn."""
    weights: np.ndarray
    """(points,) float64: the rows that each stands for."""

    def __add__(self, other: Spread) -> Spread:
        return Spread(
            below=self.below + other.below,
            above=self.above + other.above,
            unseen=self.unseen + other.unseen,
            total=self.total + other.total,
            points=np.concatenate([self.points, other.points]),
            weights=np.concatenate([self.weights, other.weights]),
        )

    @property
    def outside(self) -> int:
        """Rows outside of what training held."""
        return self.below + self.above + self.unseen

    @property
    def median(self) -> float | None:
        """The median of a number; of several parts as their quantiles give it."""
        if not self.weights.sum():
            return None
        points, middles = self.ordered
        return float(np.interp(0.5, middles, points))

    @property
    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """The points by size, and the share of rows up to the middle of each."""
        order = np.argsort(self.points, kind="stable")
        weights = self.weights[order] / self.weights.sum()
        return self.points[order], np.cumsum(weights) - weights / 2

    @property
    def mean(self) -> float | None:
        """The mean of a number's finite values."""
        return float(self.total / self.weights.sum()) if self.weights.sum() else None


@dataclass(frozen=True)
class Counts:
    """Rows, their stretch of time (datetime64[us]), and of each column of the baseline, in its
    order, the counts (bins + 1,), missing values last, and the spread; None for a target that is
    not known yet.
    """

    rows: int
    start: np.datetime64
    end: np.datetime64
    columns: tuple[np.ndarray | None, ...]
    spreads: tuple[Spread | None, ...]
    outside: int = 0
    """Rows outside of what training held, in one feature or more."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            rows=self.rows + other.rows,
            start=min(self.start, other.start),
            end=max(self.end, other.end),
            columns=tuple(
                None if mine is None or theirs is None else mine + theirs
                for mine, theirs in zip(self.columns, other.columns, strict=True)
            ),
            spreads=tuple(
                None if mine is None or theirs is None else mine + theirs
                for mine, theirs in zip(self.spreads, other.spreads, strict=True)
            ),
            outside=self.outside + other.outside,
        )

    def with_target(self, target: Counts) -> Counts:
        """Return the same with the columns that are counted in ``target`` as there."""
        return replace(
            self,
            columns=tuple(
                mine if own is None else own
                for mine, own in zip(self.columns, target.columns, strict=True)
            ),
            spreads=tuple(
                mine if own is None else own
                for mine, own in zip(self.spreads, target.spreads, strict=True)
            ),
        )


def count_part(
    baseline: BaselineProfile, part: FeatureFrame, predicted: np.ndarray, *, target: bool = False
) -> Counts:
    """Count one part of a batch, with ``predicted`` (rows,) or (rows, classes); ``target`` when
    labels are mature.
    """
    columns: list[np.ndarray | None] = []
    spreads: list[Spread | None] = []
    outside = np.zeros(len(part), dtype=bool)
    for profile in baseline.features:
        values: pd.Series | None
        if profile.kind == "target":
            values = part.target.dropna() if target else None
        elif profile.kind == "prediction":
            values = watched_prediction(predicted)
        else:
            values = part.features[profile.feature]
        if values is None:
            columns.append(None)
            spreads.append(None)
            continue
        beyond = _beyond(profile, values)
        for rows in beyond:
            if rows is not None:
                outside |= rows
        columns.append(count(profile, values))
        spreads.append(_spread(profile, values, beyond))
    return Counts(
        rows=len(part),
        start=part.moments.min(),
        end=part.moments.max(),
        columns=tuple(columns),
        spreads=tuple(spreads),
        outside=int(outside.sum()),
    )


def count_target(baseline: BaselineProfile, part: FeatureFrame) -> Counts:
    """Count the target of one part of a batch alone, once its labels are mature."""
    targets = [
        part.target.dropna() if profile.kind == "target" else None for profile in baseline.features
    ]
    pairs = list(zip(baseline.features, targets, strict=True))
    return Counts(
        rows=len(part),
        start=part.moments.min(),
        end=part.moments.max(),
        columns=tuple(None if own is None else count(f, own) for f, own in pairs),
        spreads=tuple(None if own is None else _spread(f, own, (None,) * 3) for f, own in pairs),
    )


def outside_rows(baseline: BaselineProfile, features: pd.DataFrame) -> np.ndarray:
    """Return whether each row lies outside of what training held in one feature or more, (rows,)
    bool.
    """
    outside = np.zeros(len(features), dtype=bool)
    for profile in baseline.features:
        if profile.kind in ("numerical", "categorical"):
            for rows in _beyond(profile, features[profile.feature]):
                if rows is not None:
                    outside |= rows
    return outside


Beyond = tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]
"""Whether each row is below training, above it, or of a category unseen there; None where that
cannot be.
"""


def _beyond(profile: FeatureProfile, values: pd.Series) -> Beyond:
    if profile.kind == "numerical" and profile.quantiles:
        numbers = values.to_numpy(dtype="float64")
        return numbers < profile.quantiles[0], numbers > profile.quantiles[-1], None
    if profile.kind == "categorical" and profile.rare is not None:
        known = {*profile.categories, *profile.rare}
        found, distinct = pd.factorize(values)
        unseen = np.array([*(_name(value) not in known for value in distinct), False])
        return None, None, unseen[found]
    return None, None, None


def _spread(profile: FeatureProfile, values: pd.Series, beyond: Beyond) -> Spread:
    below, above, unseen = (0 if rows is None else int(rows.sum()) for rows in beyond)
    numbers = np.array([])
    if not profile.categories and pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(dtype="float64")
        numbers = numbers[np.isfinite(numbers)]
    drawn = numbers
    if len(numbers) > DRAWN:
        drawn = numbers[np.random.default_rng(0).integers(0, len(numbers), DRAWN)]
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest double
        points = quantiles(drawn) if len(drawn) else drawn
        total = float(numbers.sum())
    return Spread(
        below=below,
        above=above,
        unseen=unseen,
        total=total,
        points=points,
        weights=np.full(len(points), len(numbers) / POINTS),
    )


def quantiles(numbers: np.ndarray) -> np.ndarray:
    """Return the quantiles of finite numbers at equal steps, the ends among them, (POINTS,)."""
    found: np.ndarray = np.quantile(numbers, np.linspace(0, 1, POINTS))
    return found


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


def places(profile: FeatureProfile, values: pd.Series) -> np.ndarray:
    """Return where each number lies among training's quantiles, (rows,) uint8: the place of the
    nearest one below it, the ends for what lies beyond, and ``MISSING``.
    """
    numbers = values.to_numpy(dtype="float64")
    found = np.searchsorted(profile.quantiles, numbers, side="right") - 1
    at: np.ndarray = np.where(np.isnan(numbers), MISSING, np.maximum(found, 0)).astype("uint8")
    return at


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


def histogram(profile: FeatureProfile, counts: np.ndarray, spread: Spread | None) -> Histogram:
    """Return what is drawn of a column: the shares of its categories, or of a number's values on an
    axis that holds all but the outermost of training and batch.

    ``counts`` (bins + 1,) are the batch's, in the profile's bins, missing values last.
    """
    if profile.categories or not profile.quantiles:
        trained = np.array([*profile.counts, 0])
        return Histogram(labels=bin_labels(profile), before=_shares(trained), after=_shares(counts))
    before = np.array(profile.quantiles), (np.arange(POINTS) + 0.5) / POINTS
    now = None if spread is None or not len(spread.points) else spread.ordered
    inner = [points[(at >= 0.01) & (at <= 0.99)] for points, at in (before, now or before)]
    low, high = np.clip([min(map(np.min, inner)), max(map(np.max, inner))], -LARGEST, LARGEST)
    edges = np.linspace(low, high, AXIS + 1)[1:-1]
    return Histogram(
        labels=(),
        before=_shares_between(*before, edges),
        after=() if now is None else _shares_between(*now, edges),
        ends=(float(low), float(high)),
    )


def _shares(counts: np.ndarray) -> tuple[float, ...]:
    """The share of each bin among the values that are there; none without one."""
    known = counts[:-1].sum()
    return tuple((counts[:-1] / known).tolist()) if known else ()


def _shares_between(
    points: np.ndarray, middles: np.ndarray, edges: np.ndarray
) -> tuple[float, ...]:
    """The share of rows between each two edges, of values known by quantiles; many rows of one
    value stay in one bin.
    """
    values, first, times = np.unique(points, return_index=True, return_counts=True)
    ends = np.stack([np.nextafter(values, -np.inf), values], axis=1).ravel()
    reached = np.stack([middles[first], middles[first + times - 1]], axis=1).ravel()
    below = np.interp(edges, ends, reached, left=0.0, right=1.0)
    return tuple(np.diff([0.0, *below, 1.0]).tolist())


def bin_labels(profile: FeatureProfile) -> tuple[str, ...]:
    """Return a label for each category's bin, without the missing values."""
    return (*profile.categories, OTHER) if profile.categories else ("all",) * len(profile.counts)
