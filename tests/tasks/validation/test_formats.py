"""Tests of how strings are written, and of multiples."""

from typing import Any

import pandas as pd
import pytest

from data_contracts.contract import Rule
from tasks.validation.formats import broken_positions


@pytest.mark.parametrize(
    ("format", "sound", "broken"),
    [
        (
            "email",
            ["a@b.org", "first.last+tag@sub.example.co"],
            ["a@b", "a b@c.org", "@b.org", "a@b@c.org", "a@-b.org"],
        ),
        (
            "uuid",
            ["123e4567-e89b-12d3-a456-426614174000"],
            ["123e4567e89b12d3a456426614174000", "x", ""],
        ),
        (
            "uri",
            ["https://example.org/a?b=c#d", "urn:isbn:0451450523", "http://[::1]:80/"],
            ["example.org", "http://a b", "http://x:port/", "://x"],
        ),
        ("date", ["2024-02-29"], ["2023-02-29", "20240229", "2024-02-29T00:00:00Z", "2024-W01-1"]),
        (
            "date-time",
            ["2024-02-29T01:02:03Z", "2024-02-29t01:02:03.5+02:00"],
            ["2024-02-29", "2024-02-29T01:02:03", "2024-02-29T25:02:03Z"],
        ),
        ("ipv4", ["192.0.2.1"], ["192.0.2.256", "192.0.2", "192.000.2.1", "::1"]),
        ("ipv6", ["::1", "2001:db8::8a2e:370:7334"], ["192.0.2.1", "2001:::1"]),
        (
            "hostname",
            ["localhost", "a-b.example.org"],
            ["-a.org", "a_b.org", "a..org", "", "x" * 64],
        ),
    ],
)
def test_each_format(format: str, sound: list[str], broken: list[str]) -> None:
    """What is written so, and what is nearly; a gap breaks nothing."""
    rule = Rule("r", "row", "format", ("c",), {"format": format})

    positions = broken_positions(rule, pd.Series([*sound, None, *broken], dtype="str"))

    assert positions == tuple(range(len(sound) + 1, len(sound) + 1 + len(broken)))


@pytest.mark.parametrize(
    ("factor", "values", "positions"),
    [
        (5, [10, -5, 0, 7], (3,)),
        (5, [10.0, None, 7.0], (2,)),
        (0.1, [0.3, 0.7, -1.1, 0.35], (3,)),
        (0.01, [19.99, 1234567.89, 0.001], (2,)),
        (2, [float("inf"), 4.0], (0,)),
        (3, pd.Series([3 * 2**60 // 3 * 3, 2**60, None], dtype="Int64"), (1,)),
        (5, [None, None], ()),
    ],
)
def test_multiples(factor: float, values: Any, positions: tuple[int, ...]) -> None:
    """Whole numbers exactly, others in spite of binary fractions."""
    rule = Rule("r", "row", "multiple_of", ("c",), {"factor": factor})

    assert broken_positions(rule, pd.Series(values)) == positions


def test_times_that_stand_twice_on_the_clock() -> None:
    """Both moments of the repeated hour of Vienna's autumn, and none beside them."""
    rule = Rule("at:once_on_clock", "row", "once_on_clock", ("at",), {"timezone": "Europe/Vienna"})
    moments = pd.date_range("2024-10-26 23:30", periods=6, freq="30min", tz="UTC")

    assert broken_positions(rule, pd.Series([None, *moments], dtype=moments.dtype)) == (2, 3, 4, 5)
