"""Tests of sorting beyond memory: the same order as in memory, and no more held than a run."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.ingest.sorting import SortedRows

KEYS = ("time", "text", "number")
rows_of_cells = st.lists(
    st.tuples(
        st.none() | st.integers(0, 3),
        st.none() | st.sampled_from(["", "a", "b"]),
        st.none() | st.floats(-1, 1, width=16) | st.just(float("nan")),
    ),
    max_size=60,
)


def order(table: pa.Table) -> pa.Array:
    """The positions of the rows, sorted by all columns."""
    return pc.sort_indices(table, sort_keys=[(name, "ascending") for name in KEYS])


def table_of(rows: list[tuple[int | None, str | None, float | None]]) -> pa.Table:
    """The rows as a table."""
    types = (pa.int64(), pa.string(), pa.float64())
    return pa.table({name: pa.array([r[i] for r in rows], types[i]) for i, name in enumerate(KEYS)})


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    rows=rows_of_cells, pieces=st.integers(1, 9), run=st.integers(1, 12), block=st.integers(1, 5)
)
def test_merged_runs_are_the_sorted_whole(
    tmp_path: Path,
    rows: list[tuple[int | None, str | None, float | None]],
    pieces: int,
    run: int,
    block: int,
) -> None:
    """However the rows come, and however small runs and blocks are, they come out as one sort puts
    them.
    """
    table = table_of(rows)
    found = SortedRows(order, tmp_path, run_rows=run, block_rows=block)
    for start in range(0, max(1, len(rows)), pieces):
        found.add(table.slice(start, pieces))

    merged = pa.concat_tables(found.tables())

    # NaN is not equal to itself: compare what is written.
    assert str(merged.to_pylist()) == str(table.take(order(table)).to_pylist())


@pytest.mark.parametrize("kind", ["sorted", "reversed", "interleaved", "all alike"])
def test_no_more_than_a_run_and_a_block_of_each(tmp_path: Path, kind: str) -> None:
    """Whatever order the rows come in, what is sorted at a time is bounded."""
    times = {
        "sorted": list(range(3000)),
        "reversed": list(range(3000, 0, -1)),
        "interleaved": [i * 7919 % 3001 for i in range(3000)],
        "all alike": [1] * 3000,
    }[kind]
    sizes: list[int] = []

    def counted(table: pa.Table) -> pa.Array:
        sizes.append(table.num_rows)
        return order(table)

    found = SortedRows(counted, tmp_path, run_rows=100, block_rows=5)
    for start in range(0, 3000, 50):
        found.add(table_of([(time, "a", None) for time in times[start : start + 50]]))
    runs = 3000 // 100
    merged = pa.concat_tables(found.tables())["time"].to_pylist()

    assert merged == sorted(times)
    assert max(size for size in sizes if size != 3000 // 5) <= 100 + 5 * runs + 1
