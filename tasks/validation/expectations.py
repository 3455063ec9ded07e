"""The contract's row and batch rules as Great Expectations, and the run of them over one frame.

Two kinds are judged beside them: what no expectation exists for (``formats.py``), and a limit on
how many rows break other rules, which those rules' own results are counted for. A query is not here
(``sql_rule.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pandas as pd

from data_contracts.contract import Contract, Rule
from data_contracts.limits import holds
from tasks.batches import Batch
from tasks.errors import KingmakerError
from tasks.validation import formats
from tasks.validation.custom_rule import needed_columns
from tasks.validation.gx_import import import_great_expectations
from tasks.validation.neutral import NeutralNames

# Row positions, and no index columns: asking for those costs 15 times as much (docs/stack.md).
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "include_unexpected_rows": False,
    "return_unexpected_index_query": False,
}


AT_ONCE = 200
"""Expectations of one suite: what they cost grows with their number times that of the columns."""
_HIDDEN = "(hidden: the contract classifies the column)"


class RuleCrashedError(KingmakerError):
    """A check raised an exception: it has neither passed nor failed, so the batch cannot be
    judged.
    """


@dataclass(frozen=True)
class RuleResult:
    """What was found for one rule, by Great Expectations or by the scan."""

    rule: Rule
    success: bool
    positions: tuple[int, ...]
    """Rows that break a row rule, by position in the frame."""
    found: str
    """The observed value of a batch rule."""


def compile_rule(rule: Rule, contract: Contract, batch: Batch, names: NeutralNames) -> Any:  # noqa: ANN401 - an Expectation
    """Return the expectation for a row or batch rule, its columns by their neutral ``names``;
    ValueError for a rule that has none.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    given = rule.arguments
    own = rule.columns[0] if rule.columns else None
    column = "" if own is None else names.of(own)
    meta = {"rule": rule.id}
    match rule.check:
        case "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta)
        case "between":
            low, high = given["min"], given["max"]
            if own is not None and _is_time(own, contract):
                low, high = moment(low, contract, own), moment(high, contract, own)
            return gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=low,
                max_value=high,
                strict_min=given["strict_min"],
                strict_max=given["strict_max"],
                meta=meta,
            )
        case "within_batch":
            return gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=pd.Timestamp(batch.start),
                max_value=pd.Timestamp(batch.end),
                strict_max=True,
                meta=meta,
            )
        case "in_set":
            return gxe.ExpectColumnValuesToBeInSet(
                column=column, value_set=list(given["values"]), meta=meta
            )
        case "matches":
            return gxe.ExpectColumnValuesToMatchRegex(
                column=column, regex=given["pattern"], meta=meta
            )
        case "not_in_set":
            return gxe.ExpectColumnValuesToNotBeInSet(
                column=column, value_set=list(given["values"]), meta=meta
            )
        case "length_between":
            return gxe.ExpectColumnValueLengthsToBeBetween(
                column=column, min_value=given["min"], max_value=given["max"], meta=meta
            )
        case "unique" if len(rule.columns) == 1:
            return gxe.ExpectColumnValuesToBeUnique(column=column, meta=meta)
        case "unique":
            return gxe.ExpectCompoundColumnsToBeUnique(
                column_list=[names.of(name) for name in rule.columns],
                ignore_row_if="all_values_are_missing",
                meta=meta,
            )
        case "row_count":
            return gxe.ExpectTableRowCountToBeBetween(
                min_value=given["min"], max_value=given["max"], meta=meta
            )
        case "null_share":
            return gxe.ExpectColumnValuesToNotBeNull(
                column=column, mostly=round(1 - given["max"], 9), meta=meta
            )
        case "fresh":
            oldest = pd.Timestamp(batch.end) - pd.Timedelta(seconds=given["seconds"])
            # Without what lies after the batch: one row from next year must not make an old batch
            # look fresh.
            return gxe.ExpectColumnMaxToBeBetween(
                column=column,
                min_value=oldest,
                row_condition=Column(column) < batch.end.isoformat(),
                meta=meta,
            )
        case "custom":
            from tasks.validation.custom_rule import custom_expectation

            kwargs = names.in_arguments(given["kwargs"])
            if own is not None and _is_time(own, contract):
                kwargs |= {
                    key: moment(kwargs[key], contract, own)
                    for key in ("min_value", "max_value")
                    if key in kwargs
                }
            return custom_expectation(rule, kwargs, contract)
    raise ValueError(f"rule {rule.id}: the check {rule.check!r} has no expectation")


def run_rules(
    frame: pd.DataFrame, rules: Sequence[Rule], contract: Contract, batch: Batch
) -> tuple[RuleResult, ...]:
    """Run row and batch rules over ``frame`` (rows, contract columns; default index): one result
    each.

    Raises RuleCrashedError when a check raised an exception, or when the number of results is not
    that of the rules: a suite that ran nothing has not passed.
    """
    counted = {rule.id: counted_rules(rule) for rule in rules if rule.check == "count"}
    asked = [one for rule in rules for one in counted.get(rule.id, (rule,))]
    beside = [rule for rule in asked if formats.judged_here(rule, contract)]
    ids = {rule.id for rule in beside}
    expected = [rule for rule in asked if rule.id not in ids]
    results: dict[str, RuleResult] = {}
    for start in range(0, len(expected), AT_ONCE):
        some = expected[start : start + AT_ONCE]
        results |= _run_expectations(frame, some, contract, batch)
    for rule in beside:
        positions = formats.broken_positions(rule, frame[rule.columns[0]])
        results[rule.id] = RuleResult(rule, not positions, positions, "")
    return tuple(
        (
            held(
                rule,
                broken_rows([results[one.id] for one in counted[rule.id]], len(frame)),
                len(frame),
            )
            if rule.check == "count"
            else results[rule.id]
        )
        for rule in rules
    )


