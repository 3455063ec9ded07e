"""A decision on a page: what was decided, by what, and whether its record makes it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tasks.records import Comparison, Evidence, LedgerEntry, WatchEvidence
from tasks.reports import figures
from tasks.reports.page import render_page
from tasks.reports.tables import Table, compared, guardrails, judging_rows


def render_decision_page(
    entry: LedgerEntry, *, intact: bool, made_again: str, waits: bool = False
) -> str:
    """Return the HTML page of a decision; ``made_again`` says what its rule makes of the record
    today, ``intact`` whether the record is as it was written, and ``waits`` whether it is a request
    that a person may answer now.
    """
    effect = (
        f"In effect since {figures.moment(entry.effective_at)}"
        if entry.effective_at
        else "Not in effect"
    )
    seal = (
        "Its record is as it was written"
        if intact
        else "ITS RECORD WAS CHANGED since it was written"
    )
    return render_page(
        "tables.html.j2",
        home="../",
        page=f"../models/{quote(entry.model)}",
        model=entry.model,
        what=f"decision {entry.id}",
        headline=f"{entry.title}, batch {entry.batch}",
        sentences=(
            entry.decision.reason,
            f"Decided by {entry.decided_by} as of {figures.moment(entry.as_of)}. {effect}.",
            f"{seal} ({entry.evidence_sha256[:12]}). Made again from it: {made_again}.",
        ),
        links=(*(_answers(entry) if waits else ()), *_links(entry)),
        tables=tuple(table for table in _tables(entry) if table.rows),
    )


def _answers(entry: LedgerEntry) -> tuple[tuple[str, str], ...]:
    address = f"../models/{quote(entry.model)}"
    return (
        (f"{address}/approve?request={entry.id}", f"promote version {entry.version}"),
        (f"{address}/refuse?request={entry.id}", "refuse it"),
    )


def _links(entry: LedgerEntry) -> tuple[tuple[str, str], ...]:
    reports = f"../reports/{quote(entry.model)}"
    batch = (f"{reports}/{entry.batch}/drift.html", f"the report of batch {entry.batch}")
    if entry.version is None:
        return (batch,)
    card = f"{reports}/versions/v{entry.version}/card.html"
    return batch, (card, f"the card of version {entry.version}")


def _tables(entry: LedgerEntry) -> Iterator[Table]:
    match entry.evidence:
        case Evidence() as evidence:
            if evidence.comparison is not None:
                yield from compared(evidence.comparison, evidence)
            elif evidence.not_compared:
                yield Table("Not compared", ("", ""), (("because", evidence.not_compared),))
            yield guardrails(evidence)
            yield judging_rows(evidence)
        case WatchEvidence() as evidence:
            yield _watched(evidence.comparison, evidence)
        case _:
            yield Table(
                "What it rests on", ("", ""), tuple(_lines(entry.evidence.model_dump(mode="json")))
            )
    yield Table(
        "Conditions",
        ("condition", "fired", "found", "limit"),
        tuple(
            (one.name, "yes" if one.fired else "no", one.found, one.limit)
            for one in getattr(entry.decision, "conditions", ())
        ),
    )
    if entry.rule is not None:
        yield Table("By the rule", ("", ""), tuple(_lines(entry.rule.model_dump(mode="json"))))


def _watched(found: Comparison, evidence: WatchEvidence) -> Table:
    return Table(
        f"The previous champion in shadow, on batch {evidence.batch}",
        ("", f"version {evidence.previous} (previous)", f"version {evidence.champion} (champion)"),
        (
            ("loss", figures.number(found.challenger_loss), figures.number(found.champion_loss)),
            (
                figures.in_words(found.metric),
                figures.interval(found.challenger_score),
                figures.interval(found.champion_score),
            ),
            ("difference of losses", figures.interval(found.difference), ""),
            ("rows", f"{found.rows:,}", f"{found.blocks:,} blocks of time"),
        ),
    )


def _lines(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON
    """Each value of a JSON document with the path to it; a list of plain values is one."""
    match value:
        case dict():
            for name, one in value.items():
                yield from _lines(one, f"{path}.{name}" if path else str(name))
        case list() if any(isinstance(one, dict | list) for one in value):
            for i, one in enumerate(value):
                yield from _lines(one, f"{path}.{i}")
        case list():
            yield path, ", ".join(map(str, value)) or "none"
        case None:
            yield path, "none"
        case _:
            yield path, str(value)
