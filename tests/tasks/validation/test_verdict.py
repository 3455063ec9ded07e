"""Tests of the verdict: schema first, then rules, then quarantine, then the sentence."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract
from tasks.ingest.snapshot import write_snapshot
from tasks.lake import POSITION, REASONS, read_accepted, read_reasons
from tasks.records import RuleOutcome, Snapshot, Verdict
from tasks.validation.config import ValidationConfig
from tasks.validation.verdict import judge
from tests.sample_contract import BATCH, Document, column, sample_contract, sample_table

LENIENT = ValidationConfig(max_quarantined=1.0)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path_factory.mktemp("contract"))


def judged(
    lake: Path, contract: Contract, table: pa.Table, config: ValidationConfig = LENIENT
) -> tuple[Snapshot, Verdict]:
    """The snapshot of ``table`` and the verdict on it."""
    snapshot = write_snapshot(lake, table, contract, BATCH, "test")
    return snapshot, judge(lake, snapshot, contract, config)


def outcome(verdict: Verdict, rule: str) -> RuleOutcome:
    """What became of the rule."""
    return next(outcome for outcome in verdict.rules if outcome.rule == rule)


def failed(verdict: Verdict) -> list[str]:
    """Ids of the rules that failed."""
    return [outcome.rule for outcome in verdict.rules if outcome.outcome == "failed"]


def test_sound_batch_is_accepted_whole(tmp_path: Path, contract: Contract) -> None:
    """All rules passed, one outcome for each, in the contract's order of scopes."""
    snapshot, verdict = judged(tmp_path, contract, sample_table())

    assert (verdict.outcome, verdict.rows, verdict.quarantined, verdict.quarantine) == (
        "accept",
        6,
        0,
        None,
    )
    assert verdict.reason == "all 6 rows keep the contract"
    assert sorted(outcome.rule for outcome in verdict.rules) == sorted(
        rule.id for rule in contract.rules
    )
    assert {outcome.outcome for outcome in verdict.rules} == {"passed"}
    assert read_accepted(tmp_path, snapshot, verdict).equals(sample_table())


# --- schema ---------------------------------------------------------------------------------------


def test_missing_column_refuses(tmp_path: Path, contract: Contract) -> None:
    """The verdict names the column and what is there; nothing about its type or values is
    claimed.
    """
    _, verdict = judged(tmp_path, contract, sample_table().drop_columns(["amount"]))

    assert verdict.refused
    assert verdict.reason.startswith(
        "column amount is there: it is missing; the columns are sold_at, id, shop"
    )
    assert failed(verdict) == ["amount:present"]
    assert outcome(verdict, "amount:type").outcome == "not_run"
    assert {o.outcome for o in verdict.rules if o.scope != "schema"} == {"not_run"}
    assert len(verdict.rules) == len(contract.rules)


def test_extra_column_is_reported_only(tmp_path: Path, contract: Contract) -> None:
    """A column that the contract does not name is a warning, and is kept."""
    snapshot, verdict = judged(
        tmp_path, contract, sample_table().append_column("colour", pa.array(["red"] * 6))
    )

    assert verdict.outcome == "accept"
    assert (
        outcome(verdict, "columns:known").severity,
        outcome(verdict, "columns:known").found,
    ) == (
        "warning",
        "unknown columns colour",
    )
    assert "colour" in read_accepted(tmp_path, snapshot, verdict).column_names


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        (
            "amount",
            pa.array(["1.5", "n/a", "n/a", "x", "2", None]),
            "3 rows are not, such as 'n/a', 'x'; say as missingValues",
        ),
        (
            "id",
            pa.array([1.0, 2.5, 3.0, 4.0, 5.0, 6.0]),
            "1 row is not (the column is of type double), such as '2.5'",
        ),
        (
            "sold_at",
            pa.array(["2013-03-10T02:30:00"] * 6),
            "6 rows are not, such as '2013-03-10T02:30:00'; the clock of America/New_York leaves",
        ),
        (
            "sold_at",
            pa.array(["2013-05-17T12:00Z", "2013-05-17T12:00"] * 3),
            "its values are written in more than one",
        ),
        ("note", pa.array([b"x"] * 6), "it is of type binary"),
    ],
)
def test_retyped_column_refuses(
    tmp_path: Path, contract: Contract, name: str, values: pa.Array, found: str
) -> None:
    """The verdict names the column and shows what it holds instead."""
    table = sample_table()

    _, verdict = judged(
        tmp_path, contract, table.set_column(table.column_names.index(name), name, values)
    )

    assert verdict.refused
    assert failed(verdict) == [f"{name}:type"]
    assert verdict.reason.startswith(f"{name} is a")
    assert found in verdict.reason


