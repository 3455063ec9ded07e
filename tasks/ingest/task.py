"""The face of the ingest room."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.ingest.arrivals import SourceBatch, open_source
from tasks.model_spec import ManagedModel
from tasks.records import Snapshot


@task(name="ingest", retries=2, retry_delay_seconds=[2, 20], cache_policy=NO_CACHE)
def ingest(managed: ManagedModel, source: SourceBatch) -> Snapshot:
    """Read the batch and keep it as an immutable snapshot; the same content is the same snapshot."""
    from tasks.ingest.snapshot import write_snapshot

    opened = open_source(managed)
    name = opened.name.replace("{batch}", source.batch.id)
    return write_snapshot(
        managed.settings.lake, opened.read(source.batch), managed.contract, source.batch, name
    )
