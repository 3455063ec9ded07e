"""The commands about the people who may log in to the servers of a home."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deployments.command.places import typed
from deployments.server.people import add_person, names, remove_person
from tasks.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Who may log in to console, Prefect and MLflow.")

Name = Annotated[str, typer.Argument(help="What the ledger will call the person, such as ada.")]


@app.command()
def add(
    name: Name,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the password's line from standard input.")
    ] = False,
) -> None:
    """Let a person log in, by a password that is asked for; or give one who may another one."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    new = add_person(Settings().home, name, password)
    print(f"{name} {'may log in' if new else 'has another password; their sessions have ended'}")


@app.command()
def remove(name: Name) -> None:
    """Let a person log in no more; their sessions end at once."""
    remove_person(Settings().home, name)
    print(f"{name} may not log in any more")


@app.command("list")
def list_people() -> None:
    """Name the people who may log in."""
    found = names(Settings().home)
    print("\n".join(found) or typed("none yet: 'kingmaker user add NAME' lets a person in"))
