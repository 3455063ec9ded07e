"""The rules that name an expectation of Great Expectations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.contract import Contract, ContractError, Rule, nearest

_ROW_BY_ROW = frozenset(
    "expect_column_" + name
    for name in (
        "value_lengths_to_be_between",
        "value_lengths_to_equal",
        "values_to_be_between",
        "values_to_be_in_set",
        "values_to_be_null",
        "values_to_match_json_schema",
        "values_to_match_regex",
        "values_to_match_regex_list",
        "values_to_not_be_in_set",
        "values_to_not_be_null",
        "values_to_not_match_regex",
        "values_to_not_match_regex_list",
        "pair_values_a_to_be_greater_than_b",
        "pair_values_to_be_equal",
        "pair_values_to_be_in_set",
    )
) | {"expect_multicolumn_sum_to_equal", "expect_select_column_values_to_be_unique_within_record"}
"""Expectations that judge a row without looking at another; of those that are not named here nobody
has made sure.
"""


def judged_by_part(rule: Rule) -> bool:
    """Return whether a batch can be given to the rule part by part: it blames rows, and each for
    itself.
    """
    return rule.scope == "row" and rule.arguments["expectation"] in _ROW_BY_ROW


def needed_columns(rules: Sequence[Rule], contract: Contract) -> tuple[str, ...]:
    """Return the columns, in the contract's order, that these rules look at.

    An expectation by name may look at all when it names none, or asks for a column's place. With
    no column at all it is the event time: it tells how many rows there are.
    """
    needed: set[str] = set()
    for rule in rules:
        needed.update(rule.columns)
        if rule.check != "custom":
            continue
        kwargs = rule.arguments["kwargs"]
        if not rule.columns or "column_index" in kwargs:
            return contract.column_names
        said = repr(kwargs)
        needed.update(name for name in contract.column_names if name in said)
    needed = needed or {contract.event_time}
    return tuple(name for name in contract.column_names if name in needed)


def custom_expectation(rule: Rule, kwargs: Mapping[str, Any], contract: Contract) -> Any:  # noqa: ANN401 - an Expectation
    """Return the expectation that ``rule`` names, with ``kwargs``.

    Raises ContractError for a name or an argument that Great Expectations does not know.
    """
    import great_expectations.expectations  # noqa: F401 - fills the registry
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations import registry

    name, where = rule.arguments["expectation"], rule.arguments["where"]
    try:
        kind = registry.get_expectation_impl(name)
    except ExpectationNotFoundError:
        known = registry.list_registered_expectation_implementations()
        raise ContractError(
            contract.file,
            f"{where}.type",
            "the name of an expectation",
            f"{name!r}{nearest(name, known)}",
        ) from None
    if rule.scope == "row" and not judges_rows(kind):
        raise ContractError(
            contract.file, f"{where}.type", "an expectation that judges row by row", f"{name!r}"
        )
    try:
        return kind(**kwargs, meta={"rule": rule.id})
    except (ValidationError, ValueError, TypeError) as error:
        fields = [
            key for key in kind.__fields__ if key not in ("id", "meta", "notes", "rendered_content")
        ]
        hint = next((h for key in kwargs if key not in fields and (h := nearest(key, fields))), "")
        found = " ".join(str(error).split())[:300] + hint
        raise ContractError(
            contract.file, f"{where}.kwargs", f"the arguments of {name}", found
        ) from error


def judges_rows(kind: type) -> bool:
    """Return whether the expectation finds the rows that break it."""
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    return issubclass(
        kind, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation
    )
