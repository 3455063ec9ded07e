"""Tests of reading source files: what the contract says, nothing guessed, nothing read in part."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.ingest.source import (
    SourceError,
    available_batches,
    conform,
    fingerprint,
    read_source,
    source_pattern,
)
from tests.sample_contract import sample_contract, sample_table


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The sample contract: CSV files."""
    return sample_contract(tmp_path / "project")


def read(tmp_path: Path, contract: Contract, content: bytes | str, name: str = "x.csv") -> pa.Table:
    """The table that is read from a file with this content."""
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_source(tmp_path / name, contract)


def values_of(tmp_path: Path, contract: Contract, header: str, *cells: str) -> tuple[list[Any], pa.DataType]:
    """Values and type of one column with these cells, as they stand in the CSV file."""
    column = read(
        tmp_path, contract, "\n".join(["other," + header, *("x," + cell for cell in cells)]) + "\n"
    )[header]
    return column.to_pylist(), column.type


# --- which batches there are -----------------------------------------------------------------------------


def test_pattern_fills_in_the_home(contract: Contract, tmp_path: Path) -> None:
    """The home comes from the settings, the batch stays open."""
    assert source_pattern(contract, tmp_path, tmp_path / "home") == tmp_path / "home" / "in" / "{batch}.csv"


def test_relative_path_counts_from_the_project(tmp_path: Path) -> None:
    """A project that brings its data needs no variable."""
    contract = sample_contract(tmp_path, lambda d: d["servers"][0].update(path="data/{batch}.csv"))

    assert source_pattern(contract, tmp_path / "project", tmp_path) == tmp_path / "project/data/{batch}.csv"


@pytest.mark.parametrize(
    "path", ["${HOME}/{batch}.csv", "$5/{batch}.csv", "in/all.csv", "{batch}/x.csv", "{batch}-{batch}.csv"]
)
def test_bad_patterns_are_refused(tmp_path: Path, path: str) -> None:
    """Another variable, or a batch that is not once in the file's name, is refused with the contract's file."""
    contract = sample_contract(tmp_path, lambda d: d["servers"][0].update(path=path))

    with pytest.raises(SourceError, match=r"sales\.odcs\.yaml: servers\.0\.path: expected"):
        source_pattern(contract, tmp_path, tmp_path)


def test_available_batches_in_order(tmp_path: Path) -> None:
    """Only files with a batch's id count; directories, half-written and foreign files do not."""
    for name in (
        "2013-02.csv.gz",
        "2013-01.csv.gz",
        ".2013-03.csv.gz.1a2b.tmp",
        "2013-03.csv",
        "notes.txt",
        "2013-W01.csv.gz",
    ):
        (tmp_path / name).touch()
    (tmp_path / "2013-04.csv.gz").mkdir()

    found = available_batches(tmp_path / "{batch}.csv.gz", "month")

    assert list(found) == ["2013-01", "2013-02"]
    assert found["2013-01"] == tmp_path / "2013-01.csv.gz"


def test_missing_directory_is_not_an_idle_source(tmp_path: Path) -> None:
    """No directory is an error, an empty one is no batches."""
    with pytest.raises(SourceError, match="nowhere: no such directory"):
        available_batches(tmp_path / "nowhere" / "{batch}.csv", "month")

    assert available_batches(tmp_path / "{batch}.csv", "month") == {}


def test_batch_that_no_calendar_has_is_refused(tmp_path: Path) -> None:
    """A file 2013-13 is a mistake of the sender, and named."""
    (tmp_path / "2013-13.csv").touch()

    with pytest.raises(SourceError, match=r"2013-13\.csv: expected the id of a monthly batch"):
        available_batches(tmp_path / "{batch}.csv", "month")


def test_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    """Another size is another fingerprint; reading changes nothing."""
    file = tmp_path / "x"
    file.write_text("a")
    first = fingerprint(file)
    file.read_text()
    assert fingerprint(file) == first

    file.write_text("ab")

    assert fingerprint(file) != first


# --- CSV -------------------------------------------------------------------------------------------------


def test_missing_empty_and_zero_are_three_things(tmp_path: Path, contract: Contract) -> None:
    """An empty cell is missing, a quoted empty one is empty text, zero is zero."""
    assert values_of(tmp_path, contract, "note", "", '""', "0", "NA", '"NA"')[0] == [
        None,
        "",
        "0",
        None,
        "NA",
    ]
    assert values_of(tmp_path, contract, "amount", "", "0", "NaN", "-0")[0] == [None, 0.0, None, 0.0]


def test_every_cell_quoted(tmp_path: Path, contract: Contract) -> None:
    """Some systems quote every cell: for a number, quoted nothing is missing too."""
    assert values_of(tmp_path, contract, "till", '"3"', '""', '"NA"') == ([3, None, None], pa.int64())


