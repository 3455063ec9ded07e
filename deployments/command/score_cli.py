"""The commands about predictions: score rows now, and get those of a batch."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from deployments.command.options import Model
from deployments.command.places import existing_ledger
from tasks.configuration import ConfigurationError
from tasks.model_spec import manage
from tasks.settings import Settings

app = typer.Typer()
NAMED = 20
"""Rows that break a rule, named on a screen."""
STANDARD = "-"


@app.command()
def score(
    model: Model,
    rows: Annotated[
        str,
        typer.Option(help="CSV, JSON lines or Parquet with what is known at event time; - reads."),
    ],
    out: Annotated[
        str, typer.Option(help="CSV, JSON lines or Parquet by its name; - writes CSV.")
    ] = STANDARD,
    explain: Annotated[
        int, typer.Option(min=0, help="How many features to name that moved each prediction most.")
    ] = 0,
    record: Annotated[
        bool,
        typer.Option("--record", help="Keep the predictions as served: judged and delivered."),
    ] = False,
) -> None:
    """Score rows whose outcome is not known yet, by the champion in force, now."""
    managed = manage(model, Settings())
    existing_ledger(managed.settings)
    from flows.score import ScoringIncompleteError
    from flows.steps.predictions import score_file

    with _file(rows) as (file, name), _target(out) as target:
        done = score_file(
            managed, file, name, target, datetime.now(UTC), record=record, explain=explain
        )
    if done.broken:
        named = list(done.broken.items())[:NAMED]
        shown = "; ".join(f"row {position + 1}: {reasons}" for position, reasons in named)
        rest = len(done.broken) - NAMED
        print(
            f"{model}: {len(done.broken):,} of {done.rows:,} rows were not scored, because they"
            f" break the contract: {shown}{f'; and {rest:,} more' if rest > 0 else ''}",
            file=sys.stderr,
        )
    if done.warned:
        print(f"{model}: a warning: {done.warned}", file=sys.stderr)
    for sentence in done.unknown:
        print(f"{model}: {sentence}", file=sys.stderr)
    kept = f", {done.recorded:,} of them kept as served anew" if record else ""
    print(
        f"{model}: {done.rows - len(done.broken):,} rows scored by {done.served_by}{kept}",
        file=sys.stderr,
    )
    if done.away:
        raise ScoringIncompleteError("; ".join(done.away))


@app.command()
def predictions(
    model: Model,
    batch: Annotated[str, typer.Option(help="One batch, such as 2013-05; open ones too.")],
    out: Annotated[
        str, typer.Option(help="CSV, JSON lines or Parquet by its name; - writes CSV.")
    ] = STANDARD,
) -> None:
    """Get the predictions of a batch: of each row, by which version, and when."""
    managed = manage(model, Settings())
    managed.rows.batch(batch)
    existing_ledger(managed.settings)
    from flows.steps.predictions import write_predictions_of

    with _target(out) as target:
        found = write_predictions_of(managed, batch, target)
    if not found:
        raise ConfigurationError(
            managed.settings.home, "predictions", f"a batch that {model} has scored", repr(batch)
        )
    print(f"{model} {batch}: {found:,} predictions", file=sys.stderr)


@contextmanager
def _file(rows: str) -> Iterator[tuple[Path, str]]:
    """The file to read; standard input, which can be read once, as a file of its own."""
    if rows != STANDARD:
        yield Path(rows), ""
        return
    with tempfile.NamedTemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name), "standard input"


@contextmanager
def _target(out: str) -> Iterator[Path | BinaryIO]:
    yield Path(out) if out != STANDARD else sys.stdout.buffer
