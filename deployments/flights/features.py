"""The flights model's own features: what the scheduled departure says about itself."""

from __future__ import annotations

import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``minute_of_day`` (float64, local), ``weekday`` (str) and ``plane_age`` (float64,
    years).
    """
    local = rows["scheduled_departure"].dt.tz_convert("America/New_York")
    return pd.DataFrame(
        {
            "minute_of_day": (60 * local.dt.hour + local.dt.minute).astype("float64"),
            "weekday": local.dt.day_name().astype("str"),
            "plane_age": (local.dt.year - rows["plane_year"]).astype("float64"),
        },
        index=rows.index,
    )
