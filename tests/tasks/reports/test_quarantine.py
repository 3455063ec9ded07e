"""Tests of the list of a quarantine: what is shown, what is hidden, and that no spreadsheet runs
it.
"""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.snapshot import write_snapshot
from tasks.lake import DamagedFileError
from tasks.reports.quarantine import HIDDEN, inert, inert_csv, quarantined_rows
from tasks.validation.config import ValidationConfig
from tasks.validation.verdict import judge
from tests.sample_contract import BATCH, column, sample_contract, sample_table

STARTS = ("=", "+", "-", "@", "\t", "\r")


def test_broken_rows_with_their_rules(tmp_path: Path) -> None:
    """Position, rules and values of each row; the classified column is hidden, an unknown one is
    left out.
    """
    contract = sample_contract(tmp_path, lambda d: column(d, "shop").update(name="=shop"))
    table = sample_table(
        4, amount=[-5.0, 1.0, 2.0, 3.0], note=["=1+1", "a", "b", "c"]
    ).rename_columns(
        ["sold_at", "id", "=shop", "amount", "note", "till", "paid_on", "email", "returned"]
    )
    table = table.append_column("passport", pa.array(["secret"] * 4))
    snapshot = write_snapshot(tmp_path, table, contract, BATCH, "test")
    verdict = judge(tmp_path, snapshot, contract, ValidationConfig(max_quarantined=1.0))

    rows = quarantined_rows(tmp_path, str(verdict.quarantine), contract)

    assert rows == (
        (
            "row",
            "rules",
            "sold_at",
            "id",
            "=shop",
            "amount",
            "note",
            "till",
            "paid_on",
            "email",
            "returned",
        ),
        (
            "0",
            "amount:between",
            "2013-05-17 12:00:00+00:00",
            "1",
            "A",
            "-5.0",
            "=1+1",
            "0",
            "2013-05-17",
            HIDDEN,
            "True",
        ),
    )
    opened = list(csv.reader(io.StringIO(inert_csv(rows))))
    assert opened[0][4] == "'=shop"
    assert opened[1][5:7] == ["-5.0", "'=1+1"]
    assert not any(cell.startswith(STARTS) for row in opened for cell in row if cell != "-5.0")


def test_damaged_quarantine_is_not_listed(tmp_path: Path) -> None:
    """A file that is not what was written is refused by name."""
    with pytest.raises(DamagedFileError, match=r"x-ab\.parquet"):
        quarantined_rows(tmp_path, "x-ab.parquet", sample_contract(tmp_path))


@given(text=st.text())
def test_any_text_is_inert_and_is_there(text: str) -> None:
    """A cell that is read back begins with no sign of a formula unless it is a number, and nothing
    of it is lost.
    """
    (row,) = csv.reader(io.StringIO(inert_csv([[text]]), newline=""))

    assert row[0].removeprefix("'") == text.removeprefix("'")
    assert not row[0].lstrip(" ").startswith(STARTS) or float(row[0]) is not None


@pytest.mark.parametrize(
    "cell",
    ["=1", " =1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", "\uff1d1", "-1_0", "+inf"],
)
def test_formulas_are_made_text(cell: str) -> None:
    """Each way to begin a formula gets an apostrophe before it."""
    assert inert(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-5.0", "+1e-3", "0", "a=b", "", "2013-05-17"])
def test_numbers_and_plain_texts_stay(cell: str) -> None:
    """What no spreadsheet runs stays as it is."""
    assert inert(cell) == cell
