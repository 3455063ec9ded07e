"""The verdict on a batch: schema first, then rules, then quarantine, then the sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Column, Contract, Rule, nearest
from tasks.conform import as_text, misfits
from tasks.lake import (
    POSITION,
    REASONS,
    arrow_type,
    checked_parts,
    own_columns,
    quarantine_path,
    read_rows,
    write_table,
)
from tasks.records import RuleOutcome, Snapshot, Verdict
from tasks.validation.config import ValidationConfig
from tasks.validation.crosscheck import LIMITS, Limits, judge_once, judge_rules
from tasks.validation.expectations import RuleCrashedError, RuleResult
from tasks.validation.sql_rule import QueryFailedError, run_query

EXAMPLES = 3
"""Values shown of those that break a rule."""
LOOKED_AT = 1000
"""Rows that break a rule among which examples are sought: all of them may be more than memory
holds.
"""
WARNINGS = 3
"""Broken warnings named in a verdict's sentence."""
LONGEST = 80
"""Characters shown of one of them."""


def judge(
    lake: Path,
    snapshot: Snapshot,
    contract: Contract,
    config: ValidationConfig,
    *,
    in_a_hurry: bool = False,
    limits: Limits = LIMITS,
) -> Verdict:
    """Judge the snapshot by its contract, and put the rows that break a row rule into quarantine.

    The order is fixed: columns and types, then whether there are rows at all, then everything else.
    When columns or types are broken, or there are no rows, the other rules are not run and the
    batch is refused. What is ``in_a_hurry`` is judged by one engine, and not by two that must
    agree. No more is in memory than one part and the rows that break a rule, but for expectations
    by name that look across rows: they are given their columns of the whole batch.
    Raises DamagedFileError when a part is not what was written, RuleCrashedError when a check
    itself failed, DisagreementError when the engines disagree, and TooLargeError for an expectation
    that would need too much at once.
    """
    with checked_parts(lake, snapshot) as parts:
        return _judge(lake, parts, snapshot, contract, config, in_a_hurry, limits)


def _judge(
    lake: Path,
    parts: Sequence[Path],
    snapshot: Snapshot,
    contract: Contract,
    config: ValidationConfig,
    in_a_hurry: bool,
    limits: Limits,
) -> Verdict:
    schema_rules = [rule for rule in contract.rules if rule.scope == "schema"]
    value_rules = [rule for rule in contract.rules if rule.scope != "schema"]
    files = [pq.ParquetFile(part) for part in parts]
    columns = {field.name: field.type for field in files[0].schema_arrow}
    outcomes = [_schema_outcome(rule, columns, files, contract) for rule in schema_rules]
    broken = [o for o in outcomes if o.outcome == "failed" and o.severity == "error"]
    if broken or snapshot.rows == 0:
        outcomes += [_not_run(rule) for rule in value_rules]
        worst = sorted(broken, key=lambda o: -o.count)[:3]
        reason = _more("; ".join(f"{o.description}: {o.found}" for o in worst), len(broken) - 3)
        empty = "the batch has no rows; deliver it again, with its rows"
        return Verdict(
            outcome="refuse",
            reason=reason + _what_to_do(contract) if broken else empty,
            rows=snapshot.rows,
            quarantined=0,
            rules=tuple(outcomes),
        )
    queries = [rule for rule in value_rules if rule.check == "sql"]
    rest = [rule for rule in value_rules if rule not in queries]
    judged = judge_once if in_a_hurry else judge_rules
    results = judged(parts, snapshot, rest, contract, lake, limits)
    results += tuple(_query_result(rule, parts, snapshot, contract) for rule in queries)
    reasons = _reasons(results)
    shown = {position for result in results for position in result.positions[:LOOKED_AT]}
    kept = sorted(shown.union(reasons))
    rows = read_rows(parts, kept)
    places = {position: place for place, position in enumerate(kept)}
    outcomes += [_outcome(result, rows, places, contract) for result in results]
    quarantine = _write_quarantine(lake, rows, kept, snapshot, reasons) if reasons else None
    return _verdict(snapshot.rows, outcomes, len(reasons), quarantine, config, contract)


