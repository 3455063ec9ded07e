"""Tests of the two engines side by side: the same verdict by part as whole, and no verdict when
they disagree.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.ingest import snapshot as ingest
from tasks.lake import read_reasons
from tasks.records import Verdict
from tasks.validation import crosscheck
from tasks.validation.config import ValidationConfig
from tasks.validation.crosscheck import LIMITS, DisagreementError, Limits, TooLargeError
from tasks.validation.expectations import RuleResult
from tasks.validation.verdict import judge
from tests.sample_contract import BATCH, column, sample_contract, sample_table

NOON = datetime(2013, 5, 17, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract, with a pattern that SQL does not know and a promise of freshness."""

    def change(document: Any) -> None:
        column(document, "note")["logicalTypeOptions"]["pattern"] = "^(?!bad)"
        document["slaProperties"] = [{"property": "freshness", "value": 16, "unit": "h"}]

    return sample_contract(tmp_path_factory.mktemp("contract"), change)


class InParts:
    """Parts of so many rows, and no batch of several parts is judged whole."""

    def __init__(self, part: int = 3, **limits: int) -> None:
        self.sizes = ingest.Sizes(part=part, group=min(part, 2))
        self.limits = Limits(whole_rows=2, **limits)


def judged(lake: Path, contract: Contract, table: pa.Table, cut: InParts | None = None) -> Verdict:
    """The verdict on ``table``, whole or in parts; any quarantine is allowed."""
    sizes, limits = (cut.sizes, cut.limits) if cut else (ingest.SIZES, LIMITS)
    written = ingest.write_snapshot(lake, table, contract, BATCH, "test", sizes)
    config = ValidationConfig(max_quarantined=1.0)
    return judge(lake, written, contract, config, limits=limits)


def table_with_breaks() -> pa.Table:
    """Twelve rows in their canonical order, the parts 0 and 2 (of three rows) without a break."""
    return sample_table(
        12,
        sold_at=[NOON + timedelta(minutes=i) for i in range(11)] + [BATCH.end],
        note=["a", None, "b", "bad", "x" * 21, "", "a", "b", "c", "d", "e", "f"],
        amount=[1.0, None, 2.0, -1.0, None, 3.0, 1.0, 1.0, 1.0, float("inf"), 1.0, 1.0],
        email=["a@b"] * 10 + ["nobody", None],
    )


def test_by_part_as_whole(tmp_path: Path, contract: Contract) -> None:
    """The same outcomes, sentences, counts, examples and quarantined rows, however the batch is
    cut.
    """
    whole = judged(tmp_path / "whole", contract, table_with_breaks())

    by_part = judged(tmp_path / "parts", contract, table_with_breaks(), InParts())

    assert by_part == whole
    assert read_reasons(tmp_path / "parts", str(by_part.quarantine)) == {
        3: "amount:between;note:matches",
        4: "note:length_between",
        9: "amount:between",
        10: "email:matches",
        11: "sold_at:within_batch",
    }


def test_doubles_in_two_parts(tmp_path: Path) -> None:
    """A value that two parts share is double, though neither part has it twice."""
    contract = sample_contract(
        tmp_path, lambda document: column(document, "till").update(unique=True)
    )

    verdict = judged(tmp_path, contract, sample_table(6, till=[1, 2, 3, 4, 5, 1]), InParts())

    assert read_reasons(tmp_path, str(verdict.quarantine)) == {0: "till:unique", 5: "till:unique"}


