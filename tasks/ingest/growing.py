"""Files that grow: no period in their path, so they are cut into batches by event time.

Which batches such a file holds can only be known by reading it. It is read once for each state that
it has: what was found, a digest of the rows for each batch, is kept in the lake
(``sources/<contract>/``) beside the file's fingerprint, and a look at an unchanged file reads that
index and no row. A batch's fingerprint is made of these digests, so rows that are appended for June
leave May as it is, and late rows for May make a new revision of May and of nothing else. The index
is a cache: without it the file is read again.

A row without a legible event time belongs to no batch. It is not dropped: the file is refused until
it is put right, and so is one that cannot be read. Nobody knows which batches it holds, so none is
taken in meanwhile; it is kept as it is in the lake (``refused/<contract>/growing/``), once for each
state. Files are read piece by piece, and no more than a piece is held in memory.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from data_contracts.contract import Contract
from tasks.addresses import Address
from tasks.batches import Batch, Every, batch_of, pattern_of
from tasks.ingest.source import SourceError, UnreadableError, digest_of
from tasks.ingest.stores import File, Store, find, keep, look_at, opened
from tasks.lake import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.ingest.rows import Piece, Rows

    Cuts = list[tuple[Batch, pa.Array]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class GrowingFiles:
    """A source of one file or many that hold any number of batches each."""

    contract: Contract
    every: Every
    store: Store
    pattern: Address
    lake: Path

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
                for id, digest in index.items():
                    found[id][file.path] = digest
        return {id: digest_of(digests) for id, digests in sorted(found.items())}

    def read(self, batch: Batch) -> Rows:
        """Return the rows of the batch from all files; reading them raises SourceError when one
        cannot be read or cut.
        """
        from tasks.ingest.rows import Rows

        return Rows(partial(self._pieces, batch), self.contract, self.name, self._refused)

    def _pieces(self, batch: Batch, as_text: frozenset[str]) -> Iterator[Piece]:
        """Give all pieces of the files that hold the batch: what columns a file has, all of its
        rows say.
        """
        import pyarrow as pa

        from tasks.ingest.rows import Piece

        found = False
        with self.pattern.hidden_in_errors():
            for file in self.files():
                if batch.id not in self._index(file):
                    continue
                for table, cuts in self._cut(file, as_text):
                    rows = [positions for cut, positions in cuts if cut.id == batch.id]
                    found = found or bool(rows)
                    yield Piece(file.path, table, rows[0] if rows else pa.array([], pa.int64()))
        if not found:
            raise SourceError(
                f"{self.name}: expected rows of batch {batch.id}, found none; have them delivered"
                " again"
            )

    def _refused(self, error: UnreadableError, paths: Sequence[str] = ()) -> UnreadableError:
        """Keep the files, or all of the source, and say where."""
        with self.pattern.hidden_in_errors():
            paths = paths or [file.path for file in self.files()]
            kept = keep(self.store, paths, self.lake / "refused" / self.contract.name / "growing")
        return UnreadableError(f"{self.pattern.hide(str(error))}; it is kept in {kept}")

    def _index(self, file: File) -> dict[str, str]:
        """Batch id -> digest of its rows in the file: from the lake, or from the file when it has
        changed.
        """
        server = self.contract.server
        how = [
            server.format,
            server.encoding,
            server.delimiter,
            self.contract.event_time,
            self.contract.timezone,
        ]
        state = digest_of({"file": file.fingerprint, "how": json.dumps([*how, self.every])})
        index = (
            self.lake / "sources" / self.contract.name / f"{digest_of({'path': file.path})}.json"
        )
        try:
            known = json.loads(index.read_text(encoding="utf-8"))
            if known["state"] == state:
                return dict(known["batches"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no index yet, or a damaged one: it is written anew
        from tasks.ingest.fingerprint import rows_fingerprint

        rows: dict[str, int] = defaultdict(int)
        sums: dict[str, int] = defaultdict(int)
        for table, cuts in self._cut(file):
            for batch, positions in cuts:
                rows[batch.id] += len(positions)
                sums[batch.id] += rows_fingerprint(table.take(positions))
        batches = {id: f"{rows[id]}-{sums[id] % 2**64:016x}" for id in sorted(rows)}
        write_whole(index, json.dumps({"state": state, "batches": batches}, indent=1).encode())
        return batches

    def _cut(
        self, file: File, as_text: frozenset[str] = frozenset()
    ) -> Iterator[tuple[pa.Table, Cuts]]:
        """Give the file piece by piece, as it was read, each with the batches in it and the
        positions of their rows.

        Raises UnreadableError, at the end of the file, when there are rows that belong to no batch.
        """
        from tasks.ingest.formats import read_pieces

        moments = _Moments(self.contract, self.every, file.path)
        with opened(self.store, file.path) as stream:
            if self.contract.server.format in ("csv", "json") and file.path.endswith(
                (".csv", ".json", ".jsonl")
            ):
                self._ends_whole(stream, file.path)
            for table in read_pieces(stream, file.path, self.contract, as_text):
                cuts = moments.cut(table)
                if moments.sound:
                    yield table, cuts
        moments.complain()

    def _ends_whole(self, stream: BinaryIO, path: str) -> None:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - 2))
        if size and not stream.read(2).endswith(
            (b"\n", b"\r", "\n".encode("utf-16-le"), "\n".encode("utf-16-be"))
        ):
            raise SourceError(
                f"{path}: expected a line end after the last row, found none: the row may be half"
                " written; it will be read again at the next run"
            )


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

        from tasks.ingest.conform import conform, has_offset

        name = self._contract.event_time
        if name not in table.column_names:
            raise UnreadableError(
                f"{self._path}: expected the column {name} once, to cut the file into batches,"
                f" found {table.column_names[:20]}"
            )
        values = table[name]
        times = conform(values, self._contract, name)
        if pa.types.is_string(values.type):
            offset = has_offset(values)
            self._offset = offset if self._offset is None else self._offset
            if offset is not None and offset != self._offset:
                self._foreign = self._foreign or self._why_foreign(values)
        if not pa.types.is_timestamp(times.type):
            self._foreign = self._foreign or self._why_foreign(values)
        self._rows += len(values)
        self._missing += values.null_count if self._foreign else times.null_count
        return times if self.sound else None

    def _why_foreign(self, values: pa.ChunkedArray) -> str:
        """What of the first piece with such values is no moment, with three examples where they may
        be shown.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        from tasks.ingest.conform import conform

        name = self._contract.event_time
        if pa.types.is_nested(values.type):
            return f"values of type {values.type}"
        distinct, counts = pc.value_counts(values.drop_null()).flatten()
        bad, examples = 0, list[str]()
        for i in range(len(distinct)):
            alone = conform(pa.chunked_array([distinct.slice(i, 1)]), self._contract, name)
            if not pa.types.is_timestamp(alone.type):
                bad += counts[i].as_py()
                examples.append(repr(alone[0].as_py())[:80])
        first, last = self._rows + 1, self._rows + len(values)
        if not bad:
            return f"it with an offset and without one by row {last}"
        shown = (
            "" if self._contract.column(name).sensitive else f", such as {', '.join(examples[:3])}"
        )
        return f"{bad} of the rows {first} to {last} with something else{shown}"

    def complain(self) -> None:
        """Raise UnreadableError when there was a row that belongs to no batch."""
        if self.sound:
            return
        found = self._foreign or f"{self._missing} rows without"
        raise UnreadableError(
            f"{self._path}: expected a moment in each row of {self._contract.event_time}, to cut"
            f" the file into batches, found {found}; have these rows put right or left out"
        )
