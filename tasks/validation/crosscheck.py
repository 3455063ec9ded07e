"""The rules judged by two engines that must agree: Great Expectations, and the scan.

Great Expectations holds a whole frame in memory. A batch of one part it judges whole; of a larger
one it judges, part by part, every part in which the scan saw a row break a rule, and a sample of
one part in which it saw none. It is imported while the scan is on its way.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract, Rule
from tasks.errors import KingmakerError
from tasks.lake import read_span, to_frame
from tasks.records import Snapshot
from tasks.validation.custom_rule import judged_by_part, needed_columns
from tasks.validation.expectations import RuleResult, broken_rows, counted_rules, held, run_rules
from tasks.validation.gx_import import import_great_expectations
from tasks.validation.scan import scan_rules

CROSSCHECKED_RULES = 200
"""Most rules that both engines judge: an expectation costs some 5 ms, however few the rows."""


@dataclass(frozen=True)
class Limits:
    """How much Great Expectations is given at a time."""

    whole_rows: int = 500_000
    """Most rows of a batch of several parts that it is given as one frame."""
    whole_values: int = 50_000_000
    """Most values that one expectation is given at once: some 400 MB of numbers."""
    sample_rows: int = 50_000
    """Rows that it is given of the part without a break."""


LIMITS = Limits()


class TooLargeError(KingmakerError):
    """A rule needs more of the batch in memory at once than the house allows, so there is no
    verdict.
    """

    def __init__(self, snapshot: Snapshot, rule: Rule, columns: int, most: int) -> None:
        super().__init__(
            f"batch {snapshot.batch.id}: rule {rule.id} names an expectation that looks at all rows"
            f" at once: expected at most {most:,} values, found {columns} columns of"
            f" {snapshot.rows:,} rows; write the rule as a query (type: sql), which may be larger"
            " than memory, or cut the data into smaller batches"
        )


class DisagreementError(KingmakerError):
    """The two engines judge the same rows differently: one of them is wrong, so there is no
    verdict.
    """

    def __init__(
        self, snapshot: Snapshot, where: str, rule: Rule, expected: str, found: str
    ) -> None:
        super().__init__(
            f"batch {snapshot.batch.id}, {where}: rule {rule.id}: Great Expectations found"
            f" {expected}, the scan {found}; one of them is wrong, so the batch ({snapshot.path})"
            " cannot be judged; please report it"
        )


def judge_rules(
    parts: Sequence[Path],
    snapshot: Snapshot,
    rules: Sequence[Rule],
    contract: Contract,
    scratch: Path,
    limits: Limits = LIMITS,
) -> tuple[RuleResult, ...]:
    """Judge row and batch rules over the snapshot's ``parts``: one result each, positions counted
    in the snapshot.

    ``scratch`` is a directory for what does not fit in memory. Raises DisagreementError when the
    engines disagree, and RuleCrashedError when a check of Great Expectations failed to run.
    """
    with ThreadPoolExecutor(1) as importing:
        imported: list[Future[None]] = []
        scanned = scan_rules(
            parts,
            rules,
            contract,
            snapshot.batch,
            scratch,
            meanwhile=lambda: imported.append(importing.submit(import_great_expectations)),
        )
        imported[0].result()
    twice = _crosschecked_rules(rules, scanned, snapshot)
    if len(parts) == 1 or snapshot.rows <= limits.whole_rows:
        frame = _frame(parts, needed_columns(twice, contract))
        judged = run_rules(frame, twice, contract, snapshot.batch)
        _compare(judged, scanned, snapshot, "the whole batch")
        by_id = {result.rule.id: result for result in (*scanned, *judged)}
        return tuple(by_id[rule.id] for rule in rules)
    return _judge_by_part(parts, snapshot, rules, contract, scanned, twice, limits)


def _crosschecked_rules(
    rules: Sequence[Rule], scanned: Sequence[RuleResult], snapshot: Snapshot
) -> list[Rule]:
    """The rules that Great Expectations judges: those without a scan, and beside them all, or of
    very many those that a sample drawn by the snapshot's content holds, broken ones first.
    """
    if len(rules) <= CROSSCHECKED_RULES:
        return list(rules)
    chance = random.Random(snapshot.sha256)  # noqa: S311 - a sample, no secret
    drawn = sorted(scanned, key=lambda result: (result.success, chance.random()))
    unasked = {result.rule.id for result in drawn[CROSSCHECKED_RULES:]}
    return [rule for rule in rules if rule.id not in unasked]


def judge_once(
    parts: Sequence[Path],
    snapshot: Snapshot,
    rules: Sequence[Rule],
    contract: Contract,
    scratch: Path,
    limits: Limits = LIMITS,
) -> tuple[RuleResult, ...]:
    """Judge rules as ``judge_rules`` does, by the scan alone where it knows them all: what is in a
    hurry is judged by both engines when its batch has closed.
    """
    scanned = scan_rules(parts, rules, contract, snapshot.batch, scratch)
    if len(scanned) == len(rules):
        return scanned
    return judge_rules(parts, snapshot, rules, contract, scratch, limits)


def _judge_by_part(
    parts: Sequence[Path],
    snapshot: Snapshot,
    rules: Sequence[Rule],
    contract: Contract,
    scanned: Sequence[RuleResult],
    twice: Sequence[Rule],
    limits: Limits,
) -> tuple[RuleResult, ...]:
    by_id = {result.rule.id: result for result in scanned}
    for rule in rules:
        if rule.id not in by_id and rule.check == "custom" and not judged_by_part(rule):
            by_id[rule.id] = _judge_at_once(rule, parts, snapshot, contract, limits.whole_values)
    # What has no scan and looks at one row at a time, Great Expectations judges in every part.
    counts = {r.id: counted_rules(r) for r in rules if r.check == "count" and r.id not in by_id}
    numbers = dict.fromkeys(counts, 0)
    counted = [one for ones in counts.values() for one in ones]
    unscanned = {rule.id for rule in rules if rule.id not in by_id and rule.id not in counts}
    known = [r for r in twice if r.scope == "row" and (r.id in unscanned or r.id in by_id)]
    row_rules = [r for r in known if r.check != "custom" or r.id in unscanned] + counted
    unscanned.update(rule.id for rule in counted)
    columns = needed_columns(row_rules, contract)
    found: dict[str, list[int]] = {rule.id: [] for rule in rules if rule.id in unscanned}
    broken, drawn = _crosschecked(snapshot, scanned)
    start = 0
    for number, (part, path) in enumerate(zip(snapshot.parts, parts, strict=True)):
        crosschecked = number in broken or number == drawn
        asked = [rule for rule in row_rules if crosschecked or rule.id in unscanned]
        if asked:
            whole_part = number in broken or bool(unscanned)
            offset, rows = (0, part.rows)
            if not whole_part:
                offset, rows = _sampled(snapshot, part.rows, limits.sample_rows)
            frame = to_frame(read_span(path, offset, rows, columns))
            judged = run_rules(frame, asked, contract, snapshot.batch)
            by_rule = {result.rule.id: result for result in judged}
            for rule_id in found:
                found[rule_id] += [start + position for position in by_rule[rule_id].positions]
            for rule_id, ones in counts.items():
                numbers[rule_id] += broken_rows([by_rule[one.id] for one in ones], part.rows)
            own = [
                _within(by_id[rule.id], start + offset, rows) for rule in asked if rule.id in by_id
            ]
            _compare(judged, own, snapshot, part.file)
        start += part.rows
    for rule in rules:
        if rule.id in numbers:
            by_id[rule.id] = held(rule, numbers[rule.id], snapshot.rows)
        elif rule.id in found:
            by_id[rule.id] = RuleResult(rule, not found[rule.id], tuple(found[rule.id]), "")
    return tuple(by_id[rule.id] for rule in rules)


def _judge_at_once(
    rule: Rule, parts: Sequence[Path], snapshot: Snapshot, contract: Contract, most: int
) -> RuleResult:
    """Judge an expectation that may look across all rows, and so has its columns of all of them in
    memory.
    """
    columns = needed_columns([rule], contract)
    if snapshot.rows * len(columns) > most:
        raise TooLargeError(snapshot, rule, len(columns), most)
    return run_rules(_frame(parts, columns), [rule], contract, snapshot.batch)[0]


def _crosschecked(snapshot: Snapshot, scanned: Iterable[RuleResult]) -> tuple[set[int], int | None]:
    """Numbers of the parts with a row that breaks a rule, and of one without, drawn by the
    snapshot's content.
    """
    ends = np.cumsum([part.rows for part in snapshot.parts])
    broken: set[int] = set()
    for result in scanned:
        broken.update(np.unique(np.searchsorted(ends, result.positions, side="right")).tolist())
    clean = sorted(set(range(len(ends))) - broken)
    return broken, (random.Random(snapshot.sha256).choice(clean) if clean else None)  # noqa: S311 - a sample, no secret


def _sampled(snapshot: Snapshot, rows: int, most: int) -> tuple[int, int]:
    """First row and number of rows of the sample from a part of ``rows`` rows: neighbours, so that
    little is read.
    """
    number = min(rows, most)
    chance = random.Random(snapshot.sha256)  # noqa: S311 - a sample, no secret
    return chance.randint(0, rows - number), number


def _within(result: RuleResult, start: int, rows: int) -> RuleResult:
    """The result for the rows from ``start`` on, by their position in the part."""
    positions = tuple(
        position - start for position in result.positions if start <= position < start + rows
    )
    return replace(result, positions=positions, success=not positions)


def _compare(
    judged: Sequence[RuleResult], scanned: Sequence[RuleResult], snapshot: Snapshot, where: str
) -> None:
    """Raise DisagreementError unless both engines found the same for every rule that both have
    judged.
    """
    by_id = {result.rule.id: result for result in scanned}
    whole = where == "the whole batch"
    for expected in judged:
        found = by_id.get(expected.rule.id, expected)
        if expected.rule.check == "unique" and not whole:
            # Within one part Great Expectations cannot see the doubles in the others.
            agreed = set(expected.positions) <= set(found.positions)
        else:
            agreed = expected == found
        if not agreed:
            raise DisagreementError(snapshot, where, expected.rule, _shown(expected), _shown(found))


def _shown(result: RuleResult) -> str:
    """Numbers only: a value may be sensitive."""
    rows = f"{len(result.positions):,} rows {list(result.positions[:5])}"
    return (
        rows if result.rule.scope == "row" else f"success={result.success} {result.found}".strip()
    )


def _frame(parts: Sequence[Path], columns: Sequence[str]) -> pd.DataFrame:
    tables = [pq.ParquetFile(part).read(list(columns)).select(list(columns)) for part in parts]
    return to_frame(pa.concat_tables(tables))
