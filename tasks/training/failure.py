"""Why a candidate could not be trained, in words that are true of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.records import FeatureFrame

LARGE = float(np.finfo("float32").max)
"""3.4e38: larger numbers are none in float32; from 1.3e154 on, squares are none in float64."""
NAMED = 3
"""Columns that are named."""


def why_left_out(said: str, rows: FeatureFrame) -> str:
    """Return what an estimator ``said``, behind the columns of ``rows`` whose numbers are too large
    for the arithmetic of many: such a number becomes infinite or NaN on its way, and that is what
    the estimator finds.
    """
    columns = {name: rows.features[name] for name in rows.schema.numerical}
    if pd.api.types.is_numeric_dtype(rows.target.dtype):
        columns.setdefault(str(rows.target.name or "the target"), rows.target)
    large = {
        name: some for name, values in columns.items() if len(some := values[values.abs() > LARGE])
    }
    if not large:
        return said
    shown = ", ".join(
        f"{name} ({len(some):,} row{'s' * (len(some) > 1)}, such as {float(some.iloc[0])!r})"
        for name, some in list(large.items())[:NAMED]
    )
    more = f" and {len(large) - NAMED} more columns" if len(large) > NAMED else ""
    return (
        f"numbers too large for its arithmetic in {shown}{more}; give the column limits in the"
        f" contract, or name the value in missingValues ({said})"
    )
