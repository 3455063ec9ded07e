"""Tests of the rules as Great Expectations: one result for each rule, and a crash is never a
verdict.
"""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data_contracts.contract import Contract, Rule
from tasks.lake import to_frame
from tasks.validation.expectations import RuleCrashedError, RuleResult, compile_rule, run_rules
from tasks.validation.neutral import NeutralNames
from tests.sample_contract import BATCH, column, sample_contract, sample_table


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path_factory.mktemp("contract"))


def value_rules(contract: Contract) -> list[Rule]:
    """The contract's row and batch rules."""
    return [rule for rule in contract.rules if rule.scope != "schema"]


def run(
    contract: Contract, *rules: Rule, rows: int = 6, **columns: list[Any]
) -> tuple[RuleResult, ...]:
    """The results of ``rules`` over sample rows with some columns replaced."""
    return run_rules(to_frame(sample_table(rows, **columns)), rules, contract, BATCH)


def test_one_result_for_each_rule(contract: Contract) -> None:
    """Results come in the order of the rules, whatever the order they were run in."""
    rules = value_rules(contract)

    results = run(contract, *rules)

    assert [result.rule for result in results] == rules
    assert all(result.success and result.positions == () for result in results)


@pytest.mark.parametrize(
    ("rule", "columns", "positions"),
    [
        (Rule("r", "row", "not_null", ("shop",)), {"shop": ["A", None, "B"]}, (1,)),
        (
            Rule(
                "r",
                "row",
                "between",
                ("amount",),
                {"min": 0, "max": 5, "strict_min": False, "strict_max": True},
            ),
            {"amount": [0.0, 5.0, None]},
            (1,),
        ),
        (
            Rule(
                "r",
                "row",
                "between",
                ("amount",),
                {"min": 0, "max": None, "strict_min": True, "strict_max": False},
            ),
            {"amount": [0.0, 5.0, -1.0]},
            (0, 2),
        ),
        (
            Rule(
                "r",
                "row",
                "between",
                ("paid_on",),
                {"min": "2013-05-17", "max": None, "strict_min": False, "strict_max": False},
            ),
            {"paid_on": [date(2013, 5, 16), date(2013, 5, 17), None]},
            (0,),
        ),
        (
            Rule(
                "r",
                "row",
                "between",
                ("sold_at",),
                {"min": "2013-05-17T08:00", "max": None, "strict_min": True, "strict_max": False},
            ),
            {"sold_at": [datetime(2013, 5, 17, hour, tzinfo=UTC) for hour in (11, 12, 13)]},
            (0, 1),
        ),
        (Rule("r", "row", "in_set", ("till",), {"values": (1, 2)}), {"till": [1, 3, None]}, (1,)),
        (
            Rule("r", "row", "in_set", ("returned",), {"values": (True,)}),
            {"returned": [True, False, None]},
            (1,),
        ),
        (
            Rule("r", "row", "in_set", ("paid_on",), {"values": (date(2013, 5, 17),)}),
            {"paid_on": [date(2013, 5, 17), None, date(2014, 1, 1)]},
            (2,),
        ),
        (
            Rule("r", "row", "matches", ("note",), {"pattern": "^[ab]$"}),
            {"note": ["a", "ab", "b\n"]},
            (1, 2),
        ),
        (
            Rule("r", "row", "not_in_set", ("note",), {"values": ("n/a",)}),
            {"note": ["a", "n/a", None]},
            (1,),
        ),
        (
            Rule("r", "row", "format", ("email",), {"format": "email"}),
            {"email": ["a@b.org", "a@b", None]},
            (1,),
        ),
        (
            Rule("r", "row", "multiple_of", ("amount",), {"factor": 0.1}),
            {"amount": [0.3, 0.35, None]},
            (1,),
        ),
        (
            Rule("r", "row", "length_between", ("note",), {"min": 1, "max": 2}),
            {"note": ["", "abc", "ab"]},
            (0, 1),
        ),
        (
            Rule("r", "row", "length_between", ("note",), {"min": None, "max": 2}),
            {"note": [None, "abc", ""]},
            (1,),
        ),
        (Rule("r", "row", "unique", ("till",)), {"till": [1, 2, 1]}, (0, 2)),
        (Rule("r", "row", "unique", ("till",)), {"till": [2**60, 2**60 + 1, None]}, ()),
        (Rule("r", "row", "unique", ("till",)), {"till": [None, None, 1]}, ()),
        (
            Rule("r", "row", "unique", ("shop", "till")),
            {"shop": ["A", "A", "B"], "till": [1, 1, 1]},
            (0, 1),
        ),
        (
            Rule("r", "row", "within_batch", ("sold_at",)),
            {"sold_at": [BATCH.start, BATCH.end, datetime(2013, 5, 17, 3, 59, 59, tzinfo=UTC)]},
            (1, 2),
        ),
    ],
)
def test_row_rules(
    contract: Contract, rule: Rule, columns: dict[str, list[Any]], positions: tuple[int, ...]
) -> None:
    """Each check finds exactly the rows that break it; a gap breaks only ``not_null``."""
    (result,) = run(contract, rule, rows=3, **columns)

    assert (result.positions, result.success) == (positions, not positions)


