"""What was predicted for the rows of a closed batch, in the lake: before it closed where served,
else by the champion that scored the batch.

The columns are named as those of a served part are; ``version`` says what predicted a row,
``scored_at`` when it was served; it is missing where a row was scored with its batch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import DamagedFileError, file_sha256, write_table
from tasks.large import large_numbers
from tasks.prediction import why_no_number
from tasks.records import FeatureFrame, LoadedModel, Predictions, Problem, served_by
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import BATCH, SCORED_AT, VERSION, as_delivered
from tasks.scoring.served import KEY, PREDICTION, PROBABILITY
from tasks.scoring.skew import ServedBatch


def without_prediction(
    contract: Contract,
    model: LoadedModel,
    frame: FeatureFrame,
    predicted: np.ndarray,
    problem: Problem,
) -> str:
    """Return how many rows the model gives no number for, with the keys of the first three and what
    it raises for the first; empty when there are none.
    """
    known = _known(predicted)
    if known.all():
        return ""
    keys = frame.keys[~known].head(3)
    shown = [name for name in keys.columns if not contract.column(str(name)).sensitive]
    rows = "; ".join(
        ", ".join(f"{name} {row[name]}" for name in shown) for _, row in keys[shown].iterrows()
    )
    count = int((~known).sum())
    numbers = {name: frame.features.loc[~known, name] for name in frame.schema.numerical}
    large = large_numbers(numbers)
    said = why_no_number(
        model, frame.where(np.arange(len(frame)) == int(np.argmin(known))), problem
    )
    why = (
        f"numbers too large for the model in {large}; give the column limits in"
        f" {contract.file.name}, or name the value in missingValues"
        if large
        else f"the model raises {said}"
        if said
        else "the model gives NaN or an infinite number"
    )
    some = f"{count:,} of {len(known):,} rows"
    return f"{some} have no finite prediction, such as those of {rows}: {why}"


def write_predictions(
    lake: Path,
    model: LoadedModel,
    frame: FeatureFrame,
    predicted: np.ndarray,
    served: ServedBatch | None = None,
) -> Predictions:
    """Write keys, event time, prediction and version of every row, and return the record.

    ``predicted`` is (rows,), or (rows, classes) with one column a class; NaN is written as missing.
    Where a row was ``served``, it is what was predicted then.
    """
    trained, batch = model.trained, max(frame.snapshots)
    table = pa.Table.from_pandas(frame.keys, preserve_index=False)
    table = table.rename_columns([f"{KEY}{name}" for name in table.column_names])
    if predicted.ndim == 1:
        table = table.append_column(PREDICTION, pa.array(predicted, pa.float64(), from_pandas=True))
    for position, label in enumerate(trained.classes):
        values = pa.array(predicted[:, position], pa.float64(), from_pandas=True)
        table = table.append_column(f"{PROBABILITY}{label}", values)
    name = served_by(trained.version, model.adjusted_by)
    version = np.full(len(frame), name, dtype="object")
    moments = pd.Series(pd.NaT, index=range(len(frame)), dtype="datetime64[us, UTC]")
    if served is not None:
        version = np.where(served.rows, served.served_by, version)
        moments = served.scored_at
    table = table.append_column(VERSION, pa.array(version, pa.string()))
    table = table.append_column(SCORED_AT, pa.array(moments, pa.timestamp("us", tz="UTC")))
    snapshot = frame.snapshots[batch]
    path = Path("predictions") / trained.model / batch / f"{name}-{snapshot[:16]}.parquet"
    sha256 = write_table(lake / path, table)
    return Predictions(
        model=trained.model,
        batch=batch,
        version=trained.version,
        snapshot=snapshot,
        rows=len(frame),
        path=path.as_posix(),
        sha256=sha256,
        adjusted_by=model.adjusted_by,
        served=0 if served is None else int(served.rows.sum()),
        unknown=int((~_known(predicted)).sum()),
    )


def _known(predicted: np.ndarray) -> np.ndarray:
    """Which rows have a number, (rows,) bool, of predictions (rows,) or (rows, classes)."""
    known: np.ndarray = np.isfinite(predicted if predicted.ndim == 1 else predicted.sum(axis=1))
    return known


def read_predictions(
    lake: Path, predictions: Predictions, contract: Contract, config: ScoringConfig
) -> pa.Table:
    """Return the predictions of a closed batch, named as delivered rows are.

    Raises DamagedFileError when the file is not what was written.
    """
    table = kept_predictions(lake, predictions)
    return as_delivered(
        table, contract, (), config.threshold, {BATCH: pa.scalar(predictions.batch)}
    )


def kept_predictions(lake: Path, predictions: Predictions) -> pa.Table:
    """Return the predictions of a closed batch as they lie in the lake.

    Raises DamagedFileError when the file is not what was written.
    """
    path = lake / predictions.path
    found = file_sha256(path) if path.is_file() else "nothing"
    if found != predictions.sha256:
        raise DamagedFileError(path, predictions.sha256, found)
    return pq.ParquetFile(path).read()
