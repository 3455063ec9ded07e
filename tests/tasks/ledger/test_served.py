"""Tests of the ledger's index of what was served, and of what was delivered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from tasks.ledger.served import (
    PartTakenError,
    any_undelivered,
    mark_delivered,
    mark_scored,
    record_served,
    scored_fingerprints,
    served_parts,
    undelivered,
)
from tasks.records import ServedPart


def part(batch: str = "2020-01", **changes: object) -> ServedPart:
    """A part that is not written down yet."""
    values: dict[str, object] = {
        "model": "flights",
        "batch": batch,
        "sequence": 1,
        "version": 3,
        "adjusted_by": 17,
        "rows": 10,
        "path": "served/flights/x.parquet",
        "sha256": "a" * 64,
        "scored_at": datetime(2020, 1, 5, tzinfo=UTC),
        "source": "here",
    }
    return ServedPart.model_validate(values | changes)


def test_parts_are_kept_as_they_were_given(engine: Engine) -> None:
    """With a number that grows, and their place in their batch."""
    first = record_served(engine, part(), 1)
    other = record_served(engine, part("2020-02", adjusted_by=None), 1)
    second = record_served(engine, part(), 2)

    assert served_parts(engine, "flights") == (first, other, second)
    assert served_parts(engine, "flights", "2020-01") == (first, second)
    assert first.number < other.number < second.number
    assert (first.served_by, other.served_by) == ("v3.17", "v3")
    assert first.scored_at == datetime(2020, 1, 5, tzinfo=UTC)
    assert served_parts(engine, "weather") == ()


def test_of_several_runs_one_writes_a_part_down(engine: Engine) -> None:
    """The others are told, and look again; nothing is written twice."""

    def write(_: int) -> bool:
        try:
            record_served(engine, part(), 1)
        except PartTakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(write, range(16)))

    assert sum(wrote) == 1
    assert len(served_parts(engine, "flights")) == 1


def test_each_sink_is_given_what_it_has_not_been_given(engine: Engine) -> None:
    """In order, and told twice it is given once."""
    first, second = (record_served(engine, part(), number) for number in (1, 2))

    assert undelivered(engine, "flights", "desk") == (first, second)
    mark_delivered(engine, "desk", first)
    mark_delivered(engine, "desk", first)
    assert undelivered(engine, "flights", "desk") == (second,)
    assert undelivered(engine, "flights", "other") == (first, second)
    assert any_undelivered(engine, "flights", "desk")
    mark_delivered(engine, "desk", second)
    assert not any_undelivered(engine, "flights", "desk")
    assert undelivered(engine, "flights", "desk") == ()


def test_what_was_scored_last_is_known_by_its_fingerprint(engine: Engine) -> None:
    """The newest stands; other models have theirs."""
    mark_scored(engine, "flights", "2020-01", "a")
    mark_scored(engine, "flights", "2020-01", "b")
    mark_scored(engine, "flights", "2020-02", "c")

    assert scored_fingerprints(engine, "flights") == {"2020-01": "b", "2020-02": "c"}
    assert scored_fingerprints(engine, "weather") == {}


def test_a_part_of_no_batch_is_refused(engine: Engine) -> None:
    """What another fault breaks is not taken for another run's part."""
    record_served(engine, part(), 1)

    with pytest.raises(PartTakenError, match="flights 2020-01: part 1 is there"):
        record_served(engine, part(), 1)