@pytest.mark.parametrize(
    ("rule", "columns", "success"),
    [
        (Rule("r", "batch", "row_count", (), {"min": 3, "max": 3}), {}, True),
        (Rule("r", "batch", "row_count", (), {"min": 4, "max": None}), {}, False),
        (
            Rule("r", "batch", "null_share", ("amount",), {"max": 0.7}),
            {"amount": [None, None, 1.0]},
            True,
        ),
        (
            Rule("r", "batch", "null_share", ("amount",), {"max": 0.6}),
            {"amount": [None, None, 1.0]},
            False,
        ),
        (
            Rule("r", "batch", "fresh", ("sold_at",), {"seconds": 3600.0}),
            {"sold_at": [BATCH.start, BATCH.start, datetime(2013, 5, 18, 3, 30, tzinfo=UTC)]},
            True,
        ),
        (
            Rule("r", "batch", "fresh", ("sold_at",), {"seconds": 3600.0}),
            {"sold_at": [BATCH.start, BATCH.start, datetime(2014, 1, 1, tzinfo=UTC)]},
            False,
        ),
        (
            Rule("r", "batch", "fresh", ("sold_at",), {"seconds": 3600.0}),
            {"sold_at": [None, None, None]},
            False,
        ),
    ],
)
def test_batch_rules(
    contract: Contract, rule: Rule, columns: dict[str, list[Any]], success: bool
) -> None:
    """Each check of the whole batch; one row from another year does not make an old batch fresh."""
    (result,) = run(contract, rule, rows=3, **columns)

    assert (result.success, result.positions) == (success, ())


GAP = Rule("note:not_null", "row", "not_null", ("note",))
STAND_IN = Rule("note:not_in_set", "row", "not_in_set", ("note",), {"values": ("n/a",)})


@pytest.mark.parametrize(
    ("rules", "operator", "limit", "unit", "success", "found"),
    [
        ((GAP,), "mustBeLessThan", 2, "rows", True, "1 row"),
        ((GAP, STAND_IN), "mustBeLessThan", 2, "rows", False, "2 rows"),
        ((GAP, STAND_IN), "mustBeBetween", (40, 60), "percent", True, "50.0%"),
        ((GAP, STAND_IN), "mustNotBeBetween", (40, 60), "percent", False, "50.0%"),
        ((), "mustNotBe", 4, "rows", False, "4 rows"),
        ((Rule("shop:unique", "row", "unique", ("shop",)),), "mustBe", 2, "rows", True, "2 rows"),
        (
            (Rule("t", "row", "multiple_of", ("till",), {"factor": 2}),),
            "mustBeGreaterThan",
            2,
            "rows",
            False,
            "2 rows",
        ),
    ],
)
def test_limits_on_how_many_rows_break_other_rules(
    contract: Contract,
    rules: tuple[Rule, ...],
    operator: str,
    limit: Any,
    unit: str,
    success: bool,
    found: str,
) -> None:
    """A row that breaks two of them counts once; beside a rule of the same id, each keeps its own
    result.
    """
    rule = Rule(
        "r",
        "batch",
        "count",
        ("note",),
        {"rules": rules, "operator": operator, "limit": limit, "unit": unit},
    )

    held, gap = run(
        contract, rule, GAP, rows=4, note=["a", None, "n/a", "b"], shop=["A", "A", "B", None]
    )

    assert (held.success, held.found, held.positions) == (success, found, ())
    assert gap.positions == (1,)


@pytest.mark.parametrize(
    ("expectation", "kwargs", "scope", "columns", "positions"),
    [
        ("expect_column_values_to_be_null", {"column": "note"}, "row", ("note",), (0, 2)),
        (
            "expect_column_values_to_be_between",
            {"column": "paid_on", "min_value": "2013-05-18"},
            "row",
            ("paid_on",),
            (0, 1, 2),
        ),
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "amount", "column_B": "till"},
            "row",
            ("amount", "till"),
            (0,),
        ),
        (
            "expect_column_mean_to_be_between",
            {"column": "amount", "max_value": 1},
            "batch",
            ("amount",),
            (),
        ),
        (
            "expect_column_values_to_be_null",
            {"column": "note", "mostly": 0.5},
            "batch",
            ("note",),
            (),
        ),
        ("expect_table_row_count_to_equal", {"value": 4}, "batch", (), ()),
    ],
)
def test_any_expectation_by_name(
    contract: Contract,
    expectation: str,
    kwargs: dict[str, Any],
    scope: Any,
    columns: tuple[str, ...],
    positions: tuple[int, ...],
) -> None:
    """Row by row where it judges so, the whole batch where it does not."""
    arguments = {"expectation": expectation, "kwargs": kwargs, "where": "schema.0"}

    (result,) = run(
        contract,
        Rule("r", scope, "custom", columns, arguments),
        rows=3,
        note=["a", None, "b"],
        amount=[0.0, 1.5, 3.0],
    )

    assert (result.success, result.positions) == (False, positions)
    assert bool(result.found) == (scope == "batch")


