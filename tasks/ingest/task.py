"""Prefect tasks of the ingest room: read a batch from its source into a snapshot."""

from __future__ import annotations

from typing import Any

from tasks.ingest.arrivals import SourceBatch, open_source
from tasks.ingest.snapshot import write_snapshot
from tasks.ingest.source import UnreadableError
from tasks.records import Snapshot
from tasks.streams import Stream
from tasks.task import task


def read_block(reference: str) -> str:
    """Return the value of a Prefect block, named as in a deployment: ``{{
    prefect.blocks.secret.NAME }}``.

    Raises LookupError, which names the reference alone, when there is no such block or value.
    """
    from prefect.exceptions import ObjectNotFound
    from prefect.utilities.asyncutils import run_coro_as_sync
    from prefect.utilities.templating import resolve_block_document_references

    try:
        value = run_coro_as_sync(resolve_block_document_references(reference))
    except (ObjectNotFound, ValueError):
        value = None
    if not isinstance(value, str | int) or not str(value):
        raise LookupError(
            f"expected {reference} to be one value in a Prefect block, found none; 'prefect block"
            " ls' lists the blocks"
        )
    return str(value)


def _may_pass(_: Any, run: Any, state: Any) -> bool:  # noqa: ANN401, ARG001 - as Prefect calls it
    """Whether another try may end otherwise: what was delivered broken stays so."""
    return not isinstance(state.result(raise_on_failure=False), UnreadableError)


@task("ingest", retries=2, retry_delay_seconds=[2, 20], retry_condition_fn=_may_pass)
def ingest(stream: Stream, source: SourceBatch) -> Snapshot:
    """Read the batch and keep it as an immutable snapshot; the same content is the same
    snapshot.
    """
    opened = open_source(stream)
    name = opened.name.replace("{batch}", source.batch.id)
    return write_snapshot(
        stream.settings.lake, opened.read(source.batch), stream.contract, source.batch, name
    )
