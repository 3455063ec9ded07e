"""Columns of any name: each judged by its own rules, by both engines, and found in quarantine."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract, ContractError
from tasks.ingest.snapshot import write_snapshot
from tasks.lake import read_reasons
from tasks.records import Snapshot, Verdict
from tasks.reports.quarantine import quarantined_rows
from tasks.validation.config import ValidationConfig
from tasks.validation.dry_run import check_rules
from tasks.validation.neutral import NeutralNames
from tasks.validation.verdict import judge
from tests.sample_contract import BATCH, sample_contract, sample_table
from tests.tasks.hostile_names import NAMES, names

KNOWN = {"sold_at", "id", "shop", "amount", "note", "till", "paid_on", "email", "returned"}


def contract_with(directory: Path, hostile: Sequence[str], **more: Any) -> Contract:
    """The sample contract with columns of these names: numbers from 0 to 10."""

    def change(document: Any) -> None:
        document["schema"][0]["properties"] += [
            {
                "name": name,
                "logicalType": "number",
                "logicalTypeOptions": {"minimum": 0, "maximum": 10},
            }
            | more
            for name in hostile
        ]

    return sample_contract(directory, change)


def judged(
    lake: Path, contract: Contract, values: dict[str, list[float]]
) -> tuple[Snapshot, Verdict]:
    """The verdict on sample rows with these columns besides; any quarantine is allowed."""
    rows = len(next(iter(values.values())))
    table = sample_table(rows)
    for name, cells in values.items():
        table = table.append_column(name, pa.array(cells, pa.float64()))
    snapshot = write_snapshot(lake, table, contract, BATCH, "test")
    return snapshot, judge(lake, snapshot, contract, ValidationConfig(max_quarantined=1.0))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(names, min_size=2, max_size=6, unique=True).map(
        lambda drawn: [name for name in drawn if name not in KNOWN]
    )
)
@example(["Amount", "AMOUNT", "aMOUNT"])
@example([".", "[0]", ".a", "a.b"])
@example(list(NAMES))
def test_each_column_is_judged_by_its_own_rules(hostile: list[str]) -> None:
    """In a table in which each column breaks its limit in a row of its own, each is blamed for that
    row, and the row is kept with its values.
    """
    if not hostile:
        return
    with tempfile.TemporaryDirectory() as directory:
        lake = Path(directory)
        contract = contract_with(lake / "contract", hostile)
        values = {
            name: [99.0 + i if row == i else float(i % 10) for row in range(len(hostile))]
            for i, name in enumerate(hostile)
        }

        _, verdict = judged(lake, contract, values)

        assert verdict.outcome == "accept with quarantine"
        reasons = read_reasons(lake, str(verdict.quarantine))
        assert reasons == {i: f"{name}:between" for i, name in enumerate(hostile)}
        kept = pq.ParquetFile(lake / str(verdict.quarantine)).read()
        assert len(set(kept.column_names)) == len(kept.column_names)
        assert {name: kept[name].to_pylist() for name in hostile} == values
        headings, *rows = quarantined_rows(lake, str(verdict.quarantine), contract)
        assert [
            dict(zip(headings[2:], row[2:], strict=True))[name]
            for row, name in zip(rows, hostile, strict=True)
        ] == [str(99.0 + i) for i in range(len(hostile))]


@pytest.mark.parametrize("name", ["Amount", "index", "a b", "not", "len", "column_0", "2024"])
@pytest.mark.parametrize("written", ["pandas", "great_expectations"])
def test_custom_rules_judge_the_column_that_they_name(
    tmp_path: Path, name: str, written: str
) -> None:
    """Beside a column whose name differs in case only, and under a condition on a third, the named
    column is judged.
    """
    condition = "amount > 1" if written == "pandas" else 'col("amount") > 1'
    limit = {
        "type": "custom",
        "engine": "greatExpectations",
        "implementation": {
            "type": "expect_column_values_to_be_between",
            "kwargs": {
                "column": name,
                "max_value": 5,
                "row_condition": condition,
                "condition_parser": written,
            },
        },
    }

    def change(document: Any) -> None:
        document["schema"][0]["properties"].append(
            {"name": name, "logicalType": "number", "quality": [limit]}
        )

    contract = sample_contract(tmp_path / "contract", change)
    check_rules(contract)
    values = {name: [9.0, 7.0, 0.0, 0.0, 8.0, 9.0]}  # amount is 0, 1.5, 3, 4.5, 6, 7.5

    _, verdict = judged(tmp_path, contract, values)

    rule = next(o for o in verdict.rules if "expect_column" in o.rule)
    assert (rule.outcome, rule.count) == ("failed", 3)
    assert "7.0, 8.0, 9.0" in rule.found


def test_a_condition_keeps_what_is_no_column() -> None:
    """Text, functions, attributes and arguments of a condition stay as they are."""
    names = NeutralNames(("shop", "case", "a b", "x"))

    found = names.in_arguments(
        {
            "column": "x",
            "value_set": ["shop"],
            "row_condition": "shop.str.contains('shop', case=False) and `a b` == \"x\""
            " and x.isin([case])",
        }
    )

    assert found == {
        "column": "column_3",
        "value_set": ["shop"],
        "row_condition": "column_0.str.contains('shop', case=False) and column_2 == \"x\""
        " and column_3.isin([column_1])",
    }
    assert names.in_text("column_2 and column_9") == "a b and column_9"


@pytest.mark.parametrize("name", ["", " ", "\0"])
def test_a_name_that_nobody_sees_is_refused(tmp_path: Path, name: str) -> None:
    """The contract is refused by the column's place, and says what to do."""
    with pytest.raises(ContractError, match=r"properties\.9\.name: expected a name .* left out"):
        contract_with(tmp_path, [name])


