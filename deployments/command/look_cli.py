"""The commands that look and change nothing: how models stand, what was decided, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from deployments.command.options import AsJson, Model, OneModel
from deployments.command.places import existing_ledger, typed
from tasks.configuration import ConfigurationError
from tasks.errors import ExitCode
from tasks.model_spec import ManagedModel, manage, managed_models
from tasks.records import Record
from tasks.settings import Settings

SHOWN = 20
"""Rows of a quarantine that fit a screen."""

app = typer.Typer()


class Checked(Record):
    """A model whose contracts and spec can be used."""

    model: str
    columns: int
    rules: int
    candidates: int


@app.command()
def status(
    as_json: AsJson = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing: the exit code tells.")
    ] = False,
) -> None:
    """Say for each model what needs a person, who is champion, what came last, what waits, and what
    rests on rows that were replaced since; exit code 4 when a model needs a person.
    """
    settings = Settings()
    models = _chosen(settings, None)
    engine = existing_ledger(settings)
    from deployments.command.status import status_of

    found = [status_of(managed, engine, datetime.now(UTC)) for managed in models]
    found.sort(key=lambda one: not one.needs)
    if as_json and not quiet:
        _print_json(found)
    elif not quiet:
        for one in found:
            print(typed("\n".join(one.in_lines())))
    if any(one.needs for one in found):
        raise typer.Exit(ExitCode.NEEDS_A_PERSON)


@app.command()
def history(
    model: Model,
    every: Annotated[
        bool,
        typer.Option("--all", help="Every decision, not only those that changed who is champion."),
    ] = False,
    scored: Annotated[
        bool,
        typer.Option("--scored", help="Judge past choices by the labels that came later."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print who was champion when, and why; or which of the choices were right."""
    managed = manage(model, Settings())
    engine = existing_ledger(managed.settings)
    from deployments.command.status import Decided
    from tasks.ledger import entries as ledger

    if scored:
        from deployments.command.scored import in_lines
        from flows.steps.scorecard import score_card

        card = score_card(managed, engine)
        if as_json:
            _print_json(card)
        else:
            print("\n".join(in_lines(card)))
        return
    known = ledger.history(engine, model)
    shown = [Decided.of(one) for one in (known.entries if every else known.champion_changes)]
    if as_json:
        _print_json(shown)
        return
    if not shown:
        what = "decision" if every else "champion"
        print(typed(f"{model}: no {what} yet; run 'kingmaker run {model}'"))
    for one in shown:
        print(typed(one.in_lines()))


