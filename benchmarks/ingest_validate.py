"""What ingest and validation cost against one bare SQL scan and Great Expectations on the whole
frame.

    python -m benchmarks.ingest_validate [--quick] [--repeat N] [--data DIR] [--work DIR]
    [--rows M ...]

Rows are those of flights, drawn with a seed and delivered as files of 500,000, each of the whole
year (0.33 million: as they are). Ingest reads, sorts and keeps them; the scan and validation read
them as they are. Each run is a process of its own; the ways alternate. Prints a Markdown table:
medians, and the ratio to the scan of the same session.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import (
    COSTS,
    Cost,
    arguments,
    cells,
    cost_of_module,
    heading,
    machine,
    ratios_to,
    row,
    takes_data,
)
from data_contracts.contract import Contract, load_contract
from tasks.batches import Batch
from tasks.ingest.snapshot import GROUP_ROWS
from tasks.lake import file_sha256, read_snapshot, to_frame
from tasks.records import Part, Snapshot, Verdict
from tasks.validation.config import ValidationConfig
from tasks.validation.expectations import run_rules
from tasks.validation.verdict import judge

PART = 500_000
BATCH = Batch(
    id="2013", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2014, 1, 1, 5, tzinfo=UTC)
)
NOISY = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure", "visib", "distance")
WAYS = ("scan alone", "validate", "ingest", "Great Expectations, whole frame")
FITS = 4_000_000
"""Most rows that are worth one frame on a machine of 24 GB."""
CONTRACT: dict[str, tuple[str, dict[str, Any], bool]] = {
    "ts": ("timestamp", {}, True),
    "carrier": ("string", {"pattern": "^[A-Z0-9]{2}$"}, True),
    "origin": ("string", {"pattern": "^[A-Z]{3}$"}, True),
    "dest": ("string", {"pattern": "^[A-Z]{3}$"}, True),
    "distance": ("number", {"minimum": 50, "maximum": 6000}, True),
    "minute_of_day": ("integer", {"minimum": 0, "maximum": 1440}, True),
    "dow": ("integer", {"minimum": 0, "maximum": 6}, True),
    "temp": ("number", {"minimum": -40, "maximum": 120}, False),
    "dewp": ("number", {"minimum": -60, "maximum": 100}, False),
    "humid": ("number", {"minimum": 0, "maximum": 100}, False),
    "wind_dir": ("number", {"minimum": 0, "maximum": 360}, False),
    "wind_speed": ("number", {"minimum": 0, "maximum": 100}, False),
    "wind_gust": ("number", {}, False),
    "precip": ("number", {"minimum": 0, "maximum": 10}, False),
    "pressure": ("number", {"minimum": 900, "maximum": 1100}, False),
    "visib": ("number", {"minimum": 0, "maximum": 20}, False),
    "plane_year": ("number", {"minimum": 1950, "maximum": 2014}, False),
    "seats": ("number", {"minimum": 1, "maximum": 500}, False),
    "engines": ("number", {}, False),
    "y": ("integer", {}, True),
    "id": ("integer", {}, True),
}
SETS: dict[str, list[Any]] = {
    "origin": ["EWR", "JFK", "LGA"],
    "y": [0, 1],
    "engines": [1.0, 2.0, 3.0, 4.0],
}
SHARES = {"temp": 0.05, "wind_speed": 0.05, "pressure": 0.5}


def document(name: str, path: str) -> dict[str, Any]:
    """The rules of the one-scan limit as a contract called ``name``, its batches at ``path``."""
    properties: list[dict[str, Any]] = []
    for column, (kind, options, required) in CONTRACT.items():
        quality: list[dict[str, Any]] = []
        if column in SETS:
            quality.append(
                {"metric": "invalidValues", "arguments": {"validValues": SETS[column]}, "mustBe": 0}
            )
        if column in SHARES:
            quality.append(
                {
                    "metric": "missingValues",
                    "unit": "percent",
                    "mustBeLessOrEqualTo": 100 * SHARES[column],
                }
            )
        properties.append(
            {
                "name": column,
                "logicalType": kind,
                "required": required,
                "quality": quality,
                "logicalTypeOptions": options,
            }
        )
    for position, column in enumerate(("ts", "carrier", "id"), start=1):
        found = next(item for item in properties if item["name"] == column)
        found |= {"primaryKey": True, "primaryKeyPosition": position}
    properties[-1]["unique"] = True
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"urn:bench:{name}",
        "name": name,
        "version": "1.0.0",
        "status": "active",
        "servers": [{"server": "s", "type": "local", "path": path, "format": "parquet"}],
        "schema": [
            {
                "name": "flights",
                "customProperties": [{"property": "eventTime", "value": "ts"}],
                "quality": [{"metric": "rowCount", "mustBeGreaterOrEqualTo": 1000}],
                "properties": properties,
            }
        ],
    }


def contract_at(work: Path) -> Contract:
    """Write the contract of the benchmark, and load it."""
    file = work / "bench.odcs.yaml"
    file.write_text(
        json.dumps(document("bench", "{batch}.parquet")), encoding="utf-8"
    )  # JSON is YAML
    return load_contract(file)


def prepare(work: Path, data: Path | None, rows: int) -> None:
    """Write ``rows`` as files of a source, each sorted by time and key, with a manifest: the parts
    of a snapshot.
    """
    base = flights(data, work)
    generator = np.random.default_rng(0)
    directory = work / str(rows) / BATCH.id
    directory.mkdir(parents=True)
    parts = []
    for number, start in enumerate(range(0, rows, PART)):
        size = min(PART, rows - start)
        frame = (
            base.iloc[:size]
            if rows <= len(base)
            else base.iloc[np.sort(generator.integers(0, len(base), size))]
        )
        frame = frame.reset_index(drop=True)
        for name in NOISY if rows > len(base) else ():
            noise = generator.normal(0, 0.005 * base[name].std(), size)
            frame[name] = (frame[name] + noise).clip(base[name].min(), base[name].max()).round(4)
        frame["ts"] = frame["ts"] + pd.to_timedelta(
            generator.integers(0, 60, size), unit="s"
        ).astype("timedelta64[us]")
        frame["id"] = np.arange(start, start + size)
        table = pa.Table.from_pandas(
            frame[list(CONTRACT)].sort_values(["ts", "carrier", "id"]), preserve_index=False
        )
        file = directory / f"part-{number:05d}.parquet"
        pq.write_table(
            table.cast(
                pa.schema(
                    [
                        (f.name, pa.string() if pa.types.is_large_string(f.type) else f.type)
                        for f in table.schema
                    ]
                )
            ),
            file,
            compression="zstd",
            row_group_size=GROUP_ROWS,
        )
        parts.append(Part(file=file.name, rows=size, sha256=file_sha256(file)))
    snapshot = Snapshot(
        contract="bench",
        contract_version="1.0.0",
        batch=BATCH,
        sha256="0" * 64,
        rows=rows,
        parts=tuple(parts),
        path=f"{rows}/{BATCH.id}",
        source="benchmark",
    )
    (directory / "manifest.json").write_text(snapshot.model_dump_json(), encoding="utf-8")


def flights(data: Path | None, work: Path) -> pd.DataFrame:
    """A year of flights with the columns of the contract."""
    if data is not None:
        file = next(
            (f for f in (data / "flights" / "data.csv.gz", data / "data.csv.gz") if f.is_file()),
            data,
        )
        frame = pd.read_csv(file, parse_dates=["ts"])
    else:
        from deployments.flights.extract import extract

        extract(work / "sources")
        months = [pd.read_csv(file) for file in sorted((work / "sources").glob("*.csv.gz"))]
        frame = pd.concat(months, ignore_index=True).dropna(
            subset=["late", "scheduled_arrival_minute"]
        )
        frame["ts"] = pd.to_datetime(frame["scheduled_departure"], utc=True).dt.tz_localize(None)
        frame["minute_of_day"] = frame["ts"].dt.hour * 60 + frame["ts"].dt.minute
        frame["dow"] = frame["ts"].dt.dayofweek
        frame["y"] = frame["late"]
    integers = dict.fromkeys(("minute_of_day", "dow", "y"), "int64")
    frame = (
        frame.astype(integers | {"distance": "float64"})
        .sort_values("ts", kind="stable")
        .reset_index(drop=True)
    )
    return frame.assign(ts=frame["ts"].dt.tz_localize("UTC").astype("datetime64[us, UTC]"))


def scan_alone(work: Path, rows: int) -> str:
    """The limit: the contract's rules as bare SQL, written down here and knowing nothing of
    ours.
    """
    checks = [
        "count(*) >= 1000",
        (
            f"count(*) FILTER (NOT (ts >= TIMESTAMPTZ '{BATCH.start}' AND ts < TIMESTAMPTZ"
            f" '{BATCH.end}')) = 0"
        ),
    ]
    for name, (_, options, required) in CONTRACT.items():
        if required:
            checks.append(f"count({name}) = count(*)")
        if "minimum" in options:
            checks.append(
                f"count(*) FILTER (NOT ({name} BETWEEN {options['minimum']} AND"
                f" {options['maximum']})) = 0"
            )
        if "pattern" in options:
            checks.append(
                f"count(*) FILTER (NOT regexp_matches({name}, '{options['pattern']}')) = 0"
            )
        if name in SETS:
            listed = ", ".join(f"'{v}'" if isinstance(v, str) else str(v) for v in SETS[name])
            checks.append(f"count(*) FILTER ({name} NOT IN ({listed})) = 0")
        if name in SHARES:
            checks.append(f"count({name}) >= {1 - SHARES[name]} * count(*)")
    connection = duckdb.connect(
        config={"memory_limit": "1GB", "temp_directory": str(work / "spill")}
    )
    source = f"read_parquet('{work / str(rows) / BATCH.id}/*.parquet')"
    found = list(connection.execute(f"SELECT {', '.join(checks)} FROM {source}").fetchall()[0])  # noqa: S608
    for key in ("id", "hash(ts, carrier, id)"):
        found += connection.execute(
            f"SELECT count(*) = count(DISTINCT {key}) FROM {source}"  # noqa: S608
        ).fetchall()[0]
    return f"{sum(map(bool, found))} of {len(found)} rules kept"


def run_one(way: str, work: Path, rows: int) -> str:
    """Do one thing once, in this process; what came of it, for people."""
    if way == "scan alone":
        return scan_alone(work, rows)

    contract = load_contract(work / "bench.odcs.yaml")
    snapshot = Snapshot.model_validate_json(
        (work / str(rows) / BATCH.id / "manifest.json").read_text(encoding="utf-8")
    )
    verdict: Verdict
    if way == "validate":
        verdict = judge(work, snapshot, contract, ValidationConfig())
        return verdict.reason
    if way == "ingest":
        from tasks.addresses import Address
        from tasks.ingest.by_batch import FilesByBatch
        from tasks.ingest.snapshot import write_snapshot
        from tasks.ingest.stores import LocalStore

        pattern = Address(f"{work}/{rows}/{{batch}}/*.parquet")
        source = FilesByBatch(contract, "year", LocalStore(), pattern, work)
        with tempfile.TemporaryDirectory(dir=work) as lake:
            written = write_snapshot(Path(lake), source.read(BATCH), contract, BATCH, source.name)
        return f"{written.rows:,} rows kept in {len(written.parts)} parts"

    rules = [rule for rule in contract.rules if rule.scope != "schema"]
    results = run_rules(to_frame(read_snapshot(work, snapshot)), rules, contract, BATCH)
    return f"{sum(result.success for result in results)} of {len(results)} rules kept"


def measured(way: str, work: Path, rows: int, *more: str) -> Cost:
    """Run one way in a process of its own; even the data are made by one."""
    return cost_of_module(
        "benchmarks.ingest_validate",
        *("--one", way, "--work", str(work), "--rows", str(rows / 1e6), *more),
    )


def main() -> None:
    """Prepare, measure, print."""
    parser = arguments(__doc__, quick="0.33 million rows only")
    takes_data(parser)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rows", type=float, nargs="+", default=[0.327, 3.5, 16], help="millions")
    parser.add_argument("--one", choices=(*WAYS, "prepare"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [round(million * 1e6) for million in (given.rows[:1] if given.quick else given.rows)]
    if given.one == "prepare":
        prepare(given.work, given.data, sizes[0])
        return
    if given.one:
        print(run_one(given.one, given.work, sizes[0]))
        return
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        compare(Path(temporary), given.data, sizes, given.repeat)


def compare(work: Path, data: Path | None, sizes: Sequence[int], repeat: int) -> None:
    """Run every way at each size by turns, and print the table."""
    contract_at(work)
    machine(repeat)
    heading("rows", "way", *COSTS, *ratios_to("scan"), "it said", left=("way", "it said"))
    runs: dict[int, dict[str, list[Cost]]] = {}
    for rows in sizes:
        measured("prepare", work, rows, *(("--data", str(data)) if data else ()))
        ways = [way for way in WAYS if rows <= FITS or way != "Great Expectations, whole frame"]
        runs[rows] = {way: [] for way in ways}
        for _ in range(repeat):
            for way in ways:
                runs[rows][way].append(measured(way, work, rows))
        base = runs[rows]["scan alone"]
        for way, took in runs[rows].items():
            row(f"{rows:,}", way, *cells(took, base), took[-1].said)
    for way in ("validate", "ingest") if len(sizes) > 1 else ():
        small, large = (median(cost.peak for cost in runs[rows][way]) for rows in sizes[-2:])
        print(
            f"\n{way}: the peak at {sizes[-1]:,} rows is {large / small:.2f} times that at"
            f" {sizes[-2]:,}"
        )


if __name__ == "__main__":
    main()
