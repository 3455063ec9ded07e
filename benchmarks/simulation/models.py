"""Every model that a policy may ask for, trained once; its predictions are stored, so that a replay
takes seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from benchmarks.simulation.streams import Stream

Window = Literal["all", "sliding"]


@dataclass(frozen=True)
class Made:
    """What a model, trained when batch ``batch`` was the newest, says of every row that it has not
    seen.
    """

    batch: int
    window: Window
    start: int
    """The row of the stream that ``predictions`` begins with: all rows before it were there to
    train on.
    """
    predictions: np.ndarray
    """(rows from ``start`` on,) float64."""
    seconds: float
    """CPU seconds of the training."""

    def of(self, rows: slice) -> np.ndarray:
        """Return the predictions for ``rows``; ValueError when one of them was there to train
        on.
        """
        if rows.start < self.start:
            raise ValueError(
                f"expected rows from {self.start} on, found {rows.start}: the model has seen them"
            )
        return self.predictions[rows.start - self.start : rows.stop - self.start]


class Models:
    """The models of one stream, kept in a folder."""

    def __init__(self, stream: Stream, folder: Path) -> None:
        self.stream = stream
        self.folder = folder / f"{stream.setting.name}-{len(stream.target)}"
        self.get = lru_cache(maxsize=None)(self._get)

    def training_rows(self, batch: int, window: Window) -> slice:
        """Return the rows of the window whose newest batch is ``batch``."""
        first = 0 if window == "all" else max(0, batch + 1 - self.stream.setting.first)
        return self.stream.rows(first, batch)

    def _get(self, batch: int, window: Window, held_out: bool) -> Made:
        """Return the model of ``window`` at ``batch``: trained on all of it, or all before its
        holdout.
        """
        file = self.folder / f"{window}-{'held' if held_out else 'full'}-{batch:03d}.npz"
        if not file.exists():
            self._make(file, batch, window, held_out)
        with np.load(file) as stored:
            return Made(
                batch, window, int(stored["start"]), stored["predictions"], float(stored["seconds"])
            )

    def _make(self, file: Path, batch: int, window: Window, held_out: bool) -> None:
        stream = self.stream
        rows = self.training_rows(batch, window)
        if held_out:
            rows = slice(rows.start, stream.holdout(batch).start)
        with threadpool_limits(1):  # threads that wait for each other would be counted as CPU
            start = time.process_time()
            model = self.estimator().fit(stream.features.iloc[rows], stream.target[rows])
            seconds = time.process_time() - start
            predictions = self._predict(model, stream.features.iloc[rows.stop :])
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".part.npz")
        np.savez(whole, start=rows.stop, predictions=predictions, seconds=seconds)
        whole.rename(file)  # a training that was cut off leaves no half file behind

    def _predict(self, model: Any, features: pd.DataFrame) -> np.ndarray:  # noqa: ANN401 - a fitted estimator

        if not len(features):
            return np.empty(0)
        binary = self.stream.setting.problem == "binary"
        return np.asarray(
            model.predict_proba(features)[:, 1] if binary else model.predict(features)
        )

    def estimator(self) -> Any:  # noqa: ANN401 - either estimator of scikit-learn
        """Return what is fitted: scikit-learn's defaults, with categories by their dtype."""
        binary = self.stream.setting.problem == "binary"
        return (HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor)(
            random_state=0
        )