@app.command()
def plan(
    model: Model,
    gain: Annotated[
        list[float] | None,
        typer.Option(help="A gain in percent of the loss; repeat it. Default: 1, 2, 5 and 10."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a training could tell now, and by which date a gain could be told."""
    managed, gains = manage(model, Settings()), gain or [1.0, 2.0, 5.0, 10.0]
    engine = existing_ledger(managed.settings)
    from deployments.command.plan import plan_of

    for one in gains:
        if not 0 < one < 100:
            raise typer.BadParameter(f"expected a percentage above 0 and below 100, found {one:g}")
    found = plan_of(managed, engine, [one / 100 for one in gains])
    if as_json:
        _print_json(found)
        return
    print("\n".join(found.in_lines()))


@app.command()
def whatif(
    model: Model,
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="KEY=VALUE ...",
            help=(
                "Other values of keys of the spec, such as 'retrain.every=4 gate.refresh=better';"
                " repeat it for each policy. Default: other clocks, windows and candidates."
            ),
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="How long models that are missing may be trained.")
    ] = 20.0,
    rows: Annotated[
        int, typer.Option(min=1000, help="Most rows; of more, the same share of each batch.")
    ] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Replay the model's own history under other policies: what each would have gained and cost.

    Nothing that decides is written. What is trained is stored, so that the same is told in seconds
    when it is asked again.
    """
    from deployments.command.running import progress
    from deployments.command.whatif import in_lines
    from flows.whatif.answer import what_if
    from tasks.reports.task import write_whatif_page

    settings = Settings()
    managed = manage(model, settings)
    found = what_if(
        managed,
        existing_ledger(settings),
        tries or (),
        datetime.now(UTC),
        most_rows=rows,
        seconds=60 * minutes,
        say=progress,
    )
    page = write_whatif_page(managed, found)
    if as_json:
        _print_json(found)
        return
    print("\n".join(in_lines(found)))
    print(f"  page: {page}")


@app.command("explain")
def explain_decision(
    number: Annotated[
        int, typer.Argument(metavar="DECISION", help="Its number, as history --all shows it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what a decision rests on, check that its record is intact, and make it again from its
    record.
    """
    from deployments.command.explain import examine, explain
    from tasks.ledger.entries import decision_numbered, stored_sha256

    engine = existing_ledger(Settings())
    entry, stored = decision_numbered(engine, number), stored_sha256(engine, number)
    if not as_json:
        print(typed(explain(entry, stored)))
        return
    found = examine(entry, stored)
    _print_json(found)
    if not (found.intact and found.same):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def features(
    model: Model,
    sql: Annotated[bool, typer.Option("--sql", help="The query that makes each.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what the features mean that look back or are joined, from where they come, and how often
    they have no value.
    """
    managed = manage(model, Settings())
    engine = existing_ledger(managed.settings)
    from deployments.command.features import looking_back

    found = looking_back(managed, engine)
    if as_json:
        _print_json(found)
        return
    print(
        model
        if found
        else f"{model}: no feature looks back or is joined; docs/features.md says how"
    )
    for one in found:
        print("\n".join(one.in_lines(sql=sql)))


@app.command()
def why(
    model: Model,
    key: Annotated[
        list[str],
        typer.Argument(help="Columns of the contract's key as NAME=VALUE, enough to name one row."),
    ],
    reasons: Annotated[
        int, typer.Option("--reasons", min=1, help="How many features to name.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Say what was predicted for a row, by which version, from which values, and why."""
    managed = manage(model, Settings())
    engine = existing_ledger(managed.settings)
    from deployments.command.why import explain_row

    found = explain_row(managed, engine, key, reasons)
    if as_json:
        _print_json(found)
        return
    print("\n".join(found.in_lines()))


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

    managed = manage(model, Settings())
    known = ledger.known_batches(existing_ledger(managed.settings), model)
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


@app.command()
def check(model: OneModel = None, as_json: AsJson = False) -> None:
    """Check contracts and model specs, estimators included, without running anything."""
    from tasks.evaluation.task import check_own_utility
    from tasks.training.pipeline import check_candidates
    from tasks.training.weights import check_weighted
    from tasks.validation.dry_run import check_rules

    settings = Settings()
    found = []
    for managed in _chosen(settings, model):
        candidates = managed.spec.training.candidates
        file = settings.project / "deployments" / managed.name / "model.yaml"
        check_candidates(file, candidates, managed.spec.problem)
        check_weighted(file, managed.spec.training)
        check_own_utility(managed)
        check_rules(managed.contract)
        for stream in managed.beside:
            check_rules(stream.contract)
        one = Checked(
            model=managed.name,
            columns=len(managed.contract.columns),
            rules=len(managed.contract.rules),
            candidates=len(candidates),
        )
        found.append(one)
        if not as_json:
            print(
                f"{one.model}: all is well: {one.columns} columns, {one.rules} rules,"
                f" {one.candidates} candidates"
            )
    if as_json:
        _print_json(found)


def _chosen(settings: Settings, model: str | None) -> list[ManagedModel]:
    """One model, or all of the project, of which there must be one."""
    names = (model,) if model else managed_models(settings)
    if not names:
        raise ConfigurationError(
            settings.project / "deployments", "models", "a */model.yaml", "none"
        )
    return [manage(name, settings) for name in names]


def _print_json(found: Record | Sequence[Record]) -> None:
    whole = (
        found.model_dump(mode="json")
        if isinstance(found, Record)
        else [one.model_dump(mode="json") for one in found]
    )
    print(json.dumps(whole, indent=2, ensure_ascii=False))