def test_many_broken_columns_make_one_sentence(tmp_path: Path, contract: Contract) -> None:
    """Three are told, the rest counted."""
    _, verdict = judged(tmp_path, contract, sample_table().select(["sold_at", "id"]))

    assert "; and 4 more; mend the data and deliver it again, or change" in verdict.reason
    assert len(failed(verdict)) == 7


def test_zero_rows_never_pass(tmp_path: Path) -> None:
    """No rows, no verdict but refusal, even where the contract has no row count and no other rule
    fails.
    """
    contract = sample_contract(tmp_path, lambda d: d["schema"][0].pop("quality"))

    _, verdict = judged(tmp_path, contract, sample_table(0))

    assert verdict.refused
    assert verdict.reason == "the batch has no rows; deliver it again, with its rows"
    assert failed(verdict) == []


# --- rows -----------------------------------------------------------------------------------------


def test_exactly_the_broken_rows_go_to_quarantine(tmp_path: Path, contract: Contract) -> None:
    """They are kept beside the snapshot with reasons and values as read; the others are
    accepted.
    """
    table = sample_table(
        6, shop=["A", "X", "B", "C", None, "A"], amount=[1.0, -5.0, 0.0, None, 2.0, 1000.0]
    )

    snapshot, verdict = judged(tmp_path, contract, table)

    assert (verdict.outcome, verdict.quarantined) == ("accept with quarantine", 3)
    assert read_reasons(tmp_path, str(verdict.quarantine)) == {
        1: "shop:in_set;amount:between",
        4: "shop:not_null",
        5: "amount:between",
    }
    kept = pq.read_table(tmp_path / str(verdict.quarantine))
    assert kept.select(table.column_names).equals(table.take([1, 4, 5]))
    assert read_accepted(tmp_path, snapshot, verdict)["id"].to_pylist() == [1, 3, 4]
    assert (
        verdict.reason
        == "3 of 6 rows in quarantine; most often broken: amount lies in [0, 1000) (2 rows, such as"
        " -5.0, 1000.0)"
    )
    assert (outcome(verdict, "shop:in_set").count, outcome(verdict, "shop:in_set").found) == (
        1,
        "1 row, such as 'X'",
    )


def test_double_keys_go_to_quarantine_together(tmp_path: Path, contract: Contract) -> None:
    """Which of two rows of one key is right cannot be known."""
    noon = datetime(2013, 5, 17, 12, tzinfo=UTC)
    table = sample_table(4, sold_at=[noon, noon, noon, noon + timedelta(hours=1)], id=[1, 1, 2, 1])

    snapshot, verdict = judged(tmp_path, contract, table)

    assert failed(verdict) == ["key:unique"]
    assert read_accepted(tmp_path, snapshot, verdict)["id"].to_pylist() == [2, 1]
    assert outcome(verdict, "key:unique").found.startswith(
        "2 rows, such as (2013-05-17 12:00:00+00:00, 1)"
    )


