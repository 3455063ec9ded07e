"""The console's server: addresses that can be sent to a colleague, behind the home's password.

Everything is read from the ledger, the lake, the reports and Prefect at the moment of asking, and
nothing is written: what a person does is a run of Prefect's. ``uvicorn --factory
deployments.console.app:console_app`` starts it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from deployments.command.explain import examine
from deployments.console.acting import add_acts
from deployments.console.fleet import Fleet
from deployments.console.metrics import CONTENT_TYPE, in_numbers
from deployments.console.overview import overview
from deployments.console.runs import Runs
from deployments.server.authentication import CONSOLE_CREDENTIALS, LoginMiddleware, gate_of
from deployments.server.client import Server
from deployments.server.sessions import Sessions
from tasks.errors import KingmakerError
from tasks.ledger import entries as ledger
from tasks.ledger.entries import NoDecisionError, decision_numbered, stored_sha256
from tasks.ledger.tables import Engine, open_ledger
from tasks.model_spec import ManagedModel, manage, managed_models
from tasks.records import LedgerEntry, Record, Verdict
from tasks.reports.compare_page import render_compare_page
from tasks.reports.decision_page import render_decision_page
from tasks.reports.fleet_page import FleetModel, render_fleet_page
from tasks.reports.overview_page import render_overview_page
from tasks.reports.quarantine import inert_csv, quarantined_rows, render_quarantine_page
from tasks.settings import Settings

OURS = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy of our own pages: no script, and nothing from elsewhere."""
EVIDENTLY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval';"
    " style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'none'"
)
"""Of Evidently's page, which is drawn by scripts of its own: they reach no other page and no
address.
"""


def console_app() -> ASGIApp:
    """Return the console of the environment's home, behind the log-in; NoCredentialsError or
    NoSessionKeyError when the environment does not say who may pass.
    """
    settings, gate = (
        Settings(),
        gate_of("the console", CONSOLE_CREDENTIALS, by_token=("/api/", "/metrics")),
    )
    api = os.environ.get("PREFECT_API_URL", "")
    prefect = Server("Prefect's server", api, os.environ.get("PREFECT_API_AUTH_STRING", ""))
    app = make_app(
        settings,
        open_ledger(settings.ledger_url),
        Runs(prefect) if api else None,
        gate.sessions,
    )
    return LoginMiddleware(app, gate)