def test_broken_parts_and_one_clean_part_are_judged_twice(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Great Expectations gets the whole row rules for three of four parts, and the same ones each
    time.
    """
    asked: list[list[str]] = []
    run_rules = crosscheck.run_rules

    def recorded(frame: Any, rules: Any, *rest: Any) -> Any:
        asked[-1].append(f"{len(frame)} rows, {len(rules)} rules")
        return run_rules(frame, rules, *rest)

    monkeypatch.setattr(crosscheck, "run_rules", recorded)

    for _ in range(2):
        asked.append([])
        judged(tmp_path, contract, table_with_breaks(), InParts())

    row_rules = sum(rule.scope == "row" for rule in contract.rules)
    assert asked[0] == asked[1]
    assert sorted(asked[0]) == ["3 rows, 1 rules"] + [f"3 rows, {row_rules} rules"] * 3


def test_of_a_clean_part_a_sample_is_judged_twice(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second look costs does not grow with the parts."""
    asked: list[list[int]] = []
    run_rules = crosscheck.run_rules

    def recorded(frame: Any, rules: Any, *rest: Any) -> Any:
        if len(rules) > 1:
            asked.append(frame["id"].tolist())
        return run_rules(frame, rules, *rest)

    monkeypatch.setattr(crosscheck, "run_rules", recorded)
    sound = sample_contract(tmp_path)
    table = sample_table(12, sold_at=[NOON + timedelta(minutes=i) for i in range(12)])

    assert judged(tmp_path, sound, table, InParts(6, sample_rows=2)).outcome == "accept"
    assert [len(ids) for ids in asked] == [2]
    assert asked[0][1] == asked[0][0] + 1


def test_an_expectation_over_too_many_values_is_refused_by_name(tmp_path: Path) -> None:
    """What can only be judged with all rows in memory says so, before it takes the memory."""

    def change(document: Any) -> None:
        column(document, "amount")["quality"] = [
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {
                    "type": "expect_column_median_to_be_between",
                    "kwargs": {"min_value": 0},
                },
            },
        ]

    contract = sample_contract(tmp_path, change)
    parts = InParts(whole_values=6)

    assert judged(tmp_path / "six", contract, sample_table(6), parts).outcome == "accept"
    with pytest.raises(
        TooLargeError, match=r"amount:expect_column_median.* at most 6 values, found 1 columns of 7"
    ):
        judged(tmp_path / "seven", contract, sample_table(7), parts)


def _overlooked(results: tuple[RuleResult, ...]) -> tuple[RuleResult, ...]:
    return tuple(replace(result, success=True, positions=()) for result in results)


def _misplaced(results: tuple[RuleResult, ...]) -> tuple[RuleResult, ...]:
    return tuple(replace(r, positions=tuple(p - 1 for p in r.positions)) for r in results)


def _invented(results: tuple[RuleResult, ...]) -> tuple[RuleResult, ...]:
    return tuple(
        replace(r, success=False, positions=(7,)) if r.rule.id == "email:matches" else r
        for r in results
    )


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("plant", [_misplaced, _invented, _overlooked])
def test_planted_disagreement_is_no_verdict(
    tmp_path: Path,
    contract: Contract,
    monkeypatch: pytest.MonkeyPatch,
    whole: bool,
    plant: Callable[[tuple[RuleResult, ...]], tuple[RuleResult, ...]],
) -> None:
    """A scan that overlooks, misplaces or invents broken rows is an error by name, and nothing is
    quarantined.
    """
    scan_rules = crosscheck.scan_rules
    monkeypatch.setattr(
        crosscheck, "scan_rules", lambda *given, **more: plant(scan_rules(*given, **more))
    )
    # Broken in every part, so that the drawn clean part is one that the scan has overlooked.
    table = sample_table(12, email=["a@b", "nobody", "a@b"] * 4)

    with pytest.raises(
        DisagreementError, match=r"batch 2013-05-17, .*: rule email:matches: Great Expectations"
    ):
        judged(tmp_path, contract, table, None if whole else InParts())

    assert not (tmp_path / "quarantine").exists()


