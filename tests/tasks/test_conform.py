"""Tests of reading values: exactly, or not at all, whatever the reader and the type."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_contracts.contract import Column, Contract, LogicalType, Server
from tasks.batches import batch_named
from tasks.conform import as_text, conform, misfits
from tasks.ingest.formats import read_pieces
from tasks.ingest.rows import Piece, Rows
from tasks.ingest.sql import open_table
from tasks.lake import arrow_type

BATCH = batch_named("2024-03", "month", "UTC")


def contract_of(
    kind: LogicalType, file: str = "csv", zone: str = "UTC", server: Any = None, **column: Any
) -> Contract:
    """A contract with an event time and one column ``x``."""
    return Contract(
        file=Path("things.odcs.yaml"),
        name="things",
        version="1.0.0",
        columns=(Column("at", "timestamp"), Column("x", kind, **column)),
        key=(),
        event_time="at",
        timezone=zone,
        lateness=timedelta(0),
        rules=(),
        servers=(Server("here", "local", "x", file, **(server or {})),),
    )


def taken(kind: LogicalType, *values: Any, type: pa.DataType | None = None, **more: Any) -> Any:
    """The values when they fit the type, None when they do not."""
    contract = contract_of(kind, **more)
    found = conform(pa.chunked_array([pa.array(values, type)]), contract, "x")
    return found.to_pylist() if found.type == arrow_type(contract.column("x")) else None


# --- every reader and every type ------------------------------------------------------------------

digits = st.text("0123456789", min_size=1, max_size=22)
texts: dict[LogicalType, st.SearchStrategy[str]] = {
    "string": digits | st.sampled_from(["1E5", "10E4", "0007", "007", "true", "2024-03-01", "é"]),
    "integer": st.builds("{}{}{}".format, st.sampled_from(["", "-"]), digits, st.just(""))
    | st.builds("{}.{}".format, digits, st.sampled_from(["0", "00", "5"])),
    "number": st.builds("{}.{}".format, digits, digits)
    | digits
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["1e400", "1e-400", "0.1", "1E5", "-0.0", "0x10"]),
    "boolean": st.sampled_from(["true", "False", "yes", "N", "1", "0", "t", "2", "maybe"]),
    "date": st.dates(date(1, 1, 1)).map(str) | st.sampled_from(["2024-02-30", "2024-03-01 00:00"]),
    "timestamp": st.builds(
        "{}{}{}".format,
        st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat(" ")),
        st.just(".") | st.just(","),
        st.text("0123456789", min_size=1, max_size=9),
    ),
}


def means(kind: LogicalType, text: str, value: Any) -> bool:
    """Whether ``value`` is what ``text`` says, as Python's own exact types read it."""
    match kind:
        case "string":
            return bool(value == text)
        case "integer":
            return Decimal(text) == value
        case "number":
            said = Decimal(text)
            exponent = said.as_tuple().exponent
            assert isinstance(exponent, int)
            shown = f"{Decimal(value):.{max(0, -exponent)}f}"
            return Decimal(shown) == said or (
                float(said) == value == float(repr(value)) and (exponent > 0 or "e" in text)
            )
        case "boolean":
            return bool(value == (text.lower() in ("true", "yes", "1", "t")))
        case "date":
            return bool(value == date.fromisoformat(text[:10]))
        case _:
            whole, fraction = text.replace(",", ".").split(".")
            moment = datetime.fromisoformat(whole).replace(microsecond=int(f"{fraction:0<6}"[:6]))
            return bool(value == moment.replace(tzinfo=UTC))


