"""The lake: a directory of files that are written whole, checksummed, and never changed after.

Everything goes to a temporary name first, is flushed to the disk, and is renamed into place, so
that a reader sees a thing whole or not at all. Nothing else here writes a file that another
part reads.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from data_contracts.contract import Column
from tasks.errors import KingmakerError
from tasks.records import Snapshot, Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

POSITION = "_row"
"""Column of a quarantine file, the last but one: the row's position in its snapshot."""
REASONS = "_reasons"
"""Column of a quarantine file, the last: the ids of the rules that the row breaks, joined by ``;``.
"""
MOST_ROWS = 1_000_000
"""Rows of a batch that are in memory at a time: of more, so many are drawn where rows are looked at
all at once, and what takes every row takes them part by part.
"""
_ABANDONED = 24 * 3600
"""Seconds after which a scratch directory belongs to no run any more."""
_EXACT = 2**53
"""Largest whole number up to which float64 holds every one."""


class DamagedFileError(KingmakerError):
    """A file in the lake is not what its manifest says it is."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path}: expected sha256 {expected[:12]}, found {found[:12]}: the file was damaged or"
            " changed; restore it from a backup, or remove its directory and ingest the batch"
            " again"
        )


class DiskFullError(KingmakerError):
    """There is no room for what was to be written; nothing of it is left."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: expected room to write, found the disk, or what this account may use of it,"
            " full; nothing was kept of what was being written; make room, and it is written at"
            " the next run"
        )


@contextmanager
def named_when_full(path: Path) -> Iterator[None]:
    """Turn the system's error about a full disk, a full quota or a file grown too large into
    DiskFullError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(path) from error
        raise


def file_sha256(path: Path) -> str:
    """Return the hex digest of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write ``content`` to ``path`` so that a reader finds the old file or the new one, never a
    part; DiskFullError when there is no room.

    Given in pieces, no more than one of them is in memory.
    """
    with _whole_file(path) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to that becomes ``path`` when the block ends, and vanishes when it
    fails.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with named_when_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory that becomes ``path`` when the block ends, and vanishes when it
    fails.

    When ``path`` exists by then, it stays as it is: names in the lake carry a digest of the
    content. Raises DiskFullError.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with named_when_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            yield temporary
            for file in temporary.iterdir():
                _flush(file)
            _flush(temporary)
            try:
                temporary.replace(path)
            except OSError:
                if not path.is_dir():  # another process was first when it is one
                    raise
            _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def scratch_directory(lake: Path, purpose: str) -> Iterator[Path]:
    """Give a directory of one's own in the lake for what does not fit in memory; it is gone when
    the block ends.

    What a process that was killed left there more than a day ago is removed as well. Raises
    DiskFullError.
    """
    with named_when_full(lake):
        lake.mkdir(parents=True, exist_ok=True)
        for old in lake.glob(".scratch-*"):
            with suppress(FileNotFoundError):  # its owner, or another, was first
                if time.time() - old.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(old, ignore_errors=True)
        scratch = lake / f".scratch-{purpose}-{uuid.uuid4().hex}"
        try:
            scratch.mkdir()
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have the file's content, or the directory's names, on the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_table(path: Path, table: pa.Table) -> str:
    """Write ``table`` as Parquet to ``path``, whole, and return the file's sha256."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def write_tables(path: Path, tables: Iterable[pa.Table]) -> str:
    """Write tables of one schema, one at least, as one Parquet file to ``path``, whole, and return
    its sha256; no more than one of them is in memory.
    """
    import pyarrow.parquet as pq

    pieces = iter(tables)
    first = next(pieces)
    with _whole_file(path) as file:
        with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
            for table in itertools.chain([first], pieces):
                writer.write_table(table)
        file.flush()
        return file_sha256(Path(file.name))


