"""The commands about tokens, by which programs read the console."""

from __future__ import annotations

from typing import Annotated

import typer

from deployments.command.places import typed
from deployments.server.tokens import made, make_token, revoke_token
from tasks.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="By what programs read the console's JSON and metrics."
)

Name = Annotated[str, typer.Argument(help="What it is for, such as grafana.")]


@app.command()
def make(name: Name) -> None:
    """Make a token and print it, this once: it is kept nowhere."""
    print(make_token(Settings().home, name))


@app.command()
def revoke(name: Name) -> None:
    """Have a token open nothing any more, at once."""
    revoke_token(Settings().home, name)
    print(f"{name} opens nothing any more")


@app.command("list")
def list_tokens() -> None:
    """Name the tokens, and when they were made."""
    found = made(Settings().home)
    lines = [f"{name}  made {at:%Y-%m-%d %H:%M} UTC" for name, at in found.items()]
    print("\n".join(lines) or typed("none yet: 'kingmaker token make NAME' makes one"))
