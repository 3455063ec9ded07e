"""Files that grow: no period in their path, so they are cut into batches by event time.

Which batches such a file holds can only be known by reading it. It is read once for each state that it has: what was found,
a digest of the rows for each batch, is kept in the lake (``sources/<contract>/``) beside the file's fingerprint, and a
look at an unchanged file reads that index and no row. A batch's fingerprint is made of these digests, so rows that are
appended for June leave May as it is, and late rows for May make a new revision of May and of nothing else. The index
is a cache: without it the file is read again.

A row without a legible event time belongs to no batch. It is not dropped: the file is refused until it is put right.
One file is held in memory at a time, and of the others the rows of the wanted batch.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks.batches import Batch, Every, batch_of, pattern_of
from tasks.ingest.source import Address, SourceError, digest_of
from tasks.ingest.stores import File, Store, find, look_at, read_whole
from tasks.lake import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

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
        """Return the files as they are now, in the order of their paths; SourceError when there is none."""
        paths = [path for path, _ in find(self.store, self.pattern.text, pattern_of(self.every))]
        if not paths:
            raise SourceError(f"{self.name}: no such file; the contract's server says that the data is there")
        return [look_at(self.store, path) for path in paths]

    def batches(self) -> dict[str, str]:
        """Return batch id -> fingerprint of its rows; files that changed since the last look are read."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        with self.pattern.hidden_in_errors():
            for file in self.files():
                for id, digest in self._index(file).items():
                    found[id][file.path] = digest
        return {id: digest_of(digests) for id, digests in sorted(found.items())}

    def read(self, batch: Batch) -> pa.Table:
        """Return the rows of the batch from all files; SourceError when a file cannot be read or cut."""
        from tasks.ingest.conform import conform_table, join

        tables = []
        with self.pattern.hidden_in_errors():
            for file in self.files():
                if batch.id in self._index(file):
                    tables += [rows for found, rows in self._cut(file) if found.id == batch.id]
        if not tables:
            raise SourceError(
                f"{self.name}: expected rows of batch {batch.id}, found none; have them delivered again"
            )
        return conform_table(join(tables, self.name), self.contract)

    def _index(self, file: File) -> dict[str, str]:
        """Batch id -> digest of its rows in the file: from the lake, or from the file when it has changed."""
        server = self.contract.server
        how = [
            server.format,
            server.encoding,
            server.delimiter,
            self.contract.event_time,
            self.contract.timezone,
        ]
        state = digest_of({"file": file.fingerprint, "how": json.dumps([*how, self.every])})
        index = self.lake / "sources" / self.contract.name / f"{digest_of({'path': file.path})}.json"
        try:
            known = json.loads(index.read_text(encoding="utf-8"))
            if known["state"] == state:
                return dict(known["batches"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no index yet, or a damaged one: it is written anew
        from tasks.ingest.snapshot import canonical, content_sha256

        batches = {
            batch.id: content_sha256(canonical(rows, self.contract))[:16] for batch, rows in self._cut(file)
        }
        write_whole(index, json.dumps({"state": state, "batches": batches}, indent=1).encode())
        return batches

    def _cut(self, file: File) -> Iterator[tuple[Batch, pa.Table]]:
        """Give the batches of the file, oldest first, each with its rows as they were read."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from tasks.ingest.formats import parse_file

        content = read_whole(self.store, file.path)
        if self.contract.server.format in ("csv", "json") and file.path.endswith((".csv", ".json", ".jsonl")):
            self._ends_whole(content, file.path)
        table = parse_file(content, file.path, self.contract)
        times = self._event_times(table, file.path)
        order = pc.sort_indices(times)
        moments = times.take(order).cast(pa.int64()).to_numpy()
        start = 0
        while start < len(moments):
            first = int(moments[start])
            try:
                batch = batch_of(_EPOCH + timedelta(microseconds=first), self.every, self.contract.timezone)
                last = int((batch.end - _EPOCH) / timedelta(microseconds=1))
            except (OverflowError, ValueError):
                raise SourceError(
                    f"{file.path}: expected event times between the years 1 and 9999 in column {self.contract.event_time}, "
                    "found another; have the file put right"
                ) from None
            end = int(np.searchsorted(moments, last))
            yield batch, table.take(order[start:end])
            start = end

    def _ends_whole(self, content: bytes, path: str) -> None:
        if content.strip() and not content.endswith(
            (b"\n", b"\r", "\n".encode("utf-16-le"), "\n".encode("utf-16-be"))
        ):
            raise SourceError(
                f"{path}: expected a line end after the last row, found none: the row may be half written; it will be "
                "read again at the next run"
            )

    def _event_times(self, table: pa.Table, path: str) -> pa.ChunkedArray:
        """When each row happened; SourceError when that is not to be read in one of them."""
        import pyarrow as pa

        from tasks.ingest.conform import conform

        name = self.contract.event_time
        if table.column_names.count(name) != 1:
            raise SourceError(
                f"{path}: expected the column {name} once, to cut the file into batches, found {table.column_names[:20]}"
            )
        times = conform(table[name], self.contract, name)
        if not pa.types.is_timestamp(times.type) or times.null_count:
            found = (
                f"{times.null_count} rows without"
                if times.null_count
                else f"{times.type}, not all of it legible"
            )
            raise SourceError(
                f"{path}: expected a moment in each row of {name}, to cut the file into batches, found {found}; have "
                "these rows put right or left out"
            )
        return times