def read_snapshot(lake: Path, snapshot: Snapshot, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the snapshot's rows, in its order, with those of ``columns`` that it has: its contract
    may have grown since.

    Raises DamagedFileError when a part is not what was written.
    """
    import pyarrow as pa

    return pa.concat_tables(_parts(lake, snapshot, columns))


def _parts(lake: Path, snapshot: Snapshot, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Give the rows of each part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in snapshot.parts:
        path = lake / snapshot.path / part.file
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise DamagedFileError(path, part.sha256, "nothing") from error
        found = hashlib.sha256(content).hexdigest()
        if found != part.sha256:
            raise DamagedFileError(path, part.sha256, found)
        # From the very bytes that were checked: the file might change before it is read a second
        # time.
        table = pq.ParquetFile(pa.BufferReader(content)).read()
        present = (
            table.column_names
            if columns is None
            else [n for n in columns if n in table.column_names]
        )
        yield table.select(present)


@contextmanager
def checked_parts(lake: Path, snapshot: Snapshot) -> Iterator[tuple[Path, ...]]:
    """Give the files of the snapshot's parts to what reads them by itself, such as an SQL engine.

    They are checked before, two at a time, and must be the same files after: DamagedFileError when
    they are not.
    """
    paths = tuple(lake / snapshot.path / part.file for part in snapshot.parts)
    before = [_signature(path) for path in paths]
    with ThreadPoolExecutor(2) as pool:
        digests = pool.map(lambda path: file_sha256(path) if path.exists() else "nothing", paths)
        for part, path, found in zip(snapshot.parts, paths, digests, strict=True):
            if found != part.sha256:
                raise DamagedFileError(path, part.sha256, found)
    try:
        yield paths
    finally:
        for part, path, signature in zip(snapshot.parts, paths, before, strict=True):
            if _signature(path) != signature:
                raise DamagedFileError(path, part.sha256, "another file")


def _signature(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to or replaced; empty when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_rows(parts: Sequence[Path], positions: Sequence[int]) -> pa.Table:
    """Return the rows of Parquet files at ascending ``positions``, counted over all files, part by
    part.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = np.asarray(positions, dtype="i8")
    tables = [pq.read_schema(parts[0]).empty_table()]
    start = 0
    for part in parts:
        file = pq.ParquetFile(part)
        end = start + file.metadata.num_rows
        own = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, end)] - start
        if len(own):
            tables.append(file.read().take(pa.array(own)))
        start = end
    return pa.concat_tables(tables)


def read_span(part: Path, first: int, rows: int, columns: Sequence[str]) -> pa.Table:
    """Return ``rows`` neighbouring rows of a Parquet file from position ``first`` on; only their
    row groups are read.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(part)
    groups: list[int] = []
    start = before = 0
    for number in range(file.num_row_groups):
        end = start + file.metadata.row_group(number).num_rows
        if start < first + rows and end > first:
            before = before if groups else start
            groups.append(number)
        start = end
    wanted = file.read_row_groups(groups, list(columns)).select(list(columns))
    return wanted.slice(first - before, rows)


def read_accepted(
    lake: Path, snapshot: Snapshot, verdict: Verdict, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the snapshot's rows without those in quarantine; raises as ``accepted_parts`` does."""
    import pyarrow as pa

    return pa.concat_tables(accepted_parts(lake, snapshot, verdict, columns))


