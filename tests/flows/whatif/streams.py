"""A small stream, whose level grows, and models of it that are quick to train."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from flows.whatif.models import Models
from flows.whatif.stream import Stream
from tasks.evaluation.objective import Objective

WEEKS, ROWS = 12, 140


def stream_of(*, weeks: int = WEEKS, late: int = 0) -> Stream:
    """Weeks of rows whose level grows from week to week; labels are known ``late`` weeks after."""
    rng = np.random.default_rng(0)
    rows = WEEKS * ROWS
    moments = np.datetime64("2024-01-01", "us") + (
        np.arange(rows) * 7 * 24 * 3_600_000_000 // ROWS
    ).astype("timedelta64[us]")
    x, week = rng.normal(0, 1, rows), np.arange(rows) // ROWS
    target = 0.3 * week + 2 * x + rng.normal(0, 0.5, rows)
    kept = weeks * ROWS
    names = tuple(f"w{i:02d}" for i in range(weeks))
    return Stream(
        name="small",
        objective=Objective("regression", "mae"),
        features=pd.DataFrame({"x": x[:kept]}),
        target=target[:kept],
        moments=moments[:kept],
        slices=pd.DataFrame(index=range(kept)),
        batches=names,
        starts=np.arange(weeks + 1) * ROWS,
        known=tuple(i - late for i in range(weeks)),
        contents=names,
    )


class Lines(Models):
    """Straight lines."""

    digest = "line"

    def fit(self, rows: slice) -> Callable[[slice], tuple[np.ndarray, tuple[str, ...]]]:
        """Fit a line."""
        stream = self.stream
        line = LinearRegression().fit(stream.features.iloc[rows], stream.target[rows])

        def told(later: slice) -> tuple[np.ndarray, tuple[str, ...]]:
            features = stream.features.iloc[later]
            return (line.predict(features) if len(features) else np.empty(0)), ()

        return told
