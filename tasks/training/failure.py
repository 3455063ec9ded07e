"""Why a candidate could not be trained, in words that are true of the rows."""

from __future__ import annotations

import pandas as pd

from tasks.large import large_numbers
from tasks.records import FeatureFrame


def why_left_out(said: str, rows: FeatureFrame) -> str:
    """Return what an estimator ``said``, behind the columns of ``rows`` whose numbers are too large
    for the arithmetic of many: such a number becomes infinite or NaN on its way, and that is what
    the estimator finds.
    """
    columns = {name: rows.features[name] for name in rows.schema.numerical}
    if pd.api.types.is_numeric_dtype(rows.target.dtype):
        columns.setdefault(str(rows.target.name or "the target"), rows.target)
    shown = large_numbers(columns)
    if not shown:
        return said
    return (
        f"numbers too large for its arithmetic in {shown}; give the column limits in the contract,"
        f" or name the value in missingValues ({said})"
    )
