"""Tests of reading files: what the contract says, nothing guessed, nothing read in part."""

import bz2
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.conform import conform
from tasks.ingest.formats import parse_file
from tasks.ingest.rows import Piece, Rows
from tasks.ingest.source import SourceError
from tests.sample_contract import sample_contract, sample_table


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The sample contract: CSV files."""
    return sample_contract(tmp_path / "project")


def read(contract: Contract, content: bytes | str, name: str = "x.csv") -> pa.Table:
    """The table that is read from a file with this content."""
    content = content if isinstance(content, bytes) else content.encode()
    return Rows(
        lambda _: iter([Piece(name, parse_file(content, name, contract))]), contract, name
    ).table()


def values_of(contract: Contract, header: str, *cells: str) -> tuple[list[Any], pa.DataType]:
    """Values and type of one column with these cells, as they stand in the CSV file."""
    column = read(
        contract, "\n".join(["other," + header, *("x," + cell for cell in cells)]) + "\n"
    )[header]
    return column.to_pylist(), column.type


# --- CSV ------------------------------------------------------------------------------------------


def test_missing_empty_and_zero_are_three_things(contract: Contract) -> None:
    """An empty cell is missing, a quoted empty one is empty text, zero is zero."""
    assert values_of(contract, "note", "", '""', "0", "NA", '"NA"')[0] == [
        None,
        "",
        "0",
        None,
        "NA",
    ]
    assert values_of(contract, "amount", "", "0", "NaN", "-0")[0] == [None, 0.0, None, 0.0]


def test_every_cell_quoted(contract: Contract) -> None:
    """Some systems quote every cell: for a number, quoted nothing is missing too."""
    assert values_of(contract, "till", '"3"', '""', '"NA"') == ([3, None, None], pa.int64())


def test_quoting(contract: Contract) -> None:
    """Commas, quotes and line ends stand in quoted cells, in the first row as later."""
    table = read(contract, 'id,note\r\n1,"a\nb"\r\n2,"say ""hi"", twice"\r\n')

    assert table.to_pydict() == {"id": [1, 2], "note": ["a\nb", 'say "hi", twice']}


def test_quoted_line_ends_in_a_large_file(contract: Contract) -> None:
    """A line end in a cell stays there where the reader cuts the file into blocks, each about a
    megabyte.
    """
    note = "\n".join("line" for _ in range(200))

    table = read(contract, "id,note\n" + "".join(f'{i},"{note}"\n' for i in range(2500)))

    assert table.num_rows == 2500
    assert set(table["note"].to_pylist()) == {note}


def test_byte_order_mark(contract: Contract) -> None:
    """The mark that Excel writes is not part of the first column's name."""
    assert read(contract, b"\xef\xbb\xbfid,note\n1,a\n").column_names == ["id", "note"]


def test_encoding(tmp_path: Path) -> None:
    """The server's encoding is the file's; other bytes are refused, not replaced."""
    latin = sample_contract(tmp_path / "a", lambda d: d["servers"][0].update(encoding="ISO-8859-1"))
    utf = sample_contract(tmp_path / "b")

    assert read(latin, "note\nZürich\n".encode("latin-1"))["note"].to_pylist() == ["Zürich"]
    with pytest.raises(
        SourceError,
        match=r"x\.csv: cannot be read as utf-8: .* at byte 6; if the file is whole, say as",
    ):
        read(utf, "note\nZürich\n".encode("latin-1"))


def test_columns_and_rows_only_as_they_are(contract: Contract) -> None:
    """Missing and extra columns are for validation to judge; a header alone is zero rows."""
    table = read(contract, "id,shoe\n")

    assert (table.column_names, table.num_rows) == (["id", "shoe"], 0)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_empty_file(contract: Contract, content: bytes) -> None:
    """A file without even a header is refused."""
    with pytest.raises(SourceError, match=r"x\.csv: "):
        read(contract, content)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (gzip.compress(b"id\n1\n", mtime=0), "compressed by gzip; end its name with .gz"),
        (bz2.compress(b"id\n1\n"), "compressed by bzip2; end its name with .bz2"),
        (b"PK\x03\x04\x14\0", "a ZIP archive or an Excel workbook; unpack it"),
        (b"PAR1\x15\x04", "Parquet; end its name with .parquet"),
    ],
)
def test_file_of_another_format(contract: Contract, content: bytes, found: str) -> None:
    """It is named, and what to do; never a byte that is no text."""
    with pytest.raises(SourceError, match=found):
        parse_file(content, "x.csv", contract)


def test_column_named_by_blanks_is_not_read(contract: Contract) -> None:
    """As one without a name."""
    assert parse_file(b"id, ,\n1,2,3\n", "x.csv", contract).column_names == ["id"]


