"""Tests of rows whose outcome is not known yet."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from data_contracts.contract import Contract
from data_contracts.open_rows import open_contract
from tasks.ingest.open_rows import rows_of_file, write_open_rows
from tasks.ingest.source import UnreadableError
from tests.sample_contract import sample_contract, sample_table


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path / "contract")


def write(file: Path, table: pa.Table) -> Path:
    """Write the table in the form that the file's name says."""
    if ".csv" in file.name:
        sink = pa.BufferOutputStream()
        csv.write_csv(table, sink)
        content = sink.getvalue().to_pybytes()
        file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    elif file.suffix == ".jsonl":
        file.write_text("".join(f"{json.dumps(row, default=str)}\n" for row in table.to_pylist()))
    else:
        pq.write_table(table, file)
    return file


def read(tmp_path: Path, file: Path, contract: Contract, name: str = "", **how: object) -> pa.Table:
    """What is scored of a file, all parts together."""
    directory = tmp_path / "parts"
    directory.mkdir(exist_ok=True)
    rows = rows_of_file(file, contract, name)
    opened = write_open_rows(directory, rows, open_contract(contract, "returned"), **how)  # type: ignore[arg-type]
    assert opened.snapshot is not None
    parts = [pq.ParquetFile(directory / part.file).read() for part in opened.snapshot.parts]
    assert [part.num_rows for part in parts] == [part.rows for part in opened.snapshot.parts]
    return pa.concat_tables(parts)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.jsonl", "rows.parquet"])
def test_any_form_gives_the_same_rows_in_their_order(
    tmp_path: Path, contract: Contract, name: str
) -> None:
    """Without labels, in the contract's types, and not sorted: answers come as asked."""
    table = sample_table().take([3, 0, 5, 1]).drop_columns(["returned"])
    file = write(tmp_path / name, table)

    found = read(tmp_path, file, contract)

    assert found.select(table.column_names).equals(table)
    piped = tmp_path / "piped"
    if not name.endswith(".gz"):
        piped.write_bytes(file.read_bytes())
        assert read(tmp_path, piped, contract, "standard input").equals(found)


def test_what_comes_later_is_left_out(tmp_path: Path, contract: Contract) -> None:
    """A label that is there already is not looked at, whatever is in it."""
    table = sample_table().drop_columns(["returned"]).append_column("returned", [["?"] * 6])

    found = read(tmp_path, write(tmp_path / "rows.csv", table), contract)

    assert "returned" not in found.column_names


def test_parts_are_bounded_and_a_moment_cuts(tmp_path: Path, contract: Contract) -> None:
    """No part has more rows than may be scored at once; what is not before the moment is left."""
    file = write(tmp_path / "rows.parquet", sample_table(7))

    found = read(tmp_path, file, contract, part_rows=3)
    early = read(
        tmp_path, file, contract, part_rows=3, before=datetime(2013, 5, 17, 12, 2, tzinfo=UTC)
    )

    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == ["part-00000.parquet"]
    assert found["id"].to_pylist() == [1, 2, 3, 4, 5, 6, 7]
    assert early["id"].to_pylist() == [1, 2]


def test_no_rows_are_no_snapshot(tmp_path: Path, contract: Contract) -> None:
    """A header alone is nothing to score."""
    (tmp_path / "parts").mkdir()
    file = tmp_path / "rows.csv"
    file.write_text("sold_at,id\n")

    opened = write_open_rows(
        tmp_path / "parts", rows_of_file(file, contract), open_contract(contract, "returned")
    )

    assert opened.snapshot is None


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.xlsx", b"", r"rows\.xlsx: expected a name that ends in one of .*found '\.xlsx'"),
        ("rows.parqet", b"", r"did you mean '\.parquet'"),
        ("rows", b"", "found no ending"),
        ("rows.csv", None, r"rows\.csv: cannot be read: No such file"),
        ("rows.csv", b"", r"rows\.csv: the file is empty"),
        ("rows.parquet", b"PAR1 not", r"rows\.parquet: cannot be read as parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, contract: Contract, name: str, content: bytes | None, sentence: str
) -> None:
    """One sentence, with what to do."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UnreadableError, match=sentence):
        read(tmp_path, file, contract)