def test_rows_outside_of_the_period_go_to_quarantine(tmp_path: Path, contract: Contract) -> None:
    """The period is that of the contract's zone: its start belongs to it, its end does not."""
    table = sample_table(
        4, sold_at=[BATCH.start - timedelta(microseconds=1), BATCH.start, BATCH.end, None]
    )

    snapshot, verdict = judged(tmp_path, contract, table)

    assert failed(verdict) == ["sold_at:not_null", "sold_at:within_batch"]
    assert read_accepted(tmp_path, snapshot, verdict)["sold_at"].to_pylist() == [BATCH.start]


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.5, "accept with quarantine"), (0.49, "refuse"), (0.0, "refuse")]
)
def test_too_much_quarantine_refuses(
    tmp_path: Path, contract: Contract, share: float, outcome: str
) -> None:
    """Above the allowed share the batch itself is in doubt; the rows are kept for the person who
    looks.
    """
    table = sample_table(6, shop=["X", "X", "X", "A", "B", "C"])

    _, verdict = judged(tmp_path, contract, table, ValidationConfig(max_quarantined=share))

    assert verdict.outcome == outcome
    assert len(read_reasons(tmp_path, str(verdict.quarantine))) == 3
    assert ("3 of 6 rows break a rule, more than" in verdict.reason) == (outcome == "refuse")


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_row_rule_that_only_reports(tmp_path: Path, severity: str) -> None:
    """A broken warning is in the verdict, and puts no row into quarantine."""
    contract = sample_contract(
        tmp_path, lambda d: column(d, "shop")["quality"][0].update(severity=severity)
    )

    snapshot, verdict = judged(tmp_path, contract, sample_table(3, shop=["A", "X", "B"]))

    assert (verdict.outcome, verdict.quarantined) == ("accept", 0)
    assert (outcome(verdict, "shop:in_set").outcome, outcome(verdict, "shop:in_set").count) == (
        "failed",
        1,
    )
    assert read_accepted(tmp_path, snapshot, verdict).num_rows == 3
    said = f"all 3 rows are accepted; a warning: {outcome(verdict, 'shop:in_set').description}"
    shown = f"{said} (1 row, such as 'X')"
    assert verdict.reason == (shown if severity == "warning" else "all 3 rows keep the contract")


# --- the whole batch ------------------------------------------------------------------------------


def _row_count(severity: str) -> Callable[[Document], object]:
    quality = {"metric": "rowCount", "mustBeGreaterOrEqualTo": 100, "severity": severity}
    return lambda document: document["schema"][0].update(quality=[quality])


@pytest.mark.parametrize(
    ("severity", "outcome_"), [("error", "refuse"), ("warning", "accept"), ("info", "accept")]
)
def test_batch_rules_by_severity(tmp_path: Path, severity: str, outcome_: str) -> None:
    """A broken batch rule refuses when it is an error, and is reported only when it is not."""
    contract = sample_contract(tmp_path, _row_count(severity))

    _, verdict = judged(tmp_path, contract, sample_table())

    assert verdict.outcome == outcome_
    assert failed(verdict) == ["batch:row_count"]
    assert ("the batch has at least 100 rows: 6" in verdict.reason) == (severity == "error")


def test_missing_share_is_shown(tmp_path: Path, contract: Contract) -> None:
    """A warning about gaps says how many."""
    _, verdict = judged(tmp_path, contract, sample_table(4, amount=[None, None, None, 1.0]))

    assert verdict.outcome == "accept"
    assert outcome(verdict, "amount:null_share").found == "75.0% missing"
    assert "(75.0% missing)" in verdict.reason


def test_stale_batch_is_refused(tmp_path: Path) -> None:
    """Nothing from the last hour of the day: the delivery broke off."""
    sla = [{"property": "freshness", "value": 1, "unit": "h"}]
    contract = sample_contract(tmp_path, lambda d: d.update(slaProperties=sla))

    _, verdict = judged(tmp_path, contract, sample_table())

    assert verdict.refused
    assert (
        "the newest event is within 1:00:00 of the batch's end: the newest is 2013-05-17 12:05"
        in verdict.reason
    )


