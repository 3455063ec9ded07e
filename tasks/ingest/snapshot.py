"""Snapshots: a batch as it was read, immutable, named by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.batches import Batch
from tasks.errors import KingmakerError
from tasks.ingest.rows import Rows
from tasks.ingest.sorting import BLOCK_ROWS, RUN_ROWS, SortedRows
from tasks.lake import file_sha256, new_directory, scratch_directory
from tasks.records import Part, Snapshot

VALUES_AT_ONCE = 100_000
"""Values of neighbouring columns that are read together: opening each of many costs more than it.
"""
GROUP_ROWS = 100_000
"""Rows of a part that can be read without the others."""


@dataclass(frozen=True)
class Sizes:
    """How many rows stand together in a snapshot, and in memory while it is written."""

    part: int = 500_000
    """Most rows in one part: memory is bounded by the part, not by the batch."""
    group: int = GROUP_ROWS
    run: int = RUN_ROWS
    """Most rows that are sorted at a time."""
    block: int = BLOCK_ROWS
    """Rows of a sorted run that are merged at a time."""


SIZES = Sizes()


class ManifestError(KingmakerError):
    """A snapshot's manifest is missing, cannot be read, or does not belong to its directory."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path}: expected the manifest of the snapshot in this directory, found {found};"
            " restore it from a backup, or remove the directory and ingest the batch again"
        )


def arranged(table: pa.Table, contract: Contract) -> pa.Table:
    """Return the same rows with the columns in the contract's order, extra ones after them by name.

    Minus zero becomes zero: they are equal, so they have no order.
    """
    columns = dict(zip(table.column_names, table.columns, strict=True))
    known = [name for name in contract.column_names if name in columns]
    order = known + sorted(set(columns) - set(known))
    return pa.table({name: _without_minus_zero(columns[name]) for name in order})


