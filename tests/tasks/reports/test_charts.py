"""Geometry of the charts over time."""

from __future__ import annotations

import math

import pytest

from tasks.records import Interval
from tasks.reports.charts import Area, Measured, axis_range, line_chart

AREA = Area(width=200, height=100, left=20, right=0, top=10, bottom=10)


def measured(batch, value=None, half=0.01, first=None):
    """A point with a symmetrical interval, or none."""
    score = None if value is None else Interval(value=value, low=value - half, high=value + half)
    return Measured(batch, score, first)


def test_a_missing_score_breaks_the_line():
    """No line is drawn through a batch that was not judged."""
    chart = line_chart(
        [measured("a", 0.7), measured("b"), measured("c", 0.7), measured("d", 0.72)], AREA
    )

    assert chart.line.count("M") == 2
    assert len(chart.dots) == 3
    assert len(chart.slots) == 4


def test_higher_scores_stand_higher():
    """y grows downwards in the picture."""
    low, high = line_chart([measured("a", 0.6), measured("b", 0.8)], AREA).dots

    assert high.y < low.y
    assert AREA.top <= high.y
    assert low.y <= AREA.height - AREA.bottom


@pytest.mark.parametrize(
    "points", [[], [measured("a")], [measured("a", 0.0, 0.0)], [measured("a", math.nan)]]
)
def test_little_or_nothing_measured_still_makes_a_chart(points):
    """Zero or one judged batch, a flat one, or a score that is no number."""
    chart = line_chart(points, AREA)

    assert "nan" not in chart.line + chart.band
    assert len(chart.slots) == len(points)


def test_an_unknown_interval_has_no_band():
    """The value is drawn hollow; infinity is not drawn."""
    chart = line_chart([measured("a", 0.7, math.inf), measured("b", 0.7, math.inf)], AREA)

    assert chart.band == ""
    assert [dot.known for dot in chart.dots] == [False, False]


def test_one_wide_interval_does_not_flatten_the_chart():
    """The axis follows the typical interval, not the widest."""
    low, high = axis_range(
        [*(measured(str(i), 0.7 + i / 100) for i in range(5)), measured("x", 0.7, 50.0)]
    )

    assert high - low < 0.5