def read_back(reader: str, kind: LogicalType, values: list[str], place: Path) -> pa.ChunkedArray:
    """The column ``x`` as the reader gives it, each text written as the format has it."""
    contract = contract_of(kind, {"sqlite": "csv"}.get(reader, reader))
    rows = [("2024-03-05 12:00:00", value) for value in values]
    if reader == "sqlite":
        file = place / "things.db"
        file.unlink(missing_ok=True)
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE things (at TEXT, x TEXT)")
            connection.executemany("INSERT INTO things VALUES (?, ?)", rows)
        server = Server("here", "custom", "", "", url=f"sqlite:///{file}", table="things")
        contract = Contract(**{**vars(contract), "servers": (server,)})
        return open_table(contract, "month", place, place).read(BATCH).table()["x"]
    if reader == "csv":
        content = "at,x\n" + "".join(f'{at},"{value}"\n' for at, value in rows)
    else:
        bare = kind in ("integer", "number")
        content = "".join(
            f'{{"at": "{at}", "x": {value if bare and is_json(value) else json.dumps(value)}}}\n'
            for at, value in rows
        )
    stream = io.BytesIO(content.encode())
    if reader == "parquet":
        stream = io.BytesIO()
        pq.write_table(pa.table({"at": [at for at, _ in rows], "x": values}), stream)

    def pieces(_: frozenset[str]) -> Iterator[Piece]:
        for table in read_pieces(stream, "things", contract):
            yield Piece("things", table)

    return Rows(pieces, contract, "things").table()["x"]


