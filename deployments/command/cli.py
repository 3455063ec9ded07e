"""The ``kingmaker`` command.

It looks before it starts anything: an idle run imports neither Prefect nor pandas.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Coroutine
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.command import contract_cli, server_cli
from deployments.server.home import find_servers
from tasks.batches import Every
from tasks.configuration import ConfigurationError
from tasks.errors import ExitCode, KingmakerError
from tasks.model_spec import ManagedModel, manage, managed_models
from tasks.records import Problem
from tasks.settings import REPOSITORY, Settings, prepare_environment

SHOWN = 20
"""Rows of a quarantine that fit a screen."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Keep tabular models in production honest: every new batch is checked, scored, watched
for drift, and answered with one recorded decision.

[b]A first look[/b]: kingmaker demo. [b]Every day[/b]: kingmaker run MODEL.
[b]Afterwards[/b]: kingmaker history MODEL.

[b]Exit codes[/b]: 0 all is well, 1 something failed, 2 wrong usage or configuration,
3 data was refused.""",
)

app.add_typer(contract_cli.app, name="contract")
app.add_typer(server_cli.app)


Model = Annotated[str, typer.Argument(help="Name of a directory in deployments/, such as flights.")]
Batch = Annotated[
    str | None, typer.Option(help="One batch, such as 2013-05 (default: all that are new).")
]
ReasonOption = Annotated[str, typer.Option(help="One sentence; it is kept in the ledger.")]
PersonOption = Annotated[str, typer.Option(help="Who decides (default: the login name).")]


def main() -> None:
    """Run the command line: one sentence for each error, and an exit code that says what kind it
    is.
    """
    try:
        app()
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command again and it goes on where it stopped")
    except Exception as error:  # noqa: BLE001 - one sentence for people; the traceback is in the log
        code = error.exit_code if isinstance(error, KingmakerError) else ExitCode.FAILED
        print(f"kingmaker: {error}", file=sys.stderr)
        sys.exit(code)


@app.callback()
def where(
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
) -> None:
    """Settle where things live, before anything reads it."""
    if project is not None:
        os.environ["KINGMAKER_PROJECT"] = str(project.resolve())
    if home is not None:
        os.environ["KINGMAKER_HOME"] = str(home.resolve())
    find_servers(Settings(), os.environ)
    prepare_environment(Settings())


@app.command()
def demo() -> None:
    """Replay every flight that left New York City in 2013, month by month, through the production
    flows.
    """
    from deployments.flights.extract import extract

    os.environ["KINGMAKER_PROJECT"] = str(REPOSITORY)
    settings = Settings()
    _progress("looking at the source")
    if written := extract(settings.home / "sources" / "flights"):
        _progress(f"wrote {written} months of flights, as the airlines' warehouse would")
    replay("flights")


@app.command()
def new(
    model: Annotated[
        str, typer.Argument(help="A name for the model: small letters, digits, - and _.")
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
    print(f"review these, then: {_me()} replay {model}")


@app.command()
def run(
    model: Model,
    batch: Batch = None,
    as_of: Annotated[
        datetime | None, typer.Option(help="Act as if it were this moment, in UTC (default: now).")
    ] = None,
) -> None:
    """Take in what is new, and decide: the scheduled run, by hand."""
    from flows.steps.pending import is_idle

    managed = _manage(model)
    moment = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    if batch is None and is_idle(managed, _ledger(managed), moment):
        _nothing_new(managed)
        return
    from flows.monitor import monitor

    _run_flow(managed.settings, monitor(model, batch, moment))
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

    managed = _manage(model)
    for id in filter(None, (start, end)):
        managed.rows.batch(id)
    if is_idle(managed, _ledger(managed), datetime.now(UTC)):
        _nothing_new(managed)
    else:
        from flows.replay import replay as replay_flow

        _run_flow(managed.settings, replay_flow(model, start, end))
        _table(managed)
    _where_to_look(managed)


@app.command()
def retrain(model: Model, reason: ReasonOption = "asked for by hand") -> None:
    """Train a challenger now, and let the gate decide."""
    managed = _manage(model)
    from flows.retrain import retrain as retrain_flow

    entry = _run_flow(managed.settings, retrain_flow(model, reason))
    print(f"{entry.decision.kind}: {entry.decision.reason}")


@app.command()
def promote(
    model: Model,
    version: Annotated[
        int | None,
        typer.Option(help="A judged version (default: the newest that awaits approval)."),
    ] = None,
    reason: ReasonOption = "approved",
    person: PersonOption = "",
) -> None:
    """Promote a version by hand; it needs evidence against the champion that is champion now."""
    managed = _manage(model)
    from flows.promote import promote as promote_flow

    entry = _run_flow(
        managed.settings, promote_flow(model, version, reason, person or getpass.getuser())
    )
    print(f"version {entry.decision.version} is champion: {entry.decision.reason}")


@app.command()
def refuse(
    model: Model,
    version: Annotated[
        int | None, typer.Option(help="A version that awaits approval (default: the newest).")
    ] = None,
    reason: ReasonOption = "refused",
    person: PersonOption = "",
) -> None:
    """Refuse a version that awaits approval; the champion goes on."""
    managed = _manage(model)
    from flows.promote import refuse as refuse_flow

    entry = _run_flow(
        managed.settings, refuse_flow(model, version, reason, person or getpass.getuser())
    )
    print(f"version {entry.decision.version} is refused: {entry.decision.reason}")


@app.command()
def rollback(
    model: Model,
    reason: ReasonOption = "asked for by hand",
    person: PersonOption = "",
    recalibration: Annotated[
        bool,
        typer.Option(
            "--recalibration", help="Only the newest refresh of weights and recalibration."
        ),
    ] = False,
) -> None:
    """Bring the previous champion back, at once."""
    managed = _manage(model)
    from flows.manual import rollback as rollback_flow

    entry = _run_flow(
        managed.settings, rollback_flow(model, reason, person or getpass.getuser(), recalibration)
    )
    if recalibration:
        print(
            f"version {entry.decision.version} serves as before its newest refresh:"
            f" {entry.decision.reason}"
        )
        return
    print(f"version {entry.decision.version} is champion again: {entry.decision.reason}")


@app.command()
def freeze(
    model: Model, reason: ReasonOption = "asked for by hand", person: PersonOption = ""
) -> None:
    """Let the champion serve, and train and promote nothing until the model is thawed."""
    managed = _manage(model)
    from flows.manual import freeze as freeze_flow

    entry = _run_flow(managed.settings, freeze_flow(model, reason, person or getpass.getuser()))
    print(f"{model} is frozen: {entry.decision.reason}")


@app.command()
def thaw(model: Model, reason: ReasonOption = "looked into", person: PersonOption = "") -> None:
    """Let a frozen model go on."""
    managed = _manage(model)
    from flows.manual import thaw as thaw_flow

    entry = _run_flow(managed.settings, thaw_flow(model, reason, person or getpass.getuser()))
    print(f"{model} goes on: {entry.decision.reason}")


@app.command()
def status() -> None:
    """Say for each model who is champion, what came last, what waits, and what rests on rows that
    were replaced since.
    """
    from flows.steps.pending import labels_in_words, unread
    from tasks.ledger import entries as ledger
    from tasks.ledger.lease import current_holder
    from tasks.ledger.superseded import superseded
    from tasks.reports.summary import estimate_in_words, newest_estimate

    settings = Settings()
    names = managed_models(settings)
    if not names:
        raise ConfigurationError(
            settings.project / "deployments", "models", "a */model.yaml", "none"
        )
    for name in names:
        managed = _manage(name)
        engine = _ledger(managed)
        known = ledger.history(engine, name)
        print(name)
        if known.champion_changes:
            last = known.champion_changes[-1]
            print(f"  champion  version {last.decision.version} since batch {last.batch}")
        else:
            print("  champion  none yet")
        if frozen := known.frozen:
            print(f"  frozen    since batch {frozen.batch}: {frozen.decision.reason}")
        if known:
            newest = known.entries[-1]
            print(f"  last      {newest.batch}: {newest.decision.kind}: {newest.decision.reason}")
        if estimated := newest_estimate(list(ledger.known_batches(engine, name).values())):
            print(f"  estimate  {estimate_in_words(estimated, managed.spec.metric)}")
        now = datetime.now(UTC)
        print(f"  waiting   {unread(managed.rows, engine, now) or 'nothing'}")
        if managed.labels is not None and (labels := unread(managed.labels, engine, now)):
            print(f"  unread    labels: {labels}")
        for line in labels_in_words(managed, engine, now):
            print(f"  labels    {line}")
        for item in superseded(engine, name):
            print(f"  replaced  {item}")
        if holder := current_holder(engine, name):
            print(f"  acting    {holder}")


@app.command()
def history(
    model: Model,
    every: Annotated[
        bool,
        typer.Option("--all", help="Every decision, not only those that changed who is champion."),
    ] = False,
) -> None:
    """Print who was champion when, and why."""
    from tasks.ledger import entries as ledger

    managed = _manage(model)
    known = ledger.history(_ledger(managed), model)
    shown = known.entries if every else known.champion_changes
    if not shown:
        print(f"{model}: no {'decision' if every else 'champion'} yet; run 'kingmaker run {model}'")
    for entry in shown:
        took = "" if entry.effective_at else " (not carried out yet)"
        print(
            f"{entry.id:>4}  {entry.as_of:%Y-%m-%d %H:%M} UTC  batch {entry.batch} "
            f" {entry.title}{took}, by"
            f" {entry.decided_by}\n      {entry.decision.reason}"
        )


@app.command()
def quarantine(
    model: Model,
    batch: Annotated[str, typer.Argument(help="One batch, such as 2013-05.")],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="All rows as CSV, in which no cell is a formula.")
    ] = False,
) -> None:
    """List the rows of a batch that are in quarantine, each with the rules that it breaks;
    sensitive values are hidden.
    """
    from tasks.ledger import entries as ledger
    from tasks.reports.quarantine import inert_csv, quarantined_rows

    managed = _manage(model)
    known = ledger.known_batches(_ledger(managed), model)
    if batch not in known:
        raise ConfigurationError(
            managed.settings.home, "quarantine", f"a batch that {model} has taken in", repr(batch)
        )
    verdict = known[batch].verdict
    if verdict.quarantine is None:
        print(
            f"{model} {batch}: nothing in quarantine: {verdict.outcome}: {verdict.reason}",
            file=sys.stderr,
        )
        return
    rows = quarantined_rows(managed.settings.lake, verdict.quarantine, managed.contract)
    if as_csv:
        print(inert_csv(rows), end="")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{model} {batch}: {verdict.reason}"), title_justify="left")
    for heading in rows[0]:
        table.add_column(Text(heading))
    for row in rows[1 : SHOWN + 1]:
        table.add_row(*(Text(cell[:80]) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if len(rows) > SHOWN + 1:
        print(f"{len(rows) - 1 - SHOWN:,} more: --csv shows all")


@app.command("explain")
def explain_decision(
    number: Annotated[
        int, typer.Argument(metavar="DECISION", help="Its number, as history --all shows it.")
    ],
) -> None:
    """Say what a decision rests on, check that its record is intact, and make it again from its
    record.
    """
    from deployments.command.explain import explain
    from tasks.ledger.entries import decision_numbered, stored_sha256
    from tasks.ledger.tables import open_ledger

    engine = open_ledger(Settings().ledger_url)
    print(explain(decision_numbered(engine, number), stored_sha256(engine, number)))


@app.command()
def check(
    model: Annotated[
        str | None, typer.Argument(help="One model (default: all of the project).")
    ] = None,
    effective: Annotated[
        bool,
        typer.Option(
            "--effective", help="Also print each key of the spec with its value in force."
        ),
    ] = False,
) -> None:
    """Check contracts and model specs, estimators included, without running anything."""
    from tasks.training.pipeline import check_candidates
    from tasks.validation.dry_run import check_rules

    settings = Settings()
    names = (model,) if model else managed_models(settings)
    if not names:
        raise ConfigurationError(
            settings.project / "deployments", "models", "a */model.yaml", "none"
        )
    for name in names:
        managed = _manage(name)
        file = settings.project / "deployments" / name / "model.yaml"
        check_candidates(file, managed.spec.training.candidates, managed.spec.problem)
        check_rules(managed.contract)
        if managed.labels is not None:
            check_rules(managed.labels.contract)
        print(
            f"{name}: all is well: {len(managed.contract.columns)} columns,"
            f" {len(managed.contract.rules)} rules, {len(managed.spec.training.candidates)}"
            " candidates"
        )
        if effective:
            print(managed.spec.in_full(), end="")


def _manage(model: str) -> ManagedModel:
    return manage(model, Settings())


def _ledger(managed: ManagedModel) -> Any:  # noqa: ANN401 - an SQLAlchemy engine
    from tasks.ledger.tables import open_ledger

    return open_ledger(managed.settings.ledger_url)


def _run_flow(settings: Settings, flow: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the flow returns
    from deployments.command.progress import log_failure, show_progress
    from deployments.server.embedded import answering_prefect, embedded_server

    show_progress(settings, _progress)
    try:
        with closing(flow), embedded_server(), answering_prefect():
            return asyncio.run(flow)
    except Exception as error:
        log_failure(error)
        raise


_BEGAN = datetime.now(UTC)


def _progress(sentence: str) -> None:
    seconds = int((datetime.now(UTC) - _BEGAN).total_seconds())
    print(f"{seconds // 60:2d}:{seconds % 60:02d}  {sentence}", file=sys.stderr, flush=True)


def _nothing_new(managed: ManagedModel) -> None:
    command = f"{_me()} history {managed.name}"
    print(f"{managed.name}: nothing is new; '{command}' says which version is champion, and why")


def _me() -> str:
    """The command as the person can type it: the name alone when it is on the path, with the
    project if it is not ours.
    """
    import shutil

    program = Path(sys.argv[0])
    known = shutil.which(program.name) or program.name != "kingmaker"
    name = "kingmaker" if known else os.path.relpath(program)
    project = Settings().project
    return name if project == REPOSITORY else f"{name} --project {os.path.relpath(project)}"


def _table(managed: ManagedModel) -> None:
    from rich.console import Console
    from rich.table import Table

    from tasks.ledger import entries as ledger
    from tasks.reports.summary import batch_rows

    engine = _ledger(managed)
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
        "drifted",
        managed.spec.metric,
        "first champion",
    ):
        table.add_column(heading, justify="left" if heading == "batch" else "right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("because", ratio=1)
    for row in rows:
        table.add_row(
            row.batch,
            f"{row.rows:,}",
            f"{row.quarantined:,}",
            "" if row.drift_share is None else f"{row.drift_share:.0%}",
            (
                "-"
                if row.score is None
                else f"{row.score.value:.3f} [{row.score.low:.3f}, {row.score.high:.3f}]"
                if abs(row.score.value) < 1e6
                else str(row.score)
            ),
            "-" if row.first_score is None else f"{row.first_score:.3f}",
            row.decision,
            row.reason,
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)


def _where_to_look(managed: ManagedModel) -> None:
    settings = managed.settings
    directory = Path(os.path.relpath(settings.reports / managed.name))
    newest = max((page.parent.name for page in directory.glob("*/drift.html")), default="<batch>")
    print(
        f"\nthe model's page       {directory / 'index.html'}\n"
        f"the drift reports      {directory / newest / 'drift.html'}, and one for each batch\n"
        f"the picture            {directory / 'timeline.png'}\n"
        f"who was champion, and why   {_me()} history {managed.name}\n"
        f"the servers' pages     {_me()} up"
    )