@pytest.mark.parametrize(
    "directory", ["a b", "w*at", "w?", "[x]", "{y}", "$HOME", "it's", "shop=1"]
)
def test_a_lake_of_any_path(tmp_path: Path, directory: str) -> None:
    """The rows that are judged are those of the file itself, not of what a pattern finds beside
    it.
    """
    query = {
        "type": "sql",
        "query": "SELECT count(*) FROM {table}",
        "mustBe": 2,
    }
    contract = contract_with(tmp_path / "contract", ["{column}"], quality=[query])
    sound, _ = judged(tmp_path / "sound", contract, {"{column}": [0.0, 1.0, 9.0]})
    table = sample_table(3).append_column("{column}", pa.array([0.0, 1.0, 99.0]))
    snapshot = write_snapshot(tmp_path / directory, table, contract, BATCH, "test")
    for neighbour in ("wZat", "wZ", "x"):
        shutil.copytree(tmp_path / "sound" / sound.path, tmp_path / neighbour / snapshot.path)

    verdict = judge(tmp_path / directory, snapshot, contract, ValidationConfig(max_quarantined=1.0))

    assert verdict.rows == 3
    assert {o.rule: o.count for o in verdict.rules if o.outcome == "failed"} == {
        "{column}:between": 1,
        "{column}:sql": 1,
    }


def test_a_query_tells_names_apart_that_differ_in_case(tmp_path: Path) -> None:
    """On a column {column} is that one; a name alone that means two is refused with the names to
    write.
    """
    query = {"type": "sql", "query": "SELECT max({column}) FROM {table}", "mustBe": 7}
    contract = contract_with(tmp_path / "c", ["Amount"], quality=[query])
    check_rules(contract)

    _, verdict = judged(tmp_path, contract, {"Amount": [1.0, 7.0]})

    assert next(o for o in verdict.rules if o.rule == "Amount:sql").outcome == "passed"
    plain = query | {"query": "SELECT max(Amount) FROM {table}"}
    with pytest.raises(ContractError, match=r'one in SQL: here amount is "amount \(4\)"'):
        check_rules(contract_with(tmp_path / "d", ["Amount"], quality=[plain]))
