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
    record: Annotated[
        bool,
        typer.Option("--record", help="Write down what was told: it is judged and delivered."),
    ] = False,
) -> None:
    """Score rows whose outcome is not known yet, by the champion in force, now."""
    from flows.steps.predictions import score_file

    managed = manage(model, Settings())
    with _file(rows) as (file, name), _target(out) as target:
        told = score_file(managed, file, name, target, datetime.now(UTC), record=record)
    if told.broken:
        named = list(told.broken.items())[:NAMED]
        shown = "; ".join(f"row {position + 1}: {reasons}" for position, reasons in named)
        rest = len(told.broken) - NAMED
        print(
            f"{model}: {len(told.broken):,} of {told.rows:,} rows were not scored, because they"
            f" break the contract: {shown}{f'; and {rest:,} more' if rest > 0 else ''}",
            file=sys.stderr,
        )
    kept = f", {told.recorded:,} of them written down as new" if record else ""
    print(
        f"{model}: {told.rows - len(told.broken):,} rows scored by {told.served_by}{kept}",
        file=sys.stderr,
    )
    for sentence in told.away:
        print(f"kingmaker: {sentence}", file=sys.stderr)


@app.command()
def predictions(
    model: Model,
    batch: Annotated[str, typer.Option(help="One batch, such as 2013-05; open ones too.")],
    out: Annotated[
        str, typer.Option(help="CSV, JSON lines or Parquet by its name; - writes CSV.")
    ] = STANDARD,
) -> None:
    """Get the predictions of a batch: what each row was told, by which version, and when."""
    from flows.steps.predictions import write_predictions_of

    managed = manage(model, Settings())
    managed.rows.batch(batch)
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
