"""What a monitor run and a score run of one large batch hold in memory, and what they cost against
one bare pass over its file.

    python -m benchmarks.memory [--quick] [--rows N N] [--only WAY ...] [--work DIR]

A generated model of ten columns, its champion trained on two small batches. The third batch has so
many rows; by default it has two sizes, of which the larger is four times the smaller. Each way is
the command that a person would run, in a process of its own, in a home of its own:

- score: ``kingmaker score --record``, from the file to a delivered one.
- monitor: ``kingmaker run``: taken in, validated, scored, compared with training, judged by its
  labels.
- served: the same of a batch whose rows were scored by ``score`` before.
- retrain: ``kingmaker retrain`` after ``monitor``.

"Bare" reads the file 500,000 rows at a time, asks the same champion, and writes Parquet. Prints a
Markdown table: the ratio of peaks is to the smaller size; the goal is 1.1 from 3.5 million to 16.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.harness import (
    COSTS,
    Cost,
    arguments,
    cost_of,
    cost_of_module,
    heading,
    machine,
    row,
)
from benchmarks.servers.home import Home

SIZES, QUICK_SIZES = (1_500_000, 6_000_000), (20_000, 40_000)
TRAINED, BATCH = ("2020-01", "2020-02"), "2020-03"
TRAINED_ROWS = 20_000
PIECE = 500_000
MODEL = "sales"
WAYS = ("bare", "score", "monitor", "served", "retrain")
NUMBERS = ("a", "b", "c", "d", "e")
SPEC = {
    "model": MODEL,
    "contract": MODEL,
    "description": "Will it be sent back?",
    "problem": "binary",
    "target": "y",
    "batch": {"every": "month"},
    "labels": {"delay": "0d"},
    "features": {"exclude": ["id"]},
    "training": {
        "first": 2,
        "candidates": [
            {
                "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
                "params": {"early_stopping": False, "max_iter": 30},
            }
        ],
    },
    "metric": "roc_auc",
    "slices": ["kind"],
    "ensemble": "single",
    "retrain": {"every": 1000},
    "scoring": {
        "sinks": [{"name": "files", "path": "delivered/{batch}/{part}.parquet"}],
    },
}


def contract() -> dict[str, object]:
    """The contract of the generated rows."""
    kinds = {"ts": "timestamp", "id": "integer", "shop": "string", "kind": "string", "y": "integer"}
    names = ("ts", "id", "shop", "kind", *NUMBERS, "y")
    properties = [
        {"name": n, "logicalType": kinds.get(n, "number"), "required": n not in NUMBERS}
        for n in names
    ]
    properties[1] |= {"primaryKey": True, "primaryKeyPosition": 1, "unique": True}
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"urn:bench:{MODEL}",
        "name": MODEL,
        "version": "1.0.0",
        "status": "active",
        "servers": [
            {
                "server": "s",
                "type": "local",
                "path": f"${{KINGMAKER_HOME}}/sources/{MODEL}/{{batch}}.parquet",
                "format": "parquet",
            }
        ],
        "schema": [
            {
                "name": MODEL,
                "customProperties": [{"property": "eventTime", "value": "ts"}],
                "properties": properties,
            }
        ],
    }


def write_rows(file: Path, month: str, rows: int, first_id: int, *, open_rows: bool) -> None:
    """Write rows of a month in order of time, to the second, 500,000 at a time; ``open_rows`` have
    no outcome.
    """
    start = np.datetime64(month, "us")
    span, rng = (np.datetime64(month, "M") + 1).astype("M8[us]") - start, np.random.default_rng(0)
    shops = np.array([f"shop {number:02d}" for number in range(20)], dtype=object)
    kinds = np.array(["book", "coat", "lamp", "shoe", "toy"], dtype=object)
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for begin in range(0, rows, PIECE):
        at = np.arange(begin, min(begin + PIECE, rows))
        drawn = {name: rng.normal(size=len(at)).round(2) for name in NUMBERS}
        shop = rng.integers(len(shops), size=len(at))
        odds = drawn["a"] - 0.5 * drawn["b"] + 0.05 * shop - 1.5
        moments = start + (at * (span.astype("int64") / rows)).astype("int64").astype("m8[us]")
        moments = moments.astype("M8[s]").astype("M8[us]")
        columns = {
            "ts": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "id": pa.array(first_id + at),
            "shop": pa.array(shops[shop]),
            "kind": pa.array(kinds[rng.integers(len(kinds), size=len(at))]),
            **{name: pa.array(values) for name, values in drawn.items()},
        }
        labels = (rng.random(len(at)) < 1 / (1 + np.exp(-odds))).astype("int64")
        if not open_rows:
            columns["y"] = pa.array(labels)
        table = pa.table(columns)
        if writer is None:
            writer = pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    assert writer is not None  # noqa: S101 - there are rows
    writer.close()


def trained_home(root: Path) -> Home:
    """Make a home with a champion of two small batches."""
    home = Home(root)
    for file, document in (
        (f"data_contracts/{MODEL}.odcs.yaml", contract()),
        (f"deployments/{MODEL}/model.yaml", SPEC),
    ):
        (home.project / file).parent.mkdir(parents=True, exist_ok=True)
        (home.project / file).write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    for number, month in enumerate(TRAINED):
        first = number * TRAINED_ROWS
        write_rows(_source(home, month), month, TRAINED_ROWS, first, open_rows=False)
    home.kingmaker("replay", MODEL)
    return home


def _source(home: Home, month: str) -> Path:
    return home.home / "sources" / MODEL / f"{month}.parquet"


def measure(trained: Home, work: Path, rows: int, ways: tuple[str, ...]) -> dict[str, Cost]:
    """Return what each way cost with a batch of so many rows."""
    told, first = work / "open.parquet", len(TRAINED) * TRAINED_ROWS
    write_rows(told, BATCH, rows, first, open_rows=True)
    closed = work / "closed.parquet"
    write_rows(closed, BATCH, rows, first, open_rows=False)
    found: dict[str, Cost] = {}
    if "bare" in ways:
        found["bare"] = cost_of_module("benchmarks.memory", "--bare", str(trained.root), str(told))
    scored = _copy(trained, work / "scored")
    if {"score", "served"} & set(ways):
        found["score"] = _cost(
            scored, "score", MODEL, "--record", "--rows", told, "--out", work / "told.parquet"
        )
    if {"monitor", "retrain"} & set(ways):
        home = _copy(trained, work / "monitored")
        shutil.copy(closed, _source(home, BATCH))
        found["monitor"] = _cost(home, "run", MODEL)
        if "retrain" in ways:
            found["retrain"] = _cost(home, "retrain", MODEL)
        shutil.rmtree(home.root)
    if "served" in ways:
        shutil.copy(closed, _source(scored, BATCH))
        found["served"] = _cost(scored, "run", MODEL)
    shutil.rmtree(scored.root)
    return {way: cost for way, cost in found.items() if way in ways}


def _cost(home: Home, *words: str | Path) -> Cost:
    return cost_of(home.command(*map(str, words)), home.environment())


def _copy(home: Home, root: Path) -> Home:
    """The same home in another place: what is written in it is below its own directory."""
    shutil.copytree(home.root, root)
    return Home(root)


def bare(root: Path, file: Path) -> None:
    """Read, predict and write, a piece at a time, as one would without the product."""
    import os

    home = Home(root)
    os.environ["KINGMAKER_HOME"] = str(home.home)
    os.environ["KINGMAKER_PROJECT"] = str(home.project)
    from flows.steps.champion import in_force
    from tasks.ledger.tables import open_ledger
    from tasks.model_spec import manage
    from tasks.settings import Settings, prepare_environment

    settings = Settings()
    prepare_environment(settings)
    champion = in_force(manage(MODEL, settings), open_ledger(settings.ledger_url))
    assert champion is not None  # noqa: S101 - it was trained before
    names, writer = list(champion.trained.schema_.names), None
    for piece in pq.ParquetFile(file).iter_batches(PIECE):
        frame: pd.DataFrame = piece.to_pandas()
        predicted = champion.pipeline.predict_proba(frame[names])[:, 1]
        table = pa.Table.from_pandas(frame.assign(prediction=predicted), preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(file.with_name("bare.parquet"), table.schema)
        writer.write_table(table)
    assert writer is not None  # noqa: S101 - there are rows
    writer.close()


def main() -> None:
    """Prepare, measure, print."""
    if sys.argv[1:2] == ["--bare"]:
        bare(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    parser = arguments(__doc__, quick=" and ".join(f"{size:,}" for size in QUICK_SIZES) + " rows")
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    given = parser.parse_args()
    sizes = QUICK_SIZES if given.quick else sorted(given.rows)
    machine(1)
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        trained = trained_home(Path(work) / "trained")
        heading("one batch", "rows", *COSTS, "wall / bare", "peak / smallest")
        smallest: dict[str, Cost] = {}
        for size in sizes:
            costs = measure(trained, Path(work), size, tuple(given.only))
            for way, cost in costs.items():
                least = smallest.setdefault(way, cost)
                base = costs.get("bare")
                row(
                    way,
                    f"{size:,}",
                    f"{cost.wall:.1f}",
                    f"{cost.cpu:.1f}",
                    f"{cost.peak:.0f}",
                    "" if base is None else f"{cost.wall / base.wall:.1f}",
                    f"{cost.peak / least.peak:.2f}",
                )


if __name__ == "__main__":
    main()
