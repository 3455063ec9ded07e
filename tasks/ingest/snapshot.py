"""Snapshots: a batch as it was read, immutable, named by its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks.batches import Batch
from tasks.lake import file_sha256, new_directory
from tasks.records import Part, Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 500_000
"""Most rows in one part: memory is bounded by the part, not by the batch."""


class ManifestError(RuntimeError):
    """A snapshot's manifest is missing, cannot be read, or does not belong to its directory."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path}: expected the manifest of the snapshot in this directory, found {found}; restore it "
            "from a backup, or remove the directory and ingest the batch again"
        )


def canonical(table: pa.Table, contract: Contract) -> pa.Table:
    """Return the same rows in the one order that does not depend on how they arrived.

    Columns stand in the contract's order, extra ones after them by name; rows are sorted by event time, key
    and then every other column. Minus zero becomes zero: they are equal, so they have no order.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    known = [name for name in contract.column_names if name in table.column_names]
    table = table.select(known + sorted(set(table.column_names) - set(known)))
    for i, field in enumerate(table.schema):
        if pa.types.is_float32(field.type) or pa.types.is_float64(field.type):
            table = table.set_column(i, field.name, pc.add(table[i], pa.scalar(0.0, field.type)))
    first = [name for name in (contract.event_time, *contract.key) if name in known]
    rest = [name for name in table.column_names if name not in first]
    order = {name: _sortable(table[name]) for name in dict.fromkeys(first + rest)}
    indices = pc.sort_indices(pa.table(order), sort_keys=[(name, "ascending") for name in order])
    return table.take(indices).combine_chunks()


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """The column, or for a type that Arrow cannot sort, such as a list in an unknown column, its text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.sort_indices(pa.table({"column": column.slice(0, 0)}), sort_keys=[("column", "ascending")])
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())
    return column


def content_sha256(table: pa.Table) -> str:
    """Return a digest of names, types and values, independent of file formats and library versions.

    Each column contributes its validity and its values, with a neutral value where one is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    digest.update(json.dumps([[field.name, str(field.type)] for field in table.schema]).encode())
    digest.update(str(table.num_rows).encode())
    for column in table.itercolumns():
        valid = column.is_valid().to_numpy().astype("u1")
        digest.update(valid.tobytes())
        kind = column.type
        if pa.types.is_null(kind):
            continue
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            filled = column.fill_null("" if pa.types.is_string(kind) else b"")
            digest.update(pc.binary_length(filled).to_numpy().astype("<i8").tobytes())
            for chunk in filled.chunks:
                digest.update(_bytes_of(chunk))
        elif pa.types.is_boolean(kind):
            digest.update(column.fill_null(False).to_numpy().astype("u1").tobytes())
        elif pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
            whole = column.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
            digest.update(whole.fill_null(0).to_numpy().astype("<i8").tobytes())
        elif pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind):
            numbers = column.fill_null(0).to_numpy()
            digest.update(numbers.astype(numbers.dtype.newbyteorder("<")).tobytes())
        else:  # types that no contract has: only an unknown column can be such
            digest.update(json.dumps([repr(value) for value in column.to_pylist()]).encode())
    return digest.hexdigest()


def _bytes_of(texts: pa.Array) -> memoryview:
    """The bytes of all texts one after the other, without gaps and without a copy."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if len(texts) == 0 or data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, dtype="<i4")[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[ends[0] : ends[-1]]


def write_snapshot(lake: Path, table: pa.Table, contract: Contract, batch: Batch, source: str) -> Snapshot:
    """Write the batch to the lake and return its record; what was written before is found, not written twice.

    ``table`` holds the rows in any order. The directory ``snapshots/<contract>/<batch>/<digest>`` holds the
    parts and ``manifest.json``, the record itself, which is written last. Raises ManifestError when the
    directory is there but its manifest is not what was written.
    """
    import pyarrow.parquet as pq

    table = canonical(table, contract)
    sha256 = content_sha256(table)
    path = Path("snapshots") / contract.name / batch.id / sha256[:16]
    if not (lake / path).exists():
        with new_directory(lake / path) as directory:
            parts = []
            for number, start in enumerate(range(0, max(table.num_rows, 1), PART_ROWS)):
                file = f"part-{number:05d}.parquet"
                part = table.slice(start, PART_ROWS)
                pq.write_table(part, directory / file, compression="zstd")
                parts.append(Part(file=file, rows=part.num_rows, sha256=file_sha256(directory / file)))
            written = Snapshot(
                contract=contract.name,
                contract_version=contract.version,
                batch=batch,
                sha256=sha256,
                rows=table.num_rows,
                parts=tuple(parts),
                path=path.as_posix(),
                source=source,
            )
            (directory / "manifest.json").write_text(written.model_dump_json(indent=2), encoding="utf-8")
    return read_manifest(lake, path.as_posix())


def read_manifest(lake: Path, path: str) -> Snapshot:
    """Return the record of the snapshot in the lake directory ``path``; ManifestError when it is damaged."""
    file = lake / path / "manifest.json"
    try:
        snapshot = Snapshot.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(file, "nothing") from error
    except ValueError as error:
        raise ManifestError(file, " ".join(str(error).split())[:200]) from error
    digest = Path(path).name
    if not snapshot.sha256.startswith(digest) or sum(part.rows for part in snapshot.parts) != snapshot.rows:
        raise ManifestError(file, f"the manifest of {snapshot.sha256[:16]} with {snapshot.rows} rows")
    return snapshot
