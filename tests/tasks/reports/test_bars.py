"""Geometry of what stands in a table."""

from __future__ import annotations

import math

import pytest

from tasks.records import Histogram, Interval
from tasks.reports.bars import distribution, heat_step, meter, whiskers
from tests.tasks.reports.conftest import a_feature, still


def test_many_bins_keep_the_largest_and_lose_no_share():
    """Bins that are not told apart are added up in the last one."""
    shares = tuple(i / 465 for i in range(31))
    histogram = Histogram(labels=tuple(map(str, range(31))), before=shares, after=shares[::-1])

    bins = distribution(histogram).bins

    assert len(bins) == 12
    assert bins[-1].title == "20 others: 67% → 62%"
    assert bins[0].title == "0: 0% → 6.5%"


def test_a_distribution_without_values_is_drawn_empty():
    """A batch that holds no value has bars of height zero."""
    bars = distribution(Histogram(labels=("a", "b"), before=(0.5, 0.5), after=()))

    assert [bin.after for bin in bars.bins] == [0.0, 0.0]


def test_whiskers_share_an_axis_that_holds_nothing_too():
    """Bars go from 0 to the value, on one axis with every interval."""
    values = [
        Interval(value=0.02, low=0.01, high=0.03),
        Interval(value=-0.01, low=-0.02, high=0.0),
    ]

    up, down = whiskers(values)

    assert (up.zero, up.start, up.length, up.low, up.high) == (40, 40, 40, 60, 100)
    assert (down.zero, down.start, down.length, down.low, down.high) == (40, 20, 20, 0, 40)


def test_meter_marks_the_threshold_and_cuts_what_is_off_the_scale():
    """The mark stands at one threshold; no bar is longer than its track."""
    assert meter(1.0, 2.0).fill == meter(1.0, 2.0).mark == 50.0
    assert meter(40.0, 40.0).fill == 100.0
    assert meter(40.0, 40.0).cut
    assert not meter(2.0, 2.0).cut


@pytest.mark.parametrize(
    ("times", "outcome", "step"),
    [
        (None, "not evaluable", "m"),
        (3.0, "cannot be told", "m"),
        (0.2, "usual", "0"),
        (0.9, "usual", "1"),
        (1.1, "unusual", "2"),
        (2.0, "unusual", "3"),
        (5.0, "unusual", "4"),
        (math.inf, "unusual", "5"),
    ],
)
def test_heat_step(times, outcome, step):
    """Grey below the threshold; above it a step a doubling; hatched where it cannot be told, in the
    colour of what is unusual when it moved.
    """
    assert heat_step(a_feature(outcome=outcome), times) == step
    if step == "m":
        assert heat_step(still(outcome=outcome), times) == "n"
