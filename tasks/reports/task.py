"""Prefect tasks that write pages, and show them as artifacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prefect import get_run_logger

from tasks.errors import KingmakerError, first_line
from tasks.history import ApprovalRequest, History
from tasks.lake import write_whole
from tasks.model_spec import ManagedModel
from tasks.not_made import page_or_why
from tasks.records import BatchRecord, Fence, ScoreCard, TrainedModel, WhatIf
from tasks.reports.approval_page import render_approval_page, render_approval_text
from tasks.reports.drift_page import render_drift_page
from tasks.reports.model_card import About, make_card, render_card_page, render_card_text
from tasks.reports.model_page import render_model_page
from tasks.reports.timeline import draw_timeline
from tasks.reports.validation_page import render_validation_page
from tasks.reports.whatif_page import render_whatif_page
from tasks.streams import Stream
from tasks.task import task

PICKLE_TRUSTED = (
    "This model's spec trusts pickles: anyone who can write to the registry and to the ledger can"
    " run code here."
)
DRIFT, VALIDATION, MODEL, EVIDENTLY = (
    "drift.html",
    "validation.html",
    "model.html",
    "evidently.html",
)
CARDS, CARD = "versions", "card.html"
WHATIF = "whatif.html"


@task("write batch pages")
def write_batch_pages(
    managed: ManagedModel,
    record: BatchRecord,
    history: History,
    known: Mapping[str, BatchRecord],
    waits: Mapping[str, str],
    choices: ScoreCard | None,
    fence: Fence,
) -> tuple[Path, ...]:
    """Write the pages of a batch and return them all, the drift page first.

    ``waits`` goes from the batches whose labels may not be used yet to the reason. With them stands
    the model's page as it was after this batch, for MLflow; nothing in its viewer can be followed.
    """
    spec, contract, batch = managed.spec, managed.contract, record.batch.id
    directory = managed.settings.reports / managed.name / batch
    evidently = directory / EVIDENTLY
    drawn: dict[str, Callable[[], str]] = {
        DRIFT: lambda: render_drift_page(
            managed.name,
            spec.metric,
            record,
            history,
            {column.name: column.unit for column in contract.columns},
            [r for id, r in known.items() if id < batch],
            EVIDENTLY if evidently.exists() else None,
            VALIDATION,
            waits.get(batch, ""),
        ),
        VALIDATION: lambda: render_validation_page(contract, record.snapshot, record.verdict),
        MODEL: lambda: render_model_page(
            managed.name,
            _description(managed),
            spec.metric,
            list(known.values()),
            history,
            lambda _: None,
            lambda _: None,
            waits,
            choices,
        ),
    }
    log = get_run_logger()
    made = {
        name: page_or_why(f"{name} of {managed.name} {batch}", draw, log)
        for name, draw in drawn.items()
    }
    with fence.hold():
        for name, page in made.items():
            write_whole(directory / name, page.encode())
    pages = (directory / DRIFT, directory / VALIDATION, directory / MODEL, evidently)
    return tuple(page for page in pages if page.exists())


@task("write stream page")
def write_stream_page(stream: Stream, record: BatchRecord) -> Path:
    """Write the page of a batch of labels, or of what is joined, which says what its contract
    found, and return it.
    """
    page = stream.settings.reports / stream.model / stream.name / record.batch.id / VALIDATION
    write_whole(
        page, render_validation_page(stream.contract, record.snapshot, record.verdict).encode()
    )
    return page


@task("write approval page")
def write_approval_page(managed: ManagedModel, entry: ApprovalRequest) -> tuple[Path, str]:
    """Write the page of a promotion that waits for a person; return it, and the same as
    Markdown.
    """
    deadline = entry.recorded_at + managed.spec.approval.within
    page = approval_page(managed, entry)
    write_whole(page, render_approval_page(entry, deadline).encode())
    return page, render_approval_text(entry, deadline)


def approval_page(managed: ManagedModel, entry: ApprovalRequest) -> Path:
    """Return where the page of a promotion that waits is, or will be."""
    return (
        managed.settings.reports
        / managed.name
        / entry.batch
        / f"approval-v{entry.decision.version}.html"
    )


@task("write model page")
def write_model_page(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    history: History,
    waits: Mapping[str, str],
    choices: ScoreCard | None,
    fence: Fence,
) -> tuple[Path, ...]:
    """Rebuild the model's page and the picture of its scores over time."""
    directory = managed.settings.reports / managed.name
    page = page_or_why(
        f"the page of {managed.name}",
        lambda: render_model_page(
            managed.name,
            _description(managed),
            managed.spec.metric,
            records,
            history,
            lambda id: f"{id}/{DRIFT}",
            lambda version: card_page(managed, version).relative_to(directory).as_posix(),
            waits,
            choices,
            WHATIF if (directory / WHATIF).exists() else None,
        ),
        get_run_logger(),
    )
    with fence.hold():
        write_whole(directory / "index.html", page.encode())
        try:
            draw_timeline(
                directory / "timeline.png", managed.name, managed.spec.metric, records, history
            )
        except (KingmakerError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - what a library that draws may raise
            get_run_logger().warning(
                "the picture of %s could not be made: %s", managed.name, first_line(error)
            )
    return directory / "index.html", directory / "timeline.png"


@task("write model card")
def write_card(
    managed: ManagedModel,
    trained: TrainedModel,
    before: TrainedModel | None,
    records: Sequence[BatchRecord],
    history: History,
    fence: Fence,
) -> tuple[Path, str]:
    """Write the card of a version, and return it, and the same as Markdown for MLflow.

    ``before`` is the champion that the version challenged, None for the first.
    """
    spec = managed.spec
    about = About(managed.name, _description(managed), spec.target, spec.metric, managed.contract)
    page = card_page(managed, trained.version)
    card = make_card(about, trained, before, records, history)
    html = page_or_why(
        f"the card of {managed.name} version {trained.version}",
        lambda: render_card_page(card),
        get_run_logger(),
    )
    with fence.hold():
        write_whole(page, html.encode())
    return page, render_card_text(card)


def write_whatif_page(managed: ManagedModel, found: WhatIf) -> Path:
    """Write the page of a replay under other policies, which the model's page leads to when it is
    written again, and return it.
    """
    page = managed.settings.reports / managed.name / WHATIF
    write_whole(page, render_whatif_page(found).encode())
    return page


def card_page(managed: ManagedModel, version: int) -> Path:
    """Return where the card of a version is, or will be."""
    return managed.settings.reports / managed.name / CARDS / f"v{version}" / CARD


def _description(managed: ManagedModel) -> str:
    """The spec's own words, and aloud what a reader must know of a model that may run anything when
    it is read.
    """
    if managed.spec.trust == "skops":
        return managed.spec.description
    return f"{managed.spec.description} {PICKLE_TRUSTED}".strip()