def is_json(text: str) -> bool:
    """Whether the text is a number of JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("reader", ["csv", "json", "parquet", "sqlite"])
@pytest.mark.parametrize("kind", list(texts))
def test_what_is_taken_is_what_stands_there(
    tmp_path_factory: pytest.TempPathFactory, reader: str, kind: LogicalType
) -> None:
    """Value by value, in every reader and every type; what is not taken stays as it was read."""
    place = tmp_path_factory.mktemp("things")
    seen = {True: 0, False: 0}

    @settings(max_examples=40, deadline=None)
    @given(values=st.lists(texts[kind], min_size=1, max_size=3))
    @example(values=["11898508762506083287", "11898508762506083288"])
    @example(values=["9007199254740993"])
    @example(values=["0.1"])
    def check(values: list[str]) -> None:
        found = read_back(reader, kind, values, place)
        fits = found.type == arrow_type(Column("x", kind))
        seen[fits] += 1
        if fits:
            pairs = zip(values, found.to_pylist(), strict=True)
            assert all(means(kind, text, value) for text, value in pairs), found.to_pylist()
        else:
            assert as_text(found).to_pylist() == values

    check()
    assert seen[True] or kind in ("boolean", "date", "timestamp")
    assert seen[False] or kind == "string"


# --- tables of cases ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("0.1", True),
        ("123456789012345", True),
        ("9007199254740992", True),
        ("9007199254740993", False),  # 2^53 + 1
        ("0.12345678901234568", True),  # as repr writes it
        ("0.3333333333333333", True),
        ("0.33333333333333333333", False),  # a third has other digits as a double
        ("0.10000000000000000555", True),  # what %.20f makes of the double
        ("12345678901234.567", False),
        ("1.7976931348623157e+308", True),
        ("1e400", False),
        ("1e-400", False),
        ("inf", True),
        ("00501", True),
        ("1.5 EUR", False),
    ],
)
def test_numbers_that_a_double_gives_back(text: str, fits: bool) -> None:
    """A text is a number when the double, rounded to as many digits, is the text again."""
    assert (taken("number", text) is not None) == fits


@pytest.mark.parametrize(
    ("kind", "values", "type", "expected"),
    [
        ("integer", [3.0, None, float("nan")], pa.float64(), [3, None, None]),
        ("integer", [3.5], pa.float64(), None),
        ("integer", [2.0**53 + 2], pa.float64(), None),
        ("integer", [Decimal(7)], pa.decimal128(38, 0), [7]),
        ("integer", [Decimal("7.5")], pa.decimal128(12, 1), None),
        ("integer", [2**63], pa.uint64(), None),
        ("integer", ["3.0", "+4"], pa.string(), [3, 4]),
        ("integer", ["3.5"], pa.string(), None),
        ("integer", ["0x10"], pa.string(), None),
        ("integer", ["1E5"], pa.string(), None),
        ("number", [Decimal("12.34")], pa.decimal128(12, 2), [12.34]),
        ("number", [Decimal("0.123456789012345678")], pa.decimal128(20, 18), None),
        ("number", [1.5], pa.float16(), [1.5]),
        ("number", [2**53 + 1], pa.int64(), None),
        ("string", [b"north"], pa.binary(), ["north"]),
        ("string", [b"\xff"], pa.binary(), None),
        ("string", ["north"], pa.large_string(), ["north"]),
        ("string", ["north"], pa.string_view(), ["north"]),
        ("string", [2**63], pa.uint64(), ["9223372036854775808"]),
        ("string", [1.5], pa.float64(), None),
        ("string", [[1]], pa.list_(pa.int64()), None),
        ("boolean", [1, 0, None], pa.int8(), [True, False, None]),
        ("boolean", [1.0, 0.0], pa.float64(), [True, False]),
        ("boolean", [2], pa.int8(), None),
        ("boolean", ["Y", "n", "TRUE", "0"], pa.string(), [True, False, True, False]),
        ("date", [datetime(2024, 3, 1)], pa.timestamp("ns"), [date(2024, 3, 1)]),
        ("date", [datetime(2024, 3, 1, 5)], pa.timestamp("ns"), None),
        ("date", [date(2024, 3, 1)], pa.date64(), [date(2024, 3, 1)]),
        ("date", ["2024-03-01T00:00:00.000"], pa.string(), [date(2024, 3, 1)]),
        ("date", ["2024-03-01T05:00:00"], pa.string(), None),
        ("timestamp", [date(2024, 3, 1)], pa.date32(), [datetime(2024, 3, 1, tzinfo=UTC)]),
        ("timestamp", [1], pa.duration("s"), None),
        ("timestamp", [1709251200], pa.int64(), None),
    ],
)
def test_types_of_arrow(
    kind: LogicalType, values: list[Any], type: pa.DataType, expected: list[Any] | None
) -> None:
    """What holds the value exactly is taken; nothing else is."""
    assert taken(kind, *values, type=type) == expected


def test_dictionaries_and_runs_are_plain() -> None:
    """Categories and runs are only another way to write the values."""
    contract = contract_of("string")
    for values in (
        pa.array(["a", None, "a"]).dictionary_encode(),
        pa.array(["a", None, "a"], pa.large_string()).dictionary_encode(),
        pa.compute.run_end_encode(pa.array(["a", None, "a"])),
    ):
        found = conform(pa.chunked_array([values]), contract, "x")
        assert (found.type, found.to_pylist()) == (pa.string(), ["a", None, "a"])


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01T12:00:00.1234567",
        "2024-03-01T12:00:00.123456789Z",
        "2024-03-01 12:00:00.123456 UTC",
        "2024-03-01 12:00:00,123456",
        "2024-03-01 14:00:00.123456 +02:00",
        "2024-03-01t12:00:00.123456z",
        "2024-03-01T13:00:00.123456+01:00[Europe/Vienna]",
        "2024-03-01T12:00:00.123456Z[UTC]",
    ],
)
def test_times_as_exports_write_them(text: str) -> None:
    """More digits than six are cut off; UTC may stand behind in words."""
    assert taken("timestamp", text) == [datetime(2024, 3, 1, 12, 0, 0, 123456, UTC)]


def test_finer_than_microseconds_is_cut_towards_the_past() -> None:
    """Before 1970 as after."""
    found = taken("timestamp", -1, 1999, type=pa.timestamp("ns", tz="UTC"))

    assert found == [
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(1970, 1, 1, 0, 0, 0, 1, UTC),
    ]


@pytest.mark.parametrize(
    ("epoch", "values", "type"),
    [
        ("seconds", ["1709294400.5"], pa.string()),
        ("seconds", [1709294400.5], pa.float64()),
        ("milliseconds", ["1709294400500"], pa.string()),
        ("milliseconds", [1709294400500], pa.int64()),
        ("milliseconds", [1709294400500.0], pa.float64()),
        ("microseconds", [1709294400500000], pa.int64()),
        ("nanoseconds", [1709294400500000000], pa.int64()),
        ("seconds", [Decimal("1709294400.500")], pa.decimal128(20, 3)),
        ("seconds", [datetime(2024, 3, 1, 12, 0, 0, 500000)], pa.timestamp("ms")),
    ],
)
def test_counts_since_1970(epoch: str, values: list[Any], type: pa.DataType) -> None:
    """When the contract says what they count."""
    assert taken("timestamp", *values, type=type, epoch=epoch) == [
        datetime(2024, 3, 1, 12, 0, 0, 500000, UTC)
    ]


@pytest.mark.parametrize(("choice", "hour"), [("earlier", 0), ("later", 1), ("quarantine", 0)])
@pytest.mark.parametrize("type", [pa.string(), pa.timestamp("us")])
def test_hour_that_stands_twice(choice: str, hour: int, type: pa.DataType) -> None:
    """In the autumn night of Vienna half past two is one of two moments: the contract's choice."""
    local = "2024-10-27 02:30:00"
    value = local if type == pa.string() else datetime.fromisoformat(local)

    assert taken("timestamp", value, type=type, zone="Europe/Vienna", ambiguous=choice) == [
        datetime(2024, 10, 27, hour, 30, tzinfo=UTC)
    ]


