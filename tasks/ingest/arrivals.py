"""Which batches the source holds now: a cheap look, without pandas and without Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.batches import Batch
from tasks.ingest.source import Source, SourceError, fill_in
from tasks.model_spec import ManagedModel


@dataclass(frozen=True)
class SourceBatch:
    """A batch that the source holds now."""

    batch: Batch
    fingerprint: str
    """What stood there when the batch was seen; what is read later may be newer, and is then read again."""


def open_source(managed: ManagedModel) -> Source:
    """Return the source that the contract's server describes.

    Raises SourceError when a variable of the environment is not set, or the path cannot be a source.
    """
    contract, settings = managed.contract, managed.settings
    if contract.server.table:
        from tasks.ingest.sql import open_table

        return open_table(contract, managed.spec.batch.every, settings.project, settings.home)
    return _open_files(managed)


def _open_files(managed: ManagedModel) -> Source:
    from tasks.ingest.by_batch import FilesByBatch
    from tasks.ingest.growing import GrowingFiles
    from tasks.ingest.stores import LocalStore, S3Store, Store

    contract, settings, every = managed.contract, managed.settings, managed.spec.batch.every
    key = "location" if contract.server.type == "s3" else "path"
    written = contract.server.path
    if written.count("{batch}") > 1 or "**" in written or not written:
        raise SourceError(
            f"{contract.file}: servers.0.{key}: expected '{{batch}}' at most once, and '*' within one name only, "
            f"found {written!r}"
        )
    pattern = fill_in(written, contract, f"servers.0.{key}", settings.home)
    store: Store = LocalStore()
    if contract.server.type == "s3":
        endpoint = fill_in(contract.server.endpoint, contract, "servers.0.endpointUrl", settings.home)
        store = S3Store(endpoint.text)
    else:
        pattern = pattern.below(settings.project)
    if "{batch}" in written:
        return FilesByBatch(contract, every, store, pattern)
    return GrowingFiles(contract, every, store, pattern, settings.lake)


def closed_batches(managed: ManagedModel, as_of: datetime) -> tuple[SourceBatch, ...]:
    """Return the batches of the source that are closed at ``as_of``, oldest first."""
    found = [SourceBatch(managed.batch(id), seen) for id, seen in open_source(managed).batches().items()]
    return tuple(item for item in found if managed.closed(item.batch, as_of))
