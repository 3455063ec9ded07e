"""A model as it stands now: what waits, what runs, what was decided, and what a person may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from tasks.history import ApprovalRequest
from tasks.records import FlowRun, LedgerEntry
from tasks.reports.fleet_page import FleetModel
from tasks.reports.page import render_page


@dataclass(frozen=True)
class Overview:
    """What the page of a model shows."""

    one: FleetModel
    awaiting: tuple[tuple[ApprovalRequest, str], ...] = ()
    """Requests for approval, each with its deadline in words."""
    next_due: datetime | None = None
    waiting: str = ""
    """What the next run will take in, in words."""
    runs: Sequence[FlowRun] = ()
    away: str = ""
    """Why there are no runs, where Prefect could not be asked."""
    decisions: Sequence[LedgerEntry] = ()
    """The newest first."""
    acts: tuple[tuple[str, str], ...] = ()
    """Last word of the address, and words of the button."""
    versions: tuple[int, ...] = ()
    """Those that were judged, the newest first: any two can be compared."""
    prefect: str = ""
    """Address of Prefect's pages; empty where there is none."""
    mlflow: str = ""
    """Address of MLflow's pages; empty where there is none."""


def render_overview_page(found: Overview, now: datetime) -> str:
    """Return the HTML page of a model as it stands at ``now``."""
    name = quote(found.one.model)
    elsewhere = [
        ("The model in MLflow", f"{found.mlflow}/#/models/{name}") if found.mlflow else None,
        ("All runs in Prefect", f"{found.prefect}/runs") if found.prefect else None,
    ]
    return render_page(
        "overview.html.j2",
        one=found.one,
        awaiting=found.awaiting,
        next_due=found.next_due,
        waiting=found.waiting,
        runs=found.runs,
        away=found.away,
        decisions=found.decisions,
        acts=found.acts,
        versions=found.versions,
        elsewhere=[one for one in elsewhere if one is not None],
        now=now,
    )
