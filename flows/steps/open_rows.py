"""Rows that are in no batch yet: read, checked, and looked back on by features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from data_contracts.open_rows import open_contract
from tasks.errors import RefusedError
from tasks.features.history import later_columns, reach
from tasks.features.join import join_reach
from tasks.ingest.arrivals import closed_batches, open_batches
from tasks.ingest.open_rows import rows_of_batch, write_open_rows
from tasks.ingest.rows import Rows
from tasks.lake import read_reasons, scratch_directory
from tasks.ledger.entries import revisions
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import Past, Verdict
from tasks.streams import Stream
from tasks.validation.task import validate_open
from tasks.validation.verdict import warned_of


class RowsRefusedError(RefusedError):
    """Rows that are to be scored lack what the contract says of all of them."""


@dataclass(frozen=True)
class CheckedRows:
    """Rows to be scored, with what the contract says of them."""

    directory: Path
    parts: tuple[Path, ...]
    verdict: Verdict | None
    """None when there are no rows."""
    broken: dict[int, str]
    """Position of a row, from 0 in the order in which it was read -> the rules that it breaks."""

    @property
    def warned(self) -> str:
        """Which of the contract's warnings rows break; empty for none."""
        return "" if self.verdict is None else warned_of(self.verdict.rules)

    @property
    def quarantine(self) -> Path | None:
        """The rows that break a rule, with their positions and reasons; None when none does."""
        if self.verdict is None or self.verdict.quarantine is None:
            return None
        return self.directory / self.verdict.quarantine

    def sound(self) -> Iterator[pa.Table]:
        """Give the rows that break no rule, part by part, in their order."""
        start = 0
        for part in self.parts:
            table = pq.ParquetFile(part).read()
            keep = np.ones(table.num_rows, dtype=bool)
            keep[[p - start for p in self.broken if start <= p < start + table.num_rows]] = False
            start += table.num_rows
            table = table if keep.all() else table.filter(pa.array(keep))
            if table.num_rows:
                yield table


@contextmanager
def checked_rows(
    managed: ManagedModel, rows: Rows, before: datetime | None = None
) -> Iterator[CheckedRows]:
    """Give the rows, read and checked, in a directory that is gone when the block ends.

    Raises RowsRefusedError when a column is missing or of another type than the contract says, and
    SourceError when the rows cannot be read.
    """
    contract = open_contract(managed.contract, managed.spec.target)
    with _checked(managed.settings.lake, rows, contract, before) as checked:
        yield checked


@contextmanager
def past_of_rows(
    managed: ManagedModel, engine: Engine, as_of: datetime, rows: CheckedRows
) -> Iterator[Past]:
    """Give what features of ``rows`` look back on; see ``past_of_open_rows``."""
    column = managed.contract.event_time
    times = [pc.min_max(table[column]).as_py() for table in rows.sound()]
    first = min((one["min"] for one in times), default=as_of)
    last = max((one["max"] for one in times), default=as_of)
    with past_of_open_rows(managed, engine, as_of, first, last) as past:
        yield past


@contextmanager
def past_of_open_rows(
    managed: ManagedModel,
    engine: Engine,
    as_of: datetime,
    first: datetime,
    last: datetime,
    before: datetime | None = None,
) -> Iterator[Past]:
    """Give what features of rows from ``first`` to ``last`` look back on, or are joined from: the
    batches that were taken in, and of those that were not, what their source holds now.

    ``before`` leaves out rows of the latter from this event time on. Nothing is read where the spec
    has no such feature. Raises as ``checked_rows`` does.
    """
    past = Past(as_of)
    with ExitStack() as stack:
        for closed, still_open, contract, furthest in _read_beside(managed):
            since = None if furthest is None else first - furthest
            there = revisions(engine, managed.name, closed.name)
            ids = {id for id, _ in there}
            waiting = [(closed, one.batch) for one in closed_batches(closed, as_of)]
            waiting += [(still_open, one.batch) for one in open_batches(still_open, as_of, before)]
            found = list[Path]()
            for stream, batch in waiting:
                if batch.id in ids or batch.start > last or (since and batch.end <= since):
                    continue
                read = rows_of_batch(stream, batch)
                checked = stack.enter_context(
                    _checked(managed.settings.lake, read, contract, before)
                )
                for number, table in enumerate(checked.sound()):
                    found.append(checked.directory / f"sound-{number}.parquet")
                    pq.write_table(table, found[-1], compression="lz4")
            taken = tuple(there.values())
            if closed.name == "rows":
                past = replace(past, rows=taken, open_rows=tuple(found))
            elif closed.name == "labels":
                past = replace(past, labels=taken, open_labels=tuple(found))
            else:
                name = contract.name
                past = replace(
                    past,
                    joined={**past.joined, name: taken},
                    open_joined={**past.open_joined, name: tuple(found)},
                )
        yield past


def _read_beside(
    managed: ManagedModel,
) -> Iterator[tuple[Stream, Stream, Contract, timedelta | None]]:
    """Give what features are made of beside a row: the stream of closed batches and that of open
    ones, the contract of the latter, and how far back is looked.
    """
    if managed.spec.features.history:
        furthest = reach(managed)
        rows = open_contract(managed.contract, managed.spec.target, later_columns(managed))
        yield managed.rows, managed.open_rows, rows, furthest
        if managed.labels is not None:
            told = managed.labels.contract
            known = replace(told, columns=tuple(replace(c, available=True) for c in told.columns))
            yield managed.labels, managed.labels, open_contract(known, ""), furthest
    for name, stream in managed.joined.items():
        ends = [one.valid_until for one in managed.spec.features.join if one.contract == name]
        contract = open_contract(stream.contract, "", list(filter(None, ends)))
        yield stream, stream, contract, join_reach(managed, name)


@contextmanager
def _checked(
    lake: Path, rows: Rows, contract: Contract, before: datetime | None
) -> Iterator[CheckedRows]:
    with scratch_directory(lake, "score") as directory:
        opened = write_open_rows(directory, rows, contract, before=before)
        if opened.snapshot is None:
            yield CheckedRows(directory, (), None, {})
            return
        verdict = validate_open(contract, directory, opened.snapshot)
        if verdict.refused:
            raise RowsRefusedError(f"{rows.where}: {verdict.reason}; nothing was scored")
        broken = read_reasons(directory, verdict.quarantine) if verdict.quarantine else {}
        parts = tuple(directory / part.file for part in opened.snapshot.parts)
        yield CheckedRows(directory, parts, verdict, broken)
