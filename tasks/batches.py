"""Batches: periods of event time, cut in the contract's time zone and stored in UTC.

========= ================= ======================================================================
every     id                remark
========= ================= ======================================================================
hour      2013-11-03T05Z    cut in UTC: on the autumn DST day a local hour stands twice on the clock
day       2013-05-17        23 or 25 hours long on DST days
week      2013-W20          ISO 8601, Monday to Sunday
month     2013-05
quarter   2013-Q2
year      2013
========= ================= ======================================================================
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from tasks.errors import MisuseError

Every = Literal["hour", "day", "week", "month", "quarter", "year"]

_PATTERNS: dict[Every, str] = {
    "hour": "([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2})Z",
    "day": "([0-9]{4})-([0-9]{2})-([0-9]{2})",
    "week": "([0-9]{4})-W([0-9]{2})",
    "month": "([0-9]{4})-([0-9]{2})",
    "quarter": "([0-9]{4})-Q([1-4])",
    "year": "([0-9]{4})",
}
_EXAMPLES: dict[Every, str] = {
    "hour": "2013-11-03T05Z",
    "day": "2013-05-17",
    "week": "2013-W20",
    "month": "2013-05",
    "quarter": "2013-Q2",
    "year": "2013",
}


class BatchNameError(MisuseError, ValueError):
    """A text is not the id of such a batch."""


class Batch(BaseModel):
    """One period of event time: ``start <= event time < end``, both in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    start: datetime
    end: datetime


def pattern_of(every: Every) -> str:
    """Return the regular expression that the ids of such batches match."""
    return _PATTERNS[every]


def batch_named(id: str, every: Every, timezone: str) -> Batch:
    """Return the batch called ``id``; BatchNameError shows the expected form when it is not a valid
    id.
    """
    match = re.fullmatch(_PATTERNS[every], id)
    try:
        if match is None:
            raise ValueError
        batch = _batch_at(
            _first_moment(every, [int(number) for number in match.groups()]), every, timezone
        )
        if batch.start >= batch.end:
            raise ValueError  # a day that a country jumped over, such as 2011-12-30 in Samoa
    except (ValueError, OverflowError):
        raise BatchNameError(
            f"expected the id of a {'daily' if every == 'day' else every + 'ly'} batch such as "
            f"{_EXAMPLES[every]!r}, found {id!r}"
        ) from None
    return batch


def batch_of(moment: datetime, every: Every, timezone: str) -> Batch:
    """Return the batch in which the aware ``moment`` lies; ValueError when it has no zone."""
    if moment.tzinfo is None:
        raise ValueError(
            f"expected a moment with its time zone, found {moment.isoformat()} without one"
        )
    zone = UTC if every == "hour" else ZoneInfo(timezone)
    # Without fold: where the clock is set back over midnight, the day begins at the first of two
    # midnights.
    local = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    first = {
        "hour": local.replace(minute=0, second=0, microsecond=0),
        "day": midnight,
        "week": midnight - timedelta(days=midnight.weekday()),
        "month": midnight.replace(day=1),
        "quarter": midnight.replace(day=1, month=3 * ((midnight.month - 1) // 3) + 1),
        "year": midnight.replace(day=1, month=1),
    }[every]
    return _batch_at(first, every, timezone)


def next_batch(batch: Batch, every: Every, timezone: str) -> Batch:
    """Return the batch that begins where ``batch`` ends."""
    return batch_of(batch.end, every, timezone)


def number_of(id: str, every: Every) -> int:
    """Return the number of a batch: of the next one it is one more. Where numbers begin means
    nothing.
    """
    numbers = [int(number) for number in re.findall(r"[0-9]+", id)]
    first = _first_moment(every, numbers)
    return {
        "hour": first.toordinal() * 24 + first.hour,
        "day": first.toordinal(),
        "week": first.toordinal() // 7,
        "month": first.year * 12 + first.month,
        "quarter": first.year * 4 + (first.month + 2) // 3,
        "year": first.year,
    }[every]


def _first_moment(every: Every, numbers: list[int]) -> datetime:
    if every == "week":
        return datetime.fromisocalendar(numbers[0], numbers[1], 1)
    if every == "quarter":
        return datetime(numbers[0], 3 * numbers[1] - 2, 1)
    year, month, day, hour = [*numbers, *[1, 1, 0][len(numbers) - 1 :]]
    return datetime(year, month, day, hour)


def _batch_at(first: datetime, every: Every, timezone: str) -> Batch:
    zone = UTC if every == "hour" else ZoneInfo(timezone)
    after = {
        "hour": first + timedelta(hours=1),
        "day": first + timedelta(days=1),
        "week": first + timedelta(days=7),
        "month": (first + timedelta(days=31)).replace(day=1),
        "quarter": (first + timedelta(days=93)).replace(day=1),
        "year": first.replace(year=first.year + 1, month=1, day=1),
    }[every]
    calendar = first.isocalendar()
    id = {
        "hour": f"{first.date().isoformat()}T{first.hour:02d}Z",
        "day": first.date().isoformat(),
        "week": f"{calendar.year:04d}-W{calendar.week:02d}",
        "month": f"{first.year:04d}-{first.month:02d}",
        "quarter": f"{first.year:04d}-Q{(first.month + 2) // 3}",
        "year": f"{first.year:04d}",
    }[every]
    return Batch(
        id=id,
        start=first.replace(tzinfo=zone).astimezone(UTC),
        end=after.replace(tzinfo=zone).astimezone(UTC),
    )
