"""How long it takes to say for a million rows of the demo's model which features moved each
prediction most, against the bare library.

    python -m benchmarks.reasons [--rows N]

Reasons are sampled: for each row and feature the model is asked ``SAMPLES`` times. "Bare" asks the
same pipelines as often for as many rows, by scikit-learn alone, and does nothing with the answers;
ours draws the orders, moves the features, shares the differences out, finds the three largest of
each row, and checks that they add up to what was served. Both read the same features, and take as
many rows at a time. Each runs in a process of its own, whose time and memory the system tells.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Cost, compare_ways, cost_of_module
from benchmarks.scoring import prepare, settings_of, train
from tasks.conform import conform
from tasks.explanation.reasons import CHUNK, SAMPLES, reasons
from tasks.model_spec import ManagedModel, manage
from tasks.records import LoadedModel, Past

ROWS, QUICK_ROWS = 1_000_000, 20_000
SHOWN = 3
"""Features that are named for each row."""


def champion_of(directory: Path) -> tuple[ManagedModel, LoadedModel]:
    """Return the model, and its champion as it serves."""
    settings = settings_of(directory)
    from flows.steps.champion import in_force
    from tasks.ledger.tables import open_ledger

    managed = manage("flights", settings)
    champion = in_force(managed, open_ledger(settings.ledger_url))
    assert champion is not None  # noqa: S101 - it was trained before
    return managed, champion


def make_features(directory: Path, file: Path) -> Path:
    """Write the features of the rows in ``file``, with what is served for them, to a file."""
    from tasks.features.task import open_features
    from tasks.prediction import predict_frame

    managed, champion = champion_of(directory)
    parts = []
    for piece in pq.ParquetFile(file).iter_batches(CHUNK):
        table = pa.Table.from_batches([piece])
        typed = {name: conform(table[name], managed.contract, name) for name in table.column_names}
        frame = open_features(managed, pa.table(typed), Past(datetime.now(UTC)))
        parts.append(frame.features.assign(served=predict_frame(champion, frame, "binary")))
    features = directory / "features.parquet"
    pd.concat(parts, ignore_index=True).to_parquet(features)
    return features


def ours(directory: Path, file: Path) -> None:
    """Say why, of each row."""
    _, champion = champion_of(directory)
    features = pd.read_parquet(file)
    told = reasons(champion, features, features["served"].to_numpy(), "binary", SHOWN)
    assert told.effects.shape == (len(features), SHOWN)  # noqa: S101 - a benchmark checks what it measures


def bare(directory: Path, file: Path) -> None:
    """Ask the pipelines as often, by scikit-learn alone."""
    _, champion = champion_of(directory)
    features = pd.read_parquet(file)
    names = list(champion.trained.schema_.names)
    members = champion.pipeline.members if champion.trained.members else [champion.pipeline]
    for first in range(0, len(features), CHUNK):
        rows = features[names].iloc[first : first + CHUNK]
        for _ in range(SAMPLES * (len(names) - 1) + 1):
            answers = [member.predict_proba(rows)[:, 1] for member in members]
            assert np.isfinite(answers).all()  # noqa: S101 - a benchmark checks what it measures


WAYS = {"bare": bare, "ours": ours}


def compare(directory: Path, rows: int, repeat: int) -> dict[str, list[Cost]]:
    """Return what each way cost at each turn."""
    file = prepare(directory, rows)
    train(directory)
    features = make_features(directory, file)
    took: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(repeat):
        for way, costs in took.items():
            words = ("--way", way, str(directory), str(features))
            costs.append(cost_of_module("benchmarks.reasons", *words))
    return took


def main() -> None:
    """Prepare, measure, print; or, with ``--way``, go one way."""
    compare_ways(
        __doc__, "rows explained", WAYS, compare, rows=ROWS, quick_rows=QUICK_ROWS, repeat=1
    )


if __name__ == "__main__":
    main()
