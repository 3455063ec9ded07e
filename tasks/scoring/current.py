"""The newest prediction of each key, whatever version gave it, made out of core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import scratch_directory, write_whole
from tasks.records import ServedPart
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import PART, delivered_names, delivered_rows
from tasks.scoring.served import KEY, key_columns

MEMORY = "512MB"
"""What the engine may hold before it writes to its scratch directory."""
THREADS = 2
"""Each thread needs memory of its own."""
ROWS = 100_000
"""Rows that are in memory at a time beside the engine's."""


def current_file(lake: Path, model: str) -> Path:
    """Return where the newest prediction of every key of the model lies."""
    return lake / "current" / f"{model}.parquet"


def update_current(
    lake: Path,
    parts: Sequence[ServedPart],
    newer: Sequence[ServedPart],
    contract: Contract,
    config: ScoringConfig,
) -> None:
    """Bring the current view up to date by the ``newer`` parts; from all ``parts`` when there is
    none yet.
    """
    target = current_file(lake, parts[0].model)
    old = target if target.is_file() else None
    chosen = parts if old is None else newer
    tables = (delivered_rows(lake, part, contract, config) for part in chosen)
    with scratch_directory(lake, "current") as scratch:
        written = scratch / "current.parquet"
        write_newest(written, tables, contract, lake, old)
        with written.open("rb") as file:
            write_whole(target, iter(lambda: file.read(2**20), b""))


def write_newest(
    target: Path,
    tables: Iterable[pa.Table],
    contract: Contract,
    lake: Path,
    old: Path | None = None,
    at_once: int = ROWS,
) -> None:
    """Write the newest row of each key of the delivered ``tables``, and of the file ``old``, to the
    Parquet file ``target``.

    The newest is that of the highest part. Columns that some tables lack are missing there.
    """
    key = list(delivered_names(contract, contract.key).values())
    order = ", ".join(map(_quoted, key))
    with scratch_directory(lake, "newest") as scratch:
        for number, table in enumerate(tables):
            pq.write_table(table, scratch / f"{number:06d}.parquet", compression="lz4")
        files = [str(file) for file in sorted(scratch.glob("*.parquet"))]
        files += [] if old is None else [str(old)]
        with _engine(scratch / "spill") as connection:
            # The paths are our own; the names are quoted.
            found = connection.execute(
                "SELECT * FROM read_parquet($files, union_by_name = true, hive_partitioning ="
                f" false) ORDER BY {order}, {_quoted(PART)} DESC",
                {"files": files},
            ).to_arrow_reader(at_once)
            with pq.ParquetWriter(target, found.schema, compression="zstd") as writer:
                for rows in _first_of_each(found, key):
                    writer.write_table(rows)


def _first_of_each(pieces: Iterable[pa.RecordBatch], key: Sequence[str]) -> Iterator[pa.Table]:
    """Give the first row of each key of ``pieces``, in which rows of one key are neighbours.

    Not by a window in SQL: it holds more of the rows at a time than the engine may.
    """
    last: pa.RecordBatch | None = None
    for piece in pieces:
        rows = pa.Table.from_batches([piece] if last is None else [last, piece])
        again = np.ones(max(rows.num_rows - 1, 0), dtype=bool)
        for name in key:
            again &= pc.equal(rows[name][1:], rows[name][:-1]).to_numpy()
        yield rows.filter(pa.array(np.append(last is None, ~again)[: rows.num_rows]))
        last = piece.slice(piece.num_rows - 1) if piece.num_rows else last


@contextmanager
def _engine(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give an engine that writes what does not fit in ``MEMORY`` to ``scratch``."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(scratch),
        "memory_limit": MEMORY,
        "threads": THREADS,
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def served_keys(lake: Path, parts: Sequence[ServedPart], contract: Contract) -> int:
    """Return how many keys were served in ``parts``, each counted once, out of core."""
    key = ", ".join(_quoted(f"{KEY}{name}") for name in key_columns(contract))
    files = [str(lake / part.path) for part in parts]
    with scratch_directory(lake, "served") as scratch, _engine(scratch) as connection:
        # The paths are our own; the names are quoted.
        query = f"SELECT DISTINCT {key} FROM read_parquet($files, hive_partitioning = false)"
        found = connection.execute(f"SELECT count(*) FROM ({query})", {"files": files})
        ((number,),) = found.fetchall()
    return int(number)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
