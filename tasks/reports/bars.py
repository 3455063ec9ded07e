"""Geometry of what stands in a table: small distributions, bars against a threshold, cells of the
heat map.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.records import FeatureDrift, Histogram, Interval
from tasks.reports.figures import number, percent

_BINS = 12
"""Categories of a small distribution; more are not told apart at that size."""
_LABELS = 4
"""Categories whose names fit below it."""


@dataclass(frozen=True)
class Bin:
    """One bin of a small distribution: two bars on one base line, heights in the chart's units."""

    x: float
    width: float
    before: float
    after: float
    title: str


@dataclass(frozen=True)
class Mark:
    """A label below the base line; ``anchor`` as SVG has it."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Bars:
    """A feature before and after; ``height`` is that of the largest share, ``top`` says what it is.

    ``medians`` are the places of training's and the batch's median on the axis; None where there is
    none.
    """

    width: float
    height: float
    top: str
    bins: tuple[Bin, ...]
    marks: tuple[Mark, ...]
    medians: tuple[float, float] | None = None


def distribution(
    histogram: Histogram,
    medians: tuple[float, float] | None = None,
    width: float = 224,
    height: float = 52,
) -> Bars:
    """Lay out a histogram; of many categories the largest are told apart, and the rest share the
    last bin.
    """
    shares = _largest(histogram)
    largest = max((max(before, now) for _, before, now in shares), default=0.0)
    slot = width / max(len(shares), 1)
    return Bars(
        width=width,
        height=height,
        top=percent(largest),
        bins=tuple(
            Bin(
                x=round(i * slot, 1),
                width=round(slot, 1),
                before=round(before / (largest or 1.0) * height, 1),
                after=round(now / (largest or 1.0) * height, 1),
                title=f"{label}: {percent(before)} \N{RIGHTWARDS ARROW} {percent(now)}",
            )
            for i, (label, before, now) in enumerate(shares)
        ),
        marks=_marks(histogram, [label for label, _, _ in shares], width),
        medians=_places(histogram, medians, width),
    )


def _marks(histogram: Histogram, labels: list[str], width: float) -> tuple[Mark, ...]:
    """The axis: both ends and the middle of a number's, the names of few categories."""
    if histogram.ends is not None:
        low, high = histogram.ends
        at = [(0.0, low, "start"), (width / 2, (low + high) / 2, "middle"), (width, high, "end")]
        return tuple(Mark(x, number(value, 3), anchor) for x, value, anchor in at)
    if len(labels) > _LABELS:
        return (Mark(0.0, f"{len(histogram.labels)} categories", "start"),)
    slot = width / max(len(labels), 1)
    fits = int(slot / 7)
    return tuple(
        Mark(
            round((i + 0.5) * slot, 1),
            label if len(label) <= fits else f"{label[: fits - 1]}\N{HORIZONTAL ELLIPSIS}",
            "middle",
        )
        for i, label in enumerate(labels)
    )


def _places(
    histogram: Histogram, medians: tuple[float, float] | None, width: float
) -> tuple[float, float] | None:
    if histogram.ends is None or medians is None:
        return None
    low, high = histogram.ends
    length = high - low
    if not length > 0:
        return None
    before, now = (
        round(min(max((median - low) / length, 0.0), 1.0) * width, 1) for median in medians
    )
    return before, now


def _largest(histogram: Histogram) -> list[tuple[str, float, float]]:
    count = max(len(histogram.before), len(histogram.after), len(histogram.labels))
    before = histogram.before or (0.0,) * count
    now = histogram.after or (0.0,) * count
    shares = list(zip(_labels(histogram, count), before, now, strict=True))
    if count <= _BINS or histogram.ends is not None:
        return shares
    order = sorted(range(count), key=lambda i: max(before[i], now[i]), reverse=True)
    kept, rest = sorted(order[: _BINS - 1]), order[_BINS - 1 :]
    others = (f"{len(rest)} others", sum(before[i] for i in rest), sum(now[i] for i in rest))
    return [*(shares[i] for i in kept), others]


def _labels(histogram: Histogram, count: int) -> tuple[str, ...]:
    if histogram.ends is None:
        return histogram.labels
    low, high = histogram.ends
    edges = [low + (high - low) * i / count for i in range(1, count)]
    if not edges:
        return (number(low),)
    inner = [f"{number(a, 3)} to {number(b, 3)}" for a, b in itertools.pairwise(edges)]
    return (f"below {number(edges[0], 3)}", *inner, f"{number(edges[-1], 3)} and above")


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


@dataclass(frozen=True)
class Whisker:
    """A bar from 0 to a value, and its interval, in percent of an axis."""

    zero: float
    start: float
    length: float
    low: float
    high: float


def whiskers(values: Sequence[Interval]) -> list[Whisker]:
    """Lay out values beside each other, on one axis that holds them and 0."""
    low = min([0.0, *(one.low for one in values if one.known)])
    high = max([0.0, *(one.high for one in values if one.known)])
    span = high - low or 1.0

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / span, 1)

    return [
        Whisker(
            zero=at(0.0),
            start=min(at(0.0), at(one.value)),
            length=round(abs(at(one.value) - at(0.0)), 1),
            low=at(one.low),
            high=at(one.high),
        )
        for one in values
    ]


def heat_step(feature: FeatureDrift, times: float | None) -> str:
    """Return the colour step of a cell: 0 and 1 are below the threshold, 2 to 5 double each time;
    where it cannot be told whether a move is unusual, m has moved, and n has not.
    """
    if times is None or feature.outcome in ("cannot be told", "not evaluable"):
        return "m" if feature.moved else "n"
    if feature.outcome != "unusual":
        return "0" if times < 0.5 else "1"
    return str(2 + min(int(math.log2(max(min(times, 99.0), 1.0))), 3))
