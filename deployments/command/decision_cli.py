"""The commands by which a person decides, or has a decision made: each runs one flow at once, and
says what it came to.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from deployments.command.options import Model, Person, Reason
from deployments.command.places import existing_ledger, typed
from deployments.command.running import run_flow
from tasks.model_spec import manage
from tasks.records import LedgerEntry
from tasks.settings import Settings

app = typer.Typer()

Version = Annotated[int | None, typer.Option(help="Its number (default: the newest that waits).")]


@app.command()
def retrain(model: Model, reason: Reason = "asked for by a person", person: Person = "") -> None:
    """Train a challenger now, and let the gate decide; never twice on the same rows."""
    _ready(model)
    from flows.retrain import retrain as flow

    entry = run_flow(Settings(), flow(model, reason, person=person or getpass.getuser()))
    print(typed(f"{entry.decision.kind}: {entry.decision.reason}"))


@app.command()
def promote(
    model: Model, version: Version = None, reason: Reason = "approved", person: Person = ""
) -> None:
    """Promote a version that was judged; it needs evidence against the champion that is champion
    now.
    """
    _ready(model)
    from flows.promote import promote as flow

    _decide(flow, "version {version} is champion", model, person, version=version, reason=reason)


@app.command()
def refuse(
    model: Model, version: Version = None, reason: Reason = "refused", person: Person = ""
) -> None:
    """Refuse a version that awaits approval; the champion goes on."""
    _ready(model)
    from flows.promote import refuse as flow

    _decide(flow, "version {version} is refused", model, person, version=version, reason=reason)


@app.command()
def rollback(
    model: Model,
    reason: Reason = "asked for by a person",
    person: Person = "",
    recalibration: Annotated[
        bool,
        typer.Option(
            "--recalibration", help="Only the newest refresh of weights and recalibration."
        ),
    ] = False,
) -> None:
    """Bring the previous champion back, at once."""
    _ready(model)
    from flows.manual import rollback as flow

    how = "serves as before its newest refresh" if recalibration else "is champion again"
    said = f"version {{version}} {how}"
    _decide(flow, said, model, person, reason=reason, recalibration=recalibration)


@app.command()
def freeze(model: Model, reason: Reason = "asked for by a person", person: Person = "") -> None:
    """Let the champion serve, and train and promote nothing until the model is thawed."""
    _ready(model)
    from flows.manual import freeze as flow

    _decide(flow, "{model} is frozen", model, person, reason=reason)


@app.command()
def thaw(model: Model, reason: Reason = "looked into", person: Person = "") -> None:
    """Let a frozen model go on."""
    _ready(model)
    from flows.manual import thaw as flow

    _decide(flow, "{model} goes on", model, person, reason=reason)


def _ready(model: str) -> None:
    """Raise, before anything heavy is imported, what is wrong with the model or the home."""
    existing_ledger(manage(model, Settings()).settings)


def _decide(
    flow: Callable[..., Coroutine[Any, Any, LedgerEntry]],
    said: str,
    model: str,
    person: str,
    **given: Any,  # noqa: ANN401 - of the flow
) -> None:
    """Run a person's flow, and print what it decided."""
    entry = run_flow(Settings(), flow(model, person=person or getpass.getuser(), **given))
    print(typed(f"{said.format(model=model, version=entry.version)}: {entry.decision.reason}"))
