"""The ``kingmaker`` command: its own options, and the commands that people use every day.

It looks before it starts anything: an idle run imports neither Prefect nor pandas.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.command import (
    contract_cli,
    decision_cli,
    look_cli,
    people_cli,
    score_cli,
    server_cli,
    token_cli,
)
from deployments.command.options import Batch, Model
from deployments.command.places import me, remember, typed
from deployments.command.running import progress, run_flow
from deployments.server.home import find_servers
from tasks.batches import Every
from tasks.errors import ExitCode, KingmakerError
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import Problem
from tasks.settings import REPOSITORY, Settings, commit_of, prepare_environment

if TYPE_CHECKING:
    from rich.console import Console

MAKERS = frozenset({"demo", "run", "replay", "up", "user", "token"})
"""Commands that make a home where there is none; with the others it may only be mistyped."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Keep tabular models in production honest: every new batch is checked, scored, watched
for drift, and answered with one recorded decision.

[b]A first look[/b]: kingmaker demo. [b]Every day[/b]: kingmaker run MODEL.
[b]Afterwards[/b]: kingmaker history MODEL.

[b]Exit codes[/b]: 0 all is well, 1 something failed, 2 wrong usage or configuration,
3 data was refused, 4 something waits for a person (status), 130 ended by Ctrl-C.""",
)


def main() -> None:
    """Run the command line: one sentence for each error, and an exit code that says what kind it
    is.
    """
    try:
        app(prog_name="kingmaker")
    except Exception as error:  # noqa: BLE001 - one sentence for people; the traceback is in the log
        code = error.exit_code if isinstance(error, KingmakerError) else ExitCode.FAILED
        print(f"kingmaker: {typed(str(error))}", file=sys.stderr)
        sys.exit(code)


def _version(asked: bool) -> None:
    if asked:
        commit = commit_of(REPOSITORY)
        print(f"kingmaker {version('kingmaker')}{f', commit {commit}' if commit else ''}")
        raise typer.Exit


@app.callback()
def where(
    context: typer.Context,
    project: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Directory with data_contracts/ and deployments/ (KINGMAKER_PROJECT; default: this"
                " repository)."
            )
        ),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Directory that everything is written to (KINGMAKER_HOME; default: .kingmaker)."
        ),
    ] = None,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it, and end."),
    ] = False,
) -> None:
    """Set where things are, before anything reads it."""
    remember(project, home)
    if project is not None:
        os.environ["KINGMAKER_PROJECT"] = str(project.resolve())
    if home is not None:
        os.environ["KINGMAKER_HOME"] = str(home.resolve())
    find_servers(Settings(), os.environ)
    prepare_environment(Settings(), make=context.invoked_subcommand in MAKERS)


@app.command()
def demo(
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave out what is planted: the year as it was.")
    ] = False,
) -> None:
    """Replay every flight that left New York City in 2013, month by month, through the production
    flows, with faults planted in it, and say what found them.
    """
    from deployments.flights import planted
    from flows.steps.pending import is_idle

    os.environ["KINGMAKER_PROJECT"] = str(REPOSITORY)
    settings = Settings()
    if not plain:
        print(planted.DECLARED, flush=True)
    progress("looking at the source")
    if written := planted.deliver(settings, plain=plain):
        progress(f"wrote {written} months of flights, as the airlines' warehouse would")
    if plain:
        replay(planted.MODEL)
        return
    managed = manage(planted.MODEL, settings)
    if is_idle(managed, open_ledger(settings.ledger_url), datetime.now(UTC)):
        _nothing_new(managed)
    else:
        run_flow(settings, planted.replay_planted(settings))
        _table(managed)
    _found(managed)
    _where_to_look(managed)


@app.command()
def new(
    model: Annotated[
        str,
        typer.Argument(help="A name for the model: a small letter, then such, digits, - and _."),
    ],
    source: Annotated[
        Path, typer.Option(help="A file of history: CSV, JSON lines or Parquet. It may grow.")
    ],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    time: Annotated[str, typer.Option(help="The column that says when a row happened.")],
    problem: Annotated[
        Problem | None, typer.Option(help="What kind of target it is (default: found).")
    ] = None,
    every: Annotated[
        Every | None, typer.Option(help="How batches are cut (default: found).")
    ] = None,
    timezone: Annotated[
        str, typer.Option(help="The zone of times without an offset, and of the batches.")
    ] = "UTC",
    time_format: Annotated[
        str, typer.Option(help="How --time is written, such as 'dd.MM.yyyy HH:mm'.")
    ] = "",
    text: Annotated[
        list[str] | None, typer.Option(help="A column that is text, whatever it looks like.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What stands between two cells of CSV, such as ';'.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as cp1252.")] = None,
    decimal: Annotated[str | None, typer.Option(help="Before a fraction: '.' or ','.")] = None,
    thousands: Annotated[str | None, typer.Option(help="Between three digits and three.")] = None,
    quote: Annotated[str | None, typer.Option(help="Around a cell of CSV.")] = None,
    skip_lines: Annotated[int | None, typer.Option(help="Lines before the header.")] = None,
    missing: Annotated[
        list[str] | None, typer.Option(help="A text that means there is no value; repeat it.")
    ] = None,
) -> None:
    """Draft a contract and a model spec from a file, its guesses marked; they run as they are.

    How the file is written is found from it, unless an option says so. docs/files.md is the table.
    """
    from deployments.command.new_model import draft_model
    from tasks.ingest.dialect import Options

    draft = draft_model(
        Settings().project,
        model,
        source,
        target,
        time,
        Options(
            delimiter=delimiter,
            encoding=encoding,
            decimal=decimal,
            thousands=thousands,
            quote=quote,
            skip_lines=skip_lines,
            missing=None if missing is None else ("", *missing),
            timezone=timezone,
            time_format=time_format,
            text=tuple(text or ()),
        ),
        problem,
        every,
    )
    for file in (draft.contract, draft.spec):
        print(f"wrote {os.path.relpath(file)}")
    if draft.guesses:
        print("guessed:")
    for guess in draft.guesses:
        print(f"  {guess.what}: {guess.why} (to change it: {guess.change})")
    for name, why in draft.left_out.items():
        print(f"  column {name!r} is left out: {why}")
    print(
        "limits and lists of values in the contract are guesses too: they warn, and refuse nothing"
    )
    print(f"review these, then: {me()} replay {model}")


@app.command()
def run(
    model: Model,
    batch: Batch = None,
    as_of: Annotated[
        datetime | None, typer.Option(help="Act as if it were this moment, in UTC (default: now).")
    ] = None,
) -> None:
    """Take in what is new, and decide, as the scheduled run does."""
    from flows.steps.pending import is_idle

    managed = manage(model, Settings())
    moment = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    if batch is None and is_idle(managed, open_ledger(managed.settings.ledger_url), moment):
        _nothing_new(managed)
        return
    from flows.monitor import monitor

    run_flow(managed.settings, monitor(model, batch, moment))
    _table(managed)


@app.command()
def replay(
    model: Model,
    start: Annotated[
        str | None, typer.Option(help="First batch (default: the first that is new).")
    ] = None,
    end: Annotated[
        str | None, typer.Option(help="Last batch (default: the last that is closed).")
    ] = None,
) -> None:
    """Run history through the production code, as if each batch had just arrived."""
    from flows.steps.pending import is_idle

    managed = manage(model, Settings())
    for id in filter(None, (start, end)):
        managed.rows.batch(id)
    if is_idle(managed, open_ledger(managed.settings.ledger_url), datetime.now(UTC)):
        _nothing_new(managed)
    else:
        from flows.replay import replay as replay_flow

        run_flow(managed.settings, replay_flow(model, start, end))
        _table(managed)
    _where_to_look(managed)


def _nothing_new(managed: ManagedModel) -> None:
    command = f"{me()} history {managed.name}"
    print(f"{managed.name}: nothing is new; '{command}' says which version is champion, and why")


def _table(managed: ManagedModel) -> None:
    from rich.table import Table

    from tasks.ledger import entries as ledger
    from tasks.reports.summary import batch_rows

    engine = open_ledger(managed.settings.ledger_url)
    rows = batch_rows(
        list(ledger.known_batches(engine, managed.name).values()),
        ledger.history(engine, managed.name),
    )
    table = Table(
        title=f"{managed.name}: {managed.spec.description}", title_justify="left", show_lines=False
    )
    for heading in (
        "batch",
        "rows",
        "quarantined",
        "unusual",
        managed.spec.metric,
        "first champion",
    ):
        table.add_column(heading, justify="left" if heading == "batch" else "right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("because", ratio=1)

    def score(value: float) -> str:
        return f"{value:.3f}" if abs(value) < 1e6 else f"{value:.4g}"

    for row in rows:
        table.add_row(
            row.batch,
            f"{row.rows:,}",
            f"{row.quarantined:,}",
            "" if row.drift_share is None else f"{row.drift_share:.0%}",
            (
                "-"
                if row.score is None
                else f"{score(row.score.value)} [{score(row.score.low)}, {score(row.score.high)}]"
                if row.score.known
                else str(row.score)
            ),
            "-" if row.first_score is None else score(row.first_score),
            row.decision,
            typed(row.reason),
        )
    _console().print(table)


def _found(managed: ManagedModel) -> None:
    from rich.table import Table

    from deployments.flights.planted import look_back
    from tasks.ledger import entries as ledger

    engine = open_ledger(managed.settings.ledger_url)
    history = ledger.history(engine, managed.name)
    records = ledger.known_batches(engine, managed.name)
    table = Table("planted", "found")
    for one in look_back(managed.contract, history, records):
        table.add_row(one.what, typed(one.found))
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


def _where_to_look(managed: ManagedModel) -> None:
    settings = managed.settings
    directory = Path(os.path.relpath(settings.reports / managed.name))
    newest = max((page.parent.name for page in directory.glob("*/drift.html")), default="<batch>")
    print(
        f"\nthe model's page       {directory / 'index.html'}\n"
        f"the drift reports      {directory / newest / 'drift.html'}, and one for each batch\n"
        f"the picture            {directory / 'timeline.png'}\n"
        f"who was champion, and why   {me()} history {managed.name}\n"
        f"the servers' pages     {me()} up"
    )


for room in (look_cli, decision_cli, server_cli, score_cli):
    app.add_typer(room.app)
app.add_typer(contract_cli.app, name="contract")
app.add_typer(people_cli.app, name="user")
app.add_typer(token_cli.app, name="token")