def _verdict(
    rows: int,
    outcomes: Sequence[RuleOutcome],
    quarantined: int,
    path: str | None,
    config: ValidationConfig,
    contract: Contract,
) -> Verdict:
    refusals = [
        f"{o.description}: {o.found}"
        for o in outcomes
        if o.outcome == "failed" and o.scope == "batch" and o.severity == "error"
    ]
    breaking = [o for o in outcomes if o.scope == "row" and o.severity == "error"]
    worst = max(breaking, key=lambda o: o.count, default=None)
    most = f"; most often broken: {worst.description} ({worst.found})" if worst else ""
    too_many = quarantined > config.max_quarantined * rows
    if too_many:
        refusals.append(
            f"{quarantined:,} of {rows:,} rows break a rule, more than the"
            f" {config.max_quarantined:.0%} that validation.max_quarantined allows{most}"
        )
    if refusals:
        setting = ", or raise validation.max_quarantined in the model's spec" if too_many else ""
        verdict, reason = "refuse", "; ".join(refusals) + _what_to_do(contract) + setting
    elif quarantined:
        verdict = "accept with quarantine"
        reason = (
            f"{quarantined:,} of {rows:,} rows in quarantine{most}{_after(warned_of(outcomes))}"
        )
    elif warned := warned_of(outcomes):
        verdict, reason = "accept", f"all {rows:,} rows are accepted{_after(warned)}"
    else:
        verdict, reason = "accept", f"all {rows:,} rows keep the contract"
    return Verdict.model_validate(
        {
            "outcome": verdict,
            "reason": reason,
            "rows": rows,
            "quarantined": quarantined,
            "rules": tuple(outcomes),
            "quarantine": path,
        }
    )


def warned_of(outcomes: Sequence[RuleOutcome]) -> str:
    """Return what values were warned of, the rule that most rows break first; empty when of none.

    Columns that the contract does not name are on the batch's page.
    """
    broken = [
        o
        for o in outcomes
        if o.outcome == "failed" and o.severity == "warning" and o.scope != "schema"
    ]
    worst = sorted(broken, key=lambda o: -o.count)[:WARNINGS]
    shown = "; ".join(f"{o.description} ({o.found})" for o in worst)
    return _more(shown, len(broken) - len(worst)) if broken else ""


def _after(warned: str) -> str:
    return f"; a warning: {warned}" if warned else ""


def _what_to_do(contract: Contract) -> str:
    return f"; mend the data and deliver it again, or change {contract.file.name}"


def _query_result(
    rule: Rule, parts: Sequence[Path], snapshot: Snapshot, contract: Contract
) -> RuleResult:
    try:
        success, found = run_query(rule, contract, list(parts))
    except QueryFailedError as error:
        # A hidden cause stays hidden: the message says all that may be said.
        raise RuleCrashedError(f"batch {snapshot.batch.id}: {error}") from None
    return RuleResult(rule=rule, success=success, positions=(), found=found)


def _schema_outcome(
    rule: Rule,
    columns: Mapping[str, pa.DataType],
    files: Sequence[pq.ParquetFile],
    contract: Contract,
) -> RuleOutcome:
    """``columns`` are the names and types that the parts have, ``files`` the parts themselves."""
    found, count = "", 0
    if rule.check == "present":
        if rule.columns[0] not in columns:
            unknown = set(columns).difference(contract.column_names)
            hint, names = nearest(rule.columns[0], sorted(unknown)), list(columns)
            shown = _more(", ".join(names[:30]), len(names) - 30)
            found = f"it is missing{hint}; the columns are {shown}"
    elif rule.check == "known_columns":
        extra = sorted(set(columns).difference(rule.columns))
        found = f"unknown columns {', '.join(extra)}" if extra else ""
    elif rule.columns[0] not in columns:
        return _not_run(rule)  # an absent column has no type, wrong or right
    elif (kind := columns[rule.columns[0]]) != arrow_type(contract.column(rule.columns[0])):
        found, count = _type_found(rule.columns[0], kind, files, contract)
    return RuleOutcome(
        rule=rule.id,
        description=rule.description,
        scope="schema",
        severity=rule.severity,
        outcome="failed" if found else "passed",
        count=count or int(bool(found)),
        found=found,
    )


