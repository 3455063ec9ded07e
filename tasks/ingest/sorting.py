"""Sorting more rows than memory should hold: sorted runs on the disk, merged block by block.

A block is a few thousand neighbouring rows of a sorted run. The blocks are read in the order of
their first rows, so whatever has not been read yet comes after the first row of the next block:
what comes before it is final.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

RUN_ROWS = 400_000
"""Most rows that are sorted at a time."""
RUN_BYTES = 256 * 2**20
"""Most bytes that are sorted at a time: rows may be wide."""
BLOCK_ROWS = 2048
"""Rows of a block: one block of each run may be in memory while they are merged."""


class SortedRows:
    """Takes tables of one schema in any order, and gives their rows in one: no more than a run is
    in memory.
    """

    def __init__(
        self,
        order: Callable[[pa.Table], pa.Array],
        scratch: Path,
        *,
        run_rows: int = RUN_ROWS,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        """``order`` returns the positions of a table's rows, sorted; ``scratch`` is a directory for
        the runs.
        """
        self._order, self._scratch = order, scratch
        self._run_rows, self._block_rows = run_rows, block_rows
        self._pending: list[pa.Table] = []
        self._first: list[pa.Table] = []
        self._blocks: list[tuple[Path, int]] = []
        self._runs = 0

    def add(self, table: pa.Table) -> None:
        """Take some rows; OSError when the disk is full."""
        self._pending.append(table)
        rows = sum(pending.num_rows for pending in self._pending)
        if rows >= self._run_rows or sum(pending.nbytes for pending in self._pending) >= RUN_BYTES:
            self._spill()

    def tables(self) -> Iterator[pa.Table]:
        """Give all rows, sorted, as tables of about a run's size; one at least, and that may be
        empty.
        """
        if not self._blocks:
            whole = pa.concat_tables(self._pending)
            yield whole.take(self._order(whole)).combine_chunks()
            return
        if self._pending:
            self._spill()
        yield from self._merged()

    def _spill(self) -> None:
        """Write what is pending as a sorted run, block by block."""
        table = pa.concat_tables(self._pending)
        self._pending = []
        table = table.take(self._order(table)).combine_chunks()
        file = self._scratch / f"run-{self._runs:05d}.arrow"
        self._runs += 1
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            pa.OSFile(str(file), "wb") as sink,
            pa.ipc.new_file(sink, table.schema, options=options) as out,
        ):
            starts = range(0, table.num_rows, self._block_rows)
            # Copies in one table: slices would keep the whole run in memory, and tables of one row
            # are mostly overhead.
            self._first.append(table.take(list(starts)).combine_chunks())
            for number, start in enumerate(starts):
                self._blocks.append((file, number))
                block = table.slice(start, self._block_rows)
                out.write_batch(block.combine_chunks().to_batches()[0])

    def _merged(self) -> Iterator[pa.Table]:
        first = pa.concat_tables(self._first).combine_chunks()
        order = self._order(first).to_pylist()
        files = {
            file: pa.ipc.open_file(pa.OSFile(str(file)))
            for file in {file for file, _ in self._blocks}
        }
        held, rows = [], 0
        for at, block in enumerate(order):
            file, number = self._blocks[block]
            held.append(pa.Table.from_batches([files[file].get_batch(number)]))
            rows += held[-1].num_rows
            last = at + 1 == len(order)
            if rows < self._run_rows and not last:
                continue
            # The next block's first row is put behind the others, so that what equals it is final
            # too.
            table = pa.concat_tables(
                [*held, first.slice(0, 0) if last else first.slice(order[at + 1], 1)]
            )
            found = self._order(table)
            final = len(found) if last else found.index(table.num_rows - 1).as_py()
            yield table.take(found.slice(0, final))
            held = [] if last else [table.take(found.slice(final + 1)).combine_chunks()]
            rows = sum(rest.num_rows for rest in held)
