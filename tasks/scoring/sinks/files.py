"""Files at any address that fsspec can open, Parquet or CSV, each written whole.

With ``{part}`` in the path there is a file each time that rows were scored; without it there is one
file a batch, with the newest prediction of each of its keys, which is written anew.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from tasks.addresses import s3_file_system, without_account
from tasks.records import ServedPart
from tasks.scoring.current import write_newest
from tasks.scoring.delivered import delivered_rows
from tasks.scoring.sinks.sink import Place, below_project

HIDDEN = "."
"""Before a name that is not whole yet: sources and people do not look at such files."""


class FileSink:
    """Files of served predictions."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pattern = below_project(place.address.text, place.managed.settings.project)

    @property
    def by_part(self) -> bool:
        """Whether each part has a file of its own."""
        return "{part}" in self.pattern

    def deliver(self, part: ServedPart, rows: pa.Table, batch: tuple[ServedPart, ...]) -> None:
        """Write the part's own file, or the batch's whole file anew."""
        path = self.pattern.replace("{model}", part.model).replace("{batch}", part.batch)
        path = path.replace("{part}", f"{part.number:06d}")
        with self._named_errors(path), tempfile.TemporaryDirectory() as temporary:
            whole = Path(temporary) / "whole.parquet"
            if self.by_part:
                pq.write_table(rows, whole, compression="zstd")
            else:
                lake = self.place.managed.settings.lake
                tables = (
                    delivered_rows(lake, one, self.place.contract, self.place.scoring)
                    for one in batch
                )
                write_newest(whole, tables, self.place.contract, lake)
            self._put(as_written(whole, path), path)

    def _put(self, local: Path, path: str) -> None:
        """Have the file there whole: an object store shows an object when all of it has come;
        elsewhere it gets its name when it is whole.
        """
        files, at = self._files
        target = files._strip_protocol(path) if at is None else at(path)  # noqa: SLF001 - fsspec has no other
        if self._in_one_stroke:
            # Not put_file: it would leave objects that stand for directories.
            with local.open("rb") as whole, files.open(target, "wb") as there:
                shutil.copyfileobj(whole, there, 2**20)
            return
        directory, _, name = target.rpartition("/")
        files.makedirs(directory or "/", exist_ok=True)
        unfinished = f"{directory}/{HIDDEN}{name}.unfinished"
        files.put_file(str(local), unfinished)
        files.mv(unfinished, target)

    @property
    def _in_one_stroke(self) -> bool:
        return self.pattern.partition("://")[0] in ("s3", "gs", "gcs", "abfs", "az", "memory")

    @cached_property
    def _files(self) -> tuple[Any, Any]:
        """fsspec's file system for the path, and how it names an object; None: as fsspec does."""
        import fsspec
        from fsspec.implementations.arrow import ArrowFSWrapper

        scheme = self.pattern.partition("://")[0] if "://" in self.pattern else "file"
        options = {name: value.text for name, value in self.place.options.items()}
        if scheme == "s3":  # by Arrow: the package that fsspec would need is the user's to install
            wrapped = ArrowFSWrapper(s3_file_system(self.place.endpoint.text, options))
            return wrapped, lambda path: path.removeprefix("s3://")
        return fsspec.filesystem(scheme, skip_instance_cache=True, **options), None

    @contextmanager
    def _named_errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - each file system has errors of its own
            # Without the cause: a service may quote the account that it was given.
            raise self.place.error(
                f"{path}: cannot be written: {type(error).__name__}:"
                f" {without_account(error)[:300]}; it is delivered at the next run"
            ) from None


def as_written(parquet: Path, path: str) -> Path:
    """Return the file in the form that the end of ``path`` names, no more than a piece of it in
    memory.
    """
    if not path.endswith(".csv"):
        return parquet
    written = parquet.with_suffix(".csv")
    file = pq.ParquetFile(parquet)
    with csv.CSVWriter(written, file.schema_arrow) as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch)
    return written