def test_disagreement_about_the_batch(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch rule's measure must be the same too."""
    scan_rules = crosscheck.scan_rules
    monkeypatch.setattr(
        crosscheck,
        "scan_rules",
        lambda *given, **more: tuple(
            replace(r, found="5") if r.rule.check == "row_count" else r
            for r in scan_rules(*given, **more)
        ),
    )

    with pytest.raises(
        DisagreementError, match="Great Expectations found success=True 6, the scan success=True 5"
    ):
        judged(tmp_path, contract, sample_table())


def test_rules_without_a_scan_are_judged_by_part_as_whole(tmp_path: Path) -> None:
    """A multiple, a count and an expectation by name give the same verdict, whatever the number of
    parts.
    """

    def change(document: Any) -> None:
        column(document, "amount")["logicalTypeOptions"] = {"multipleOf": 0.5}
        column(document, "note")["quality"] = [
            {
                "metric": "missingValues",
                "mustBeLessThan": 1,
                "unit": "rows",
                "arguments": {"missingValues": ["a"]},
            },
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": "expect_column_values_to_be_unique", "kwargs": {}},
            },
            {
                "type": "custom",
                "engine": "greatExpectations",
                "id": "bare",
                "implementation": {
                    "type": "expect_column_values_to_not_match_regex",
                    "kwargs": {"regex": "^n3"},
                },
            },
            {
                "metric": "invalidValues",
                "arguments": {"pattern": "^(?!n[45])"},
                "mustBeLessThan": 2,
                "id": "some",
            },
        ]

    contract = sample_contract(tmp_path, change)
    table = sample_table(
        12,
        sold_at=[NOON + timedelta(minutes=i) for i in range(12)],
        amount=[0.25, *[1.5] * 11],
        note=["first", "a", *[f"n{i}" for i in range(9)], "first"],
    )
    whole = judged(tmp_path / "whole", contract, table)

    by_part = judged(tmp_path / "parts", contract, table, InParts())

    failed = {o.rule: o.count for o in by_part.rules if o.outcome == "failed"}
    assert by_part.rules == whole.rules
    assert failed["amount:multiple_of"] == 1
    assert len(failed) == 5, failed


def wide_contract(directory: Path, columns: int) -> Contract:
    """The sample contract with so many columns more, each with a limit."""

    def change(document: Any) -> None:
        document["schema"][0]["properties"] += [
            {"name": f"s{i}", "logicalType": "number", "logicalTypeOptions": {"maximum": i}}
            for i in range(columns)
        ]

    return sample_contract(directory, change)


def test_of_very_many_rules_a_sample_is_judged_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule has its result; Great Expectations gets the broken ones first, and the same sample
    each time.
    """
    contract = wide_contract(tmp_path / "contract", 2 * crosscheck.CROSSCHECKED_RULES)
    table = sample_table(4)
    for i in range(2 * crosscheck.CROSSCHECKED_RULES):
        table = table.append_column(f"s{i}", pa.array([0.0, 0.0, 0.0, 1.0 if i == 0 else 0.0]))
    asked: list[list[str]] = []
    run_rules = crosscheck.run_rules

    def recorded(frame: Any, rules: Any, *rest: Any) -> Any:
        asked.append([rule.id for rule in rules])
        return run_rules(frame, rules, *rest)

    monkeypatch.setattr(crosscheck, "run_rules", recorded)

    verdict = judged(tmp_path, contract, table)
    judged(tmp_path, contract, table)

    assert len(asked[0]) <= crosscheck.CROSSCHECKED_RULES + 10
    assert asked[0] == asked[1]
    assert "s0:between" in asked[0]
    assert read_reasons(tmp_path, str(verdict.quarantine)) == {3: "s0:between"}
    assert {o.rule for o in verdict.rules} == {rule.id for rule in contract.rules}
    assert {o.outcome for o in verdict.rules if o.rule != "s0:between"} == {"passed"}


def test_of_very_many_rules_by_part_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where the batch has several parts, and an engine that is wrong is found in what is
    judged twice.
    """
    contract = wide_contract(tmp_path / "contract", crosscheck.CROSSCHECKED_RULES)
    table = sample_table(7)
    for i in range(crosscheck.CROSSCHECKED_RULES):
        table = table.append_column(f"s{i}", pa.array([0.0] * 6 + [1.0 if i == 0 else 0.0]))

    verdict = judged(tmp_path, contract, table, InParts())

    assert read_reasons(tmp_path, str(verdict.quarantine)) == {6: "s0:between"}
    scan_rules = crosscheck.scan_rules
    monkeypatch.setattr(
        crosscheck,
        "scan_rules",
        lambda *given, **more: tuple(
            replace(r, positions=(5,)) if r.rule.id == "s0:between" else r
            for r in scan_rules(*given, **more)
        ),
    )
    with pytest.raises(DisagreementError, match="rule s0:between"):
        judged(tmp_path, contract, table, InParts())
