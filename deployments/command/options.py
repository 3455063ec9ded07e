"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.model_spec import managed_models
from tasks.settings import Settings


def _models(context: typer.Context) -> list[str]:
    """The names that a shell completes: of the project that is typed before them."""
    given: Path | None = context.find_root().params.get("project")
    return list(managed_models(Settings() if given is None else Settings(project=given)))


Model = Annotated[
    str,
    typer.Argument(
        help="Name of a directory in deployments/, such as flights.", autocompletion=_models
    ),
]
OneModel = Annotated[
    str | None,
    typer.Argument(help="One model (default: all of the project).", autocompletion=_models),
]
Batch = Annotated[
    str | None, typer.Option(help="One batch, such as 2013-05 (default: all that are new).")
]
Reason = Annotated[str, typer.Option(help="One sentence; it is kept in the ledger.")]
Person = Annotated[str, typer.Option(help="Who decides (default: the login name).")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for a program to read.")]