def make_app(
    settings: Settings,
    engine: Engine,
    runs: Runs | None = None,
    sessions: Sessions | None = None,
) -> FastAPI:
    """Return the console without its log-in; without ``runs`` and ``sessions`` nobody can act."""
    app = FastAPI(
        title="Kingmaker",
        description="What a home's models are and do. Programs read; people act by pages.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    fleet = Fleet(settings, engine, runs)
    _pages(app, settings, engine, fleet, runs)
    if runs is not None and sessions is not None:
        add_acts(app, settings, engine, runs, sessions)
    _api(app, settings, engine, fleet, runs)
    settings.reports.mkdir(parents=True, exist_ok=True)
    app.mount("/reports", StaticFiles(directory=settings.reports))

    @app.middleware("http")
    async def keep_to_ourselves(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await answer(request)
        drawn_by_scripts = request.url.path.endswith("/evidently.html")
        response.headers["Content-Security-Policy"] = EVIDENTLY if drawn_by_scripts else OURS
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-cache"
        return response

    return app


def _pages(
    app: FastAPI, settings: Settings, engine: Engine, fleet: Fleet, runs: Runs | None
) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def models(request: Request, search: str = "", needing: bool = False) -> str:
        found, away = fleet.look()
        person = request.scope.get("person", "")
        return render_fleet_page(
            found, datetime.now(UTC), search, needing=needing, away=away, person=person
        )

    @app.get("/health", include_in_schema=False)
    def health() -> Response:
        return Response("OK", media_type="text/plain")

    @app.get("/models/{model}", response_class=HTMLResponse, include_in_schema=False)
    def model_page(request: Request, model: str) -> str:
        one = next((one for one in fleet.models() if one.model == model), None)
        if one is None:
            raise HTTPException(404, f"no model is called {model!r}")
        acting = runs is not None and bool(request.scope.get("person"))
        now = datetime.now(UTC)
        return render_overview_page(overview(settings, engine, one, runs, now, acting=acting), now)

    @app.get("/models/{model}/compare", response_class=HTMLResponse, include_in_schema=False)
    def compare_page(model: str, one: int, other: int) -> str:
        known = ledger.trained_versions(engine, model)
        for version in (one, other):
            if version not in known:
                listed = ", ".join(map(str, known)) or "none"
                raise HTTPException(404, f"{model}: no version {version}; there are {listed}")
        return render_compare_page(
            known[one][1],
            known[other][1],
            tuple(ledger.known_batches(engine, model).values()),
            ledger.history(engine, model),
        )

    @app.get("/decisions/{number}", response_class=HTMLResponse, include_in_schema=False)
    def decision_page(number: int) -> str:
        found = examine(_decision(engine, number), stored_sha256(engine, number))
        waiting = ledger.history(engine, found.decision.model).awaiting_approval
        return render_decision_page(
            found.decision,
            intact=found.intact,
            made_again=found.made_again,
            waits=any(one.id == number for one in waiting),
        )

    @app.get("/quarantine/{model}/{batch}.csv", include_in_schema=False)
    def quarantine_csv(model: str, batch: str) -> Response:
        managed, verdict = _quarantine(settings, engine, model, batch)
        rows = quarantined_rows(settings.lake, verdict.quarantine or "", managed.contract)
        return Response(inert_csv(rows), media_type="text/csv; charset=utf-8")

    @app.get("/quarantine/{model}/{batch}", response_class=HTMLResponse, include_in_schema=False)
    def quarantine_page(model: str, batch: str) -> str:
        managed, verdict = _quarantine(settings, engine, model, batch)
        rows = quarantined_rows(settings.lake, verdict.quarantine or "", managed.contract)
        return render_quarantine_page(model, batch, verdict.reason, rows)


def _api(app: FastAPI, settings: Settings, engine: Engine, fleet: Fleet, runs: Runs | None) -> None:
    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        models, away = fleet.look()
        known = None if runs is None or away else runs.newest()
        return Response(in_numbers(models, known), media_type=CONTENT_TYPE)

    @app.get("/api/models", response_model=tuple[FleetModel, ...])
    def every_model() -> Response:
        """Every model at a glance; those that need a person first."""
        return _json(fleet.models())

    @app.get("/api/models/{model}/decisions", response_model=tuple[LedgerEntry, ...])
    def decisions_of(model: str) -> Response:
        """Every decision about a model with its evidence, oldest first."""
        found = ledger.history(engine, model).entries
        if not found and model not in managed_models(settings):
            raise HTTPException(404, f"no model is called {model!r}")
        return _json(found)

    @app.get("/api/decisions/{number}", response_model=LedgerEntry)
    def one_decision(number: int) -> Response:
        """One decision with its evidence."""
        return _json(_decision(engine, number))


def _json(found: Record | Sequence[Record]) -> Response:
    """As the ledger writes it: what JSON has no number for, such as infinity, as text."""
    text = (
        found.model_dump_json()
        if isinstance(found, Record)
        else f"[{','.join(one.model_dump_json() for one in found)}]"
    )
    return Response(text, media_type="application/json")


def _decision(engine: Engine, number: int) -> LedgerEntry:
    try:
        return decision_numbered(engine, number)
    except NoDecisionError as error:
        raise HTTPException(404, str(error)) from error


def _quarantine(
    settings: Settings, engine: Engine, model: str, batch: str
) -> tuple[ManagedModel, Verdict]:
    try:
        managed = manage(model, settings)
    except (KingmakerError, ValueError) as error:
        raise HTTPException(404, str(error)) from error
    record = ledger.known_batches(engine, model).get(batch)
    if record is None or record.verdict.quarantine is None:
        raise HTTPException(404, f"{model}: batch {batch!r} has nothing in quarantine")
    return managed, record.verdict
