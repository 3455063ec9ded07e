"""Files that are named by their period: ``{batch}`` stands in their path, once.

One file a period, ``sales/{batch}.csv.gz``, or many, ``sales/{batch}/*.parquet``: all files whose
path names the period are the batch, in whatever order they arrived. A file that changes, comes or
goes changes the batch's fingerprint. Files that cannot be read are kept as they are in the lake,
under ``refused/``: the next delivery may take their place at the source.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks.addresses import Address
from tasks.batches import Batch, BatchNameError, Every, batch_named, pattern_of
from tasks.ingest.contents import Contents
from tasks.ingest.source import SourceError, UnreadableError, digest_of
from tasks.ingest.stores import Store, below, find, keep, opened

if TYPE_CHECKING:
    from tasks.ingest.rows import Piece, Rows


@dataclass(frozen=True)
class FilesByBatch:
    """A source with one file or many for each batch."""

    contract: Contract
    every: Every
    store: Store
    pattern: Address
    lake: Path

    @property
    def name(self) -> str:
        """The pattern, without what was filled in from the environment."""
        return self.pattern.hide(self.pattern.text)

    def files(self) -> dict[str, list[str]]:
        """Return batch id -> paths of its files, in the order of ids and paths.

        Raises SourceError when the directory is missing, and for a file or directory whose name has
        the form of a batch that no calendar has, such as 2013-13.
        """
        found = defaultdict(list)
        for path, id in find(self.store, self.pattern.text, pattern_of(self.every)):
            try:
                batch_named(id, self.every, "UTC")
            except BatchNameError as error:
                raise SourceError(
                    f"{path}: {error} in its name; rename it, or move it away"
                ) from None
            found[id].append(path)
        return dict(sorted(found.items()))

    def batches(self) -> dict[str, str]:
        """Return batch id -> fingerprint of its files."""
        contents = Contents(
            self.store, self.pattern.text, self.lake / "sources" / self.contract.name
        )
        found = {}
        with self.pattern.hidden_in_errors():
            for id, paths in self.files().items():
                prints = {
                    below(self.pattern.text, path): contents.fingerprint(path) for path in paths
                }
                found[id] = next(iter(prints.values())) if len(prints) == 1 else digest_of(prints)
            contents.keep()
        return found

    def read(self, batch: Batch) -> Rows:
        """Return the rows of all files of the batch; reading them raises SourceError when they are
        not there, or changed.

        It raises UnreadableError when one cannot be read, or has other columns; by then all of them
        are kept in the lake.
        """
        from tasks.ingest.rows import Rows

        where = self.name.replace("{batch}", batch.id)
        return Rows(
            partial(self._pieces, batch, where), self.contract, where, partial(self._refused, batch)
        )

    def _pieces(self, batch: Batch, where: str, _: frozenset[str]) -> Iterator[Piece]:
        from tasks.ingest.formats import read_pieces
        from tasks.ingest.rows import Piece

        with self.pattern.hidden_in_errors():
            paths = self.files().get(batch.id, [])
            if not paths:
                raise SourceError(
                    f"{where}: expected the files of batch {batch.id}, found none; have them"
                    " delivered again"
                )
            for path in paths:
                with opened(self.store, path) as stream:
                    for table in read_pieces(stream, path, self.contract):
                        yield Piece(path, table)
            if self.files().get(batch.id) != paths:
                raise SourceError(
                    f"{where}: files came or went while the batch was read; it will be read again"
                    " at the next run"
                )

    def _refused(self, batch: Batch, error: UnreadableError) -> UnreadableError:
        """Keep the files of the batch, and say where."""
        with self.pattern.hidden_in_errors():
            paths = self.files().get(batch.id, [])
            kept = keep(self.store, paths, self.lake / "refused" / self.contract.name / batch.id)
        return UnreadableError(f"{self.pattern.hide(str(error))}; it is kept in {kept}")