def test_share_at_its_limit_passes(contract: Contract) -> None:
    """Exactly 70% missing is at most 70%, in spite of binary fractions."""
    (result,) = run(
        contract,
        Rule("r", "batch", "null_share", ("amount",), {"max": 0.7}),
        rows=10,
        amount=[None] * 7 + [1.0] * 3,
    )

    assert result.success


def test_columns_without_a_value_break_nothing(contract: Contract) -> None:
    """An all-missing column of any type is no crash."""
    empty = {
        name: [None] * 6 for name in ("amount", "note", "till", "paid_on", "email", "returned")
    }

    results = run(contract, *value_rules(contract), **empty)

    assert [result.rule.id for result in results if not result.success] == ["amount:null_share"]


def test_check_that_raises_is_no_verdict(contract: Contract) -> None:
    """A crash inside a check is an error that names rule and batch."""
    absent = Rule("ghost:between", "row", "in_set", ("shop",), {"values": ("A",)})
    frame = to_frame(sample_table()).drop(columns="shop")

    with pytest.raises(
        RuleCrashedError, match=r"batch 2013-05-17: the check of rule ghost:between raised"
    ):
        run_rules(frame, [absent], contract, BATCH)


def test_crash_hides_sensitive_values(contract: Contract) -> None:
    """An exception's text may quote a value, so it is not shown for a sensitive column."""
    rule = Rule(
        "email:between",
        "row",
        "between",
        ("email",),
        {"min": 1, "max": 2, "strict_min": False, "strict_max": False},
    )

    with pytest.raises(RuleCrashedError, match="hidden") as caught:
        run(contract, rule)

    assert "example.org" not in str(caught.value)


def test_suite_that_lost_a_rule_has_not_passed(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of results must be that of the rules."""
    import great_expectations as gx

    original = gx.ExpectationSuite
    monkeypatch.setattr(
        gx,
        "ExpectationSuite",
        lambda name, expectations: original(name, expectations=expectations[1:]),
    )

    with pytest.raises(
        RuleCrashedError, match=r"expected \d+ results, .* missing: \['sold_at:not_null'\]"
    ):
        run(contract, *value_rules(contract))


def test_result_that_contradicts_itself_is_no_verdict(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed without a row, or with more rows than it lists: neither can be believed."""
    from great_expectations.datasource.fluent.interfaces import Batch

    validate = Batch.validate
    monkeypatch.setattr(
        Batch, "validate", lambda self, suite, **_: validate(self, suite, result_format="SUMMARY")
    )

    with pytest.raises(RuleCrashedError, match="reports success=False"):
        run(contract, Rule("shop:in_set", "row", "in_set", ("shop",), {"values": ("A",)}))


def test_check_without_expectation_is_refused(contract: Contract) -> None:
    """A rule that cannot be compiled is an error, not one rule less."""
    with pytest.raises(ValueError, match="rule x:type: the check 'type' has no expectation"):
        compile_rule(Rule("x:type", "schema", "type", ("x",)), contract, BATCH, NeutralNames(()))


def test_frame_is_not_changed(contract: Contract) -> None:
    """The rules only look."""
    frame = to_frame(sample_table())
    before = frame.copy(deep=True)

    run_rules(frame, value_rules(contract), contract, BATCH)

    pd.testing.assert_frame_equal(frame, before)


def test_awkward_column_names(tmp_path: Path) -> None:
    """Spaces and quotes in the event time's name break no rule."""

    def rename(document: dict[str, Any]) -> None:
        column(document, "sold_at")["name"] = "sold 'at\""
        document["schema"][0]["customProperties"][0]["value"] = "sold 'at\""
        document["slaProperties"] = [{"property": "freshness", "value": 1, "unit": "d"}]

    contract = sample_contract(tmp_path, rename)
    frame = to_frame(sample_table()).rename(columns={"sold_at": "sold 'at\""})

    assert all(
        result.success for result in run_rules(frame, value_rules(contract), contract, BATCH)
    )
