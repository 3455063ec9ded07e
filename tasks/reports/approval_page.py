"""What a person needs who is asked to approve: the gate's reason and every number that it rests on,
as page and as text.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime

from tasks.history import ApprovalRequest
from tasks.records import Comparison, Evidence
from tasks.reports import figures
from tasks.reports.page import render_page


@dataclass(frozen=True)
class Table:
    """A table of the page: a title, headings, and rows of text."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def render_approval_page(entry: ApprovalRequest, deadline: datetime) -> str:
    """Return the HTML page of a promotion that waits for a person until ``deadline``."""
    evidence = entry.evidence
    return render_page(
        "approval.html.j2",
        entry=entry,
        deadline=deadline,
        tables=_tables(evidence),
        agree=_command("promote", evidence),
        decline=_command("refuse", evidence),
    )


def render_approval_text(entry: ApprovalRequest, deadline: datetime) -> str:
    """Return the same as Markdown; what comes from data cannot become markup."""
    evidence = entry.evidence
    lines = [
        f"# {_inert(evidence.model)}: version {evidence.challenger} awaits approval",
        _inert(entry.decision.reason),
        (
            f"Until {figures.moment(deadline)}: run the deployment `promote/{evidence.model}` with"
            f" version {evidence.challenger}, or `{_command('promote', evidence)}`. To decline:"
            f" `refuse/{evidence.model}`, or `{_command('refuse', evidence)}`."
        ),
    ]
    for table in _tables(evidence):
        lines.append(f"## {table.title}")
        rows = [table.headings, ("---",) * len(table.headings), *table.rows]
        lines.append("\n".join(f"| {' | '.join(map(_inert, row))} |" for row in rows))
    return "\n\n".join(lines)


def _command(verb: str, evidence: Evidence) -> str:
    return f"kingmaker {verb} {evidence.model} --version {evidence.challenger}"


def _tables(evidence: Evidence) -> tuple[Table, ...]:
    checks = tuple(
        (one.code, one.name, one.outcome, one.found, one.limit) for one in evidence.guardrails
    )
    rows = tuple(
        (s.batch, f"{s.rows:,}", figures.moment(s.start), figures.moment(s.end))
        for s in evidence.holdout
    )
    return (
        *(_compared(evidence.comparison, evidence) if evidence.comparison else ()),
        Table("Guardrails", ("code", "check", "outcome", "found", "limit"), checks),
        Table(
            "Rows that judged, seen by neither in training", ("batch", "rows", "from", "to"), rows
        ),
    )


def _compared(found: Comparison, evidence: Evidence) -> tuple[Table, ...]:
    challenger, champion = (
        f"version {evidence.challenger} (challenger)",
        f"version {evidence.champion} (champion)",
    )
    numbers = (
        ("loss", figures.number(found.challenger_loss), figures.number(found.champion_loss)),
        (
            figures.in_words(found.metric),
            figures.interval(found.challenger_score),
            figures.interval(found.champion_score),
        ),
    )
    test = (
        ("difference of losses", figures.interval(found.difference)),
        ("t", figures.number(found.t)),
        ("p that it is no better", figures.number(found.p_better)),
        ("rows", f"{found.rows:,}"),
        ("blocks of time", f"{found.blocks:,}"),
        ("kind", evidence.kind),
        ("attempt since the last change of recipe", str(evidence.attempt)),
    )
    slices = tuple(
        (
            f"{s.column} = {s.value}",
            f"{s.rows:,}",
            figures.number(s.challenger_loss),
            figures.number(s.champion_loss),
            figures.number(s.p_worse),
        )
        for s in found.slices
    )
    tables = (
        Table("On the same rows", ("", challenger, champion), numbers),
        Table("The comparison", ("", "found"), test),
    )
    if not slices:
        return tables
    return (
        *tables,
        Table(
            "Slices", ("slice", "rows", "challenger's loss", "champion's loss", "p worse"), slices
        ),
    )


def _inert(text: str) -> str:
    """Text in a Markdown cell: no tag, no new line, and nothing that begins a link, a picture or a
    new cell.
    """
    flat = " ".join(html.escape(text, quote=False).split())
    return "".join(f"\\{sign}" if sign in "|[]`*_!\\" else sign for sign in flat)
