"""Geometry of the charts over time: records in, coordinates out.

The templates draw them; nothing here is HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from tasks.records import Interval
from tasks.reports.figures import interval, interval_known, number

_CHARACTER = 8.0
"""Width of a character of an axis label, in the chart's units; two more keep neighbours apart."""
_REACH = 4
"""How many median half-widths an interval may stretch the axis: one tiny batch must not flatten the
chart.
"""


@dataclass(frozen=True)
class Measured:
    """One batch on a chart over time."""

    batch: str
    score: Interval | None
    first: float | None = None
    """The first champion's value on the same rows."""
    note: str = ""
    """What else the tooltip says."""


@dataclass(frozen=True)
class Area:
    """A chart's size and margins, in its own units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Tick:
    """A label at a place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Slot:
    """The strip of one batch: where the pointer finds its tooltip."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Dot:
    """One measured value; without an interval it is drawn hollow."""

    x: float
    y: float
    known: bool


@dataclass(frozen=True)
class LineChart:
    """A score over batches: line, interval band, and the first champion's dashed line, as SVG path
    data.
    """

    area: Area
    line: str
    band: str
    first: str
    dots: tuple[Dot, ...]
    slots: tuple[Slot, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]


def line_chart(points: Sequence[Measured], area: Area) -> LineChart:
    """Lay out ``points``, oldest first, at equal distances; batches without a score leave a gap."""
    low, high, step, ticks = _axis(points)
    slot = (area.width - area.left - area.right) / max(len(points), 1)
    plot = area.height - area.top - area.bottom

    def x(position: float) -> float:
        return round(area.left + (position + 0.5) * slot, 1)

    def y(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(area.height - area.bottom - share * plot, 1)

    scores = [point.score for point in points]
    measured = [s if s is not None and math.isfinite(s.value) else None for s in scores]
    values = [None if s is None else s.value for s in measured]
    firsts = [p.first if p.first is not None and math.isfinite(p.first) else None for p in points]
    every = math.ceil((max((len(p.batch) for p in points), default=0) + 2) * _CHARACTER / slot)
    return LineChart(
        area=area,
        line=_path(values, x, y),
        band=_band(measured, x, y),
        first=_path(firsts, x, y),
        dots=tuple(
            Dot(x(i), y(s.value), interval_known(s))
            for i, s in enumerate(measured)
            if s is not None
        ),
        slots=tuple(
            Slot(round(area.left + i * slot, 1), round(slot, 1), _slot_title(p))
            for i, p in enumerate(points)
        ),
        y_ticks=tuple(Tick(y(tick), _tick_label(tick, step)) for tick in ticks),
        x_ticks=tuple(
            Tick(x(i), p.batch) for i, p in enumerate(points) if (len(points) - 1 - i) % every == 0
        ),
    )


def after(chart: LineChart, position: int) -> float:
    """Return x of the line between the batch at ``position`` and the next: a decision counts from
    there on.
    """
    slot = chart.slots[position]
    return round(slot.x + slot.width, 1)


def axis_range(points: Sequence[Measured]) -> tuple[float, float]:
    """Return the ends of the value axis for ``points``, padded; (0, 1) when nothing was
    measured.
    """
    finite = [p.score for p in points if p.score is not None and math.isfinite(p.score.value)]
    values = [s.value for s in finite] + [
        p.first for p in points if p.first is not None and math.isfinite(p.first)
    ]
    if not values:
        return 0.0, 1.0
    known = [s for s in finite if interval_known(s)]
    reach = _REACH * median((s.high - s.low) / 2 for s in known) if known else 0.0
    low = max(min([*values, *(s.low for s in known)]), min(values) - reach)
    high = min(max([*values, *(s.high for s in known)]), max(values) + reach)
    padding = 0.06 * (high - low) or abs(high) * 0.05 or 0.05
    return low - padding, high + padding


def _axis(points: Sequence[Measured]) -> tuple[float, float, float, tuple[float, ...]]:
    """Ends of the axis, a round step about a quarter of it long, and its ticks; none when nothing
    was measured.
    """
    low, high = axis_range(points)
    if not any(point.score for point in points):
        return low, high, 1.0, ()
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    first = math.ceil(low / step)
    ticks = tuple(round(i * step, 12) for i in range(first, math.floor(high / step) + 1))
    return low, high, step, ticks


def _tick_label(tick: float, step: float) -> str:
    if abs(tick) >= 1e6 or step < 1e-6:
        return number(tick)
    decimals = next(d for d in range(8) if math.isclose(step, round(step, d), rel_tol=1e-6))
    return f"{tick:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _runs(values: Sequence[object]) -> list[list[int]]:
    """Positions of the neighbouring values that are there, run by run."""
    grouped = groupby(range(len(values)), key=lambda i: values[i] is not None)
    return [list(run) for there, run in grouped if there]


def _path(
    values: Sequence[float | None], x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    points = [[(x(i), y(v)) for i in run if (v := values[i]) is not None] for run in _runs(values)]
    return " ".join("M" + " L".join(f"{a:g},{b:g}" for a, b in run) for run in points)


def _band(
    scores: Sequence[Interval | None], x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    """The intervals as closed shapes; one that stands alone becomes a bar six units wide."""
    known = [s if s is not None and interval_known(s) else None for s in scores]
    shapes = []
    for run in _runs(known):
        ends = [(x(i), y(s.high), y(s.low)) for i in run if (s := known[i]) is not None]
        if len(ends) == 1:
            at, top, bottom = ends[0]
            ends = [(at - 3, top, bottom), (at + 3, top, bottom)]
        upper = [f"{at:g},{top:g}" for at, top, _ in ends]
        lower = [f"{at:g},{bottom:g}" for at, _, bottom in reversed(ends)]
        shapes.append("M" + " L".join(upper + lower) + "Z")
    return " ".join(shapes)


def _slot_title(point: Measured) -> str:
    parts = [point.batch, interval(point.score) if point.score else "no score"]
    if point.first is not None:
        parts.append(f"first champion {number(point.first)}")
    return ", ".join(parts) + (f". {point.note}" if point.note else "")
