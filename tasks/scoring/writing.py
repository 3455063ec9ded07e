"""Tables written one after the other as CSV, JSON lines or Parquet, no more than one of them in
memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from data_contracts.servers import FORMAT_OF_ENDING
from tasks.errors import MisuseError
from tasks.lake import named_when_full

_in_iso = methodcaller("isoformat")
"""Of a date or a moment, which JSON has no kind for."""


class NoSuchFormError(MisuseError):
    """A file cannot be written: its name says no form, or there is no place for it."""


@contextmanager
def table_writer(
    target: Path | BinaryIO, kind: str = "csv"
) -> Iterator[Callable[[pa.Table], None]]:
    """Give a function that writes a table after those before it, all of one schema.

    A file is there when the block ends, whole, in the form that its name says, and not at all when
    the block fails; ``kind`` is that of a stream. Raises NoSuchFormError.
    """
    if not isinstance(target, Path):
        with _writing(target, kind) as write:
            yield write
        return
    form = FORMAT_OF_ENDING.get(target.suffix.lower())
    if form is None:
        raise NoSuchFormError(
            f"{target}: expected a name that ends in one of {list(FORMAT_OF_ENDING)}, found"
            f" {repr(target.suffix) if target.suffix else 'no ending'}"
        )
    if target.is_dir():
        raise NoSuchFormError(f"{target}: expected the name of a file, found a directory")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with named_when_full(target), temporary.open("wb") as stream:
            with _writing(stream, form) as write:
                yield write
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except FileNotFoundError as error:
        raise NoSuchFormError(
            f"{target}: expected its directory to be there, found none"
        ) from error
    except PermissionError as error:
        raise NoSuchFormError(
            f"{target}: expected a directory that this account may write to, found one that it may"
            " not"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(stream: BinaryIO, kind: str) -> Iterator[Callable[[pa.Table], None]]:
    writer: Any = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        if kind == "json":
            # Not by pandas, which rounds numbers and makes whole ones beside gaps fractions.
            for row in table.to_pylist():
                line = json.dumps(row, default=_in_iso, ensure_ascii=False)
                stream.write(f"{line}\n".encode())
            return
        if writer is None:
            make = csv.CSVWriter if kind == "csv" else pq.ParquetWriter
            writer = make(stream, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