def _without_minus_zero(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_float32(values.type) or pa.types.is_float64(values.type):
        return pc.add(values, pa.scalar(0.0, values.type))
    return values


def canonical_order(table: pa.Table, contract: Contract) -> pa.Array:
    """Return the positions of the rows, sorted by event time, key and then every other column.

    This order does not depend on how the rows arrived: only rows that are the same in every column
    are equal in it.
    """
    first = [name for name in (contract.event_time, *contract.key) if name in table.column_names]
    names = dict.fromkeys([*first, *table.column_names])
    # By number: Arrow takes a name such as '.' or '[0]' for a path into a column.
    order = {f"{i}": _sortable(table[name]) for i, name in enumerate(names)}
    return pc.sort_indices(pa.table(order), sort_keys=[(number, "ascending") for number in order])


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """The column, or for a type that Arrow cannot sort, such as a list in an unknown column, its
    text.
    """
    try:
        pc.sort_indices(
            pa.table({"column": column.slice(0, 0)}), sort_keys=[("column", "ascending")]
        )
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array(
            [None if value is None else repr(value) for value in column.to_pylist()], pa.string()
        )
    return column


def content_sha256(
    schema: pa.Schema, rows: int, read: Callable[[str], Iterable[pa.ChunkedArray]]
) -> str:
    """Return a digest of names, types and values, independent of file formats, parts and library
    versions.

    ``read`` gives the values of a column, in as many pieces as it likes, and is asked more than
    once. Each column contributes its validity and its values, with a neutral value where one is
    missing.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([[field.name, str(field.type)] for field in schema]).encode())
    digest.update(str(rows).encode())
    for name, kind in zip(schema.names, schema.types, strict=True):
        for column in read(name):
            digest.update(column.is_valid().to_numpy().astype("u1").tobytes())
        if pa.types.is_null(kind):
            continue
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            empty = "" if pa.types.is_string(kind) else b""
            for column in read(name):
                lengths = pc.binary_length(column.fill_null(empty)).to_numpy()
                digest.update(lengths.astype("<i8").tobytes())
            for column in read(name):
                for chunk in column.fill_null(empty).chunks:
                    digest.update(_bytes_of(chunk))
        elif _has_bytes(kind):
            for column in read(name):
                digest.update(_numbers(column).tobytes())
        else:  # types that no contract has: only an unknown column can be such
            values = (
                json.dumps(repr(value)) for column in read(name) for value in column.to_pylist()
            )
            digest.update(f"[{', '.join(values)}]".encode())
    return digest.hexdigest()


def _has_bytes(kind: pa.DataType) -> bool:
    kinds = ("boolean", "timestamp", "date32", "integer", "float32", "float64")
    return any(getattr(pa.types, f"is_{name}")(kind) for name in kinds)


def _numbers(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """The values as numbers of fixed width, the lowest byte first; a missing one is zero."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column, width = column.fill_null(False), "u1"
    elif pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        whole = column.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
        column, width = whole.fill_null(0), "<i8"
    else:
        column, width = column.fill_null(0), ""
    numbers: np.ndarray[Any, Any] = column.to_numpy()
    return numbers.astype(width or numbers.dtype.newbyteorder("<"))


def _bytes_of(texts: pa.Array) -> memoryview:
    """The bytes of all texts one after the other, without gaps and without a copy."""
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, dtype="<i4")[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[ends[0] : ends[-1]]


def write_snapshot(
    lake: Path,
    rows: Rows | pa.Table,
    contract: Contract,
    batch: Batch,
    source: str,
    sizes: Sizes = SIZES,
) -> Snapshot:
    """Write the batch to the lake and return its record; what was written before is found, not
    written twice.

    ``rows`` come in any order, as a source reads them or as a table. No more than a part of them is
    in memory; what is sorted meanwhile, and the parts before they have their name, lie in a scratch
    directory of the lake. The directory ``snapshots/<contract>/<batch>/<digest>`` holds the parts
    and ``manifest.json``, the record itself, which is written last. Raises ManifestError when the
    directory is there but its manifest is not what was written, and DiskFullError when there is no
    room.
    """
    with scratch_directory(lake, "ingest") as scratch:
        schema, files = _write_parts(_sorted(rows, contract, scratch, sizes), scratch, sizes)
        number = sum(files.values())
        sha256 = content_sha256(schema, number, _Columns(list(files), schema, number).read)
        path = Path("snapshots") / contract.name / batch.id / sha256[:16]
        if not (lake / path).exists():
            with new_directory(lake / path) as directory:
                parts = [
                    Part(file=file.name, rows=n, sha256=file_sha256(file))
                    for file, n in files.items()
                ]
                for file in files:
                    file.rename(directory / file.name)
                written = Snapshot(
                    contract=contract.name,
                    contract_version=contract.version,
                    batch=batch,
                    sha256=sha256,
                    rows=number,
                    parts=tuple(parts),
                    path=path.as_posix(),
                    source=source,
                )
                (directory / "manifest.json").write_text(
                    written.model_dump_json(indent=2), encoding="utf-8"
                )
    return read_manifest(lake, path.as_posix())


def _sorted(
    rows: Rows | pa.Table, contract: Contract, scratch: Path, sizes: Sizes
) -> Iterator[pa.Table]:
    """All rows in their canonical order, table by table."""
    order = partial(canonical_order, contract=contract)
    readings = iter([iter([rows])]) if isinstance(rows, pa.Table) else rows.readings()
    for reading in readings:
        # What an earlier reading left is written over.
        found = SortedRows(order, scratch, run_rows=sizes.run, block_rows=sizes.block)
        for table in reading:
            found.add(arranged(table, contract))
    return found.tables()


def _write_parts(
    tables: Iterable[pa.Table], directory: Path, sizes: Sizes
) -> tuple[pa.Schema, dict[Path, int]]:
    """Write parts, the last one of what is left; their schema, and file -> number of rows."""
    files: dict[Path, int] = {}

    def write(part: pa.Table) -> None:
        file = directory / f"part-{len(files):05d}.parquet"
        pq.write_table(part, file, compression="zstd", row_group_size=sizes.group)
        files[file] = part.num_rows

    rest: pa.Table | None = None
    for table in tables:
        rest = table if rest is None else pa.concat_tables([rest, table])
        while rest.num_rows > sizes.part:
            write(rest.slice(0, sizes.part))
            rest = rest.slice(sizes.part)
    if rest is None:
        raise ValueError(
            "expected tables to write, found none: a batch without rows has one that is empty"
        )
    if rest.num_rows or not files:
        write(rest)
    return rest.schema, files


class _Columns:
    """The columns of some parts, in the types that they had before they were written."""

    def __init__(self, files: Sequence[Path], schema: pa.Schema, rows: int) -> None:
        self._files, self._schema = [pq.ParquetFile(file) for file in files], schema
        self._places = {name: place for place, name in enumerate(schema.names)}
        self._at_once = max(1, VALUES_AT_ONCE // max(1, rows))
        self._held, self._first = list[pa.Table](), -self._at_once

    def read(self, name: str) -> Iterator[pa.ChunkedArray]:
        """Give the values of a column, part by part."""
        if self._at_once == 1:
            for file in self._files:
                yield self._cast(file.read([name]), name)
            return
        place = self._places[name]
        if not self._first <= place < self._first + self._at_once:
            self._first = place
            names = self._schema.names[place : place + self._at_once]
            self._held = [file.read(names) for file in self._files]
        for table in self._held:
            yield self._cast(table, name)

    def _cast(self, table: pa.Table, name: str) -> pa.ChunkedArray:
        return table[name].cast(self._schema.field(name).type)


def read_manifest(lake: Path, path: str) -> Snapshot:
    """Return the record of the snapshot in the lake directory ``path``; ManifestError when it is
    damaged.
    """
    file = lake / path / "manifest.json"
    try:
        snapshot = Snapshot.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(file, "nothing") from error
    except ValueError as error:
        raise ManifestError(file, " ".join(str(error).split())[:200]) from error
    digest = Path(path).name
    if (
        not snapshot.sha256.startswith(digest)
        or sum(part.rows for part in snapshot.parts) != snapshot.rows
    ):
        raise ManifestError(
            file, f"the manifest of {snapshot.sha256[:16]} with {snapshot.rows} rows"
        )
    return snapshot
