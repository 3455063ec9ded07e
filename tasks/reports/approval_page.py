"""What a person needs who is asked to approve: the gate's reason and every number that it rests on,
as page and as text.
"""

from __future__ import annotations

from datetime import datetime

from tasks.history import ApprovalRequest
from tasks.records import Evidence
from tasks.reports import figures
from tasks.reports.page import render_page
from tasks.reports.tables import Table, compared, guardrails, in_markdown, inert, judging_rows


def render_approval_page(entry: ApprovalRequest, deadline: datetime) -> str:
    """Return the HTML page of a promotion that waits for a person until ``deadline``."""
    evidence = entry.evidence
    return render_page(
        "approval.html.j2",
        entry=entry,
        deadline=deadline,
        tables=tables_of(evidence),
        agree=_command("promote", evidence),
        decline=_command("refuse", evidence),
    )


def render_approval_text(entry: ApprovalRequest, deadline: datetime) -> str:
    """Return the same as Markdown; what comes from data cannot become markup."""
    evidence = entry.evidence
    lines = [
        f"# {inert(evidence.model)}: version {evidence.challenger} awaits approval",
        inert(entry.decision.reason),
        (
            f"Until {figures.moment(deadline)}: run the deployment `promote/{evidence.model}` with"
            f" version {evidence.challenger}, or `{_command('promote', evidence)}`. To decline:"
            f" `refuse/{evidence.model}`, or `{_command('refuse', evidence)}`."
        ),
    ]
    lines += map(in_markdown, tables_of(evidence))
    return "\n\n".join(lines)


def _command(verb: str, evidence: Evidence) -> str:
    return f"kingmaker {verb} {evidence.model} --version {evidence.challenger}"


def tables_of(evidence: Evidence) -> tuple[Table, ...]:
    """Return what a promotion rests on: comparison, slices, guardrails and the rows that judged."""
    return (
        *(compared(evidence.comparison, evidence) if evidence.comparison else ()),
        guardrails(evidence),
        judging_rows(evidence),
    )
