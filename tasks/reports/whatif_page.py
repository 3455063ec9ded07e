"""The page of a replay under other policies: what each would have gained, and cost."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.records import WhatIf
from tasks.reports.page import render_page

WIDTH, LEFT, RIGHT, TOP, STEP = 1080, 300, 40, 34, 30
"""Of the plot, in its own units."""


@dataclass(frozen=True)
class Bar:
    """A policy on the plot: its gain, and the interval of it where that is known."""

    name: str
    y: float
    at: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True)
class Plot:
    """Gains of policies, one below the other, on one axis."""

    width: float
    height: float
    top: float
    zero: float
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]


def render_whatif_page(found: WhatIf) -> str:
    """Return the page: the advice, the plot, the table, and what would have been decided
    otherwise.
    """
    return render_page("whatif.html.j2", found=found, plot=plot_of(found))


def plot_of(found: WhatIf) -> Plot:
    """Return the plot of all policies but the spec's own, which is its zero."""
    others = found.tried[1:]
    ends = [0.0]
    for one in others:
        ends += [one.gain.value, *((one.gain.low, one.gain.high) if one.gain.known else ())]
    low, high = min(ends), max(ends)
    low, high = (low - 0.01, high + 0.01) if low == high else (low, high)
    scale = (WIDTH - LEFT - RIGHT) / (high - low)

    def x(gain: float) -> float:
        return round(LEFT + (gain - low) * scale, 1)

    bars = tuple(
        Bar(
            name=one.name,
            y=TOP + STEP * (i + 0.5),
            at=x(one.gain.value),
            low=x(one.gain.low) if one.gain.known else None,
            high=x(one.gain.high) if one.gain.known else None,
            title=f"{one.name}: {one.gain.value:+.1%}, {one.trainings} trainings,"
            f" {one.seconds:,.1f} CPU seconds",
        )
        for i, one in enumerate(others)
    )
    ticks = tuple((x(gain), f"{gain:+.1%}") for gain in sorted({low, 0.0, high}))
    return Plot(WIDTH, TOP + STEP * len(others) + 10, TOP, x(0.0), bars, ticks)
