"""When a batch has closed: what had been predicted for its rows, and whether the features of
then are still the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import MOST_ROWS
from tasks.records import FeatureFrame, FeatureSkew, ServedPart, Skew, SkewExample
from tasks.scoring.config import SkewConfig
from tasks.scoring.served import FEATURE, PREDICTION, PROBABILITY, key_columns, newest_served

_CLOSED = "closed:"
"""Before a feature of the closed batch: it may be called as a column of the key is."""


@dataclass(frozen=True)
class ServedBatch:
    """What was predicted for the rows of a closed batch before it closed, row for row with
    its frame.

    Where a row was never served, ``rows`` is False, and the rest means nothing.
    """

    rows: np.ndarray
    """(rows,) bool."""
    predicted: np.ndarray
    """(rows,), or (rows, classes) in the order that was asked for."""
    served_by: np.ndarray
    """(rows,) object: version and recalibration, such as ``v3.17``."""
    scored_at: pd.Series
    """(rows,) datetime64[us, UTC]: when; missing where a row was never served."""


def served_of(
    lake: Path,
    parts: Sequence[ServedPart],
    frame: FeatureFrame,
    contract: Contract,
    classes: Sequence[str] = (),
    most: int = MOST_ROWS,
) -> ServedBatch:
    """Return what was predicted for the rows of ``frame``, found by key; ``parts`` are of its
    batch.

    Raises DamagedFileError when a part is not what was written.
    """
    columns = [f"{PROBABILITY}{label}" for label in classes] or [PREDICTION]
    asked = frame.keys if sum(part.rows for part in parts) > most else None
    newest = newest_served(lake, parts, contract, columns, asked)
    found = frame.keys.merge(newest, on=list(key_columns(contract)), how="left")
    values = found.reindex(columns=columns).to_numpy(dtype="float64", na_value=np.nan)
    rows = found["served_by"].notna().to_numpy()
    if classes:  # a version before may have known fewer
        values[rows] = np.nan_to_num(values[rows])
    return ServedBatch(
        rows=rows,
        predicted=values if classes else values[:, 0],
        served_by=found["served_by"].to_numpy(dtype="object"),
        scored_at=pd.to_datetime(found["scored_at"], utc=True).astype("datetime64[us, UTC]"),
    )


def measure_skew(
    lake: Path,
    parts: Sequence[ServedPart],
    frame: FeatureFrame,
    contract: Contract,
    config: SkewConfig,
    gone: int | None = None,
) -> Skew | None:
    """Hold the features of a closed batch against those that its rows were served by; None when
    none was served.

    Where ``frame`` is but a sample of the batch's rows, ``gone`` is how many served rows the batch
    does not hold, and no others than those of the sample are compared.

    Numbers are the same when they differ by at most a billionth: sums may be made in another order.
    Features that some part was written without are left out.
    """
    if not parts:
        return None
    names = _in_all(lake, parts, frame)
    columns, asked = [f"{FEATURE}{name}" for name in names], None if gone is None else frame.keys
    newest = newest_served(lake, parts, contract, columns, asked)
    keys = list(key_columns(contract))
    closed = pd.concat([frame.keys, frame.features[names].add_prefix(_CLOSED)], axis=1)
    both = newest.merge(closed, on=keys, how="inner", validate="one_to_one")
    hidden = any(contract.column(name).sensitive for name in keys)
    features = []
    for name in names:
        served, now = both[f"{FEATURE}{name}"], both[f"{_CLOSED}{name}"]
        differ = _differ(served, now)
        if differ.any():
            shown = both[differ].head(config.examples)
            examples = tuple(
                SkewExample(
                    key="(hidden)" if hidden else ", ".join(str(row[key]) for key in keys),
                    served=_text(row[f"{FEATURE}{name}"]),
                    closed=_text(row[f"{_CLOSED}{name}"]),
                )
                for _, row in shown.iterrows()
            )
            features.append(
                FeatureSkew(
                    feature=name,
                    differing=int(differ.sum()),
                    share=float(differ.mean()),
                    examples=examples,
                )
            )
    return Skew(
        rows=len(both),
        gone=len(newest) - len(both) if gone is None else gone,
        limit=config.limit,
        features=tuple(sorted(features, key=lambda one: (-one.differing, one.feature))),
    )


def _in_all(lake: Path, parts: Sequence[ServedPart], frame: FeatureFrame) -> list[str]:
    kept = [set(pq.read_schema(lake / part.path).names) for part in parts]
    return [n for n in frame.features.columns if all(f"{FEATURE}{n}" in one for one in kept)]


def _differ(served: pd.Series, closed: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(served.dtype) and pd.api.types.is_numeric_dtype(closed.dtype):
        one, other = served.to_numpy(dtype="float64"), closed.to_numpy(dtype="float64")
        same = np.isclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)
        return np.asarray(~same)
    return np.asarray(served.astype("str").to_numpy() != closed.astype("str").to_numpy())


def _text(value: object) -> str:
    if isinstance(value, float):
        return "missing" if np.isnan(value) else f"{value:.10g}"
    return str(value)[:80]
