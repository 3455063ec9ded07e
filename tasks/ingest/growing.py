"""Files that grow: no period in their path, so they are cut into batches by event time.

Which batches such a file holds can only be known by reading it. It is read once for each state that
it has. What was found is kept in the lake (``sources/<contract>/``): an index with the file's
fingerprint and a digest of the rows for each batch, and beside it the rows as they were read, batch
by batch, so that reading a batch costs what the batch holds. A look at an unchanged file reads the
index and no row. A batch's fingerprint is made of these digests, so rows that are appended for June
leave May as it is, and late rows for May make a new revision of May and of nothing else. Both are a
cache: without them the file is read again.

A row without a legible event time belongs to no batch. It is not dropped: the file is refused until
it is put right, and so is one that cannot be read. Which batches it holds is not known, so none is
taken in meanwhile; it is kept as it is in the lake (``refused/<contract>/growing/``), once for each
state. Files are read piece by piece, and a few pieces at most are held in memory.
"""

from __future__ import annotations

import io
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from data_contracts.contract import Contract
from tasks.addresses import Address
from tasks.batches import Batch, Every, batch_of, pattern_of
from tasks.errors import KingmakerError
from tasks.ingest.source import PIECE_BYTES, SourceError, UnreadableError, digest_of
from tasks.ingest.stores import File, Store, below, find, keep, look_at, opened
from tasks.lake import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.ingest.rows import Piece, Rows

    Cuts = list[tuple[Batch, pa.Array]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HELD_BYTES = 64 * 2**20
"""About how much of a file is held in memory before it is written, batch by batch."""
Chunk = tuple[int, int, int]
"""Offset, length and CRC-32 of rows in the file of rows."""


@dataclass(frozen=True)
class _Index:
    """What was found in one state of a file."""

    batches: dict[str, str]
    """Batch id -> digest of its rows."""
    rows: Path
    """The rows as they were read, as Arrow streams one after another."""
    chunks: dict[str, list[Chunk]]
    """Batch id -> where its rows are; those of the empty id are none, with all columns."""


class _DamagedRowsError(KingmakerError):
    """The rows that were kept are not those that were written."""


@dataclass(frozen=True)
class GrowingFiles:
    """A source of one file or many that hold any number of batches each."""

    contract: Contract
    every: Every
    store: Store
    pattern: Address
    lake: Path
    piece_bytes: int = PIECE_BYTES

    @property
    def name(self) -> str:
        """The pattern, without what was filled in from the environment."""
        return self.pattern.hide(self.pattern.text)

    def files(self) -> list[File]:
        """Return the files as they are now, in the order of their paths; SourceError when there is
        none.
        """
        paths = [path for path, _ in find(self.store, self.pattern.text, pattern_of(self.every))]
        if not paths:
            raise SourceError(
                f"{self.name}: no such file; the contract's server says that the data is there"
            )
        return [look_at(self.store, path) for path in paths]

    def batches(self) -> dict[str, str]:
        """Return batch id -> fingerprint of its rows; files that changed since the last look are
        read.

        Raises UnreadableError when one of them cannot be read or cut; by then it is kept in the
        lake.
        """
        found: dict[str, dict[str, str]] = defaultdict(dict)
        with self.pattern.hidden_in_errors():
            for file in self.files():
                try:
                    index = self._index(file)
                except UnreadableError as error:
                    raise self._refused(error, [file.path]) from error
                for id, digest in index.batches.items():
                    found[id][below(self.pattern.text, file.path)] = digest
        return {id: digest_of(digests) for id, digests in sorted(found.items())}

    def read(self, batch: Batch) -> Rows:
        """Return the rows of the batch from all files; reading them raises SourceError when one
        cannot be read or cut.
        """
        from tasks.ingest.rows import Rows

        return Rows(partial(self._pieces, batch), self.contract, self.name, self._refused)

    def _pieces(self, batch: Batch, _: frozenset[str]) -> Iterator[Piece]:
        """Give the rows of the batch, and before those of each file none with its columns."""
        from tasks.ingest.rows import Piece

        found = False
        with self.pattern.hidden_in_errors():
            for file in self.files():
                if batch.id not in self._index(file).batches:
                    continue
                found = True
                for table in self._kept(file, batch):
                    yield Piece(file.path, table)
        if not found:
            raise SourceError(
                f"{self.name}: expected rows of batch {batch.id}, found none; have them delivered"
                " again"
            )

    def _kept(self, file: File, batch: Batch) -> Iterator[pa.Table]:
        """The rows of the batch as they were kept in the lake."""
        index = self._index(file)
        try:
            with index.rows.open("rb") as stream:
                for chunk in (*index.chunks[""], *index.chunks[batch.id]):
                    yield _read_chunk(stream, chunk)
        except (OSError, _DamagedRowsError) as error:
            index.rows.unlink(missing_ok=True)
            raise SourceError(
                f"{file.path}: expected its rows in {index.rows}, found them damaged; the file will"
                " be read again at the next run"
            ) from error

    def _refused(self, error: UnreadableError, paths: Sequence[str] = ()) -> UnreadableError:
        """Keep the files, or all of the source, and say where."""
        with self.pattern.hidden_in_errors():
            paths = paths or [file.path for file in self.files()]
            kept = keep(self.store, paths, self.lake / "refused" / self.contract.name / "growing")
        return UnreadableError(f"{self.pattern.hide(str(error))}; it is kept in {kept}")

    def _index(self, file: File) -> _Index:
        """What the file holds: from the lake, or from the file when it has changed."""
        dialect = replace(self.contract.server, name="", path="", where="", options=())
        how = [repr(dialect), repr(self.contract.column(self.contract.event_time)), self.every]
        state = digest_of(
            {"file": file.fingerprint, "how": repr(how), "zone": self.contract.timezone}
        )
        directory, name = self.lake / "sources" / self.contract.name, digest_of({"path": file.path})
        found, rows = directory / f"{name}.json", directory / f"{name}-{state}.rows"
        try:
            known = json.loads(found.read_text(encoding="utf-8"))
            if known["state"] == state and rows.exists():
                return _Index(dict(known["batches"]), rows, dict(known["chunks"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no index yet, or a damaged one: it is written anew
        index = self._read(file, rows)
        content = {"state": state, "batches": index.batches, "chunks": index.chunks}
        write_whole(found, json.dumps(content).encode())
        for old in directory.glob(f"{name}-*.rows"):
            if old != rows:
                old.unlink(missing_ok=True)
        return index

    def _read(self, file: File, rows: Path) -> _Index:
        """Read the file once: count its rows by batch, and keep them in ``rows``."""
        from tasks.ingest.fingerprint import rows_fingerprint

        counts: dict[str, int] = defaultdict(int)
        sums: dict[str, int] = defaultdict(int)
        kept = _KeptRows()

        def written() -> Iterator[bytes]:
            for table, cuts in self._cut(file):
                for batch, positions in cuts:
                    some = table.take(positions)
                    counts[batch.id] += some.num_rows
                    sums[batch.id] += rows_fingerprint(some)
                    kept.add(batch.id, some)
                yield from kept.flushed(HELD_BYTES)
                kept.knows(table.schema)
            yield from kept.flushed(0)

        write_whole(rows, written())
        batches = {id: f"{counts[id]}-{sums[id] % 2**64:016x}" for id in sorted(counts)}
        return _Index(batches, rows, kept.chunks)

    def _cut(self, file: File) -> Iterator[tuple[pa.Table, Cuts]]:
        """Give the file piece by piece, as it was read, each with the batches in it and the
        positions of their rows.

        Raises UnreadableError, at the end of the file, when there are rows that belong to no batch;
        SourceError instead when the last line has no end: it may be half written.
        """
        from tasks.ingest.formats import read_pieces

        moments = _Moments(self.contract, self.every, file.path)
        with opened(self.store, file.path) as stream:
            ended = self._last_line_ends(stream, file.path)
            try:
                pieces = read_pieces(stream, file.path, self.contract, piece_bytes=self.piece_bytes)
                for table in pieces:
                    cuts = moments.cut(table)
                    if moments.sound:
                        yield table, cuts
                moments.complain()
            except UnreadableError as error:
                if ended:
                    raise
                raise SourceError(
                    f"{error}; its last line has no end and may be half written: it will be read"
                    " again at the next run"
                ) from error

    def _last_line_ends(self, stream: BinaryIO, path: str) -> bool:
        """Whether a file of lines ends with the end of one; True for any other file."""
        if self.contract.server.format == "parquet" or path.endswith((".gz", ".bz2", ".zst")):
            return True
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - 4))
        ends = (b"\n", b"\r", "\n".encode("utf-16-le"), "\n".encode("utf-32-le"))
        return not size or stream.read(4).endswith(ends)


class _KeptRows:
    """Rows on their way to the lake, held until there are enough of them, then written by batch."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[Chunk]] = defaultdict(list)
        self._held: dict[str, list[pa.Table]] = defaultdict(list)
        self._columns: dict[str, pa.DataType] = {}
        self._bytes = self._written = 0

    def knows(self, schema: pa.Schema) -> None:
        """Remember the columns of a piece."""
        for name, kind in zip(schema.names, schema.types, strict=True):
            self._columns.setdefault(name, kind)

    def add(self, id: str, rows: pa.Table) -> None:
        """Take rows of a batch."""
        self._held[id].append(rows)
        self._bytes += rows.nbytes

    def flushed(self, most: int) -> Iterator[bytes]:
        """Give what is to be written when more than ``most`` bytes are held; with 0 it is the last,
        and the columns come behind it.
        """
        import pyarrow as pa

        if self._bytes > most:
            for id, tables in self._held.items():
                yield self._chunk(id, pa.concat_tables(tables, promote_options="default"))
            self._held.clear()
            self._bytes = 0
        if not most:
            yield self._chunk("", pa.schema(list(self._columns.items())).empty_table())

    def _chunk(self, id: str, rows: pa.Table) -> bytes:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, rows.schema, options=options) as out:
            out.write_table(rows.combine_chunks())
        content: bytes = sink.getvalue().to_pybytes()
        self.chunks[id].append((self._written, len(content), zlib.crc32(content)))
        self._written += len(content)
        return content


def _read_chunk(stream: BinaryIO, chunk: Chunk) -> pa.Table:
    import pyarrow as pa

    offset, length, checksum = chunk
    stream.seek(offset)
    content = stream.read(length)
    if zlib.crc32(content) != checksum:
        raise _DamagedRowsError
    return pa.ipc.open_stream(content).read_all()


class _Moments:
    """Cuts the pieces of one file by event time, and remembers what cannot be cut."""

    def __init__(self, contract: Contract, every: Every, path: str) -> None:
        self._contract, self._every, self._path = contract, every, path
        self._rows = self._missing = 0
        self._foreign = ""
        self._offset: bool | None = None

    @property
    def sound(self) -> bool:
        """Whether every row so far belongs to a batch."""
        return not self._missing and not self._foreign

    def cut(self, table: pa.Table) -> Cuts:
        """Return the batches in ``table``, oldest first, each with the positions of its rows."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        times = self._times(table)
        if times is None:
            return []
        order = pc.sort_indices(times)
        moments = times.take(order).cast(pa.int64()).to_numpy()
        cuts: Cuts = []
        start = 0
        while start < len(moments):
            try:
                first = _EPOCH + timedelta(microseconds=int(moments[start]))
                batch = batch_of(first, self._every, self._contract.timezone)
                last = int((batch.end - _EPOCH) / timedelta(microseconds=1))
            except (OverflowError, ValueError):
                raise UnreadableError(
                    f"{self._path}: expected event times between the years 1 and 9999 in column "
                    f"{self._contract.event_time}, found another; have the file put right"
                ) from None
            end = int(np.searchsorted(moments, last))
            cuts.append((batch, order[start:end]))
            start = end
        return cuts

    def _times(self, table: pa.Table) -> pa.ChunkedArray | None:
        """When each row happened; None when that is not to be read in one of them."""
        import pyarrow as pa

        from tasks.conform import conform, has_offset

        name = self._contract.event_time
        if name not in table.column_names:
            raise UnreadableError(
                f"{self._path}: expected the column {name} once, to cut the file into batches,"
                f" found {table.column_names[:20]}{self._other_delimiter(table.column_names)}"
            )
        values = table[name]
        times = conform(values, self._contract, name)
        if pa.types.is_string(values.type):
            offset = has_offset(values, self._contract)
            self._offset = offset if self._offset is None else self._offset
            if offset is not None and offset != self._offset:
                self._foreign = self._foreign or self._why_foreign(values)
        if not pa.types.is_timestamp(times.type):
            self._foreign = self._foreign or self._why_foreign(values)
        self._rows += len(values)
        self._missing += values.null_count if self._foreign else times.null_count
        return times if self.sound else None

    def _other_delimiter(self, names: list[str]) -> str:
        from tasks.ingest.formats import how_to_say

        if self._contract.server.format != "csv" or len(names) > 1:
            return ""
        say = how_to_say("delimiter", self._contract)
        return f"; if that is several columns, {say} what stands between two cells"

    def _why_foreign(self, values: pa.ChunkedArray) -> str:
        """What of the first piece with such values is no moment, with three examples where they may
        be shown.
        """
        import pyarrow as pa

        from tasks.conform import misfits

        name = self._contract.event_time
        if pa.types.is_nested(values.type):
            return f"values of type {values.type}"
        found = misfits(values, self._contract, name)
        first, last = self._rows + 1, self._rows + len(values)
        if not found.rows:
            return f"it with an offset and without one by row {last}"
        examples = ", ".join(repr(text)[:80] for text in found.examples)
        shown = "" if self._contract.column(name).sensitive else f", such as {examples}"
        advice = f" ({found.advice})" if found.advice else ""
        return f"{found.rows} of the rows {first} to {last} with something else{shown}{advice}"

    def complain(self) -> None:
        """Raise UnreadableError when there was a row that belongs to no batch."""
        if self.sound:
            return
        found = self._foreign or f"{self._missing} rows without"
        raise UnreadableError(
            f"{self._path}: expected a moment in each row of {self._contract.event_time}, to cut"
            f" the file into batches, found {found}; have these rows put right or left out"
        )
