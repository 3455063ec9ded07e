"""Which batches the source holds now: a cheap look, without pandas and without Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.batches import Batch
from tasks.ingest.source import Source, SourceError, fill_in
from tasks.streams import Stream


@dataclass(frozen=True)
class SourceBatch:
    """A batch that the source holds now."""

    batch: Batch
    fingerprint: str
    """What stood there when the batch was seen; what is read later may be newer, and is then read
    again.
    """


def open_source(stream: Stream) -> Source:
    """Return the source that the contract's server describes.

    Raises SourceError when a variable of the environment is not set, or the path cannot be a
    source.
    """
    contract, settings = stream.contract, stream.settings
    if contract.server.table:
        from tasks.ingest.sql import open_table

        return open_table(contract, stream.every, settings.project, settings.home)
    if contract.server.api is not None:
        from tasks.ingest.api import open_api

        return open_api(contract, stream.every, settings.home)
    return _open_files(stream)


def _open_files(stream: Stream) -> Source:
    from tasks.ingest.by_batch import FilesByBatch
    from tasks.ingest.growing import GrowingFiles
    from tasks.ingest.stores import LocalStore, Store, open_store

    contract, settings, every = stream.contract, stream.settings, stream.every
    server, written = contract.server, contract.server.path
    key = "path" if server.type == "local" else "location"
    if written.count("{batch}") > 1 or "**" in written or not written:
        raise SourceError(
            f"{contract.file}: {server.where}.{key}: expected '{{batch}}' at most once, and '*'"
            f" within one name only, found {written!r}"
        )
    pattern = fill_in(written, contract, key, settings.home)
    store: Store = LocalStore()
    if key == "location":
        endpoint = fill_in(server.endpoint, contract, "endpointUrl", settings.home)
        options = {
            name: fill_in(value, contract, name, settings.home) for name, value in server.options
        }
        pattern = pattern.hiding((endpoint, *options.values()))
        with pattern.hidden_in_errors():
            store = open_store(
                pattern.text, endpoint.text, {name: value.text for name, value in options.items()}
            )
    else:
        pattern = pattern.below(settings.project)
    if "{batch}" in written:
        return FilesByBatch(contract, every, store, pattern, settings.lake)
    return GrowingFiles(contract, every, store, pattern, settings.lake)


def closed_batches(stream: Stream, as_of: datetime) -> tuple[SourceBatch, ...]:
    """Return the batches of the source that are closed at ``as_of``, oldest first."""
    found = [
        SourceBatch(stream.batch(id), seen) for id, seen in open_source(stream).batches().items()
    ]
    return tuple(item for item in found if stream.closed(item.batch, as_of))


def open_batches(
    stream: Stream, as_of: datetime, before: datetime | None = None
) -> tuple[SourceBatch, ...]:
    """Return the batches of the source that are not closed at ``as_of``, oldest first; those that
    have not begun are among them, unless they begin at ``before`` or after.
    """
    found = [
        SourceBatch(stream.batch(id), seen) for id, seen in open_source(stream).batches().items()
    ]
    return tuple(
        item
        for item in found
        if not stream.closed(item.batch, as_of) and (before is None or item.batch.start < before)
    )