def test_day_is_its_first_moment_in_the_contracts_zone() -> None:
    """Also where the clock leaves midnight out, as in Sao Paulo on 4 November 2018."""
    for value, type in (("2018-11-04", pa.string()), (date(2018, 11, 4), pa.date32())):
        assert taken("timestamp", value, type=type, zone="America/Sao_Paulo") == [
            datetime(2018, 11, 4, 3, tzinfo=UTC)
        ]


def test_midnights_with_an_offset_are_days_of_the_contracts_zone() -> None:
    """As text, and where one is none, that one alone is named."""
    midnight, noon = "2024-03-01T00:00:00Z", "2024-03-01T12:00:00Z"

    assert taken("date", midnight, None) == [date(2024, 3, 1), None]
    assert taken("date", "2024-02-29T23:00:00Z", zone="Europe/Vienna") == [date(2024, 3, 1)]
    assert taken("date", midnight, zone="Europe/Vienna") is None
    found = misfits(pa.chunked_array([[midnight, noon]]), contract_of("date"), "x")
    assert (found.rows, found.examples) == (1, (noon,))
    assert found.advice == "a date has no time of day: declare x as a timestamp"


def test_hour_that_the_clock_leaves_out_is_named() -> None:
    """There is no such moment: the zone is another."""
    values = pa.chunked_array([["2024-03-31 02:30:00", "2024-03-31 04:00:00"]])

    found = misfits(values, contract_of("timestamp", zone="Europe/Vienna"), "x")

    assert (found.rows, found.examples) == (1, ("2024-03-31 02:30:00",))
    assert "the clock of Europe/Vienna leaves them out in spring" in found.advice


@pytest.mark.parametrize(
    ("format", "text", "expected"),
    [
        ("dd.MM.yyyy HH:mm", "01.03.2024 14:05", datetime(2024, 3, 1, 14, 5)),
        ("d.M.yy H:m:s", "1.3.24 4:5:6", datetime(2024, 3, 1, 4, 5, 6)),
        ("MM/dd/yyyy h:mm a", "03/01/2024 12:05 AM", datetime(2024, 3, 1, 0, 5)),
        ("MM/dd/yyyy h:mm a", "03/01/2024 1:05 pm", datetime(2024, 3, 1, 13, 5)),
        ("dd-MMM-yyyy", "01-Mar-2024", datetime(2024, 3, 1)),
        ("yyyyMMdd'T'HHmmssX", "20240301T140506+02", datetime(2024, 3, 1, 12, 5, 6)),
        (
            "dd.MM.yyyy HH:mm:ss.SSS",
            "01.03.2024 14:05:06.25",
            datetime(2024, 3, 1, 14, 5, 6, 250000),
        ),
    ],
)
def test_format_of_the_contract(format: str, text: str, expected: datetime) -> None:
    """Letters of Java's DateTimeFormatter; what is not written so does not fit."""
    assert taken("timestamp", text, None, format=format) == [expected.replace(tzinfo=UTC), None]
    assert taken("timestamp", text, "x", format=format) is None