def accepted_parts(
    lake: Path, snapshot: Snapshot, verdict: Verdict, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Give the snapshot's rows without those in quarantine, part by part.

    Raises ValueError when the batch was refused, and DamagedFileError when a part, or the list of
    the rows in quarantine, is not what was written.
    """
    import numpy as np
    import pyarrow as pa

    if verdict.refused:
        raise ValueError(
            f"batch {snapshot.batch.id} was refused ({verdict.reason}): nothing may read it"
        )
    aside = read_reasons(lake, verdict.quarantine) if verdict.quarantine else {}
    positions, start = np.sort(np.fromiter(aside, dtype="i8", count=len(aside))), 0
    for table in _parts(lake, snapshot, columns):
        first, last = np.searchsorted(positions, [start, start + table.num_rows])
        if first < last:
            keep = np.ones(table.num_rows, dtype=bool)
            keep[positions[first:last] - start] = False
            yield table.filter(pa.array(keep))
        else:
            yield table
        start += table.num_rows


def sample_accepted(
    lake: Path,
    snapshot: Snapshot,
    verdict: Verdict,
    columns: Sequence[str] | None,
    rows: int,
    seed: int,
) -> pa.Table:
    """Return what ``read_accepted`` does; of more than ``rows`` rows one of each of as many equal
    stretches of their order in time, drawn with ``seed``.
    """
    import numpy as np
    import pyarrow as pa

    total = verdict.accepted_rows
    if total <= rows:
        return read_accepted(lake, snapshot, verdict, columns)
    chosen, start, tables = evenly(total, rows, seed), 0, []
    for table in accepted_parts(lake, snapshot, verdict, columns):
        first, last = np.searchsorted(chosen, [start, start + table.num_rows])
        tables.append(table.take(pa.array(chosen[first:last] - start)))
        start += table.num_rows
    return pa.concat_tables(tables)


def evenly(total: int, rows: int, seed: int) -> np.ndarray:
    """Return one place of each of ``rows`` equal stretches of ``total`` places, (rows,) int64
    ascending, drawn with ``seed``.
    """
    import numpy as np

    edges = np.arange(rows + 1) * total // rows
    within = np.random.default_rng(seed).random(rows) * np.diff(edges)
    places: np.ndarray = edges[:-1] + within.astype("int64")
    return places


def quarantine_path(snapshot: Snapshot, reasons: Mapping[int, str]) -> str:
    """Return the lake path of the snapshot's quarantine; its name is a digest of positions and
    reasons.
    """
    name = f"{snapshot.sha256[:16]}-{_reasons_sha256(reasons)[:16]}.parquet"
    return (Path("quarantine") / snapshot.contract / snapshot.batch.id / name).as_posix()


def read_reasons(lake: Path, path: str) -> dict[int, str]:
    """Return row position -> reasons of a quarantine; DamagedFileError when it is not what was
    written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    expected = Path(path).stem.rpartition("-")[2]
    try:
        table = pq.ParquetFile(lake / path).read()
        positions, found = table.columns[-2:]
        reasons = dict(zip(positions.to_pylist(), found.to_pylist(), strict=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFileError(lake / path, expected, "nothing") from error
    digest = _reasons_sha256(reasons)
    if not digest.startswith(expected):
        raise DamagedFileError(lake / path, expected, digest)
    return reasons


def _reasons_sha256(reasons: Mapping[int, str]) -> str:
    return hashlib.sha256(json.dumps(list(reasons.items())).encode()).hexdigest()


def own_columns(theirs: Iterable[str], ours: Sequence[str]) -> tuple[str, ...]:
    """Return names for columns of ours beside ``theirs``: with ``kingmaker_`` before each when one
    of them is taken, in whatever case.
    """
    taken = {name.casefold() for name in theirs}
    prefix = ""
    while any((prefix + name).casefold() in taken for name in ours):
        prefix += "kingmaker_"
    return tuple(prefix + name for name in ours)


def arrow_type(column: Column) -> pa.DataType:
    """Return the type in which a column of the contract is stored."""
    import pyarrow as pa

    return {
        "string": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }[column.logical_type]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return ``table`` with NumPy columns: float64 for numbers with gaps, datetime64[us, UTC], str,
    bool.

    Whole numbers with gaps that float64 would round come as Int64: two ids must not become one.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    frame: pd.DataFrame = table.to_pandas()
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_int64(column.type) and column.null_count:
            bounds = pc.min_max(column).as_py()
            if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > _EXACT:
                frame[name] = pd.Series(column.to_pylist(), dtype="Int64")
    return frame
