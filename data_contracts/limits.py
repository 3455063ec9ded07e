"""The must-be operators of the standard: a number held against a limit."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

Operator = Literal[
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
_WORDS = {
    "mustBe": "exactly",
    "mustNotBe": "not",
    "mustBeGreaterThan": "more than",
    "mustBeGreaterOrEqualTo": "at least",
    "mustBeLessThan": "less than",
    "mustBeLessOrEqualTo": "at most",
}


def holds(operator: Operator, limit: Any, number: float) -> bool:  # noqa: ANN401 - a number or a pair of them
    """Return whether ``number`` keeps the limit; both ends of a pair belong to it.

    NaN keeps no limit.
    """
    if math.isnan(number):
        return False
    match operator:
        case "mustBe":
            return bool(number == limit)
        case "mustNotBe":
            return bool(number != limit)
        case "mustBeGreaterThan":
            return bool(number > limit)
        case "mustBeGreaterOrEqualTo":
            return bool(number >= limit)
        case "mustBeLessThan":
            return bool(number < limit)
        case "mustBeLessOrEqualTo":
            return bool(number <= limit)
        case "mustBeBetween":
            return bool(limit[0] <= number <= limit[1])
        case "mustNotBeBetween":
            return not limit[0] <= number <= limit[1]


def allows_none_only(operator: Operator, limit: Any, unit: str | None) -> bool:  # noqa: ANN401 - as above
    """Return whether 0 is the only count of rows within the limit: then each row that counts is to
    blame.
    """
    fewest = (
        1 if unit != "percent" else 1e-6
    )  # a share can be as small as one row of any number of rows
    return holds(operator, limit, 0) and not any(
        holds(operator, limit, count) for count in (fewest, 1, 2, 50, 100, 1e15)
    )


def interval(operator: Operator, limit: Any) -> tuple[float | None, float | None] | None:  # noqa: ANN401 - as above
    """Return the limit on a count as inclusive lower and upper end, None for an open one; None if
    it is none.
    """
    match operator:
        case "mustBe":
            return limit, limit
        case "mustBeBetween":
            return limit[0], limit[1]
        case "mustBeGreaterOrEqualTo":
            return limit, None
        case "mustBeLessOrEqualTo":
            return None, limit
        case "mustBeGreaterThan":
            return math.floor(limit) + 1, None
        case "mustBeLessThan":
            return None, math.ceil(limit) - 1
    return None


def limit_text(operator: Operator, limit: Any) -> str:  # noqa: ANN401 - as above
    """Return the limit in words, such as ``at most 5``."""
    if operator in ("mustBeBetween", "mustNotBeBetween"):
        return f"{'not ' if operator == 'mustNotBeBetween' else ''}{limit[0]:g} to {limit[1]:g}"
    return f"{_WORDS[operator]} {limit:g}"
