"""Rows whose outcome is not known yet: read in the order in which they stand, without what comes
later.

They are not kept as a snapshot: what they were scored by is kept with their predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import Contract, Server, nearest
from data_contracts.servers import FORMAT_OF_ENDING
from tasks.batches import Batch
from tasks.ingest.arrivals import open_source
from tasks.ingest.formats import read_pieces
from tasks.ingest.rows import Piece, Rows
from tasks.ingest.source import UnreadableError
from tasks.lake import file_sha256
from tasks.records import Part, Snapshot
from tasks.streams import Stream

PART_ROWS = 100_000
"""Most rows that are scored at once."""
_EVER = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
_COMPRESSED = (".gz", ".bz2", ".zst")


@dataclass(frozen=True)
class OpenRows:
    """Rows that were read to be scored, in parts on the disk."""

    directory: Path
    snapshot: Snapshot | None
    """None when there are no rows."""


def rows_of_batch(stream: Stream, batch: Batch) -> Rows:
    """Return what there is of an open batch; SourceError when it cannot be reached."""
    return open_source(stream).read(batch)


def rows_of_file(file: Path, contract: Contract, name: str = "") -> Rows:
    """Return the rows of a CSV, JSON lines or Parquet file; its dialect is that of the contract's
    server, if that has such files.

    The end of its name says which of them it is; with a ``name`` for people, such as that of
    standard input, how it begins. Raises UnreadableError when the name says nothing, or the file
    cannot be opened.
    """
    try:
        kind = _kind_by_content(file) if name else _kind_by_name(file)
        file.stat()
    except OSError as error:
        raise UnreadableError(f"{file}: cannot be read: {error.strerror}") from None
    server, shown = contract.server, name or str(file)
    if server.format != kind:  # how the source writes its files says nothing of this one
        server = Server(name=server.name, type="local", path=shown, format=kind, where=server.where)
    own = replace(contract, servers=(server,))

    def read(_: frozenset[str]) -> Iterator[Piece]:
        with file.open("rb") as stream:
            for table in read_pieces(stream, shown, own):
                yield Piece(shown, table)

    return Rows(read, own, shown)


def _kind_by_content(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
    return "parquet" if start.startswith(b"PAR1") else "json" if start.startswith(b"{") else "csv"


def _kind_by_name(file: Path) -> str:
    plain = file.with_suffix("") if file.suffix in _COMPRESSED else file
    if plain.suffix.lower() not in FORMAT_OF_ENDING:
        raise UnreadableError(
            f"{file}: expected a name that ends in one of {list(FORMAT_OF_ENDING)}, with"
            f" {' or '.join(_COMPRESSED)} after it if it is compressed, found"
            f" {repr(plain.suffix) if plain.suffix else 'no ending'}"
            f"{nearest(plain.suffix, FORMAT_OF_ENDING)}"
        )
    return FORMAT_OF_ENDING[plain.suffix.lower()]


def write_open_rows(
    directory: Path,
    rows: Rows,
    contract: Contract,
    *,
    before: datetime | None = None,
    part_rows: int = PART_ROWS,
) -> OpenRows:
    """Write the rows to ``directory`` in parts, in their order, with the columns that ``contract``
    has and those that it does not know; later columns of ``rows`` are left out.

    ``contract`` is the one of open rows. ``before`` leaves out rows whose event time is not before
    it. Raises SourceError when they cannot be read.
    """
    later = set(rows.contract.column_names) - set(contract.column_names)
    parts: list[Part] = []
    for reading in rows.readings():
        for old in directory.glob("part-*.parquet"):
            old.unlink()
        tables = (_known_rows(table, later, contract.event_time, before) for table in reading)
        parts = [
            Part(file=file.name, rows=n, sha256=file_sha256(file))
            for file, n in _write_parts(tables, directory, part_rows)
        ]
    number = sum(part.rows for part in parts)
    if not number:
        return OpenRows(directory, None)
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    snapshot = Snapshot(
        contract=contract.name,
        contract_version=contract.version,
        batch=Batch(id="open", start=_EVER[0], end=_EVER[1]),
        sha256=digest,
        rows=number,
        parts=tuple(parts),
        path=".",
        source=rows.where,
    )
    return OpenRows(directory, snapshot)


def _known_rows(
    table: pa.Table, later: set[str], event_time: str, before: datetime | None
) -> pa.Table:
    table = table.select([name for name in table.column_names if name not in later])
    if before is None or event_time not in table.column_names:
        return table
    moments = table[event_time]
    if not pa.types.is_timestamp(moments.type):
        return table  # the contract will say so
    return table.filter(pc.less(moments, pa.scalar(before, moments.type)))


def _write_parts(
    tables: Iterator[pa.Table], directory: Path, part_rows: int
) -> Iterator[tuple[Path, int]]:
    rest: pa.Table | None = None
    number = 0

    def write(part: pa.Table) -> tuple[Path, int]:
        nonlocal number
        file = directory / f"part-{number:05d}.parquet"
        pq.write_table(part, file, compression="lz4", row_group_size=part_rows)
        number += 1
        return file, part.num_rows

    for table in tables:
        rest = table if rest is None else pa.concat_tables([rest, table])
        while rest.num_rows >= part_rows:
            yield write(rest.slice(0, part_rows))
            rest = rest.slice(part_rows)
    if rest is not None and rest.num_rows:
        yield write(rest)
