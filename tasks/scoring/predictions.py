"""The champion's predictions for one batch, in the lake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.lake import write_table
from tasks.records import FeatureFrame, LoadedModel, Predictions


def write_predictions(
    lake: Path, model: LoadedModel, frame: FeatureFrame, predicted: np.ndarray
) -> Predictions:
    """Write keys, event time, prediction and model version of every row, and return the record.

    ``predicted`` is (rows,), or (rows, classes) with one column a class.
    """
    trained, batch = model.trained, max(frame.snapshots)
    table = pa.Table.from_pandas(frame.keys, preserve_index=False)
    if predicted.ndim == 1:
        table = table.append_column("prediction", pa.array(predicted))
    for position, label in enumerate(trained.classes):
        table = table.append_column(f"probability_{label}", pa.array(predicted[:, position]))
    version = pa.array([trained.version] * len(frame), pa.int64())
    table = table.append_column("model_version", version)
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
