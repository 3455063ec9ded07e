"""Served predictions, delivered: the current view in the lake, then each sink, part by part."""

from __future__ import annotations

from tasks.ingest.task import read_block
from tasks.ledger.served import LAKE, any_undelivered, mark_delivered, served_parts, undelivered
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.scoring.config import SinkConfig
from tasks.scoring.current import update_current
from tasks.scoring.delivered import delivered_rows
from tasks.scoring.sinks.sink import SinkError, open_sink


def deliver(managed: ManagedModel, engine: Engine) -> tuple[SinkError, ...]:
    """Deliver to each sink what it has not been given, and return the errors of those that are
    away: one delays no other, and is given what it missed, in order, at a later run.
    """
    scoring = managed.spec.scoring
    if scoring is None:
        return ()
    _update_current(managed, engine)
    away = []
    for sink in scoring.sinks:
        try:
            if any_undelivered(engine, managed.name, sink.name):
                _deliver(managed, engine, sink)
        except SinkError as error:
            away.append(error)
    return tuple(away)


def _deliver(managed: ManagedModel, engine: Engine, config: SinkConfig) -> None:
    assert managed.spec.scoring is not None  # noqa: S101 - it names this sink
    sink = open_sink(config, managed, read_block)
    pending = undelivered(engine, managed.name, config.name)
    for part in pending:
        written = [part] if sink.by_part else [one for one in pending if one.batch == part.batch]
        if part != written[-1]:
            continue  # the newest of its batch is written with all of them
        rows = delivered_rows(managed.settings.lake, part, managed.contract, managed.spec.scoring)
        batch = served_parts(engine, managed.name, part.batch)
        sink.deliver(part, rows, batch)
        # Another run may have added a part and delivered it meanwhile: ours must not stand over it.
        while (now := served_parts(engine, managed.name, part.batch)) != batch:
            batch = now
            sink.deliver(part, rows, batch)
        for one in written:
            mark_delivered(engine, config.name, one)


def _update_current(managed: ManagedModel, engine: Engine) -> None:
    assert managed.spec.scoring is not None  # noqa: S101 - looked at by the caller
    lake, name = managed.settings.lake, managed.name
    while pending := undelivered(engine, name, LAKE):
        parts = served_parts(engine, name)
        update_current(lake, parts, pending, managed.contract, managed.spec.scoring)
        # As for a sink: what another run has added meanwhile must be in what stands at the end.
        while (now := served_parts(engine, name)) != parts:
            newer = tuple(part for part in now if part not in parts)
            update_current(lake, now, newer, managed.contract, managed.spec.scoring)
            parts = now
        for part in pending:
            mark_delivered(engine, LAKE, part)
