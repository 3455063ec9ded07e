"""The five public streams of the yardstick, cut into batches as DECISIONS cut them: period, first
window, problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from flows.whatif import stream
from tasks.evaluation.objective import Objective


@dataclass(frozen=True)
class Setting:
    """How one stream is cut."""

    name: str
    period: Literal["W", "M", "Q"]
    """A pandas period: weeks from Monday to Sunday, months, quarters."""
    first: int
    """Batches of the first window, which is also the length of the sliding one."""
    problem: Literal["binary", "regression"]


SETTINGS = (
    Setting("flights", "W", 8, "binary"),
    Setting("elec2", "W", 12, "binary"),
    Setting("noaa_weather", "Q", 20, "binary"),
    Setting("beijing_pm25", "M", 12, "regression"),
    Setting("bike_sharing", "W", 13, "regression"),
)


METRIC = {"binary": "log_loss", "regression": "mae"}


@dataclass(frozen=True, kw_only=True)
class Stream(stream.Stream):
    """The rows of one stream: numbers, and categories as pandas categories."""

    setting: Setting

    def head(self, batches: int) -> Stream:
        """Return the first so many batches."""
        stop = int(self.starts[min(batches, len(self.batches))])
        return replace(
            self,
            features=self.features.iloc[:stop],
            target=self.target[:stop],
            moments=self.moments[:stop],
            slices=self.slices.iloc[:stop],
            batches=self.batches[:batches],
            starts=self.starts[: batches + 1],
            known=self.known[:batches],
            contents=self.contents[:batches],
        )


def cut(setting: Setting, frame: pd.DataFrame) -> Stream:
    """Cut ``frame``, with the columns ``ts`` and ``y`` and features beside them, into the batches
    of ``setting``.
    """
    frame = frame.sort_values("ts", kind="stable").reset_index(drop=True)
    periods = frame["ts"].dt.to_period(setting.period).astype("str").to_numpy()
    starts = np.flatnonzero(np.r_[True, periods[1:] != periods[:-1]])
    features = frame.drop(columns=["ts", "y"])
    text = [
        name for name in features.columns if not np.issubdtype(features[name].dtype.type, np.number)
    ]
    batches = tuple(periods[starts])
    return Stream(
        name=setting.name,
        setting=setting,
        objective=Objective(setting.problem, METRIC[setting.problem]),
        features=features.astype(dict.fromkeys(text, "category")),
        target=frame["y"].to_numpy(dtype="float64"),
        moments=frame["ts"].to_numpy(dtype="datetime64[us]"),
        slices=pd.DataFrame(index=frame.index),
        batches=batches,
        starts=np.r_[starts, len(frame)].astype("int64"),
        known=tuple(range(len(batches))),
        contents=batches,
    )


def read(setting: Setting, data: Path) -> Stream:
    """Read ``data/<name>/data.csv.gz`` and cut it."""
    return cut(setting, pd.read_csv(data / setting.name / "data.csv.gz", parse_dates=["ts"]))
