"""Numbers as people read them."""

# ruff: noqa: RUF001 - the pages are set with typographic signs, and the tests read them

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest

from tasks.records import Interval
from tasks.reports.figures import (
    NOTHING,
    ends,
    estimate,
    in_words,
    interval,
    moment,
    number,
    odds,
    percent,
    ratio,
    times_threshold,
)
from tests.tasks.reports.conftest import a_feature

INFINITE = Interval(value=0.7, low=-math.inf, high=math.inf)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.73124, "0.7312"),
        (-0.5, "−0.5"),
        (336776, "336,776"),
        (28796.4, "28,796"),
        (1.9e304, "1.9e+304"),
        (2e15, "2e+15"),
        (0.0000312, "3.1e-05"),
        (math.nan, "unknown"),
        (math.inf, "infinite"),
    ],
)
def test_number(value, text):
    """Four significant digits, separators for thousands, words for what is no number."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (0.0004, "<0.1%"),
        (0.031, "3.1%"),
        (0.142, "14%"),
        (0.999, ">99%"),
        (1.0, "100%"),
    ],
)
def test_percent(share, text):
    """A share never rounds to nothing or to all unless it is."""
    assert percent(share) == text


def test_interval_has_the_decimals_of_its_width():
    """Digits that the interval makes meaningless are not shown."""
    assert interval(Interval(value=0.49071, low=0.4713, high=0.5104)) == "0.491 [0.471, 0.510]"
    assert interval(Interval(value=1234.5, low=1100.2, high=1400.9)) == "1,234 [1,100, 1,401]"
    assert estimate(0.70219, Interval(value=0.7, low=0.69, high=0.71)) == "0.702"


def test_infinite_interval_is_unknown():
    """Too few blocks of time give no interval, and the reader is told."""
    assert interval(INFINITE) == "0.7 (interval unknown)"
    assert ends(INFINITE) == "interval unknown"
    assert estimate(0.70219, INFINITE) == "0.7022"


def test_moment_is_utc():
    """A moment of any zone is shown in UTC, and says so."""
    assert (
        moment(datetime(2013, 6, 1, 1, 30, tzinfo=timezone(timedelta(hours=-4))))
        == "2013-06-01 05:30 UTC"
    )


def test_names_and_multiples():
    """Metrics are spoken, multiples carry their sign, an unknown score has none."""
    assert in_words("roc_auc") == "ROC AUC"
    assert ratio(times_threshold(a_feature(score=0.31, threshold=0.1))) == "3.1×"
    assert times_threshold(a_feature(score=None, outcome="not evaluable")) is None
    assert ratio(times_threshold(a_feature(threshold=0.0))) == "infinite"


def test_odds():
    """Small probabilities are one in so many, to two digits; large ones are shares."""
    assert [odds(p) for p in (None, 0.5, 0.1, 0.04, 0.00021, 3e-6, 1e-9)] == [
        NOTHING,
        "50%",
        "10%",
        "1 in 25",
        "1 in 4,800",
        "1 in 330,000",
        "less than 1 in a million",
    ]
