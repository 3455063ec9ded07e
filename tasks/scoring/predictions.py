"""What was predicted for the rows of a closed batch, in the lake: before it closed where served,
else by the champion that scored the batch.

The columns are named as those of a served part are; ``version`` says what predicted a row,
``scored_at`` when it was served; it is missing where a row was scored with its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import DamagedFileError, file_sha256, write_tables
from tasks.large import large_numbers
from tasks.prediction import why_no_number
from tasks.records import FeatureFrame, LoadedModel, Predictions, Problem, served_by
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import BATCH, SCORED_AT, VERSION, as_delivered
from tasks.scoring.served import KEY, PREDICTION, PROBABILITY
from tasks.scoring.skew import ServedBatch


@dataclass(frozen=True)
class Predicted:
    """A part of a closed batch with what is predicted for its rows."""

    frame: FeatureFrame
    predicted: np.ndarray
    """(rows,), or (rows, classes) with one column a class: what was served, where a row was."""
    served: ServedBatch | None = None
    """What was predicted before the batch closed; None when nothing was."""


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
    lake: Path, model: LoadedModel, batch: str, snapshot: str, parts: Iterable[Predicted]
) -> Predictions:
    """Write keys, event time, prediction and version of every row of a batch, one part after the
    other, and return the record.
    """
    trained, name = model.trained, served_by(model.trained.version, model.adjusted_by)
    rows = served = unknown = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal rows, served, unknown
        for part in parts:
            rows += len(part.frame)
            served += 0 if part.served is None else int(part.served.rows.sum())
            unknown += int((~_known(part.predicted)).sum())
            yield _table(part, trained.classes, name)

    path = Path("predictions") / trained.model / batch / f"{name}-{snapshot[:16]}.parquet"
    sha256 = write_tables(lake / path, tables())
    return Predictions(
        model=trained.model,
        batch=batch,
        version=trained.version,
        snapshot=snapshot,
        rows=rows,
        path=path.as_posix(),
        sha256=sha256,
        adjusted_by=model.adjusted_by,
        served=served,
        unknown=unknown,
    )


def _table(part: Predicted, classes: Sequence[str], name: str) -> pa.Table:
    """What is kept of a part: NaN is written as missing, and where a row was served, it is what was
    predicted then.
    """
    frame, predicted, served = part.frame, part.predicted, part.served
    table = pa.Table.from_pandas(frame.keys, preserve_index=False)
    table = table.rename_columns([f"{KEY}{name}" for name in table.column_names])
    if predicted.ndim == 1:
        table = table.append_column(PREDICTION, pa.array(predicted, pa.float64(), from_pandas=True))
    for position, label in enumerate(classes):
        values = pa.array(predicted[:, position], pa.float64(), from_pandas=True)
        table = table.append_column(f"{PROBABILITY}{label}", values)
    version = np.full(len(frame), name, dtype="object")
    moments = pd.Series(pd.NaT, index=range(len(frame)), dtype="datetime64[us, UTC]")
    if served is not None:
        version = np.where(served.rows, served.served_by, version)
        moments = served.scored_at
    table = table.append_column(VERSION, pa.array(version, pa.string()))
    return table.append_column(SCORED_AT, pa.array(moments, pa.timestamp("us", tz="UTC")))


def _known(predicted: np.ndarray) -> np.ndarray:
    """Which rows have a number, (rows,) bool, of predictions (rows,) or (rows, classes)."""
    known: np.ndarray = np.isfinite(predicted if predicted.ndim == 1 else predicted.sum(axis=1))
    return known


def read_predictions(
    lake: Path, predictions: Predictions, contract: Contract, config: ScoringConfig
) -> Iterator[pa.Table]:
    """Give the predictions of a closed batch as they were written, part by part, named as delivered
    rows are.

    Raises DamagedFileError when the file is not what was written.
    """
    given = {BATCH: pa.scalar(predictions.batch)}
    for table in kept_predictions(lake, predictions):
        yield as_delivered(table, contract, (), config.threshold, given)


def kept_predictions(lake: Path, predictions: Predictions) -> Iterator[pa.Table]:
    """Give the predictions of a closed batch as they lie in the lake, part by part.

    Raises DamagedFileError when the file is not what was written.
    """
    path = lake / predictions.path
    found = file_sha256(path) if path.is_file() else "nothing"
    if found != predictions.sha256:
        raise DamagedFileError(path, predictions.sha256, found)
    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        yield file.read_row_group(number)
