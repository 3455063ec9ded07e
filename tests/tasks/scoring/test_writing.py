"""Tests of how predictions are written for people and systems."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from tasks.scoring.writing import NoSuchFormError, table_writer

SCHEMA = pa.schema(
    [
        ("prediction", pa.float64()),
        ("id", pa.int64()),
        ("text", pa.string()),
        ("late", pa.bool_()),
        ("day", pa.date32()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prediction": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "id": st.none() | st.integers(-(2**63), 2**63 - 1),
            "text": st.none() | st.text(st.characters(codec="utf-8")),
            "late": st.none() | st.booleans(),
            "day": st.none() | st.dates(),
            "scored_at": st.none()
            | st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),
        }
    ),
    max_size=5,
)


@given(rows=ROWS)
def test_json_lines_hold_each_value_to_the_last_digit(rows: list[dict[str, object]]) -> None:
    """Doubles as they are, whole numbers whole beside a gap, times as ISO 8601 writes them."""
    stream = io.BytesIO()
    with table_writer(stream, "json") as write:
        for row in rows:
            write(pa.Table.from_pylist([row], schema=SCHEMA))

    read = [json.loads(line) for line in stream.getvalue().decode().split("\n")[:-1]]
    for row in read:
        row["day"] = row["day"] and date.fromisoformat(row["day"])
        row["scored_at"] = row["scored_at"] and datetime.fromisoformat(row["scored_at"])
    assert read == rows
    assert [type(row["id"]) for row in read] == [type(row["id"]) for row in rows]


@pytest.mark.parametrize("ending", [".csv", ".CSV", ".jsonl", ".parquet", ".pq"])
def test_the_form_is_that_of_the_name(tmp_path: Path, ending: str) -> None:
    """Two tables, one after the other, are one file."""
    table = pa.table({"id": [1, 2], "prediction": [0.1 + 0.2, 1e-17]})
    target = tmp_path / f"out{ending}"

    with table_writer(target) as write:
        write(table.slice(0, 1))
        write(table.slice(1))

    if ending == ".jsonl":
        found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    elif ending.lower() == ".csv":
        found = csv.read_csv(target).to_pylist()
    else:
        found = pq.read_table(target).to_pylist()
    assert found == table.to_pylist()
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """No half of a file, and the one before stands."""
    target = tmp_path / "out.csv"
    target.write_text("before", encoding="utf-8")

    def fail() -> None:
        with table_writer(target) as write:
            write(pa.table({"id": [1]}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert [file.read_text(encoding="utf-8") for file in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("out.xlsx", "expected a name that ends in one of"),
        ("no/out.csv", "expected its directory"),
        ("there.csv", "found a directory"),
    ],
)
def test_a_name_that_cannot_be_written_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    """By name, with what was expected."""
    (tmp_path / "there.csv").mkdir()

    with pytest.raises(NoSuchFormError, match=sentence), table_writer(tmp_path / name):
        pass
