"""The newest prediction of each key, whatever version gave it, made out of core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import scratch_directory, write_whole
from tasks.records import ServedPart
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import PART, delivered_names, delivered_rows
from tasks.scoring.served import KEY, key_columns

MEMORY = "512MB"
"""What the engine may hold before it writes to its scratch directory."""


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
) -> None:
    """Write the newest row of each key of the delivered ``tables``, and of the file ``old``, to the
    Parquet file ``target``.

    The newest is that of the highest part. Columns that some tables lack are missing there.
    """
    key = [_quoted(name) for name in delivered_names(contract, contract.key).values()]
    with scratch_directory(lake, "newest") as scratch:
        for number, table in enumerate(tables):
            pq.write_table(table, scratch / f"{number:06d}.parquet", compression="lz4")
        files = [str(file) for file in sorted(scratch.glob("*.parquet"))]
        files += [] if old is None else [str(old)]
        with duckdb.connect(
            config={"temp_directory": str(scratch / "spill"), "memory_limit": MEMORY}
        ) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            # The paths are our own; the names are quoted.
            connection.execute(
                "COPY (SELECT * FROM read_parquet($files, union_by_name = true,"
                " hive_partitioning = false) QUALIFY row_number() OVER (PARTITION BY"
                f" {', '.join(key)} ORDER BY {_quoted(PART)} DESC) = 1 ORDER BY {', '.join(key)})"
                " TO $target (FORMAT parquet, COMPRESSION zstd)",
                {"files": files, "target": str(target)},
            )


def served_keys(lake: Path, parts: Sequence[ServedPart], contract: Contract) -> int:
    """Return how many keys were served in ``parts``, each counted once, out of core."""
    key = ", ".join(_quoted(f"{KEY}{name}") for name in key_columns(contract))
    files = [str(lake / part.path) for part in parts]
    with (
        scratch_directory(lake, "served") as scratch,
        duckdb.connect(
            config={"temp_directory": str(scratch), "memory_limit": MEMORY}
        ) as connection,
    ):
        # The paths are our own; the names are quoted.
        query = f"SELECT DISTINCT {key} FROM read_parquet($files, hive_partitioning = false)"
        found = connection.execute(f"SELECT count(*) FROM ({query})", {"files": files})
        ((number,),) = found.fetchall()
    return int(number)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
