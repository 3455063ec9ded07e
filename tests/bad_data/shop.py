"""A shop that delivers a bad day and then a good one, through the real way in: source, snapshot,
verdict, lake.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.batches import batch_named
from tasks.ingest.arrivals import open_source
from tasks.ingest.snapshot import read_manifest, write_snapshot
from tasks.ingest.source import SourceError, UnreadableError
from tasks.lake import DiskFullError, read_accepted, read_snapshot
from tasks.model_spec import ManagedModel
from tasks.records import Snapshot, Verdict
from tasks.validation.config import ValidationConfig
from tasks.validation.verdict import judge
from tests.sample_contract import DAY, Document, sample_rows, sample_table
from tests.tasks.ingest.test_arrivals import managed_sales

NEXT_DAY = "2013-05-18"
HALF = ValidationConfig(max_quarantined=0.5)


@dataclass(frozen=True)
class Answer:
    """What the house says to a batch, in the words that the monitor fails or logs with."""

    outcome: str
    message: str
    snapshot: Snapshot | None = None
    verdict: Verdict | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the rules that are broken, warnings too."""
        if self.verdict is None:
            return ()
        return tuple(rule.rule for rule in self.verdict.rules if rule.outcome == "failed")


class Shop:
    """The sample contract's shop, in a directory of its own."""

    def __init__(self, directory: Path, name: str = "{batch}.csv") -> None:
        self.directory = directory
        self.name = name
        self.changes: list[Callable[[Document], object]] = []
        self.home = directory / "home"
        (self.home / "in").mkdir(parents=True)

    def change(self, change: Callable[[Document], object]) -> None:
        """Have the contract changed by ``change``."""
        self.changes.append(change)

    @property
    def managed(self) -> ManagedModel:
        """The model whose contract the shop has."""

        def all_changes(document: Document) -> None:
            end = self.name.removesuffix(".gz").rpartition(".")[2]
            document["servers"][0] |= {
                "path": f"${{KINGMAKER_HOME}}/in/{self.name}",
                "format": {"jsonl": "json"}.get(end, end),
            }
            for change in self.changes:
                change(document)

        return managed_sales(self.directory, all_changes)

    @property
    def lake(self) -> Path:
        """Where snapshots and quarantine are."""
        return self.home / "lake"

    def file(self, day: str = DAY) -> Path:
        """The file of a day."""
        return self.home / "in" / self.name.replace("{batch}", day)

    def deliver(
        self, content: bytes | str | pa.Table | dict[str, list[Any]], day: str = DAY
    ) -> None:
        """Write the day's file: bytes and text as they are, columns as CSV, tables as the
        contract's format.
        """
        if isinstance(content, dict):
            content = csv_text(content)
        elif isinstance(content, pa.Table):
            content = parquet_bytes(content)
        self.file(day).write_bytes(content.encode() if isinstance(content, str) else content)

    def deliver_good_day(self) -> None:
        """Deliver a sound file for the day after."""
        rows = sample_rows(6)
        rows["sold_at"] = [moment + timedelta(days=1) for moment in rows["sold_at"]]
        if self.name.endswith(".parquet"):
            self.deliver(sample_table(6, sold_at=rows["sold_at"]), NEXT_DAY)
        elif self.name.endswith(".jsonl"):
            names = list(rows)
            lines = (
                json.dumps(dict(zip(names, row, strict=True)), default=str)
                for row in zip(*rows.values(), strict=True)
            )
            self.deliver("\n".join(lines), NEXT_DAY)
        elif self.name.endswith(".gz"):
            self.deliver(gzip.compress(csv_text(rows).encode()), NEXT_DAY)
        else:
            self.deliver(rows, NEXT_DAY)

    def take_in(self, day: str = DAY) -> Answer:
        """Ingest and judge the day, as the monitor does; half of the rows may be in quarantine."""
        managed = self.managed
        batch = batch_named(day, "day", managed.contract.timezone)
        try:
            source = open_source(managed.rows)
            if day not in source.batches():
                raise LookupError(f"no batch {day}")
            rows = source.read(batch)
            name = source.name.replace("{batch}", day)
            snapshot = write_snapshot(self.lake, rows, managed.contract, batch, name)
        except UnreadableError as error:
            return Answer("refuse", str(error))
        except (SourceError, DiskFullError) as error:
            return Answer("not taken in", str(error))
        verdict = judge(self.lake, snapshot, managed.contract, HALF)
        return Answer(verdict.outcome, f"{snapshot.source}: {verdict.reason}", snapshot, verdict)

    def rows_in_lake(self, answer: Answer) -> list[dict[str, Any]]:
        """Every row of the batch as it can be read back, refused or not."""
        assert answer.snapshot is not None
        return read_snapshot(self.lake, answer.snapshot).to_pylist()

    def quarantined(self, answer: Answer) -> list[dict[str, Any]]:
        """The rows in quarantine as they can be read back, without our own two columns."""
        assert answer.verdict is not None
        if answer.verdict.quarantine is None:
            return []
        rows = pq.ParquetFile(self.lake / answer.verdict.quarantine).read()
        return rows.drop_columns(["_row", "_reasons"]).to_pylist()

    def accepted(self, answer: Answer) -> list[dict[str, Any]]:
        """The rows that training and scoring get."""
        assert answer.snapshot is not None
        assert answer.verdict is not None
        return read_accepted(self.lake, answer.snapshot, answer.verdict).to_pylist()

    def kept_files(self, day: str = DAY) -> list[bytes]:
        """What is kept of files that cannot be read."""
        return [file.read_bytes() for file in (self.lake / "refused" / "sales" / day).glob("*")]

    def check_whole(self) -> None:
        """Nothing in the lake is half written: no temporary name, every snapshot with its manifest
        and parts.
        """
        assert [path for path in self.lake.rglob("*") if path.name.startswith(".")] == []
        for directory in self.lake.glob("snapshots/*/*/*"):
            snapshot = read_manifest(self.lake, directory.relative_to(self.lake).as_posix())
            assert read_snapshot(self.lake, snapshot).num_rows == snapshot.rows
        for file in self.lake.glob("quarantine/*/*/*.parquet"):
            assert pq.ParquetFile(file).metadata.num_rows > 0


def csv_text(columns: dict[str, list[Any]]) -> str:
    """The columns as a system would write them as CSV: texts in quotes, what is missing as
    nothing.
    """
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(",".join(map(_cell, line)) + "\n" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())