# --- what is shown --------------------------------------------------------------------------------


def test_sensitive_values_never_appear(tmp_path: Path) -> None:
    """Neither a broken value, nor a double one, nor one of the wrong type is shown; they stay in
    the lake.
    """

    def change(document: Document) -> None:
        column(document, "email").update(unique=True, enum=[{"value": "a@b"}])

    contract = sample_contract(tmp_path, change)
    broken = sample_table(3, email=["secret-one", "secret-two@x", "secret-two@x"])
    retyped = broken.set_column(7, "email", pa.array([b"secret-3", b"secret-4", b"secret-5"]))

    _, verdict = judged(tmp_path, contract, broken)
    _, refused = judged(tmp_path, contract, retyped)

    assert {"email:matches", "email:unique", "email:in_set"} <= set(failed(verdict))
    assert "hidden" in outcome(verdict, "email:matches").found
    assert refused.refused
    assert "secret" not in verdict.model_dump_json() + refused.model_dump_json()


def test_huge_values_are_cut(tmp_path: Path, contract: Contract) -> None:
    """A verdict stays small whatever the data hold."""
    _, verdict = judged(tmp_path, contract, sample_table(3, shop=["A" * 100_000, "B", "C"]))

    assert len(outcome(verdict, "shop:in_set").found) < 200


def test_columns_called_as_ours_do_not_stand_in_their_place(
    tmp_path: Path, contract: Contract
) -> None:
    """An unknown column ``_row`` in the source cannot move rows out of quarantine."""
    table = sample_table(3, shop=["A", "X", "B"])
    for name in (POSITION, REASONS):
        table = table.append_column(name, pa.array([0, 0, 0]))

    snapshot, verdict = judged(tmp_path, contract, table)

    assert read_accepted(tmp_path, snapshot, verdict)["shop"].to_pylist() == ["A", "B"]


def test_judged_twice_is_the_same(tmp_path: Path, contract: Contract) -> None:
    """A run that died is repeated: same verdict, same quarantine file."""
    table = sample_table(3, shop=["A", "X", "B"])

    assert (
        judged(tmp_path, contract, table)[1] == judged(tmp_path, contract, table.take([2, 0, 1]))[1]
    )
    assert len(list((tmp_path / "quarantine").rglob("*.parquet"))) == 1


# --- any batch ------------------------------------------------------------------------------------

sound_cells = {
    "shop": st.sampled_from("ABC"),
    "amount": st.none() | st.floats(0, 999),
    "note": st.none() | st.text(max_size=20),
    "till": st.none() | st.integers(-(2**62), 2**62),
    "email": st.none() | st.just("a@b"),
    "returned": st.none() | st.booleans(),
}
breaks: list[tuple[str, Any]] = [
    ("shop", "a"),
    ("shop", None),
    ("amount", -0.001),
    ("amount", 1000.0),
    ("note", "x" * 21),
    ("email", "nobody"),
    ("id", None),
    ("sold_at", BATCH.end),
    ("sold_at", None),
]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), rows=st.integers(1, 12))
def test_any_sound_batch_and_any_break(
    tmp_path: Path, contract: Contract, data: st.DataObject, rows: int
) -> None:
    """A batch that keeps the contract is accepted whole; one planted break is found, and only its
    row held.
    """
    columns = {
        name: data.draw(st.lists(cells, min_size=rows, max_size=rows), label=name)
        for name, cells in sound_cells.items()
    }
    _, sound = judged(tmp_path, contract, sample_table(rows, **columns))
    name, value = data.draw(st.sampled_from(breaks), label="break")
    row = data.draw(st.integers(0, rows - 1), label="row")
    table = sample_table(rows, **columns)
    cells = table[name].to_pylist()
    cells[row] = value
    table = table.set_column(
        table.column_names.index(name), name, pa.array(cells, table.schema.field(name).type)
    )
    marked = table.append_column("planted", pa.array([i == row for i in range(rows)]))

    snapshot, verdict = judged(tmp_path, contract, marked)

    assert (sound.outcome, sound.quarantined) == ("accept", 0)
    assert (verdict.outcome, verdict.quarantined) == ("accept with quarantine", 1)
    assert not any(read_accepted(tmp_path, snapshot, verdict)["planted"].to_pylist())


