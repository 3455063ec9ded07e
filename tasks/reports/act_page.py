"""What a person is asked before something is done, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from tasks.history import ApprovalRequest
from tasks.records import FlowRun, LedgerEntry
from tasks.reports.approval_page import tables_of
from tasks.reports.page import render_page

_STATES = {
    "SCHEDULED": "Waits for a worker",
    "PENDING": "Is about to begin",
    "RUNNING": "Runs",
    "COMPLETED": "Done",
    "FAILED": "Failed",
    "CRASHED": "Crashed",
    "CANCELLED": "Cancelled",
    "CANCELLING": "Is being cancelled",
    "PAUSED": "Paused",
}


def render_act_page(
    *,
    model: str,
    title: str,
    meaning: str,
    button: str,
    asks_reason: bool,
    person: str,
    token: str,
    request: ApprovalRequest | None,
    deadline: str,
    why_not: str,
    alarm: str = "",
    reason: str = "",
) -> str:
    """Return the HTML page that asks once more before an act, with the evidence of the ``request``
    that it answers; or that says why it cannot be done.
    """
    return render_page(
        "act.html.j2",
        home="../../",
        page=f"../{quote(model)}",
        model=model,
        title=title,
        meaning=meaning,
        button=button,
        asks_reason=asks_reason,
        person=person,
        token=token,
        because="" if request is None else request.decision.reason,
        deadline=deadline,
        why_not=why_not,
        alarm=alarm,
        reason=reason,
        tables=() if request is None else tables_of(request.evidence),
    )


def render_run_page(
    run: FlowRun,
    now: datetime,
    *,
    usual: float | None,
    line: str,
    decisions: Sequence[LedgerEntry],
    prefect: str,
) -> str:
    """Return the HTML page of a run, which loads itself again until the run is over.

    ``usual`` is how many seconds such a run takes, ``line`` the last one of its log, ``prefect``
    the address of Prefect's pages.
    """
    share, progress = _progress(run, now, usual)
    return render_page(
        "run.html.j2",
        run=run,
        headline=f"{_STATES[run.kind]}: {run.name}",
        share=share,
        progress=progress,
        line=line,
        decisions=decisions,
        elsewhere=f"{prefect}/runs/flow-run/{quote(run.id)}" if prefect else "",
        now=now,
    )


def _progress(run: FlowRun, now: datetime, usual: float | None) -> tuple[float | None, str]:
    """How far a run is, as a share of the time that such runs take; None where none has ended."""
    if run.began is None:
        return None, f"due {run.due:%Y-%m-%d %H:%M:%S} UTC"
    seconds = max((now - run.began).total_seconds(), 0.0)
    if not usual:
        return None, f"for {seconds:.0f} s"
    return min(seconds / usual, 0.99), f"for {seconds:.0f} s; the last ones took {usual:.0f} s"
