"""Tests of batches: periods of event time in the contract's zone."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.batches import Every, batch_named, batch_of, next_batch, number_of, pattern_of

NEW_YORK = "America/New_York"
ZONES = (
    "UTC",
    NEW_YORK,
    "Asia/Kolkata",
    "America/Havana",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Europe/Berlin",
)
PERIODS: tuple[Every, ...] = ("hour", "day", "week", "month", "quarter", "year")

moments = st.datetimes(datetime(1990, 1, 2), datetime(2060, 1, 1), timezones=st.just(UTC))


def utc(text: str) -> datetime:
    """The moment that the ISO 8601 ``text`` says, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("every", "id", "start", "end"),
    [
        ("hour", "2013-11-03T05Z", "2013-11-03T05:00Z", "2013-11-03T06:00Z"),
        ("day", "2013-05-17", "2013-05-17T00:00-04:00", "2013-05-18T00:00-04:00"),
        ("week", "2013-W20", "2013-05-13T00:00-04:00", "2013-05-20T00:00-04:00"),
        ("month", "2013-05", "2013-05-01T00:00-04:00", "2013-06-01T00:00-04:00"),
        ("month", "2013-12", "2013-12-01T00:00-05:00", "2014-01-01T00:00-05:00"),
        ("quarter", "2013-Q4", "2013-10-01T00:00-04:00", "2014-01-01T00:00-05:00"),
        ("year", "2013", "2013-01-01T00:00-05:00", "2014-01-01T00:00-05:00"),
    ],
)
def test_every_period(every: Every, id: str, start: str, end: str) -> None:
    """A batch begins and ends at local midnight, the hour at the full hour in UTC."""
    batch = batch_named(id, every, NEW_YORK)

    assert (batch.id, batch.start, batch.end) == (id, utc(start), utc(end))


@pytest.mark.parametrize(
    ("day", "hours"), [("2013-03-10", 23), ("2013-11-03", 25), ("2013-05-17", 24)]
)
def test_days_of_daylight_saving_time(day: str, hours: int) -> None:
    """The day on which the clock is set has an hour less or more."""
    batch = batch_named(day, "day", NEW_YORK)

    assert batch.end - batch.start == timedelta(hours=hours)


def test_hours_when_the_clock_is_set_back() -> None:
    """The local hour that comes twice is two batches, each an hour long."""
    zone = ZoneInfo(NEW_YORK)
    first = batch_of(datetime(2013, 11, 3, 1, 30, tzinfo=zone, fold=0), "hour", NEW_YORK)
    second = batch_of(datetime(2013, 11, 3, 1, 30, tzinfo=zone, fold=1), "hour", NEW_YORK)

    assert (first.id, second.id) == ("2013-11-03T05Z", "2013-11-03T06Z")
    assert next_batch(first, "hour", NEW_YORK) == second


def test_midnight_that_comes_twice() -> None:
    """In Havana the clock goes from 1:00 back to 0:00: both half past midnights are the same
    day.
    """
    zone = ZoneInfo("America/Havana")
    days = [
        batch_of(datetime(2013, 11, 3, 0, 30, tzinfo=zone, fold=fold), "day", "America/Havana")
        for fold in (0, 1)
    ]

    assert days[0] == days[1] == batch_named("2013-11-03", "day", "America/Havana")
    assert days[0].end - days[0].start == timedelta(hours=25)


@pytest.mark.parametrize(
    ("moment", "id"),
    [
        ("2012-12-31T12:00-05:00", "2013-W01"),
        ("2013-12-30T12:00-05:00", "2014-W01"),
        ("2011-01-01T12:00-05:00", "2010-W52"),
        ("2021-01-03T12:00-05:00", "2020-W53"),
    ],
)
def test_weeks_at_year_ends(moment: str, id: str) -> None:
    """ISO weeks belong to the year of their Thursday."""
    assert batch_of(utc(moment), "week", NEW_YORK).id == id


