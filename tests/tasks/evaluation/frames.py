"""Labelled rows that the tests of evaluation share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.records import FeatureFrame
from tests.tasks.builders import frame_of


def binary(rows: int = 400, days: float = 20, seed: int = 0) -> FeatureFrame:
    """Rows over ``days`` whose feature ``p`` is the probability of their label, ``noisy`` another
    view of it, with a slice column of two values.
    """
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.95, rows)
    target = (rng.random(rows) < p).astype("float64")
    features = pd.DataFrame({"p": p, "noisy": np.clip(p + rng.normal(0, 0.3, rows), 0.01, 0.99)})
    slices = pd.DataFrame({"origin": rng.choice(["JFK", "LGA"], rows)})
    days_of = np.linspace(20, 20 + days, rows, endpoint=False)
    return frame_of(features, target, days=days_of, slices=slices)


def changed(frame: FeatureFrame, **columns: Any) -> FeatureFrame:
    """The frame with these features in the place of its own, or beside them."""
    numerical = tuple(dict.fromkeys((*frame.schema.numerical, *columns)))
    schema = frame.schema.model_copy(update={"numerical": numerical})
    features = frame.features.assign(**columns)
    return FeatureFrame(**(vars(frame) | {"features": features, "schema": schema}))
