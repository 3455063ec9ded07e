"""One decision, in words: what it rests on, by which rule it was made, and whether that rule makes
it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tasks.decisions.rules import decide
from tasks.errors import KingmakerError
from tasks.records import Comparison, Evidence, LedgerEntry, Record, WatchEvidence


class NotAsRecordedError(KingmakerError):
    """A decision's record was changed, or the same evidence is decided otherwise today."""


class Explanation(Record):
    """A decision, with what was found when its record was verified and it was made again."""

    decision: LedgerEntry
    record_sha256: str
    """Of the record as it stands in the ledger now."""
    intact: bool
    """Whether the record is as it was written."""
    made_again: str
    """What the rule makes of the record today, in one sentence."""
    same: bool
    """Whether that is what was decided then."""


def examine(entry: LedgerEntry, stored_sha256: str) -> Explanation:
    """Verify a decision's record, whose digest in the ledger is ``stored_sha256`` now, and make the
    decision again from it.
    """
    again, same = _again(entry)
    return Explanation(
        decision=entry,
        record_sha256=stored_sha256,
        intact=stored_sha256 == entry.evidence_sha256,
        made_again=again,
        same=same,
    )


def explain(entry: LedgerEntry, stored_sha256: str) -> str:
    """Return the decision in lines for a person, its record verified and the decision made again
    from it; ``stored_sha256`` is the digest of the record as it stands in the ledger now.

    Raises NotAsRecordedError, with the same lines in it, when the record was changed or the
    decision comes out otherwise.
    """
    found = examine(entry, stored_sha256)
    seal = (
        "as it was written"
        if found.intact
        else f"CHANGED since it was written with {entry.evidence_sha256[:12]}"
    )
    lines = [
        *_head(entry),
        *_body(entry),
        f"record      sha256 {found.record_sha256[:12]}, {seal}",
        f"made again  {found.made_again}",
    ]
    text = "\n".join(lines)
    if not (found.intact and found.same):
        raise NotAsRecordedError(text)
    return text


def _head(entry: LedgerEntry) -> Iterator[str]:
    effect = (
        f"in effect since {entry.effective_at:%Y-%m-%d %H:%M} UTC"
        if entry.effective_at
        else "not in effect"
    )
    yield f"decision {entry.id}: {entry.title}"
    yield f"because     {entry.decision.reason}"
    yield f"about       {entry.model}, batch {entry.batch}, as of {entry.as_of:%Y-%m-%d %H:%M} UTC"
    yield (
        f"decided by  {entry.decided_by},"
        f" {effect}{f', run {entry.flow_run}' if entry.flow_run else ''}"
    )


def _body(entry: LedgerEntry) -> Iterator[str]:
    match entry.evidence:
        case Evidence():
            yield from _gate(entry.evidence)
        case WatchEvidence():
            yield from _compared(entry.evidence.comparison, "previous", "champion")
        case _:
            yield from _indented("rests on", entry.evidence.model_dump(mode="json"))
    if entry.rule is not None:
        yield from _indented("rule", entry.rule.model_dump(mode="json"))


def _gate(evidence: Evidence) -> Iterator[str]:
    against = "no champion" if evidence.champion is None else f"version {evidence.champion}"
    yield (
        f"judged      version {evidence.challenger} against {against}: {evidence.kind}, attempt"
        f" {evidence.attempt}"
    )
    for span in evidence.holdout:
        yield (
            f"holdout     {span.batch}: {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}"
            f" UTC, {span.rows:,} rows"
        )
    if evidence.pooled:
        yield f"in shadow   {', '.join(evidence.pooled)}"
    if evidence.comparison is None:
        yield f"compared    no: {evidence.not_compared or 'there was no champion'}"
    else:
        yield from _compared(evidence.comparison, "challenger", "champion")
    for check in evidence.guardrails:
        yield (
            f"guardrail   {check.code} {check.name}: {check.outcome}: {check.found} (limit:"
            f" {check.limit})"
        )


def _compared(comparison: Comparison, one: str, other: str) -> Iterator[str]:
    yield (
        f"rows        {comparison.rows:,} in {comparison.blocks} blocks of"
        f" {comparison.block_hours:g} h, seen by neither"
    )
    yield (
        f"loss        {one} {comparison.challenger_loss:.5g}, {other}"
        f" {comparison.champion_loss:.5g}"
    )
    yield (
        f"difference  {comparison.difference}, t {comparison.t:.2f}, p {comparison.p_better:.3g} of"
        " no better"
    )
    yield (
        f"{comparison.metric:<11} {one} {comparison.challenger_score or '-'}, {other}"
        f" {comparison.champion_score or '-'}"
    )
    for part in comparison.slices:
        yield (
            f"slice       {part.column} = {part.value}: {part.challenger_loss:.4g} against"
            f" {part.champion_loss:.4g} on {part.rows:,} rows, p {part.p_worse:.2g} of worse"
        )


def _indented(heading: str, document: Mapping[str, Any]) -> Iterator[str]:
    text = yaml.safe_dump(dict(document), sort_keys=False, width=100, allow_unicode=True)
    for number, line in enumerate(text.splitlines()):
        yield f"{'' if number else heading:<11} {line}"


def _again(entry: LedgerEntry) -> tuple[str, bool]:
    """What the rule makes of the evidence today, and whether that is what it made of it then."""
    if entry.rule is None:
        return "no: a person decided it, or nothing had to be decided", True
    decision = decide(entry.rule, entry.evidence)
    then, now = entry.decision.model_dump(), decision.model_dump()
    if then == now:
        return "the same decision, to the letter", True
    if then | {"reason": ""} == now | {"reason": ""}:
        return f"the same decision, said otherwise today: {now['reason']}", True
    return f"ANOTHER decision today: {decision}", False
