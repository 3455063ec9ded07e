"""Geometry of what stands in a table: small distributions, bars against a threshold, cells of the
heat map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.records import FeatureDrift, Histogram
from tasks.reports.figures import percent

_BINS = 12
"""Bins of a small distribution; more are not told apart at that size."""


@dataclass(frozen=True)
class Bin:
    """One bin of a small distribution: two bars on one base line, heights in the chart's units."""

    x: float
    width: float
    before: float
    after: float
    title: str


@dataclass(frozen=True)
class Bars:
    """A feature before and after; ``height`` is that of the largest share."""

    width: float
    height: float
    bins: tuple[Bin, ...]


def distribution(histogram: Histogram, width: float = 168, height: float = 40) -> Bars:
    """Lay out a histogram; of many bins the largest are told apart and the rest share the last
    one.
    """
    shares = _largest(histogram)
    top = max((max(before, now) for _, before, now in shares), default=0.0) or 1.0
    slot = width / max(len(shares), 1)
    return Bars(
        width=width,
        height=height,
        bins=tuple(
            Bin(
                x=round(i * slot, 1),
                width=round(slot, 1),
                before=round(before / top * height, 1),
                after=round(now / top * height, 1),
                title=f"{label}: {percent(before)} \N{RIGHTWARDS ARROW} {percent(now)}",
            )
            for i, (label, before, now) in enumerate(shares)
        ),
    )


def _largest(histogram: Histogram) -> list[tuple[str, float, float]]:
    count = len(histogram.labels)
    before = histogram.before or (0.0,) * count
    now = histogram.after or (0.0,) * count
    shares = list(zip(histogram.labels, before, now, strict=True))
    if count <= _BINS:
        return shares
    order = sorted(range(count), key=lambda i: max(before[i], now[i]), reverse=True)
    kept, rest = sorted(order[: _BINS - 1]), order[_BINS - 1 :]
    others = (f"{len(rest)} others", sum(before[i] for i in rest), sum(now[i] for i in rest))
    return [*(shares[i] for i in kept), others]


@dataclass(frozen=True)
class Meter:
    """A bar of ``fill`` percent with a mark at ``mark`` percent; ``cut`` when the bar is longer
    than its scale.
    """

    fill: float
    mark: float
    cut: bool


def meter(times: float | None, longest: float) -> Meter:
    """Lay out a score of ``times`` its threshold where ``longest`` is the longest of the column."""
    scale = min(max(longest, 2.0), 5.0)
    value = times or 0.0
    return Meter(
        fill=round(100 * min(value / scale, 1.0), 1),
        mark=round(100 / scale, 1),
        cut=value > scale * 1.0001,
    )


def heat_step(feature: FeatureDrift, times: float | None) -> str:
    """Return the colour step of a cell: 0 and 1 are below the threshold, 2 to 5 double each time, n
    is unknown.
    """
    if times is None:
        return "n"
    if feature.outcome != "drifted":
        return "0" if times < 0.5 else "1"
    return str(2 + min(int(math.log2(max(min(times, 99.0), 1.0))), 3))
