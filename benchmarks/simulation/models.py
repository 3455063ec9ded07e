"""Every model that a policy may ask for, trained once; its predictions are stored, so that a replay takes seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.simulation.streams import Stream

if TYPE_CHECKING:
    import numpy as np

Window = Literal["all", "sliding"]


@dataclass(frozen=True)
class Made:
    """What a model, trained when batch ``batch`` was the newest, says of every row that it has not seen."""

    batch: int
    window: Window
    start: int
    """The row of the stream that ``predictions`` begins with: all rows before it were there to train on."""
    predictions: np.ndarray
    """(rows from ``start`` on,) float64."""
    seconds: float
    """CPU seconds of the training."""

    def of(self, rows: slice) -> np.ndarray:
        """Return the predictions for ``rows``; ValueError when one of them was there to train on."""
        if rows.start < self.start:
            raise ValueError(
                f"expected rows from {self.start} on, found {rows.start}: the model has seen them"
            )
        return self.predictions[rows.start - self.start : rows.stop - self.start]


class Models:
    """The models of one stream, kept in a folder."""

    def __init__(self, stream: Stream, folder: Path) -> None:
        self.stream = stream
        self.folder = folder / stream.setting.name
        self.get = lru_cache(maxsize=None)(self._get)

    def training_rows(self, batch: int, window: Window) -> slice:
        """Return the rows of the window whose newest batch is ``batch``."""
        first = 0 if window == "all" else max(0, batch + 1 - self.stream.setting.first)
        return self.stream.rows(first, batch)

    def _get(self, batch: int, window: Window, held_out: bool) -> Made:
        """Return the model of ``window`` at ``batch``: trained on all of it, or all before its holdout."""
        import numpy as np

        file = self.folder / f"{window}-{'held' if held_out else 'full'}-{batch:03d}.npz"
        if not file.exists():
            self._make(file, batch, window, held_out)
        with np.load(file) as stored:
            return Made(batch, window, int(stored["start"]), stored["predictions"], float(stored["seconds"]))

    def _make(self, file: Path, batch: int, window: Window, held_out: bool) -> None:
        import numpy as np

        stream = self.stream
        rows = self.training_rows(batch, window)
        if held_out:
            rows = slice(rows.start, stream.holdout(batch).start)
        start = time.process_time()
        model = self._estimator().fit(stream.features.iloc[rows], stream.target[rows])
        seconds = time.process_time() - start
        rest = stream.features.iloc[rows.stop :]
        if not len(rest):
            predictions = np.empty(0)
        elif stream.setting.problem == "binary":
            predictions = model.predict_proba(rest)[:, 1]
        else:
            predictions = model.predict(rest)
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".part.npz")
        np.savez(whole, start=rows.stop, predictions=predictions, seconds=seconds)
        whole.rename(file)  # a training that was cut off leaves no half file behind

    def _estimator(self) -> Any:  # noqa: ANN401 - either estimator of scikit-learn
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        binary = self.stream.setting.problem == "binary"
        return (HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor)(random_state=0)
