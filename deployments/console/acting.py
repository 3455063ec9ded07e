"""The addresses at which a person acts: each asks once more, and has a worker run the flow."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from deployments.console.acts import ACTS, deadline, parameters, request_of, why_not
from deployments.console.runs import NotDeployedError, Runs
from deployments.server.authentication import form_fields
from deployments.server.client import ServerAwayError, ServerRefusedError
from deployments.server.sessions import Sessions
from tasks.errors import KingmakerError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel, manage
from tasks.reports.act_page import render_act_page, render_run_page
from tasks.settings import Settings

NO_PERSON = "a person must have logged in to act: 'kingmaker user add NAME' lets one in"


def add_acts(
    app: FastAPI, settings: Settings, engine: Engine, runs: Runs, sessions: Sessions
) -> None:
    """Add the pages that ask, the requests that act, and the page of a run."""

    def asked(
        request: Request, model: str, name: str, number: int | None
    ) -> tuple[str, ManagedModel, str]:
        """Who asks, of which model, and what a form for it is signed for."""
        person = request.scope.get("person", "")
        if name not in ACTS:
            raise HTTPException(404, f"no act is called {name!r}")
        if not person:
            raise HTTPException(403, NO_PERSON)
        try:
            managed = manage(model, settings)
        except (KingmakerError, ValueError) as error:
            raise HTTPException(404, str(error)) from error
        return person, managed, f"{name} {model} {number}"

    def page(
        person: str, managed: ManagedModel, name: str, number: int | None, what: str, **more: str
    ) -> str:
        act, now = ACTS[name], datetime.now(UTC)
        history = ledger.history(engine, managed.name)
        request = request_of(history, number) if act.about_request else None
        version = None if request is None else request.decision.version
        return render_act_page(
            model=managed.name,
            title=act.says(managed.name, version),
            meaning=act.means(request),
            button=act.button,
            asks_reason=act.reason,
            person=person,
            token=sessions.form(person, what),
            request=request,
            deadline="" if request is None else deadline(request, managed, now),
            why_not=why_not(name, act, managed, history, request, now),
            **more,
        )

    @app.get("/models/{model}/{name}", response_class=HTMLResponse, include_in_schema=False)
    def ask(http: Request, model: str, name: str, request: int | None = None) -> Response:
        person, managed, what = asked(http, model, name, request)
        return HTMLResponse(page(person, managed, name, request, what))

    @app.post("/models/{model}/{name}", include_in_schema=False)
    def act(
        http: Request,
        model: str,
        name: str,
        form: Annotated[dict[str, str], Depends(_form)],
        request: int | None = None,
    ) -> Response:
        person, managed, what = asked(http, model, name, request)
        token, reason = form.get("token", ""), " ".join(form.get("reason", "").split())
        if not sessions.sent(token, person, what):
            raise HTTPException(403, "this form is not one of ours, or its time is over")
        chosen, history = ACTS[name], ledger.history(engine, model)
        waits = request_of(history, request) if chosen.about_request else None
        if why_not(name, chosen, managed, history, waits, datetime.now(UTC)):
            return HTMLResponse(page(person, managed, name, request, what), 409)
        if chosen.reason and not reason:
            told = page(person, managed, name, request, what, alarm="Say why, in one sentence.")
            return HTMLResponse(told, 422)
        try:
            run = runs.begin(
                chosen.flow,
                parameters(chosen, model, person, reason, waits),
                person,
                hashlib.sha256(token.encode()).hexdigest(),
            )
        except (NotDeployedError, ServerAwayError, ServerRefusedError) as error:
            told = page(person, managed, name, request, what, alarm=str(error), reason=reason)
            return HTMLResponse(told, 503)
        return RedirectResponse(app.url_path_for("run_page", id=run), 303)

    @app.get("/runs/{id}", response_class=HTMLResponse, include_in_schema=False)
    def run_page(id: str) -> str:
        try:
            run = runs.one(id)
            usual, line = runs.usual_seconds(run), "" if run.over else runs.last_line(id)
        except ServerRefusedError as error:
            raise HTTPException(404, f"Prefect knows no run {id!r}") from error
        except ServerAwayError as error:
            raise HTTPException(503, str(error)) from error
        decisions = [one for one in ledger.history(engine, run.model) if one.flow_run == run.id]
        return render_run_page(
            run,
            datetime.now(UTC),
            usual=usual,
            line=line,
            decisions=decisions,
            prefect=settings.prefect_url,
        )


async def _form(request: Request) -> dict[str, str]:
    return form_fields(await request.body())
