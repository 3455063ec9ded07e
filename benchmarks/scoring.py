"""How long it takes to score a million open rows of the demo's model, from file to delivered file,
against the bare libraries.

    python -m benchmarks.scoring [--quick] [--rows N] [--repeat N] [--work DIR]

Both read the same Parquet file, make the same features, ask the same model, and write Parquet.
Ours checks the contract, keeps a record of each prediction with its features, delivers to a
Parquet sink, and brings the current view up to date besides. Each runs in a process of its own,
by turns.

Prints a Markdown table, with ours against the bare libraries; at most 2 is the goal.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.harness import Cost, compare_ways, cost_of_module
from deployments.flights.extract import extract
from tasks.settings import REPOSITORY, Settings, prepare_environment

ROWS, QUICK_ROWS = 1_000_000, 100_000
MODEL_FROM = 3
"""Months that the champion is trained on."""
SOURCE = Path("sources") / "flights"
AS_OF = datetime(2013, 4, 3, tzinfo=UTC)


def prepare(directory: Path, rows: int) -> Path:
    """Make a home with a champion, a project that delivers to Parquet, and a file of ``rows`` open
    rows; return the file.
    """
    home, project = directory / "home", directory / "project"
    for name in ("data_contracts", "deployments/flights"):
        shutil.copytree(REPOSITORY / name, project / name)
    spec_file = project / "deployments" / "flights" / "model.yaml"
    spec = yaml.safe_load(spec_file.read_text(encoding="utf-8"))
    spec["scoring"]["sinks"] = [
        {"name": "files", "path": f"{directory}/delivered/{{batch}}/{{part}}.parquet"}
    ]
    spec_file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    extract(home / SOURCE)
    for file in sorted((home / SOURCE).glob("*.csv.gz"))[MODEL_FROM + 1 :]:
        file.unlink()
    april = next(iter(sorted((home / SOURCE).glob("*.csv.gz"))[MODEL_FROM:]))
    flights = pd.read_csv(april, parse_dates=["scheduled_departure"])
    april.unlink()
    told = flights.drop(columns=["arr_delay", "late"])
    times = -(-rows // len(told))
    many = pd.concat([told] * times, ignore_index=True).head(rows)
    # Each copy leaves a minute later, so that no key stands twice.
    copies = np.arange(rows) // len(told)
    many["scheduled_departure"] += pd.to_timedelta(copies, unit="s")
    file = directory / "open.parquet"
    table = pa.Table.from_pandas(many, preserve_index=False)
    pq.write_table(table, file)
    return file


def train(directory: Path) -> None:
    """Replay the months that the champion is trained on."""
    settings_of(directory)
    from deployments.server.embedded import answering_prefect, embedded_server
    from flows.replay import replay

    with embedded_server(), answering_prefect():
        asyncio.run(replay("flights"))


def ours(directory: Path, file: Path) -> None:
    """Score, record and deliver the file."""
    settings = settings_of(directory)
    from flows.steps.predictions import score_file
    from tasks.model_spec import manage

    told = score_file(
        manage("flights", settings), file, "", directory / "told.parquet", AS_OF, record=True
    )
    assert told.recorded == told.rows, told  # noqa: S101 - a benchmark checks what it measures


def bare(directory: Path, file: Path) -> None:
    """Read, make features, predict and write, as one would by hand."""
    settings = settings_of(directory)
    from deployments.flights.features import build
    from flows.steps.champion import in_force
    from tasks.ledger.tables import open_ledger
    from tasks.model_spec import manage

    managed = manage("flights", settings)
    champion = in_force(managed, open_ledger(settings.ledger_url))
    assert champion is not None  # noqa: S101 - it was trained before
    rows = pd.read_parquet(file)
    schema = champion.trained.schema_
    features = pd.concat([rows, build(rows)], axis=1)
    features = features.assign(
        **{
            name: features[name].astype("str").where(features[name].notna(), "(missing)")
            for name in schema.categorical
        },
        **{name: features[name].astype("float64") for name in schema.numerical},
    )[list(schema.names)]
    members = champion.pipeline.members if champion.trained.members else [champion.pipeline]
    weights = champion.weights or (1.0,)
    probability = sum(
        w * m.predict_proba(features)[:, 1] for w, m in zip(weights, members, strict=True)
    )
    rows.assign(prediction=probability).to_parquet(directory / "bare.parquet")


def settings_of(directory: Path) -> Settings:
    """Return the settings of the home and the project in ``directory``, in force from now on."""
    os.environ["KINGMAKER_HOME"] = str(directory / "home")
    os.environ["KINGMAKER_PROJECT"] = str(directory / "project")
    settings = Settings()
    prepare_environment(settings)
    return settings


WAYS = {"bare": bare, "ours": ours}


def compare(directory: Path, rows: int, repeat: int) -> dict[str, list[Cost]]:
    """Return what each way cost at each turn; each begins with the same home."""
    file = prepare(directory, rows)
    train(directory)
    ledger, kept = directory / "home" / "ledger.db", directory / "kept.db"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(ledger, kept)
    took: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(repeat):
        for way, costs in took.items():
            for end in ("-wal", "-shm"):
                ledger.with_name(f"{ledger.name}{end}").unlink(missing_ok=True)
            shutil.copy(kept, ledger)
            for made in ("served", "current"):
                shutil.rmtree(directory / "home" / "lake" / made, ignore_errors=True)
            costs.append(
                cost_of_module("benchmarks.scoring", "--way", way, str(directory), str(file))
            )
    return took


def main() -> None:
    """Prepare, measure, print; or, with ``--way``, go one way."""
    compare_ways(
        __doc__, "open rows scored", WAYS, compare, rows=ROWS, quick_rows=QUICK_ROWS, repeat=3
    )


if __name__ == "__main__":
    main()