def test_quoting(tmp_path: Path, contract: Contract) -> None:
    """Commas, quotes and line ends stand in quoted cells, in the first row as later."""
    table = read(tmp_path, contract, 'id,note\r\n1,"a\nb"\r\n2,"say ""hi"", twice"\r\n')

    assert table.to_pydict() == {"id": [1, 2], "note": ["a\nb", 'say "hi", twice']}


def test_quoted_line_ends_in_a_large_file(tmp_path: Path, contract: Contract) -> None:
    """A line end in a cell stays there where the reader cuts the file into blocks, each about a megabyte."""
    note = "\n".join("line" for _ in range(200))

    table = read(tmp_path, contract, "id,note\n" + "".join(f'{i},"{note}"\n' for i in range(2500)))

    assert table.num_rows == 2500
    assert set(table["note"].to_pylist()) == {note}


def test_byte_order_mark(tmp_path: Path, contract: Contract) -> None:
    """The mark that Excel writes is not part of the first column's name."""
    assert read(tmp_path, contract, b"\xef\xbb\xbfid,note\n1,a\n").column_names == ["id", "note"]


def test_encoding(tmp_path: Path) -> None:
    """The server's encoding is the file's; other bytes are refused, not replaced."""
    latin = sample_contract(tmp_path / "a", lambda d: d["servers"][0].update(encoding="ISO-8859-1"))
    utf = sample_contract(tmp_path / "b")

    assert read(tmp_path, latin, "note\nZürich\n".encode("latin-1"))["note"].to_pylist() == ["Zürich"]
    with pytest.raises(SourceError, match="cannot be read as csv"):
        read(tmp_path, utf, "note\nZürich\n".encode("latin-1"))


def test_columns_and_rows_only_as_they_are(tmp_path: Path, contract: Contract) -> None:
    """Missing and extra columns are for validation to judge; a header alone is zero rows."""
    table = read(tmp_path, contract, "id,shoe\n")

    assert (table.column_names, table.num_rows) == (["id", "shoe"], 0)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_empty_file(tmp_path: Path, contract: Contract, content: bytes) -> None:
    """A file without even a header is refused."""
    with pytest.raises(SourceError, match=r"x\.csv: "):
        read(tmp_path, contract, content)


def test_missing_file(tmp_path: Path, contract: Contract) -> None:
    """A file that vanished is a SourceError with its name."""
    with pytest.raises(SourceError, match=r"gone\.csv: cannot be read"):
        read_source(tmp_path / "gone.csv", contract)


def test_double_column(tmp_path: Path, contract: Contract) -> None:
    """Which of two columns of one name is meant cannot be known."""
    with pytest.raises(SourceError, match=r"expected each column once, found \['id'\] more than once"):
        read(tmp_path, contract, "id,note,id\n1,a,2\n")


def test_row_of_another_width(tmp_path: Path, contract: Contract) -> None:
    """A row with too many cells is refused, without its content: the contract has a sensitive column."""
    with pytest.raises(SourceError, match="Expected 2 columns, got 3") as caught:
        read(tmp_path, contract, "id,email\n1,secret@example.org,x\n")

    assert "secret" not in str(caught.value)


def test_gzip_cut_anywhere_is_refused(tmp_path: Path, contract: Contract) -> None:
    """A delivery that broke off is never read as a smaller one, wherever it broke."""
    rows = "".join(f"{i},{i * 7919 % 1000}\n" for i in range(200))
    whole = gzip.compress(f"id,till\n{rows}".encode(), mtime=0)
    assert read(tmp_path, contract, whole, "x.csv.gz").num_rows == 200

    for length in range(0, len(whole), 7):
        with pytest.raises(SourceError):
            read(tmp_path, contract, whole[:length], "x.csv.gz")


