"""Tests of the letters in which a source writes its times."""

from __future__ import annotations

import re

import pytest

from data_contracts.time_format import pattern_of


def test_fields_are_named() -> None:
    """Signs and quoted text stand for themselves."""
    found = re.match(pattern_of("d.M.yyyy 'um' H:mm"), "1.12.2024 um 7:05")

    assert found is not None
    assert found.groupdict() == {
        "day": "1",
        "month": "12",
        "year": "2024",
        "hour": "7",
        "minute": "05",
    }


@pytest.mark.parametrize(
    ("format", "reason"),
    [
        ("dd.MM.yyyy QQ", "the letters 'QQ'"),
        ("dd.mm.yyyy", "no month"),
        ("MM.yyyy", "no day"),
        ("dd.MM.yyyy hh:mm", "'h' without 'a'"),
        ("dd.MM.yyyy dd", "the same field twice"),
        ("dd.MM.yyyy 'um", "a quote that is not closed"),
    ],
)
def test_formats_that_give_no_day(format: str, reason: str) -> None:
    """They are refused with the reason."""
    with pytest.raises(ValueError, match=reason):
        pattern_of(format)
