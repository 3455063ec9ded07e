"""Numbers, shares and moments as people read them: three to four digits, and the same
everywhere.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from tasks.records import FeatureDrift, Interval

UNKNOWN = "interval unknown"
NOTHING = "\N{EN DASH}"
"""Shown where there is no value."""

_WIDE = 1000
"""From here on a number is shown whole, with separators: the digits after the point carry nothing.
"""
_LONG = 1e15
"""From here on it is shown by its first digits and a power of ten."""
_ACRONYMS = {
    "roc": "ROC",
    "auc": "AUC",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R\N{SUPERSCRIPT TWO}",
    "mape": "MAPE",
}


def number(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with so many significant digits, or whole with thousands separators when it
    is large.
    """
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "infinite" if value > 0 else _minus("-infinite")
    if abs(value) < _LONG and (float(value).is_integer() or abs(value) >= _WIDE):
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:.{digits}g}" if abs(value) >= 1e-3 else f"{value:.2g}")


def ratio(value: float | None) -> str:
    """Return a score as a multiple of its threshold, e.g. ``3.1x`` (with the sign of
    multiplication).
    """
    if value is None:
        return NOTHING
    if math.isinf(value):
        return "infinite"
    return (
        f"{value:,.0f}\N{MULTIPLICATION SIGN}"
        if value >= 10
        else f"{value:.1f}\N{MULTIPLICATION SIGN}"
    )


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as a percentage that never rounds to 0% or 100% unless it is."""
    if share is None:
        return NOTHING
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.995 < share < 1:
        return ">99%"
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"


def odds(p_value: float | None) -> str:
    """Return a small probability as ``1 in 4,800``, rounded to two digits, and a large one as a
    percentage.
    """
    if p_value is None:
        return NOTHING
    if p_value >= 0.1:
        return percent(p_value)
    if p_value < 1e-6:
        return "less than 1 in a million"
    return f"1 in {int(float(f'{1 / p_value:.2g}')):,}"


def interval_known(interval: Interval) -> bool:
    """Whether both ends are finite: on too few blocks of time they are not."""
    return interval.known


def estimate(value: float | None, beside: Interval | None) -> str:
    """Return ``value`` with as many decimals as the interval ``beside`` it has use for: two digits
    of its width.
    """
    if value is None or beside is None or not interval_known(beside) or not math.isfinite(value):
        return number(value)
    width = beside.high - beside.low
    if width <= 0:
        return number(value)
    decimals = min(max(1 - math.floor(math.log10(width)), 0), 6)
    return _minus(f"{value:,.{decimals}f}")


def value(of: Interval | None) -> str:
    """Return ``0.490``, with the digits that its interval has use for; a dash without a score."""
    return NOTHING if of is None else estimate(of.value, of)


def ends(of: Interval | None) -> str:
    """Return ``0.470 to 0.510``, or that the interval is unknown or the score not defined."""
    if of is None:
        return "not defined on these rows"
    return f"{estimate(of.low, of)} to {estimate(of.high, of)}" if interval_known(of) else UNKNOWN


def interval(of: Interval | None) -> str:
    """Return ``0.490 [0.470, 0.510]``, or the value and that its interval is unknown."""
    if of is None:
        return NOTHING
    if not interval_known(of):
        return f"{number(of.value)} ({UNKNOWN})"
    return f"{estimate(of.value, of)} [{estimate(of.low, of)}, {estimate(of.high, of)}]"


def moment(when: datetime | None) -> str:
    """Return an aware moment to the minute, in UTC and saying so."""
    return NOTHING if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def counted(count: int, one: str, many: str) -> str:
    """Return the count with its noun: ``1 batch``, ``1,200 batches``."""
    return f"{count:,} {one if count == 1 else many}"


def in_words(metric: str) -> str:
    """Return a metric's name as it is spoken: ``roc_auc`` is ``ROC AUC``."""
    return " ".join(_ACRONYMS.get(word, word) for word in metric.split("_"))


def in_plain_words(decision: str) -> str:
    """Return a kind of decision as it is spoken: ``RollBack`` is ``Roll back``."""
    return {
        "RollBack": "Roll back",
        "AwaitApproval": "Await approval",
        "Shadow": "In shadow",
        "refused": "Refused",
    }.get(decision, decision)


def times_threshold(feature: FeatureDrift) -> float | None:
    """How many times its threshold a feature moved, in its values or in the share of missing ones;
    None when that cannot be told of either.
    """
    gaps = feature.missing
    both = (
        values_times_threshold(feature),
        None if gaps is None else _times(gaps.score, gaps.threshold),
    )
    return max((times for times in both if times is not None), default=None)


def values_times_threshold(feature: FeatureDrift) -> float | None:
    """How many times their threshold the values moved; None when that cannot be told."""
    return None if feature.score is None else _times(feature.score, feature.threshold)


def _times(score: float, threshold: float | None) -> float | None:
    if threshold is None:
        return None
    if threshold > 0:
        return score / threshold
    return math.inf if score > 0 else 0.0


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text
