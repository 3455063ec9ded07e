"""The five public streams of the yardstick, cut into batches as DECISIONS cut them: period, first
window, problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd


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


@dataclass(frozen=True)
class Stream:
    """The rows of one stream, oldest first, and where its batches begin."""

    setting: Setting
    features: pd.DataFrame
    """(rows, features): numbers, and categories as pandas categories."""
    target: np.ndarray
    """(rows,) float64."""
    moments: np.ndarray
    """(rows,) datetime64[us]."""
    batches: tuple[str, ...]
    starts: np.ndarray
    """(batches + 1,) int64: batch ``i`` is the rows ``starts[i]:starts[i + 1]``."""

    def rows(self, first: int, last: int | None = None) -> slice:
        """Return the rows of the batches ``first`` to ``last``, both included; of ``first`` alone
        without ``last``.
        """
        return slice(
            int(self.starts[first]), int(self.starts[(first if last is None else last) + 1])
        )

    def holdout(self, batch: int) -> slice:
        """Return the newest 20% of the rows of ``batch``; rows of one moment stay together, as in
        training/split.py.
        """
        inside = self.rows(batch)
        times = self.moments[inside]
        cutoff = times[min(int(0.8 * len(times)), len(times) - 1)]
        return slice(inside.start + int(np.searchsorted(times, cutoff)), inside.stop)

    def head(self, batches: int) -> Stream:
        """Return the first so many batches."""
        stop = int(self.starts[min(batches, len(self.batches))])
        return replace(
            self,
            features=self.features.iloc[:stop],
            target=self.target[:stop],
            moments=self.moments[:stop],
            batches=self.batches[:batches],
            starts=self.starts[: batches + 1],
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
    return Stream(
        setting=setting,
        features=features.astype(dict.fromkeys(text, "category")),
        target=frame["y"].to_numpy(dtype="float64"),
        moments=frame["ts"].to_numpy(dtype="datetime64[us]"),
        batches=tuple(periods[starts]),
        starts=np.r_[starts, len(frame)].astype("int64"),
    )


def read(setting: Setting, data: Path) -> Stream:
    """Read ``data/<name>/data.csv.gz`` and cut it."""
    return cut(setting, pd.read_csv(data / setting.name / "data.csv.gz", parse_dates=["ts"]))
