"""The verdict on a batch: schema first, then rules, then quarantine, then the sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.contract import Column, Contract, Rule
from tasks.lake import (
    POSITION,
    REASONS,
    arrow_type,
    quarantine_path,
    read_snapshot,
    to_frame,
    write_table,
)
from tasks.records import RuleOutcome, Snapshot, Verdict
from tasks.validation.config import ValidationConfig
from tasks.validation.expectations import RuleCrashedError, RuleResult, run_rules

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

EXAMPLES = 3
"""Values shown of those that break a rule."""
LONGEST = 80
"""Characters shown of one of them."""


def judge(lake: Path, snapshot: Snapshot, contract: Contract, config: ValidationConfig) -> Verdict:
    """Judge the snapshot by its contract, and put the rows that break a row rule into quarantine.

    The order is fixed: columns and types, then whether there are rows at all, then everything else. When columns
    or types are broken, or there are no rows, the other rules are not run and the batch is refused. Raises
    RuleCrashedError when a check itself failed.
    """
    table = read_snapshot(lake, snapshot)
    schema_rules = [rule for rule in contract.rules if rule.scope == "schema"]
    value_rules = [rule for rule in contract.rules if rule.scope != "schema"]
    outcomes = [_schema_outcome(rule, table, contract) for rule in schema_rules]
    broken = [o for o in outcomes if o.outcome == "failed" and o.severity == "error"]
    if broken or table.num_rows == 0:
        outcomes += [_not_run(rule) for rule in value_rules]
        reason = "; ".join(f"{o.description}: {o.found}" for o in broken[:3]) or "the batch has no rows"
        return Verdict(
            outcome="refuse", reason=_more(reason, len(broken) - 3), rows=table.num_rows, quarantined=0,
            rules=tuple(outcomes),
        )  # fmt: skip
    frame = to_frame(table.select(list(contract.column_names)))
    queries = [rule for rule in value_rules if rule.check == "sql"]
    results = run_rules(frame, [r for r in value_rules if r not in queries], contract, snapshot.batch)
    results += tuple(_query_result(rule, lake, snapshot, contract) for rule in queries)
    outcomes += [_outcome(result, frame, contract) for result in results]
    reasons = _reasons(results)
    quarantine = _write_quarantine(lake, table, snapshot, reasons) if reasons else None
    return _verdict(table.num_rows, outcomes, len(reasons), quarantine, config)


def _verdict(
    rows: int, outcomes: Sequence[RuleOutcome], quarantined: int, path: str | None, config: ValidationConfig
) -> Verdict:
    refusals = [
        f"{o.description}: {o.found}"
        for o in outcomes
        if o.outcome == "failed" and o.scope == "batch" and o.severity == "error"
    ]
    if quarantined > config.max_quarantined * rows:
        refusals.append(
            f"{quarantined:,} of {rows:,} rows break a rule, more than the {config.max_quarantined:.0%} that "
            "validation.max_quarantined allows"
        )
    if refusals:
        verdict, reason = "refuse", "; ".join(refusals)
    elif quarantined:
        breaking = (o for o in outcomes if o.scope == "row" and o.severity == "error")
        worst = max(breaking, key=lambda o: o.count)
        verdict = "accept with quarantine"
        reason = (
            f"{quarantined:,} of {rows:,} rows in quarantine; most often broken: {worst.description} "
            f"({worst.found})"
        )
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


def _query_result(rule: Rule, lake: Path, snapshot: Snapshot, contract: Contract) -> RuleResult:
    from tasks.validation.sql_rule import QueryFailedError, run_query

    parts = [lake / snapshot.path / part.file for part in snapshot.parts]
    try:
        success, found = run_query(rule, contract, parts)
    except QueryFailedError as error:
        # A hidden cause stays hidden: the message says all that may be said.
        raise RuleCrashedError(f"batch {snapshot.batch.id}: {error}") from None
    return RuleResult(rule=rule, success=success, positions=(), found=found)


def _schema_outcome(rule: Rule, table: pa.Table, contract: Contract) -> RuleOutcome:
    names = table.column_names
    found = ""
    if rule.check == "present":
        found = "" if rule.columns[0] in names else f"it is missing; the columns are {', '.join(names[:30])}"
    elif rule.check == "known_columns":
        extra = sorted(set(names) - set(rule.columns))
        found = f"unknown columns {', '.join(extra)}" if extra else ""
    elif rule.columns[0] not in names:
        return _not_run(rule)  # an absent column has no type, wrong or right
    else:
        found = _type_found(rule.columns[0], table, contract)
    return RuleOutcome(
        rule=rule.id, description=rule.description, scope="schema", severity=rule.severity,
        outcome="failed" if found else "passed", count=int(bool(found)), found=found,
    )  # fmt: skip


def _type_found(name: str, table: pa.Table, contract: Contract) -> str:
    """What the column holds instead of the contract's type, with examples; empty when it is right."""
    import pyarrow as pa

    column = contract.column(name)
    values = table[name]
    if values.type == arrow_type(column):
        return ""
    if not pa.types.is_string(values.type):
        return f"it is of type {values.type}"
    distinct = [value for value in values.unique().to_pylist() if value is not None]
    misfits = [value for value in distinct if not _fits(value, column, contract.timezone)]
    if not misfits:
        return f"its values are written in more than one form: {_examples(distinct, column)}"
    return f"{len(misfits)} distinct values are not: {_examples(misfits, column)}"