def _type_found(
    name: str, kind: pa.DataType, files: Sequence[pq.ParquetFile], contract: Contract
) -> tuple[str, int]:
    """What the column holds instead of the contract's type, with examples, and in how many rows."""
    column = contract.column(name)
    rows, examples, advice = 0, list[str](), ""
    for file in files:
        found = misfits(file.read([name])[name], contract, name)
        rows, advice = rows + found.rows, advice or found.advice
        examples += found.examples
    if not examples and not pa.types.is_string(kind):
        return f"it is of type {kind}", 1
    if not examples:
        first = as_text(files[0].read([name])[name].drop_null().slice(0, EXAMPLES)).to_pylist()
        return f"its values are written in more than one form: {_examples(first, column)}", 1
    what = "" if pa.types.is_string(kind) else f" (the column is of type {kind})"
    return (
        f"{rows:,} row{' is' if rows == 1 else 's are'} not{what}, such as"
        f" {_examples(list(dict.fromkeys(examples)), column)}" + (f"; {advice}" if advice else ""),
        rows,
    )


def _outcome(
    result: RuleResult, rows: pa.Table, places: Mapping[int, int], contract: Contract
) -> RuleOutcome:
    """``rows`` hold at least the first rows that break the rule; ``places`` say where each position
    of the snapshot is among them.
    """
    rule = result.rule
    found = result.found
    if rule.scope == "row" and result.positions:
        # A value that is missing tells nothing: the row is told by its key instead.
        names = (
            (contract.key or (contract.event_time,)) if rule.check == "not_null" else rule.columns
        )
        looked_at = pa.array([places[position] for position in result.positions[:LOOKED_AT]])
        # From Arrow: a frame would show whole numbers beside a gap as fractions.
        broken = zip(*(rows[name].take(looked_at).to_pylist() for name in names), strict=True)
        examples = list(dict.fromkeys(broken))[:EXAMPLES]
        if len(names) == 1:
            shown = _examples([values[0] for values in examples], contract.column(names[0]))
        else:
            shown = ", ".join(
                "("
                + ", ".join(
                    _examples([value], contract.column(name))
                    for name, value in zip(names, values, strict=True)
                )
                + ")"
                for values in examples
            )
        found = (
            f"{len(result.positions):,} row{'s' if len(result.positions) > 1 else ''}, such as"
            f" {shown}"
        )
    elif rule.check == "fresh" and not result.success:
        found = f"the newest is {found}"
    return RuleOutcome(
        rule=rule.id,
        description=rule.description,
        scope="row" if rule.scope == "row" else "batch",
        severity=rule.severity,
        outcome="passed" if result.success else "failed",
        count=len(result.positions) or int(not result.success),
        found=found,
    )


def _not_run(rule: Rule) -> RuleOutcome:
    return RuleOutcome(
        rule=rule.id,
        description=rule.description,
        scope=rule.scope,
        severity=rule.severity,
        outcome="not_run",
    )


def _examples(values: Sequence[object], column: Column) -> str:
    return _shown(
        [repr(value) if isinstance(value, str) else str(value) for value in values[:EXAMPLES]],
        column,
    )


def _shown(texts: Sequence[str], column: Column) -> str:
    if column.sensitive:
        return "(hidden: the contract classifies the column)"
    return ", ".join(
        text if len(text) <= LONGEST else f"{text[:LONGEST]}..." for text in texts[:EXAMPLES]
    )


def _more(text: str, rest: int) -> str:
    return f"{text}; and {rest} more" if rest > 0 else text


def _reasons(results: Sequence[RuleResult]) -> dict[int, str]:
    """Row position -> ids of the error rules that the row breaks, joined by ``;``."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for result in results:
        if result.rule.severity == "error":
            for position in result.positions:
                reasons[position].append(result.rule.id)
    return {position: ";".join(ids) for position, ids in sorted(reasons.items())}


def _write_quarantine(
    lake: Path,
    rows: pa.Table,
    positions: Sequence[int],
    snapshot: Snapshot,
    reasons: Mapping[int, str],
) -> str:
    """Keep those of ``rows`` that have a reason beside the snapshot, as they were read, with
    position and reasons.
    """
    rows = rows.filter(pa.array([position in reasons for position in positions]))
    position, reason = own_columns(rows.column_names, (POSITION, REASONS))
    rows = rows.append_column(position, pa.array(list(reasons), pa.int64()))
    rows = rows.append_column(reason, pa.array(list(reasons.values()), pa.string()))
    path = quarantine_path(snapshot, reasons)
    write_table(lake / path, rows)
    return path