def test_double_column(contract: Contract) -> None:
    """Which of two columns of one name is meant cannot be known."""
    with pytest.raises(
        SourceError, match=r"expected each column once, found \['id'\] more than once"
    ):
        read(contract, "id,note,id\n1,a,2\n")


def test_row_of_another_width(contract: Contract) -> None:
    """A row with too many cells is refused, without its content: the contract has a sensitive
    column.
    """
    with pytest.raises(SourceError, match="Expected 2 columns, got 3") as caught:
        read(contract, "id,email\n1,secret@example.org,x\n")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("end", "compress"),
    [
        (".gz", lambda content: gzip.compress(content, mtime=0)),
        (".bz2", bz2.compress),
        (".zst", lambda content: pa.Codec("zstd").compress(content, asbytes=True)),
    ],
)
def test_compressed_file_cut_anywhere_is_refused(
    contract: Contract, end: str, compress: Callable[[bytes], bytes]
) -> None:
    """A delivery that broke off is never read as a smaller one, wherever it broke."""
    rows = "".join(f"{i},{i * 7919 % 1000}\n" for i in range(200))
    whole = compress(f"id,till\n{rows}".encode())
    assert read(contract, whole, f"x.csv{end}").num_rows == 200

    for length in range(len(whole)):
        with pytest.raises(SourceError, match=rf"^x\.csv\{end}: "):
            read(contract, whole[:length], f"x.csv{end}")


def test_delimiter(tmp_path: Path) -> None:
    """Another delimiter than the comma is the contract's to say; inside quotes it is text."""
    contract = delimited(tmp_path, ";")

    table = read(contract, 'id;note;amount\n1;"a;b";1.5\n2;a,b;2\n')

    assert table.to_pydict() == {"id": [1, 2], "note": ["a;b", "a,b"], "amount": [1.5, 2.0]}


def delimited(directory: Path, delimiter: str) -> Contract:
    """The sample contract, for CSV files with this delimiter."""
    custom = [{"property": "delimiter", "value": delimiter}]
    return sample_contract(directory, lambda d: d["servers"][0].update(customProperties=custom))


# --- JSON lines -----------------------------------------------------------------------------------


@pytest.fixture
def lines(tmp_path: Path) -> Contract:
    """The sample contract, for files with one JSON object a line."""
    return sample_contract(tmp_path / "json", lambda d: d["servers"][0].update(format="json"))


def test_json_lines(lines: Contract) -> None:
    """Each value has its own type; a key that a line lacks is missing there; blank lines are
    nothing.
    """
    table = read(
        lines,
        '{"id": 1, "amount": 1, "sold_at": "2013-05-17T08:00:00", "returned": true}\n\n{"id": 2,'
        ' "amount": 2.5, "note": ""}\n',
        "x.jsonl",
    )

    assert table.to_pydict() == {
        "id": [1, 2],
        "amount": [1.0, 2.5],
        "sold_at": [datetime(2013, 5, 17, 12, tzinfo=UTC), None],
        "returned": [True, None],
        "note": [None, ""],
    }


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["1", '"x"'], ["1", "x"]),
        (["true", "1"], ["true", "1"]),
        (["[1]", "null"], ["[1]", None]),
        (["18446744073709551617"], ["18446744073709551617"]),
        (
            ['{"a": [1.10, 12345678901234567890.5], "ü": "1"}', "1"],
            ['{"a": [1.10, 12345678901234567890.5], "ü": "1"}', "1"],
        ),
    ],
)
def test_json_values_of_several_types_stay_as_read(
    lines: Contract, values: list[str], kept: list[str | None]
) -> None:
    """What does not fit one type is kept as its text, for validation to refuse."""
    table = read(lines, "".join(f'{{"id": {value}}}\n' for value in values), "x.jsonl")

    assert table["id"].to_pylist() == kept


def test_json_array(lines: Contract) -> None:
    """It is named, with what makes lines of it."""
    with pytest.raises(SourceError, match=r"line 1: .* found an array; write its objects one a"):
        read(lines, '[{"id": 1}, {"id": 2}]', "x.json")


def test_json_line_cut_or_foreign(lines: Contract) -> None:
    """A line that is no whole object is refused by its number, and its content is not shown."""
    for bad in ('{"id": 2, "email": "secret', '{"id": 2, "id": 3}', "[2]", "secret"):
        with pytest.raises(
            SourceError, match=r"x\.jsonl: line 2: expected one whole JSON object"
        ) as caught:
            read(lines, '{"id": 1}\n' + bad, "x.jsonl")
        assert "secret" not in str(caught.value)


