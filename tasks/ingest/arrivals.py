"""Which batches the source holds now: a cheap look, without pandas and without Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.batches import Batch
from tasks.ingest.source import available_batches, fingerprint, source_pattern
from tasks.model_spec import ManagedModel


@dataclass(frozen=True)
class SourceBatch:
    """A batch that the source holds now."""

    batch: Batch
    file: Path
    fingerprint: str


def closed_batches(managed: ManagedModel, as_of: datetime) -> tuple[SourceBatch, ...]:
    """Return the batches of the source that are closed at ``as_of``, oldest first."""
    settings = managed.settings
    pattern = source_pattern(managed.contract, settings.project, settings.home)
    files = available_batches(pattern, managed.spec.batch.every)
    found = [SourceBatch(managed.batch(id), file, fingerprint(file)) for id, file in files.items()]
    return tuple(item for item in found if managed.closed(item.batch, as_of))
