"""Tests of the sign of change: which rows there are, in whatever order and pieces."""

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.fingerprint import rows_fingerprint

rows_of_cells = st.lists(
    st.tuples(st.none() | st.integers(-2, 2), st.none() | st.sampled_from(["", "a"])), max_size=8
)


def table_of(rows: list[tuple[Any, ...]], names: tuple[str, ...] = ("id", "note")) -> pa.Table:
    """The rows as a table."""
    types = (pa.int64(), pa.string())
    return pa.table(
        {name: pa.array([row[i] for row in rows], types[i]) for i, name in enumerate(names)}
    )


@given(rows=rows_of_cells, data=st.data())
def test_any_order_in_any_pieces(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """The sums of the pieces of a shuffled table add up to the sum of the table."""
    shuffled = data.draw(st.permutations(rows))
    at = data.draw(st.integers(0, len(rows)))
    pieces = [rows_fingerprint(table_of(part)) for part in (shuffled[:at], shuffled[at:])]

    assert sum(pieces) % 2**64 == rows_fingerprint(table_of(rows))


@given(
    rows=st.lists(
        st.tuples(st.integers(-2, 2), st.sampled_from(["", "a"])), min_size=1, max_size=5
    ),
    data=st.data(),
)
def test_any_change_shows(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """Another value, a gap, a row more or less, or values that changed columns make another
    sign.
    """
    at = data.draw(st.integers(0, len(rows) - 1))
    others = [
        [*rows[:at], (rows[at][0] + 7, rows[at][1]), *rows[at + 1 :]],
        [*rows[:at], (rows[at][0], None), *rows[at + 1 :]],
        rows[:at] + rows[at + 1 :],
        [*rows, rows[at]],
    ]

    found = {rows_fingerprint(table_of(other)) for other in [rows, *others]}

    assert len(found) == 5
    assert rows_fingerprint(table_of(rows, ("note", "id"))) not in found


def test_types_and_absent_columns_do_not_count() -> None:
    """The same text is the same value, and a column without values is as none: a file's other rows
    decide on both.
    """
    plain = pa.table({"id": [1, 2]})

    assert rows_fingerprint(plain) == rows_fingerprint(
        pa.table({"id": ["1", "2"], "note": pa.nulls(2)})
    )
    assert rows_fingerprint(plain) == rows_fingerprint(pa.table({"id": [1.0, 2.0]}))