def test_file_changed_while_read(tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is still being written is left for the next run."""
    file = tmp_path / "x.csv"
    file.write_text("id\n1\n")
    from tasks.ingest import source

    original = source._read_csv

    def read_while_written(path: Path, contract: Contract) -> pa.Table:
        table = original(path, contract)
        path.write_text("id\n1\n2\n")
        return table

    monkeypatch.setattr(source, "_read_csv", read_while_written)

    with pytest.raises(SourceError, match="changed while it was read"):
        read_source(file, contract)


# --- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ("2013-05-17T12:00:00Z",), ("2013-05-17 12:00:00+00:00",), ("2013-05-17T08:00:00-04:00",),
        ("2013-05-17T08:00:00-0400",), ("2013-05-17 08:00:00-04",), ("2013-05-17 08:00:00",), (" 2013-05-17T08:00 ",),
    ],
)  # fmt: skip
def test_moments(tmp_path: Path, contract: Contract, cells: tuple[str, ...]) -> None:
    """An offset means itself, no offset means the contract's zone; all are stored in UTC."""
    values, kind = values_of(tmp_path, contract, "sold_at", *cells)

    assert values == [datetime(2013, 5, 17, 12, tzinfo=UTC)]
    assert kind == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("sold_at", ("2013-05-17T12:00:00Z", "2013-05-17T12:00:00")),
        ("sold_at", ("2013-11-03T01:30:00",)),
        ("sold_at", ("2013-03-10T02:30:00",)),
        ("sold_at", ("17.05.2013 12:00",)),
        ("id", ("1", "2.5")),
        ("id", ("1", "99999999999999999999")),
        ("amount", ("1.5", "1,5".replace(",", ";"))),
        ("returned", ("true", "yes")),
        ("paid_on", ("2013-02-30",)),
    ],
)
def test_kept_as_read_when_they_do_not_fit(
    tmp_path: Path, contract: Contract, header: str, cells: tuple[str, ...]
) -> None:
    """One value that does not fit keeps the whole column as text: mixed, ambiguous or absent hours too."""
    assert values_of(tmp_path, contract, header, *cells) == (list(cells), pa.string())


def test_unknown_columns_stay_text(tmp_path: Path, contract: Contract) -> None:
    """Nothing is guessed about a column that the contract does not name."""
    assert values_of(tmp_path, contract, "zip", "00501") == (["00501"], pa.string())


def test_all_missing_columns_have_their_type(tmp_path: Path, contract: Contract) -> None:
    """A column without a value is still what the contract says."""
    for name in contract.column_names:
        _, kind = values_of(tmp_path, contract, name, "", "")
        assert kind == sample_table(0).schema.field(name).type


# --- Parquet ---------------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path: Path) -> Contract:
    """The sample contract, for Parquet files."""
    return sample_contract(tmp_path / "parquet", lambda d: d["servers"][0].update(format="parquet"))


def test_parquet_reads_as_it_is(tmp_path: Path, parquet: Contract) -> None:
    """A file in the contract's types comes through unchanged."""
    pq.write_table(sample_table(), tmp_path / "x.parquet")

    assert read_source(tmp_path / "x.parquet", parquet).equals(sample_table())


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"PAR1"]
)
def test_damaged_parquet(tmp_path: Path, parquet: Contract, damage: Callable[[bytes], bytes]) -> None:
    """A cut file is refused."""
    pq.write_table(sample_table(), tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(damage(content))

    with pytest.raises(SourceError, match="cannot be read as parquet"):
        read_source(tmp_path / "x.parquet", parquet)


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("id", pa.array([1, None], pa.int16()), pa.int64()),
        ("amount", pa.array([1, None], pa.int32()), pa.float64()),
        ("amount", pa.array([1.5, None], pa.float32()), pa.float64()),
        ("shop", pa.array(["A", None], pa.large_string()), pa.string()),
        ("shop", pa.array(["A", None]).dictionary_encode(), pa.string()),
        ("unknown", pa.array(["A", None]).dictionary_encode(), pa.string()),
        ("shop", pa.array([None, None], pa.null()), pa.string()),
        ("sold_at", pa.array([0, None], pa.timestamp("s", tz="Asia/Tokyo")), pa.timestamp("us", tz="UTC")),
        ("id", pa.array([1.0, None]), pa.float64()),
        ("shop", pa.array([1, 2]), pa.int64()),
        ("id", pa.array([2**63, 1], pa.uint64()), pa.uint64()),
        ("amount", pa.array([2**53 + 1, 1]), pa.int64()),
        ("sold_at", pa.array([1, 2], pa.timestamp("ns", tz="UTC")), pa.timestamp("ns", tz="UTC")),
        ("returned", pa.array([0, 1]), pa.int64()),
    ],
)  # fmt: skip
def test_widened_only_without_loss(contract: Contract, name: str, given: pa.Array, kind: pa.DataType) -> None:
    """Another spelling of the same type becomes the contract's; another type stays for validation to refuse."""
    assert conform(pa.chunked_array([given]), contract, name).type == kind


def test_local_moments_in_parquet(contract: Contract) -> None:
    """A moment without zone means the contract's zone in Parquet too."""
    given = pa.chunked_array([pa.array([datetime(2013, 5, 17, 8)], pa.timestamp("ns"))])

    assert conform(given, contract, "sold_at").to_pylist() == [datetime(2013, 5, 17, 12, tzinfo=UTC)]


def test_nan_is_missing(contract: Contract) -> None:
    """What is not a number is missing, in whatever way the file says it."""
    assert conform(pa.chunked_array([[1.0, float("nan"), None]]), contract, "amount").to_pylist() == [
        1.0,
        None,
        None,
    ]
