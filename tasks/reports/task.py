"""The face of the reports room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.lake import write_whole
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, LedgerEntry

DRIFT, VALIDATION, MODEL, EVIDENTLY = "drift.html", "validation.html", "model.html", "evidently.html"


@task(name="write batch pages", cache_policy=NO_CACHE)
def write_batch_pages(
    managed: ManagedModel,
    record: BatchRecord,
    entries: Sequence[LedgerEntry],
    known: Mapping[str, BatchRecord],
    waits: Mapping[str, str],
) -> tuple[Path, ...]:
    """Write the pages of a batch and return them all, the drift page first.

    ``waits`` goes from the batches whose labels may not be used yet to the reason.
    With them stands the model's page as it was after this batch, for MLflow; nothing in its viewer can be followed.
    """
    from tasks.reports.drift_page import render_drift_page
    from tasks.reports.model_page import render_model_page
    from tasks.reports.validation_page import render_validation_page

    spec, contract, batch = managed.spec, managed.contract, record.batch.id
    directory = managed.settings.reports / managed.name / batch
    evidently = directory / EVIDENTLY
    drift = render_drift_page(
        managed.name,
        spec.metric,
        record,
        entries,
        {column.name: column.unit for column in contract.columns},
        [r for id, r in known.items() if id < batch],
        EVIDENTLY if evidently.exists() else None,
        VALIDATION,
        waits.get(batch, ""),
    )
    write_whole(directory / DRIFT, drift.encode())
    write_whole(
        directory / VALIDATION, render_validation_page(contract, record.snapshot, record.verdict).encode()
    )
    model = render_model_page(
        managed.name, spec.description, spec.metric, list(known.values()), entries, lambda _: None, waits
    )
    write_whole(directory / MODEL, model.encode())
    pages = (directory / DRIFT, directory / VALIDATION, directory / MODEL, evidently)
    return tuple(page for page in pages if page.exists())


@task(name="write label page", cache_policy=NO_CACHE)
def write_label_page(stream: ManagedModel, record: BatchRecord) -> Path:
    """Write the page of a batch of labels, which says what its contract found, and return it."""
    from tasks.reports.validation_page import render_validation_page

    page = stream.settings.reports / stream.name / record.batch.id / VALIDATION
    write_whole(page, render_validation_page(stream.contract, record.snapshot, record.verdict).encode())
    return page


@task(name="write model page", cache_policy=NO_CACHE)
def write_model_page(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    entries: Sequence[LedgerEntry],
    waits: Mapping[str, str],
) -> tuple[Path, ...]:
    """Rebuild the model's page and the picture of its scores over time."""
    from tasks.reports.model_page import render_model_page
    from tasks.reports.timeline import draw_timeline

    directory = managed.settings.reports / managed.name
    page = render_model_page(
        managed.name,
        managed.spec.description,
        managed.spec.metric,
        records,
        entries,
        lambda id: f"{id}/{DRIFT}",
        waits,
    )
    write_whole(directory / "index.html", page.encode())
    draw_timeline(directory / "timeline.png", managed.name, managed.spec.metric, records, entries)
    return directory / "index.html", directory / "timeline.png"
