"""Tests of the must-be operators."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.limits import OPERATORS, Operator, allows_none_only, holds, interval, limit_text

PAIR = ("mustBeBetween", "mustNotBeBetween")


@pytest.mark.parametrize(
    ("operator", "limit", "within", "without"),
    [
        ("mustBe", 5, [5], [4, 6]),
        ("mustNotBe", 5, [4, 6], [5]),
        ("mustBeGreaterThan", 5, [6], [5]),
        ("mustBeGreaterOrEqualTo", 5, [5], [4]),
        ("mustBeLessThan", 5, [4], [5]),
        ("mustBeLessOrEqualTo", 5, [5], [6]),
        ("mustBeBetween", (2, 5), [2, 5], [1, 6]),
        ("mustNotBeBetween", (2, 5), [1, 6], [2, 5]),
    ],
)
def test_each_operator(
    operator: Operator, limit: Any, within: list[int], without: list[int]
) -> None:
    """Both ends of a pair belong to it, and NaN keeps nothing."""
    assert [holds(operator, limit, number) for number in within + without] == [True] * len(
        within
    ) + [False] * len(without)
    assert not holds(operator, limit, math.nan)


@given(st.sampled_from(OPERATORS), st.integers(0, 9), st.integers(0, 9), st.integers(0, 10))
def test_interval_and_words_of_any_limit(
    operator: Operator, first: int, second: int, count: int
) -> None:
    """The inclusive ends, where there are some, hold the same counts as the operator."""
    limit = tuple(sorted((first, second))) if operator in PAIR else first

    ends = interval(operator, limit)

    assert limit_text(operator, limit)
    if ends is None:
        assert operator in ("mustNotBe", "mustNotBeBetween")
    else:
        low, high = ends
        inside = (low is None or low <= count) and (high is None or count <= high)
        assert inside == holds(operator, limit, count)


@pytest.mark.parametrize(
    ("operator", "limit", "unit", "none_only"),
    [
        ("mustBe", 0, "rows", True),
        ("mustBeLessThan", 1, "rows", True),
        ("mustBeLessThan", 1, "percent", False),
        ("mustBeLessOrEqualTo", 0, "percent", True),
        ("mustBeLessOrEqualTo", 1, "rows", False),
        ("mustNotBeBetween", (1, 5), "rows", False),
        ("mustBeGreaterOrEqualTo", 0, "rows", False),
        ("mustBe", 3, "rows", False),
    ],
)
def test_when_a_limit_allows_no_row(
    operator: Operator, limit: Any, unit: str, none_only: bool
) -> None:
    """Only then is each row that counts to blame."""
    assert allows_none_only(operator, limit, unit) == none_only