def counted_rules(rule: Rule) -> tuple[Rule, ...]:
    """Return the row rules whose broken rows ``rule`` counts, under ids that no other rule has."""
    return tuple(replace(one, id=f"{rule.id} of {one.id}") for one in rule.arguments["rules"])


def broken_rows(results: Sequence[RuleResult], rows: int) -> int:
    """Return how many of ``rows`` rows break any of the counted rules; all of them when nothing is
    counted.
    """
    return len({row for result in results for row in result.positions}) if results else rows


def held(rule: Rule, count: int, rows: int) -> RuleResult:
    """Return ``count``, the number of rows that a rule counts among ``rows``, held against its
    limit.
    """
    percent = rule.arguments["unit"] == "percent"
    # Rounded, so that 70 of 100 rows are 70% in spite of binary fractions.
    number = round(100 * count / rows, 9) if percent and rows else count
    return RuleResult(
        rule=rule,
        success=holds(rule.arguments["operator"], rule.arguments["limit"], number),
        positions=(),
        found=f"{number:.1f}%" if percent else f"{count:,} row{'' if count == 1 else 's'}",
    )


def _run_expectations(
    frame: pd.DataFrame, rules: Sequence[Rule], contract: Contract, batch: Batch
) -> dict[str, RuleResult]:
    import_great_expectations()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(
        mode="ephemeral"
    )  # one a run: a shared one is not safe under concurrency
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    definition = (
        context.data_sources.add_pandas("lake")
        .add_dataframe_asset(contract.name)
        .add_batch_definition_whole_dataframe(batch.id)
    )
    names = NeutralNames(needed_columns(rules, contract))
    suite = gx.ExpectationSuite(
        name=contract.name,
        expectations=[compile_rule(rule, contract, batch, names) for rule in rules],
    )
    neutral = frame[[name for name in names.columns if name in frame]].rename(columns=names.of)
    outcome = definition.get_batch({"dataframe": neutral}).validate(
        suite, result_format=_RESULT_FORMAT
    )
    by_id = {result.expectation_config.meta["rule"]: result for result in outcome.results}
    if len(outcome.results) != len(rules) or set(by_id) != {rule.id for rule in rules}:
        raise RuleCrashedError(
            f"batch {batch.id}: expected {len(rules)} results, one for each rule of"
            f" {contract.file.name}, found {len(outcome.results)}; missing:"
            f" {sorted({r.id for r in rules} - set(by_id))}"
        )
    return {rule.id: _result(rule, by_id[rule.id], contract, batch, names) for rule in rules}


def _result(
    rule: Rule,
    outcome: Any,  # noqa: ANN401 - a GX result
    contract: Contract,
    batch: Batch,
    names: NeutralNames,
) -> RuleResult:
    info = outcome.exception_info or {}
    crashes = [info] if "raised_exception" in info else list(info.values())
    for crash in crashes:
        if crash.get("raised_exception"):
            told = names.in_text(str(crash.get("exception_message")))
            raise RuleCrashedError(
                f"batch {batch.id}: the check of rule {rule.id} raised an exception, so the batch"
                " cannot be judged:"
                f" {_HIDDEN if _sensitive(rule, contract) else told}"
            )
    details = outcome.result
    positions = details.get("unexpected_index_list") or [] if rule.scope == "row" else []
    counted = details.get("unexpected_count")
    if rule.scope == "row" and (
        bool(outcome.success) != (not positions) or counted != len(positions)
    ):
        raise RuleCrashedError(
            f"batch {batch.id}: rule {rule.id} reports success={outcome.success}, a count of"
            f" {counted}, and {len(positions)} rows"
        )
    value = details.get("observed_value")
    if isinstance(value, list):
        value = [names.in_text(one) if isinstance(one, str) else one for one in value]
    found = shown_value(value, rule, contract)
    if rule.check == "null_share":
        found = f"{details['unexpected_percent']:.1f}% missing"
    elif rule.check == "custom" and rule.scope == "batch" and "unexpected_percent" in details:
        found = f"{details['unexpected_percent'] or 0:.1f}% of the rows do not keep it"
    return RuleResult(
        rule=rule,
        success=bool(outcome.success),
        positions=tuple(int(position) for position in positions),
        found=found,
    )


def shown_value(value: object, rule: Rule, contract: Contract) -> str:
    """What a batch rule found, as text: hidden when one of its columns is sensitive, empty when it
    is nothing.
    """
    if value is None:
        return ""
    return _HIDDEN if _sensitive(rule, contract) else str(value)


def _is_time(name: str, contract: Contract) -> bool:
    return contract.column(name).logical_type in ("timestamp", "date")


def _sensitive(rule: Rule, contract: Contract) -> bool:
    return any(contract.column(name).sensitive for name in rule.columns)


def moment(value: str | date | None, contract: Contract, column: str) -> Any:  # noqa: ANN401 - a date or a Timestamp
    """A bound of a time as the frame's column holds it; without an offset it means the contract's
    zone.
    """
    if value is None:
        return None
    moment = pd.Timestamp(value)
    if contract.column(column).logical_type == "date":
        return moment.date()
    return moment.tz_localize(contract.timezone) if moment.tz is None else moment
