"""Tables of words that stand on a page and in Markdown alike."""

from __future__ import annotations

import html
from dataclasses import dataclass

from tasks.records import Comparison, Evidence
from tasks.reports import figures


@dataclass(frozen=True)
class Table:
    """A title, headings, and rows of text."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """A sentence above the rows."""


def in_markdown(table: Table) -> str:
    """Return a table as Markdown; what comes from data cannot become markup."""
    rows = [table.headings, ("---",) * len(table.headings), *table.rows]
    lines = "\n".join(f"| {' | '.join(map(inert, row))} |" for row in rows)
    note = f"{inert(table.note)}\n\n" if table.note else ""
    return f"## {table.title}\n\n{note}{lines}"


def inert(text: str) -> str:
    """Text in a Markdown cell: no tag, no new line, and nothing that begins a link, a picture or a
    new cell.
    """
    flat = " ".join(html.escape(text, quote=False).split())
    return "".join(f"\\{sign}" if sign in "|[]`*_!\\" else sign for sign in flat)


def guardrails(evidence: Evidence) -> Table:
    """Return what each check of a challenger found."""
    checks = tuple(
        (one.code, one.name, one.outcome, one.found, one.limit) for one in evidence.guardrails
    )
    return Table("Guardrails", ("code", "check", "outcome", "found", "limit"), checks)


def judging_rows(evidence: Evidence) -> Table:
    """Return the rows that a challenger was judged by."""
    rows = tuple(
        (s.batch, f"{s.rows:,}", figures.moment(s.start), figures.moment(s.end))
        for s in evidence.holdout
    )
    return Table(
        "Rows that judged, seen by neither in training", ("batch", "rows", "from", "to"), rows
    )


def compared(found: Comparison, evidence: Evidence) -> tuple[Table, ...]:
    """Return challenger against champion: their losses and scores, the test, and the slices."""
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