# --- every kind of rule that the standard has -----------------------------------------------------

GX = {"type": "custom", "engine": "greatExpectations"}


def _full(document: Document) -> None:
    """One of each kind of rule beside those of the sample, all of which the cells below keep."""
    column(document, "amount")["logicalTypeOptions"]["multipleOf"] = 0.5
    column(document, "note")["logicalTypeOptions"]["format"] = "hostname"
    column(document, "note")["quality"] = [
        {"metric": "missingValues", "arguments": {"missingValues": [None, "n-a"]}, "mustBe": 0},
        {
            "metric": "invalidValues",
            "arguments": {"pattern": "^[a-c]+$"},
            "mustBeLessOrEqualTo": 50,
            "unit": "percent",
        },
    ]
    column(document, "till")["logicalTypeOptions"] = {"format": "u8"}
    column(document, "till")["quality"] = [
        {"metric": "nullValues", "mustNotBe": 1000},
        GX
        | {
            "implementation": {
                "type": "expect_column_values_to_not_be_in_set",
                "kwargs": {"value_set": [13]},
            }
        },
        GX
        | {
            "implementation": {
                "type": "expect_column_max_to_be_between",
                "kwargs": {"max_value": 255},
            }
        },
    ]
    column(document, "email")["enum"] = [{"value": "a@b"}, {"value": "c@d"}]
    document["schema"][0]["quality"] += [
        {"metric": "duplicateValues", "arguments": {"properties": ["id"]}, "mustBe": 0},
        {"type": "sql", "query": "SELECT count(*) FROM {table} WHERE amount > 1e6", "mustBe": 0},
        {
            "type": "sql",
            "query": "SELECT count(DISTINCT email) FROM {table}",
            "mustBeLessThan": 3,
            "id": "people",
        },
    ]


full_cells = {
    "shop": st.sampled_from("ABC"),
    "amount": st.none() | st.integers(0, 1999).map(lambda halves: halves / 2),
    "note": st.sampled_from(["a", "bc", "abc"]),
    "till": (
        st.integers(0, 12) | st.integers(14, 255)
    ),  # a column without any value has no largest one
    "email": st.none() | st.sampled_from(["a@b", "c@d"]),
    "returned": st.none() | st.booleans(),
}
full_breaks: list[tuple[str, Any, str]] = [
    ("amount", 0.3, "amount:multiple_of"),
    ("note", "b_c", "note:format"),
    ("note", "n-a", "note:not_in_set"),
    ("note", None, "note:not_null"),
    ("till", 13, "till:expect_column_values_to_not_be_in_set"),
    ("till", -1, "till:format"),
    ("email", "e@f", "email:in_set"),
    ("shop", None, "shop:not_null"),
]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), rows=st.integers(2, 12))
def test_any_sound_batch_and_any_break_under_the_full_standard(
    tmp_path: Path, data: st.DataObject, rows: int
) -> None:
    """A drawn batch keeps every kind of rule; one planted break is found by its rule, and only its
    row is held.
    """
    contract = sample_contract(tmp_path, _full)
    columns = {
        name: data.draw(st.lists(cells, min_size=rows, max_size=rows), label=name)
        for name, cells in full_cells.items()
    }
    name, value, rule = data.draw(st.sampled_from(full_breaks), label="break")
    row = data.draw(st.integers(0, rows - 1), label="row")
    broken = columns | {name: [value if i == row else cell for i, cell in enumerate(columns[name])]}

    _, sound = judged(tmp_path, contract, sample_table(rows, **columns))
    snapshot, verdict = judged(tmp_path, contract, sample_table(rows, **broken))

    assert (sound.outcome, sound.quarantined) == ("accept", 0), sound.reason
    assert {o.rule for o in verdict.rules if o.scope == "row" and o.outcome == "failed"} == {rule}
    # Half of two rows may be invalid, three of three distinct people are too many: the batch's own
    # limits may speak.
    assert verdict.quarantined == 1
    if not verdict.refused:
        assert read_accepted(tmp_path, snapshot, verdict)["id"].to_pylist() == [
            i + 1 for i in range(rows) if i != row
        ]