@pytest.mark.parametrize(
    ("every", "id"),
    [
        ("month", "2013-13"),
        ("month", "2013-5"),
        ("month", "2013"),
        ("week", "2013-W53"),
        ("week", "2013-05"),
        ("day", "2013-02-29"),
        ("hour", "2013-11-03T24Z"),
        ("quarter", "2013-Q5"),
        ("year", "0000"),
        ("year", "9999"),
        ("month", "\uff12\uff10\uff11\uff13-05"),
        ("month", "2013-05\n"),
        ("day", ""),
    ],
)
def test_invalid_ids(every: Every, id: str) -> None:
    """An id that no calendar has, or that belongs to another period, is refused with an example."""
    period = {"day": "daily"}.get(every, f"{every}ly")

    with pytest.raises(
        ValueError, match=f"expected the id of a {period} batch such as '.*', found"
    ):
        batch_named(id, every, NEW_YORK)


def test_day_that_a_country_jumped_over() -> None:
    """Samoa had no 30 December 2011: there is no such batch, and the days beside it are
    adjacent.
    """
    with pytest.raises(ValueError, match="2011-12-30"):
        batch_named("2011-12-30", "day", "Pacific/Apia")

    assert (
        next_batch(batch_named("2011-12-29", "day", "Pacific/Apia"), "day", "Pacific/Apia").id
        == "2011-12-31"
    )


def test_moment_without_zone_is_refused() -> None:
    """A naive moment would be taken for the zone of the machine."""
    with pytest.raises(ValueError, match="time zone"):
        batch_of(datetime(2013, 5, 17), "day", NEW_YORK)


@given(moment=moments, every=st.sampled_from(PERIODS), zone=st.sampled_from(ZONES))
@example(moment=datetime(2013, 11, 3, 5, 30, tzinfo=UTC), every="day", zone="America/Havana")
@example(moment=datetime(2011, 12, 30, 10, tzinfo=UTC), every="day", zone="Pacific/Apia")
def test_laws(moment: datetime, every: Every, zone: str) -> None:
    """A moment's batch contains it, is found by its id, and is followed without gap by the next."""
    batch = batch_of(moment, every, zone)
    after = next_batch(batch, every, zone)

    assert batch.start <= moment < batch.end
    assert batch_named(batch.id, every, zone) == batch
    assert after.start == batch.end < after.end
    assert batch.id < after.id


@pytest.mark.parametrize("every", PERIODS)
def test_pattern_reads_only_ascii_digits(every: Every) -> None:
    """Ids are file names: other digits would give two names to one batch."""
    id = batch_of(datetime(2013, 5, 17, tzinfo=UTC), every, "UTC").id

    assert re.fullmatch(pattern_of(every), id)
    assert not re.fullmatch(pattern_of(every), id.replace("2", "\uff12", 1))


@pytest.mark.parametrize("every", ["hour", "day", "week"])
def test_batch_that_begins_on_a_leap_day(every: Every) -> None:
    """The 29th of February begins a batch like any other day; in 2016 it was a Monday."""
    batch = batch_of(datetime(2016, 2, 29, tzinfo=UTC), every, "UTC")

    assert batch.start == datetime(2016, 2, 29, tzinfo=UTC)
    assert batch_named(batch.id, every, "UTC") == batch


@given(moment=moments, every=st.sampled_from(PERIODS), zone=st.sampled_from(ZONES))
def test_batches_are_numbered_one_after_another(moment: datetime, every: Every, zone: str) -> None:
    """Over the ends of months and years, and the hour that comes twice; a day that a country left
    out has its number all the same.
    """
    batch = batch_of(moment, every, zone)
    after = next_batch(batch, every, zone)

    step = number_of(after.id, every) - number_of(batch.id, every)

    assert step == 1 or (step == 2 and zone == "Pacific/Apia" and batch.id == "2011-12-29")
