"""The commands around real servers: ``up``, ``deploy`` and what goes with them."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Annotated

import typer

from deployments.command.options import Model, OneModel
from deployments.command.places import existing_ledger, typed
from deployments.server.home import (
    read_secrets,
    rotate_secrets,
    running,
    secrets_file,
    sole_runner,
)
from tasks.errors import MisuseError
from tasks.lake import write_whole
from tasks.model_spec import manage
from tasks.settings import Settings

app = typer.Typer()

PATIENCE_SECONDS = 60.0
"""How long a server that is busy, or just starting again, is waited for."""
_WITH_PASSWORD = re.compile(r"://[^@]*:[^@]*@|[?&]password=")

DatabaseOption = Annotated[
    str,
    typer.Option(
        envvar="KINGMAKER_DATABASE",
        show_envvar=True,
        help=(
            "URL of a PostgreSQL server that keeps ledger, Prefect and MLflow (default: files in"
            " the home); with a password only by the variable."
        ),
    ),
]
PortOption = Annotated[
    int | None, typer.Option(help="Port on 127.0.0.1 (default: the usual one, or a free one).")
]


@app.command()
def up(
    context: typer.Context,
    database: DatabaseOption = "",
    prefect_port: PortOption = None,
    mlflow_port: PortOption = None,
    console_port: PortOption = None,
    at_once: Annotated[
        int | None, typer.Option(help="Most runs at once (default: one a processor).", min=1)
    ] = None,
) -> None:
    """Run the console, Prefect, MLflow and a worker on this machine, behind passwords, until
    Ctrl-C.
    """
    source = context.get_parameter_source("database")
    if source is not None and source.name == "COMMANDLINE":
        refuse_password(database)
    os.environ.pop("KINGMAKER_DATABASE", None)  # it is in a file of the home from now on
    from deployments.server.up import up as run_servers

    run_servers(
        Settings(),
        lambda sentence: print(typed(sentence), flush=True),
        database=database,
        prefect_port=prefect_port,
        mlflow_port=mlflow_port,
        console_port=console_port,
        at_once=at_once,
    )


@app.command()
def deploy(
    model: OneModel = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what belongs to models that are gone.")
    ] = False,
    write: Annotated[
        bool,
        typer.Option("--write", help="Only write deployments/prefect.yaml, for 'prefect deploy'."),
    ] = False,
) -> None:
    """Register schedules, forms and automations with the Prefect server; twice changes nothing."""
    from deployments import register
    from deployments.server.embedded import answering_prefect

    settings = Settings()
    if write:
        file = settings.project / "deployments" / "prefect.yaml"
        write_whole(file, register.prefect_file(settings).encode())
        print(f"wrote {os.path.relpath(file)}")
        return
    _needs_server(settings)
    with answering_prefect():
        done = asyncio.run(register.register(settings, model, prune=prune))
    for word, keys in (
        ("made", done.made),
        ("changed", done.changed),
        ("unchanged", done.unchanged),
        ("removed", done.removed),
    ):
        if keys:
            print(f"{word:<10} {', '.join(sorted(keys))}")
    for key in done.gone:
        print(f"gone       {key}: its model is not in deployments/; --prune removes it")


@app.command("request-retrain")
def request_retrain(
    model: Model,
    reason: Annotated[
        str, typer.Option(help="One sentence; it is kept in the log.")
    ] = "asked for by an event",
) -> None:
    """Ask the Prefect server for a retrain, as any system may by the event
    kingmaker.retrain.requested.
    """
    settings = Settings()
    manage(model, settings)
    _needs_server(settings)
    from flows.steps.events import request_retrain as request

    request(model, reason)
    print(f"{model}: asked for a retrain; it runs when a worker is free")


@app.command()
def reconcile() -> None:
    """End runs that died, run again what crashed, close approvals whose time is over; the server
    does it hourly.
    """
    _needs_server(Settings())
    from deployments.server.embedded import answering_prefect
    from flows.reconcile import reconcile as reconcile_flow

    with answering_prefect():
        said = asyncio.run(reconcile_flow())
    for sentence in said or ("nothing to do",):
        print(sentence)


@app.command()
def prune(
    older_than: Annotated[
        str, typer.Option(help="Keep what is younger, such as 30d or 12w.")
    ] = "30d",
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it (default: only say what would go).")
    ] = False,
) -> None:
    """Say what may go from the disk, since nothing rests on it: no training, no prediction, no
    champion.
    """
    from deployments.command.prune import prune as prune_lake
    from tasks.configuration import parse_duration

    try:
        age = parse_duration(older_than)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    existing_ledger(Settings())
    found = prune_lake(Settings(), age, remove=yes)  # type: ignore[arg-type]  # a timedelta
    for removal in found:
        print(f"{removal.bytes / 1e6:10.1f} MB  {os.path.relpath(removal.path)}: {removal.why}")
    total = sum(removal.bytes for removal in found) / 1e6
    print(f"{total:10.1f} MB  {'removed' if yes else 'would go; --yes removes it'}")


@app.command("rotate-secrets")
def rotate() -> None:
    """Draw new passwords for the servers of the home; the encryption key stays.

    Needs the servers to be down.
    """
    settings = Settings()
    if read_secrets(settings.home) is None:
        raise NoServerError(
            f"{settings.home.resolve()}: expected a home in which 'kingmaker up' made passwords,"
            " found none"
        )
    with sole_runner(settings.home):
        rotate_secrets(settings.home)
    place = os.path.relpath(secrets_file(settings.home))
    print(typed(f"new passwords are in {place}; 'kingmaker up' uses them"))


class PasswordShownError(MisuseError):
    """A password stands on a command line, where every user of the machine can read it."""


def refuse_password(url: str) -> None:
    """Raise PasswordShownError when ``url`` holds a password."""
    if _WITH_PASSWORD.search(url):
        raise PasswordShownError(
            "--database: expected a URL without a password, since every user of this machine can"
            " read a command line, found one with it; change that password if others are here, and"
            " give the URL by the variable KINGMAKER_DATABASE, or the password by ~/.pgpass"
        )


class NoServerError(MisuseError):
    """There is no Prefect server to talk to."""


def _needs_server(settings: Settings) -> None:
    """Wait until the home's own server answers, where that is the one to talk to."""
    there, known = running(settings.home), read_secrets(settings.home)
    if there is not None and known is not None:
        there.prefect_server(known).ask("/ready", patience=PATIENCE_SECONDS)
    elif "PREFECT_API_URL" not in os.environ:
        raise NoServerError(
            f"{settings.home.resolve()}: expected a Prefect server, found none; start one by"
            " 'kingmaker up', or name one by PREFECT_API_URL and PREFECT_API_AUTH_STRING"
        )
