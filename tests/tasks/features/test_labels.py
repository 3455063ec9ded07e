"""Tests of the join: only what was known, of each key the newest, and nothing for a row that has
none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract, load_contract
from tasks.batches import batch_named
from tasks.features.labels import add_labels, newest_labels, to_draw, with_row, without_row
from tests.tasks.builders import batch_record

START = datetime(2024, 1, 1, tzinfo=UTC)
ON, TARGET = ("booking_id",), "cancelled"
Word = tuple[int, int, bool | None]
"""Key, hour at which it became known, and what."""


def contract() -> Contract:
    """The contract of outcomes."""
    project = Path(__file__).parent.parent.parent / "projects" / "bookings"
    return load_contract(project / "data_contracts" / "outcomes.odcs.yaml")


def table(words: list[Word]) -> pa.Table:
    """Outcomes as they lie in a snapshot."""
    return pa.table(
        {
            "known_at": pa.array(
                [START + timedelta(hours=hour) for _, hour, _ in words], pa.timestamp("us", "UTC")
            ),
            "booking_id": pa.array([key for key, _, _ in words], pa.int64()),
            "cancelled": pa.array([value for _, _, value in words], pa.bool_()),
        }
    )


def rows(keys: list[int]) -> pa.Table:
    """Bookings with these keys, in this order."""
    return pa.table({"booking_id": pa.array(keys, pa.int64()), "place": pa.array(range(len(keys)))})


def joined(keys: list[int], words: list[Word], hour: int, pieces: int = 1) -> list[bool | None]:
    """The label of each row at an hour; the words come in so many batches."""
    tables = [table(words[i::pieces]) for i in range(pieces)]
    newest = newest_labels(tables, contract(), ON, TARGET, START + timedelta(hours=hour))
    found = add_labels(rows(keys), newest, ON, TARGET)
    assert found["place"].to_pylist() == list(range(len(keys))), "rows stay in their order"
    assert found["cancelled"].type == pa.bool_()
    values: list[bool | None] = found["cancelled"].to_pylist()
    return values


@pytest.mark.parametrize(
    ("words", "hour", "expected"),
    [
        ([(1, 0, True)], 0, [True, None]),
        ([(1, 5, True)], 4, [None, None]),
        ([(1, 0, True), (1, 5, False)], 4, [True, None]),
        ([(1, 0, True), (1, 5, False)], 5, [False, None]),
        ([(1, 5, False), (1, 0, True)], 9, [False, None]),
        ([(1, 0, True), (1, 5, None)], 9, [None, None]),
        ([(7, 0, True)], 9, [None, None]),
        ([], 9, [None, None]),
    ],
    ids=[
        "known",
        "not known yet",
        "before its correction",
        "corrected",
        "corrected, out of order",
        "taken back",
        "of nobody",
        "none at all",
    ],
)
def test_newest_label_that_was_known(
    words: list[Word], hour: int, expected: list[bool | None]
) -> None:
    """A row without a label has none: it is never a negative."""
    assert joined([1, 2], words, hour) == expected


_WORDS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 40), st.none() | st.booleans()),
    unique_by=lambda word: word[:2],
    max_size=40,
)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=20), _WORDS, st.integers(-1, 41), st.integers(1, 4))
def test_join_is_what_a_look_at_each_row_gives(
    keys: list[int], words: list[Word], hour: int, pieces: int
) -> None:
    """However the words are cut into batches: of those known at the hour, a row has the newest of
    its own key.
    """

    def look(key: int) -> bool | None:
        own = [(known, value) for other, known, value in words if other == key and known <= hour]
        return max(own, key=lambda word: word[0])[1] if own else None

    assert joined(keys, words, hour, pieces) == [look(key) for key in keys]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=20), _WORDS, st.integers(0, 40))
def test_no_peeking(keys: list[int], words: list[Word], hour: int) -> None:
    """What becomes known later changes nothing at the hour."""
    known = [word for word in words if word[1] <= hour]

    assert joined(keys, words, hour) == joined(keys, known, hour)


def test_large_keys_stay_apart() -> None:
    """Two ids that float64 holds as one are two."""
    first = 2**53

    assert joined([first, first + 1], [(first + 1, 0, True)], 1) == [None, True]


def test_compound_key() -> None:
    """All columns of the key must agree."""
    labels = pa.table({"a": [1, 1], "b": ["x", "y"], "cancelled": [True, False]})

    found = add_labels(pa.table({"a": [1, 1, 2], "b": ["y", "z", "x"]}), labels, ("a", "b"), TARGET)

    assert found["cancelled"].to_pylist() == [False, None, None]


def test_labels_of_nobody() -> None:
    """Those whose key no row has, once for each word."""
    left = without_row(
        table([(1, 0, True), (2, 0, True), (2, 1, False), (3, 0, True)]), rows([3, 1, 1]), ON
    )

    assert left["booking_id"].to_pylist() == [2, 2]


def test_labels_of_some_rows() -> None:
    """Those whose key some row has, each of them."""
    found = with_row(
        table([(1, 0, True), (2, 0, True), (2, 1, False), (3, 0, True)]), rows([3, 2, 2]), ON
    )

    assert found["booking_id"].to_pylist() == [2, 2, 3]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.integers(1, 60),
    st.none() | st.integers(1, 60),
)
def test_rows_that_are_taken_are_bounded(counts: list[int], most: int, older: int | None) -> None:
    """Of each batch no more than it has, and one at least; of a training the newest ones whole, as
    far as they fit, and those before them together no more than asked for.
    """
    records = [
        batch_record(
            batch=batch_named(f"2020-01-{day:02d}", "day", "UTC"),
            verdict=batch_record().verdict.but(rows=count + 2, quarantined=2),
        )
        for day, count in enumerate(counts, start=1)
    ]

    taken = list(to_draw(records, most, older).values())

    assert all(1 <= one <= count for one, count in zip(taken, counts, strict=True))
    if older is None:
        assert taken == [min(count, most) for count in counts]
        return
    whole = 1
    while whole < len(counts) and sum(counts[-whole - 1 :]) <= most:
        whole += 1
    assert taken[-whole:] == [min(count, most) for count in counts[-whole:]]
    before = counts[:-whole]
    assert sum(taken[:-whole]) <= older + len(before)  # one at least of each
    if sum(before) <= older:
        assert taken[:-whole] == before