@pytest.mark.parametrize(
    ("decimal", "thousands", "texts", "expected"),
    [
        (",", ".", ["1.234,5", "12,25", "-1.234.567"], [1234.5, 12.25, -1234567.0]),
        (",", "", ["12,25", "3"], [12.25, 3.0]),
        (",", "", ["12.25"], None),
        (".", ",", ["1,234.5"], [1234.5]),
        (".", ",", ["12,34"], None),  # no group of three: it may mean 12.34
        (".", "'", ["1'234.5"], [1234.5]),
        (",", ".", ["1.5"], None),
        (",", "\u202f", ["1\u202f234,5"], [1234.5]),
        (".", "\u2019", ["1\u2019234.5"], [1234.5]),
        (".", "", ["\u221212.5", "3"], [-12.5, 3.0]),
        (",", ".", ["1.234,5-", "0,5"], [-1234.5, 0.5]),
        (".", "", ["-12.5-"], None),
    ],
)
def test_marks_of_numbers(
    decimal: str, thousands: str, texts: list[str], expected: list[float] | None
) -> None:
    """The contract's server says how numbers are written; groups have three digits."""
    server = {"decimal": decimal, "thousands": thousands}

    assert taken("number", *texts, server=server) == expected


@settings(deadline=None)
@given(
    st.decimals(-(10**9), 10**9, places=2),
    st.sampled_from([(".", ","), (",", "."), (",", "\u202f"), (".", "\u2019"), (",", "")]),
    st.sampled_from(["-{}", "\u2212{}", "{}-"]),
)
def test_any_number_in_any_locale(value: Decimal, marks: tuple[str, str], minus: str) -> None:
    """What is taken is the number that was written, however it was."""
    decimal, thousands = marks
    text = f"{abs(value):,.2f}".replace(",", "_").replace(".", decimal).replace("_", thousands)
    text = minus.format(text) if value < 0 else text

    found = taken("number", text, server={"decimal": decimal, "thousands": thousands})

    assert found == [float(value)]


def test_signs_of_whole_numbers() -> None:
    """The minus of typography, or behind the digits, as SAP writes it."""
    assert taken("integer", "\u22125", "7-", "+8") == [-5, -7, 8]
    assert taken("integer", "7--") is None


@pytest.mark.parametrize("type", [pa.string(), pa.int32()])
def test_days_in_digits(type: pa.DataType) -> None:
    """A number such as 20240301 is a day where the contract's format says so."""
    value = "20240301" if pa.types.is_string(type) else 20240301

    assert taken("date", value, type=type, format="yyyyMMdd") == [date(2024, 3, 1)]
    assert taken("timestamp", value, type=type, format="yyyyMMdd") == [
        datetime(2024, 3, 1, tzinfo=UTC)
    ]
    assert taken("date", value, type=type) is None


def test_two_values_of_a_boolean() -> None:
    """One and two, when the contract says which of them is true; as text and as numbers."""
    spellings = {"true_values": ("2",), "false_values": ("1",)}

    assert taken("boolean", "2", "1", "", **spellings) == [True, False, None]
    assert taken("boolean", 2, 1, type=pa.int64(), **spellings) == [True, False]
    assert taken("boolean", "0", **spellings) is None


def test_years_beyond_the_calendar_are_text() -> None:
    """A moment that Python cannot hold is never shown as a bare number."""
    values = pa.chunked_array([pa.array([2**60], pa.timestamp("us", tz="UTC"))])

    assert conform(values, contract_of("timestamp"), "x").to_pylist() == [
        "38504-08-17 21:30:06.846976Z"
    ]


@pytest.mark.parametrize(
    ("kind", "text", "advice"),
    [
        ("integer", "99999999999999999999", "declare x as another type"),
        ("number", "1,5", "say as decimal and thousands of servers.0"),
        ("number", "unknown", "say as missingValues of servers.0"),
        ("boolean", "ja", "say as trueValues and falseValues of x"),
        ("timestamp", "1709294400", "say as epoch of x"),
        ("timestamp", "01.03.2024", "say as format of x"),
    ],
)
def test_misfits_say_what_to_do(kind: LogicalType, text: str, advice: str) -> None:
    """The count, the values as they stand, and the key that would have them read."""
    sound = {"boolean": "true", "timestamp": "2024-03-01"}.get(kind, "1")
    values = pa.chunked_array([[sound, text, text]])

    found = misfits(values, contract_of(kind), "x")

    assert (found.rows, found.examples) == (2, (text,))
    assert advice in found.advice
