"""The champion's predictions for one batch, in the lake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract
from tasks.lake import own_columns, write_table
from tasks.records import FeatureFrame, LoadedModel, Predictions


def without_prediction(contract: Contract, frame: FeatureFrame, predicted: np.ndarray) -> str:
    """Return how many rows the model gives no number for, with the keys of the first three; empty
    when there are none.
    """
    known = np.isfinite(predicted.reshape(len(predicted), -1)).all(axis=1)
    if known.all():
        return ""
    keys = frame.keys[~known].head(3)
    shown = [name for name in keys.columns if not contract.column(str(name)).sensitive]
    rows = "; ".join(
        ", ".join(f"{name} {row[name]}" for name in shown) for _, row in keys[shown].iterrows()
    )
    count = int((~known).sum())
    return (
        f"{count:,} of {len(known):,} rows have no finite prediction, such as those of {rows}:"
        " a value of theirs is too large for the model; give its column a limit in"
        f" {contract.file.name}"
    )


def write_predictions(
    lake: Path, model: LoadedModel, frame: FeatureFrame, predicted: np.ndarray
) -> Predictions:
    """Write keys, event time, prediction and model version of every row, and return the record.

    ``predicted`` is (rows,), or (rows, classes) with one column a class; NaN is written as missing.
    The columns ``prediction``
    (or ``probability_`` and the class) and ``model_version`` are called ``kingmaker_prediction``
    and so on when a key has one of their names.
    """
    trained, batch = model.trained, max(frame.snapshots)
    table = pa.Table.from_pandas(frame.keys, preserve_index=False)
    by_class = predicted.ndim > 1
    names = [f"probability_{label}" for label in trained.classes] if by_class else ["prediction"]
    columns = [*(predicted.T if by_class else [predicted]), np.full(len(frame), trained.version)]
    own = own_columns(table.column_names, [*names, "model_version"])
    for name, values in zip(own, columns, strict=True):
        table = table.append_column(name, pa.array(values, from_pandas=True))
    snapshot = frame.snapshots[batch]
    served = (
        f"v{trained.version}"
        if model.adjusted_by is None
        else f"v{trained.version}.{model.adjusted_by}"
    )
    path = Path("predictions") / trained.model / batch / f"{served}-{snapshot[:16]}.parquet"
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
    )
