"""Tests of the first contract from a file: it loads, and the file that it came from keeps it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract, load_contract
from tasks.batches import batch_named
from tasks.ingest.dialect import Options
from tasks.ingest.formats import parse_file
from tasks.ingest.infer import infer_contract, read_typed, without_extremes
from tasks.ingest.rows import Piece, Rows
from tasks.ingest.snapshot import write_snapshot
from tasks.ingest.source import SourceError
from tasks.validation.config import ValidationConfig
from tasks.validation.verdict import judge

NOON = datetime(2013, 5, 17, 12, tzinfo=UTC)


def inferred(source: Path) -> Contract:
    """The contract of a file, written and loaded."""
    file = source.parent / "things.odcs.yaml"
    file.write_text(infer_contract(read_typed(source), "things"), encoding="utf-8")
    return load_contract(file)


def test_each_guess(tmp_path: Path) -> None:
    """Types, gaps, range, list of values, key, event time, and what looks personal."""
    source = tmp_path / "2013-05-17.csv"
    source.write_text(
        "id,at,on,size,kind,open,mail,code\n"
        "7,2013-05-17T10:00:00Z,2013-05-17,1.5,a,true,x@y,k1\n"
        "8,2013-05-17T11:00:00Z,2013-05-16,,b,false,z@y,k2\n"
        "9,2013-05-17T12:00:00Z,2013-05-15,3,a,true,x@y,k3\n"
        "10,2013-05-17T12:30:00Z,2013-05-15,2,b,true,x@y,k4\n"
    )

    contract = inferred(source)

    assert {column.name: column.logical_type for column in contract.columns} == {
        "id": "integer",
        "at": "timestamp",
        "on": "date",
        "size": "number",
        "kind": "string",
        "open": "boolean",
        "mail": "string",
        "code": "string",
    }
    assert (contract.key, contract.event_time) == (("id",), "at")
    assert not contract.column("size").required
    assert contract.column("mail").sensitive
    rules = {rule.id: rule.arguments for rule in contract.rules}
    assert (rules["size:between"]["min"], rules["size:between"]["max"]) == (1.5, 3.0)
    assert rules["kind:in_set"]["values"] == ("a", "b")
    assert "mail:in_set" not in rules
    assert "could be the key" in contract.column("code").description
    assert all(column.description.startswith("Guessed: ") for column in contract.columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,x\n", "expected a column of times without a gap"),
        ("at\n", "expected rows to infer"),
    ],
)
def test_files_that_no_contract_comes_from(tmp_path: Path, text: str, message: str) -> None:
    """Without rows or times there is nothing to begin with."""
    (tmp_path / "x.csv").write_text(text)

    with pytest.raises(SourceError, match=message):
        infer_contract(read_typed(tmp_path / "x.csv"), "x")


def test_codes_stay_text(tmp_path: Path) -> None:
    """Digits that a number would round, strip or spell anew; the rest of the digits are numbers."""
    source = tmp_path / "x.csv"
    rows = [
        f"2024-03-0{i},1189850876250608328{i},{i % 3:05d},{i}E{i},{2**62 + i},+4366400{i},{i}.0,{i}"
        for i in range(1, 9)
    ]
    source.write_text("at,scholar,zip,sku,device,phone,whole,n\n" + "\n".join(rows) + "\n")

    kinds = {c.name: c.logical_type for c in inferred(source).columns}

    assert kinds == {
        "at": "timestamp",
        **dict.fromkeys(("scholar", "zip", "sku", "device", "phone"), "string"),
        "whole": "number",  # whole today, it need not be tomorrow
        "n": "integer",
    }


def test_limits_and_lists_are_warnings(tmp_path: Path) -> None:
    """They hold in this file; the next one may be the first that breaks them."""
    source = tmp_path / "x.csv"
    rows = [f"2024-03-0{i},{i // 2},{'ab'[i % 2]}\n" for i in range(1, 9)]
    source.write_text("at,n,kind\n" + "".join(rows))

    severities = {
        rule.id: rule.severity for rule in inferred(source).rules if rule.columns[:1] != ("at",)
    }

    guessed = {"n:between", "n:not_null", "kind:in_set", "kind:not_null"}
    assert {id for id, severity in severities.items() if severity == "warning"} >= guessed


def test_order_and_missing_shares_that_history_keeps(tmp_path: Path) -> None:
    """A column that is never above another is proposed as at most it, as a warning; one that lies
    below it anyway, or once is above, is not. A share of gaps gets a limit.
    """
    rng = np.random.default_rng(0)
    temp = rng.normal(60, 15, 400).round(1)
    dewp = (temp - rng.exponential(8, 400)).round(1)
    seats = rng.integers(1, 9, 400)
    almost = dewp.copy()
    almost[398:] = dewp[398] - 1, temp[399] + 1
    at = [f"{(NOON + timedelta(hours=i)):%Y-%m-%dT%H:%M:%SZ}" for i in range(400)]
    gaps = pa.array(temp, mask=np.arange(400) % 10 == 0)
    rows = pa.table({"at": at, "temp": gaps, "dew p": dewp, "seats": seats, "almost": almost})
    pc.write_csv(rows, tmp_path / "weather.csv")

    contract = inferred(tmp_path / "weather.csv")

    queries = [rule for rule in contract.rules if rule.check == "sql"]
    assert [rule.description for rule in queries] == [
        "Guessed: dew p is at most temp, in every row of this file."
    ]
    assert {rule.severity for rule in contract.rules if rule.check in ("sql", "null_share")} == {
        "warning"
    }
    assert [rule.columns for rule in contract.rules if rule.check == "null_share"] == [("temp",)]


def test_columns_that_no_contract_has_are_left_out(tmp_path: Path) -> None:
    """They cost themselves and not the file, with a comment that says why."""
    source = tmp_path / "2013-05-17.parquet"
    table = pa.table(
        {
            "at": [NOON, NOON],
            "list": [[1], [2]],
            "struct": [{"a": 1}, {"a": 2}],
            "span": pa.array([1, 2], pa.duration("s")),
            "nothing": pa.nulls(2),
            "hash": pa.array([2**63, 2**63 + 1], pa.uint64()),
            "shop": pa.array(["a", "b"], pa.large_string()),
        }
    )
    pq.write_table(table, source)

    typed = read_typed(source)
    text = infer_contract(typed, "things")

    assert list(typed.columns) == ["at", "hash", "shop"]
    assert typed.columns["hash"].values.to_pylist() == [str(2**63), str(2**63 + 1)]
    assert set(typed.left_out) == {"list", "struct", "span", "nothing"}
    assert all(f"# Left out: '{name}': " in text for name in typed.left_out)


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "?", "3"], "integer", [1, None, 3]),
        (["2024-03-01", "n/a", "2024-03-02"], "date", [date(2024, 3, 1), None, date(2024, 3, 2)]),
        (["AT", "NA", "DE"], "string", ["AT", "NA", "DE"]),  # Namibia
        (["north", "NA", "south"], "string", ["north", None, "south"]),
        (["north", "-", "south"], "string", ["north", "-", "south"]),
        (["Y", "N", ""], "boolean", [True, False, None]),
        (["y", "x", "n"], "string", ["y", "x", "n"]),
        (["01.03.2024", "31.03.2024", ""], "date", [date(2024, 3, 1), date(2024, 3, 31), None]),
    ],
)
def test_missing_markers_and_spellings(
    tmp_path: Path, cells: list[str], kind: str, values: list[object]
) -> None:
    """What means that there is no value depends on what stands beside it."""
    source = tmp_path / "x.csv"
    source.write_text("at,x\n" + "".join(f"2024-03-01,{cell}\n" for cell in cells))

    typed = read_typed(source)

    assert typed.columns["x"].column.logical_type == kind
    assert typed.columns["x"].values.to_pylist() == values
    contract = inferred(source)
    assert contract.server.missing == typed.server.missing


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yyyyMMdd", "20240301"),
        ("yyyyMMddHHmm", "202403011200"),
        ("yyyyMMddHHmmss", "20240301120000"),
        ("yyyyMMdd'T'HHmmssX", "20240301T120000Z"),
        ("MMM d, yyyy HH:mm", "Mar 1, 2024 12:00"),
        ("dd/MMM/yyyy", "01/Mar/2024"),
    ],
)
def test_forms_of_the_event_time(tmp_path: Path, form: str, text: str) -> None:
    """Also digits alone, which are no count since 1970; as text and as whole numbers."""
    (tmp_path / "x.csv").write_text(f'at,y\n"{text}",1\n"{text}",2\n')
    files = [tmp_path / "x.csv"]
    if text.isdigit():
        files.append(tmp_path / "x.parquet")
        pq.write_table(pa.table({"at": [int(text)], "y": [1]}), files[1])

    for file in files:
        typed = read_typed(file, time="at").columns["at"]
        noon = datetime(2024, 3, 1, 12 if "HH" in form else 0, tzinfo=UTC)
        assert (typed.column.format, typed.values[0].as_py()) == (form, noon)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["€ 12.50", "€ 3"], True),
        (["12.5%", "3%"], True),
        (["(12.50)", "3"], True),
        (["12 kg", "3.5 kg"], True),
        (["12A", "3B"], False),
        (["north", "12 kg"], False),
    ],
)
def test_numbers_with_a_unit_are_told(tmp_path: Path, values: list[str], told: bool) -> None:
    """They are text, and it is said, with one of them."""
    (tmp_path / "x.csv").write_text("at,x\n" + "".join(f"2024-03-01,{v}\n" for v in values))

    typed = read_typed(tmp_path / "x.csv", time="at")

    assert typed.columns["x"].column.logical_type == "string"
    assert any("no plain numbers, such as" in guess.why for guess in typed.guesses) == told


def test_numbers_that_few_models_stand_are_told(tmp_path: Path) -> None:
    """With the option that makes gaps of them; the largest of float32 is none of them."""
    rows = ["1.7976931348623157e+308,-3.4028234663852886e+38", "2.5,3.5"]
    (tmp_path / "x.csv").write_text("at,v,w\n" + "".join(f"2024-03-01,{row}\n" for row in rows))

    found = [guess.what for guess in read_typed(tmp_path / "x.csv", time="at").guesses]
    options = Options(missing=("1.7976931348623157e+308",))
    gaps = read_typed(tmp_path / "x.csv", options, "at").columns["v"].values.to_pylist()

    assert found == ["v holds numbers such as 1.7976931348623157e+308"]
    assert gaps == [None, 2.5]


@pytest.mark.parametrize("factor", [1, 1000, 10**6, 10**9])
def test_counts_since_1970_are_times_of_the_time_column(tmp_path: Path, factor: int) -> None:
    """Large enough whole numbers, there and nowhere else."""
    source = tmp_path / "x.csv"
    moment = int(NOON.timestamp()) * factor
    source.write_text(f"at,other\n{moment},{moment}\n{moment + factor},{moment}\n")

    typed = read_typed(source, time="at")

    assert typed.columns["at"].values.to_pylist() == [NOON, NOON + timedelta(seconds=1)]
    assert typed.columns["other"].column.logical_type in ("integer", "string")
    assert any("since 1970" in guess.what for guess in typed.guesses)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), rows=st.integers(1, 8), format=st.sampled_from(["csv", "parquet"]))
def test_any_file_keeps_its_own_contract(
    tmp_path: Path, data: st.DataObject, rows: int, format: str
) -> None:
    """Whatever the file holds, its contract loads and accepts it whole."""

    def drawn(cells: st.SearchStrategy[object], type_: pa.DataType) -> pa.Array:
        return pa.array(data.draw(st.lists(st.none() | cells, min_size=rows, max_size=rows)), type_)

    table = pa.table(
        {
            "at": [NOON + timedelta(minutes=i) for i in range(rows)],
            "text": drawn(
                st.text("ab@1.-: ,\"'", max_size=5) | st.sampled_from(["yes", "NA", "2013-05-17"]),
                pa.string(),
            ),
            "count": drawn(st.integers(-(2**63), 2**63 - 1), pa.int64()),
            "size": drawn(st.floats(), pa.float64()),
            "flag": drawn(st.booleans(), pa.bool_()),
            "day": drawn(st.dates(date(1900, 1, 1), date(2100, 1, 1)), pa.date32()),
        }
    )
    source = tmp_path / f"2013-05-17.{format}"
    if format == "csv":
        pc.write_csv(table, source)
    else:
        pq.write_table(table, source)

    contract = inferred(source)

    batch = batch_named("2013-05-17", "day", "UTC")
    piece = Piece(source.name, parse_file(source.read_bytes(), source.name, contract))
    rows = Rows(lambda _: iter([piece]), contract, source.name)
    snapshot = write_snapshot(tmp_path / "lake", rows, contract, batch, "test")
    verdict = judge(tmp_path / "lake", snapshot, contract, ValidationConfig())
    assert (verdict.outcome, verdict.quarantined) == ("accept", 0), verdict.reason


@pytest.mark.parametrize(
    ("numbers", "left"),
    [
        ([-200.0] * 3 + [20 + i % 10 for i in range(97)], 97),
        ([20 + i % 10 for i in range(97)] + [122.15, 1e9, -1e9], 97),
        ([1.2**i for i in range(60)], 60),  # skewed, and no gap
        ([0.0] * 98 + [1.0, 500.0], 100),  # mostly one value: nothing says how far is far
        ([1.0, 1e9], 2),
    ],
)
def test_extremes_are_far_from_all_others(numbers: list[float], left: int) -> None:
    """A sensor's impossible values are outside the drafted range; the tail of a skewed column is
    within.
    """
    assert len(without_extremes(pa.chunked_array([numbers]))) == left
