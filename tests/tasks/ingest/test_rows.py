"""Tests of rows read piece by piece: the same table, however they were cut into pieces."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract
from tasks.ingest.formats import read_pieces
from tasks.ingest.rows import Piece, Rows
from tasks.ingest.source import SourceError, UnreadableError
from tests.sample_contract import sample_contract

values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.just(2**53 + 1)
    | st.just(2**70)
    | st.sampled_from([1.0, 2.5, float("nan")])
    | st.sampled_from(["", "1", "2.5", "x", "NA"])
    | st.just([1])
)
moments = st.none() | st.sampled_from(["2013-05-17T12:00:00", "2013-05-17T12:00:00Z", "noon"])
objects = st.fixed_dictionaries(
    {},
    optional={"id": values, "amount": values, "note": values, "extra": values, "sold_at": moments},
)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract, its source JSON lines."""

    def change(document: Any) -> None:
        document["servers"][0] |= {"path": "{batch}.jsonl", "format": "json"}

    return sample_contract(tmp_path_factory.mktemp("contract"), change)


def lines(contract: Contract, content: bytes, at_once: int | None) -> Rows:
    """The rows of one file of JSON lines, read ``at_once``."""

    def read(_: frozenset[str]) -> Iterator[Piece]:
        for table in read_pieces(io.BytesIO(content), "x.jsonl", contract, at_once):
            yield Piece("x.jsonl", table)

    return Rows(read, contract, "x.jsonl")


@settings(deadline=None)
@given(found=st.lists(objects, min_size=1, max_size=8), at_once=st.integers(1, 4))
@example(found=[{"note": False}, {}], at_once=1)
@example(found=[{"id": 2**53 + 1}, {"id": 1.0}], at_once=1)
@example(found=[{"amount": 2**53 + 1}, {"amount": float("nan")}], at_once=1)
def test_pieces_do_not_count(contract: Contract, found: list[dict[str, Any]], at_once: int) -> None:
    """Types, columns and values are those of the whole file, wherever a piece of it ends."""
    content = "".join(json.dumps(row) + "\n" for row in found).encode()

    whole = lines(contract, content, None).table()
    pieced = lines(contract, content, at_once).table()

    assert (
        pieced.select(sorted(pieced.column_names)).schema
        == whole.select(sorted(whole.column_names)).schema
    )
    # NaN is not equal to itself: compare what is written.
    assert str(pieced.select(whole.column_names).to_pylist()) == str(whole.to_pylist())


def of_tables(contract: Contract, *tables: pa.Table, files: bool = False) -> Rows:
    """Rows that come in these tables, each from a file of its own or all from one."""
    pieces = [Piece(f"file {i}" if files else "file", table) for i, table in enumerate(tables)]
    return Rows(lambda _: iter(pieces), contract, "here")


def test_a_sound_batch_is_read_once(contract: Contract) -> None:
    """Nothing is held back, and nothing read again, while every column is what it was taken for."""
    rows = of_tables(
        contract, pa.table({"id": ["1"], "extra": [1]}), pa.table({"id": ["2"], "extra": [2]})
    )

    readings = [list(reading) for reading in rows.readings()]

    assert len(readings) == 1
    assert [table["id"].type for table in readings[0]] == [pa.int64(), pa.int64()]


def test_what_fits_in_every_piece_but_one_stays_as_it_was_read(contract: Contract) -> None:
    """One value at the end decides for the column, as if the batch had been read at once."""
    table = of_tables(contract, pa.table({"id": ["1", "2"]}), pa.table({"id": ["x"]})).table()

    assert table["id"].to_pylist() == ["1", "2", "x"]


def test_moments_with_and_without_an_offset_are_mixed_in_whatever_pieces_they_stand(
    contract: Contract,
) -> None:
    """Each piece is legible alone; together they are not."""
    with_offset, without = ({"sold_at": [f"2013-05-17T12:00:00{end}"]} for end in ("Z", ""))

    table = of_tables(contract, pa.table(with_offset), pa.table(without)).table()

    assert pa.types.is_string(table["sold_at"].type)


def test_files_must_have_the_same_columns(contract: Contract) -> None:
    """Pieces of one file may lack a column, files of one batch may not."""
    one, other = pa.table({"id": [1], "note": ["a"]}), pa.table({"id": [2]})

    assert of_tables(contract, one, other).table()["note"].to_pylist() == ["a", None]
    with pytest.raises(
        UnreadableError, match=r"same columns in each of 2 files, found \['note'\] only in some"
    ):
        of_tables(contract, one, other, files=True).table()


def test_a_source_that_never_stands_still(contract: Contract) -> None:
    """Columns that change from one reading to the next are not read for ever."""
    readings = iter(range(100))

    def read(_: frozenset[str]) -> Iterator[Piece]:
        number = next(readings)
        yield Piece("file", pa.table({"id": [1]}))
        yield Piece("file", pa.table({"id": [1], f"column {number}": [1]}))

    with pytest.raises(SourceError, match="here: the columns changed while they were read"):
        Rows(read, contract, "here").table()


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Twenty times the rows go from file to snapshot in about the same memory."""
    import tracemalloc

    from tasks.ingest.snapshot import Sizes, write_snapshot
    from tests.sample_contract import BATCH

    sizes = Sizes(part=2000, group=2000, run=2000, block=20)

    def change(document: Any) -> None:
        document["servers"][0] |= {"path": "{batch}.jsonl", "format": "json"}

    contract = sample_contract(tmp_path, change)

    def peak(number: int) -> int:
        text = "".join(
            f'{{"id": {i * 7919 % 100_003}, "note": "{i:0200d}"}}\n' for i in range(number)
        )
        file = tmp_path / f"{number}.jsonl"
        file.write_text(text)
        del text

        def read(_: frozenset[str]) -> Iterator[Piece]:
            with file.open("rb") as stream:
                for table in read_pieces(stream, file.name, contract, 1000):
                    yield Piece(file.name, table)

        pool = pa.proxy_memory_pool(pa.default_memory_pool())
        before = pa.default_memory_pool()
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            written = write_snapshot(
                tmp_path / "lake", Rows(read, contract, "x"), contract, BATCH, "x", sizes
            )
            assert written.rows == number
            return int(pool.max_memory()) + tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)

    peak(2000)  # what is imported and made once
    assert peak(60_000) < 2 * peak(4000)