def test_broken_limits_of_the_batch_are_told_with_numbers(tmp_path: Path) -> None:
    """Counts and shares in clear, what a query says of a classified column not, nor any of its
    values.
    """
    contract = sample_contract(tmp_path, _full)
    table = sample_table(
        4,
        note=["d", "d", "d", "a"],
        email=["secret@1", "secret@2", "secret@3", None],
        till=[1, 2, 3, 4],
    )

    _, verdict = judged(tmp_path, contract, table)

    assert verdict.refused
    assert (
        outcome(verdict, "note:invalidValues").description
        == "at most 50% of the rows in which note is invalid"
    )
    assert outcome(verdict, "note:invalidValues").found == "75.0%"
    assert outcome(verdict, "batch:people").outcome == "failed"
    assert "hidden" in outcome(verdict, "batch:people").found
    assert "secret" not in verdict.model_dump_json()


def test_expectation_on_a_classified_column_shows_nothing(tmp_path: Path) -> None:
    """Neither the rows it blames, nor the value it observed."""

    def change(document: Document) -> None:
        column(document, "email")["quality"] = [
            GX | {"implementation": {"type": "expect_column_values_to_be_null"}},
            GX
            | {
                "implementation": {
                    "type": "expect_column_most_common_value_to_be_in_set",
                    "kwargs": {"value_set": ["a"]},
                }
            },
        ]

    contract = sample_contract(tmp_path, change)

    _, verdict = judged(tmp_path, contract, sample_table(3, email=["secret@1"] * 3))

    assert "email:expect_column_values_to_be_null" in failed(verdict)
    assert "email:expect_column_most_common_value_to_be_in_set" in failed(verdict)
    assert "secret" not in verdict.model_dump_json()


def test_too_many_broken_rows_name_the_worst_rule(tmp_path: Path, contract: Contract) -> None:
    """The refusal names rule and column, the count, three values as they stand in the file, and
    what to do.
    """
    times = [BATCH.end + timedelta(hours=i) for i in range(4)]
    table = sample_table(4, sold_at=times, till=[2**53 + 1, None, 2**53 + 3, 1])

    _, verdict = judged(tmp_path, contract, table, ValidationConfig())

    assert verdict.refused
    assert "4 of 4 rows break a rule, more than the 10% that validation.max_quarantined" in (
        verdict.reason
    )
    assert (
        "most often broken: sold_at lies within the batch (4 rows, such as 2013-05-18 04:00:00"
        in (verdict.reason)
    )
    assert verdict.reason.endswith(
        "mend the data and deliver it again, or change sales.odcs.yaml, or raise"
        " validation.max_quarantined in the model's spec"
    )


def test_whole_numbers_beside_a_gap_are_shown_as_they_stand(tmp_path: Path) -> None:
    """A limit beyond 2^53 is kept to the last digit, and an example has no decimal point."""
    contract = sample_contract(
        tmp_path / "contract",
        lambda d: column(d, "till").update(logicalTypeOptions={"maximum": 2**62 + 1}),
    )

    _, verdict = judged(tmp_path, contract, sample_table(4, till=[2**62 + 1, None, 2**62 + 2, 5]))

    assert outcome(verdict, "till:between").found == f"1 row, such as {2**62 + 2}"
