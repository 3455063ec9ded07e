"""A model as it stands now: its ledger, its sources and its runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from deployments.command.status import status_of
from deployments.console.acts import ACTS, deadline, why_not
from deployments.console.runs import Runs
from deployments.server.client import ServerAwayError, ServerRefusedError
from tasks.errors import KingmakerError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import manage
from tasks.records import FlowRun
from tasks.reports.fleet_page import FleetModel
from tasks.reports.overview_page import Overview
from tasks.settings import Settings

SHOWN = 20
"""Runs and decisions on the page, the newest first."""
_WORDS = {
    "run": "Run now",
    "retrain": "Retrain",
    "rollback": "Roll back",
    "freeze": "Freeze",
    "thaw": "Thaw",
}


def overview(
    settings: Settings,
    engine: Engine,
    one: FleetModel,
    runs: Runs | None,
    now: datetime,
    *,
    acting: bool,
) -> Overview:
    """Return how a model stands at ``now``; with ``acting``, what a person may do."""
    history = ledger.history(engine, one.model)
    done, next_due, away = _runs(runs, one.model)
    found = Overview(
        one,
        next_due=next_due,
        runs=done,
        away=away,
        decisions=history.entries[::-1][:SHOWN],
        versions=tuple(sorted(history.challengers, reverse=True)),
        prefect=settings.prefect_url,
        mlflow=settings.mlflow_url,
    )
    try:
        managed = manage(one.model, settings)
    except (KingmakerError, ValueError) as error:  # the page is shown, and says what is wrong
        return replace(found, waiting=str(error))
    possible = [
        (name, words)
        for name, words in _WORDS.items()
        if not why_not(name, ACTS[name], managed, history, None, now)
    ]
    waits = [(asked, deadline(asked, managed, now)) for asked in history.awaiting_approval]
    new = str(status_of(managed, engine, now).waiting)
    return replace(
        found,
        awaiting=tuple(waits) if acting else (),
        acts=tuple(possible) if acting else (),
        waiting=f"will take in {new}" if new else "nothing new has come",
    )


def _runs(runs: Runs | None, model: str) -> tuple[tuple[FlowRun, ...], datetime | None, str]:
    """A model's newest runs, when the next is due, and why nothing is known of them."""
    if runs is None:
        return (), None, "There is no Prefect server to ask."
    try:
        found = tuple(run for run in runs.newest() if run.model == model)
        return found[:SHOWN], runs.next_due(model), ""
    except (ServerAwayError, ServerRefusedError) as error:
        return (), None, f"Prefect cannot be asked: {error}"
