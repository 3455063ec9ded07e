"""``kingmaker contract``: a contract looked at on its own, before any model is built on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.errors import ExitCode

app = typer.Typer(
    no_args_is_help=True,
    help="Check a data contract, compare two versions of it, or begin one from a file.",
)

File = Annotated[Path, typer.Argument(help="A contract: an Open Data Contract Standard v3 file.")]


@app.command()
def check(file: File) -> None:
    """Check one contract, its queries and expectations included, without any data."""
    from data_contracts.contract import load_contract
    from tasks.validation.dry_run import check_rules

    contract = load_contract(file)
    check_rules(contract)
    scopes = [
        sum(rule.scope == scope for rule in contract.rules) for scope in ("schema", "row", "batch")
    ]
    print(
        f"{file}: all is well: {len(contract.columns)} columns; rules for the schema {scopes[0]},"
        f" for rows {scopes[1]}, for the batch {scopes[2]}"
    )


@app.command()
def diff(old: File, new: File) -> None:
    """Tell each change from OLD to NEW, and whether a model that was trained under OLD can be used
    under NEW.

    Exit code 0: every change is compatible, or there is none. 3: at least one is breaking. 2: one
    is no contract.
    """
    from data_contracts.diff import load_pair

    changes = load_pair(old, new)
    if not changes:
        print("no change")
    for change in sorted(changes, key=lambda change: change.effect):  # breaking comes first
        print(f"{change.effect:<10}  {change}")
    if any(change.effect == "breaking" for change in changes):
        raise typer.Exit(ExitCode.REFUSED)


@app.command()
def infer(
    source: Annotated[Path, typer.Argument(help="A CSV, JSON lines or Parquet file.")],
    name: Annotated[str, typer.Option(help="The contract's name (default: the file's).")] = "",
) -> None:
    """Print a first contract for a file, to be reviewed by a person: what it cannot know is marked
    as a guess.
    """
    from tasks.ingest.infer import infer_contract, read_typed

    print(infer_contract(read_typed(source), name or source.name.split(".")[0]), end="")