def _fits(value: str, column: Column, timezone: str) -> bool:
    """Whether the text has the column's type. An hour that the zone has twice, or not at all, is no timestamp."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.array([value.strip()])
    try:
        text.cast(arrow_type(column))
    except pa.ArrowInvalid:
        if column.logical_type != "timestamp":
            return False
        try:
            pc.assume_timezone(text.cast(pa.timestamp("us")), timezone)
        except pa.ArrowInvalid:
            return False
    return True


def _outcome(result: RuleResult, frame: pd.DataFrame, contract: Contract) -> RuleOutcome:
    rule = result.rule
    found = result.found
    if rule.scope == "row" and result.positions:
        rows = frame.iloc[list(result.positions)]
        if len(rule.columns) == 1:
            values = rows[rule.columns[0]].drop_duplicates().head(EXAMPLES).tolist()
            shown = _examples(values, contract.column(rule.columns[0]))
        else:
            shown = ", ".join(
                "(" + ", ".join(_examples([row[name]], contract.column(name)) for name in rule.columns) + ")"
                for _, row in rows[list(rule.columns)].drop_duplicates().head(EXAMPLES).iterrows()
            )
        found = f"{len(result.positions):,} row{'s' if len(result.positions) > 1 else ''}, such as {shown}"
    elif rule.check == "fresh" and not result.success:
        found = f"the newest is {found}"
    return RuleOutcome(
        rule=rule.id, description=rule.description, scope="row" if rule.scope == "row" else "batch",
        severity=rule.severity, outcome="passed" if result.success else "failed",
        count=len(result.positions) or int(not result.success), found=found,
    )  # fmt: skip


def _not_run(rule: Rule) -> RuleOutcome:
    return RuleOutcome(
        rule=rule.id, description=rule.description, scope=rule.scope, severity=rule.severity,
        outcome="not_run",
    )  # fmt: skip


def _examples(values: Sequence[object], column: Column) -> str:
    if column.sensitive:
        return "(hidden: the contract classifies the column)"
    shown = [repr(value) if isinstance(value, str) else str(value) for value in values[:EXAMPLES]]
    return ", ".join(text if len(text) <= LONGEST else f"{text[:LONGEST]}..." for text in shown)


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


def _write_quarantine(lake: Path, table: pa.Table, snapshot: Snapshot, reasons: Mapping[int, str]) -> str:
    """Keep the rows beside the snapshot, as they were read, with position and reasons."""
    import pyarrow as pa

    # A column of the source that is called as ours are must not stand in their place.
    rows = table.select([name for name in table.column_names if name not in (POSITION, REASONS)])
    rows = rows.take(pa.array(list(reasons)))
    rows = rows.append_column(POSITION, pa.array(list(reasons), pa.int64()))
    rows = rows.append_column(REASONS, pa.array(list(reasons.values()), pa.string()))
    path = quarantine_path(snapshot, reasons)
    write_table(lake / path, rows)
    return path