# --- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ("2013-05-17T12:00:00Z",),
        ("2013-05-17 12:00:00+00:00",),
        ("2013-05-17T08:00:00-04:00",),
        ("2013-05-17T08:00:00-0400",),
        ("2013-05-17 08:00:00-04",),
        ("2013-05-17 08:00:00",),
        (" 2013-05-17T08:00 ",),
    ],
)
def test_moments(contract: Contract, cells: tuple[str, ...]) -> None:
    """An offset means itself, no offset means the contract's zone; all are stored in UTC."""
    values, kind = values_of(contract, "sold_at", *cells)

    assert values == [datetime(2013, 5, 17, 12, tzinfo=UTC)]
    assert kind == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("sold_at", ("2013-05-17T12:00:00Z", "2013-05-17T12:00:00")),
        ("sold_at", ("2013-03-10T02:30:00",)),
        ("sold_at", ("17.05.2013 12:00",)),
        ("id", ("1", "2.5")),
        ("id", ("1", "99999999999999999999")),
        ("amount", ("1.5", "1,5".replace(",", ";"))),
        ("returned", ("true", "perhaps")),
        ("paid_on", ("2013-02-30",)),
    ],
)
def test_kept_as_read_when_they_do_not_fit(
    contract: Contract, header: str, cells: tuple[str, ...]
) -> None:
    """One value that does not fit keeps the whole column as text: mixed, ambiguous or absent hours
    too.
    """
    assert values_of(contract, header, *cells) == (list(cells), pa.string())


def test_unknown_columns_stay_text(contract: Contract) -> None:
    """Nothing is guessed about a column that the contract does not name."""
    assert values_of(contract, "zip", "00501") == (["00501"], pa.string())


def test_all_missing_columns_have_their_type(contract: Contract) -> None:
    """A column without a value is still what the contract says."""
    for name in contract.column_names:
        _, kind = values_of(contract, name, "", "")
        assert kind == sample_table(0).schema.field(name).type


# --- Parquet --------------------------------------------------------------------------------------


def parquet_bytes() -> bytes:
    """A Parquet file with the sample rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(sample_table(), sink)
    return bytes(sink.getvalue().to_pybytes())


@pytest.fixture
def parquet(tmp_path: Path) -> Contract:
    """The sample contract, for Parquet files."""
    return sample_contract(tmp_path / "parquet", lambda d: d["servers"][0].update(format="parquet"))


def test_parquet_reads_as_it_is(parquet: Contract) -> None:
    """A file in the contract's types comes through unchanged."""
    assert read(parquet, parquet_bytes(), "x.parquet").equals(sample_table())


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
        (
            "sold_at",
            pa.array([0, None], pa.timestamp("s", tz="Asia/Tokyo")),
            pa.timestamp("us", tz="UTC"),
        ),
        ("id", pa.array([1.0, None, float("nan")]), pa.int64()),
        ("id", pa.array([1.5, None]), pa.float64()),
        ("id", pa.array([2.0**53 + 2]), pa.float64()),
        ("shop", pa.array([1, 2]), pa.string()),
        ("shop", pa.array([1.0, 2.0]), pa.float64()),
        ("id", pa.array([2**63, 1], pa.uint64()), pa.uint64()),
        ("amount", pa.array([2**53 + 1, 1]), pa.int64()),
        (
            "sold_at",
            pa.array([1, 2], pa.timestamp("ns", tz="UTC")),
            pa.timestamp("us", tz="UTC"),
        ),
        ("returned", pa.array([0, 1]), pa.bool_()),
        ("returned", pa.array([0, 2]), pa.int64()),
    ],
)
def test_widened_only_without_loss(
    contract: Contract, name: str, given: pa.Array, kind: pa.DataType
) -> None:
    """Another spelling of the same type becomes the contract's; another type stays for validation
    to refuse.
    """
    assert conform(pa.chunked_array([given]), contract, name).type == kind


def test_local_moments_in_parquet(contract: Contract) -> None:
    """A moment without zone means the contract's zone in Parquet too."""
    given = pa.chunked_array([pa.array([datetime(2013, 5, 17, 8)], pa.timestamp("ns"))])

    assert conform(given, contract, "sold_at").to_pylist() == [
        datetime(2013, 5, 17, 12, tzinfo=UTC)
    ]


def test_nan_is_missing(contract: Contract) -> None:
    """What is not a number is missing, in whatever way the file says it."""
    assert conform(
        pa.chunked_array([[1.0, float("nan"), None]]), contract, "amount"
    ).to_pylist() == [
        1.0,
        None,
        None,
    ]
