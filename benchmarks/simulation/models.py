"""Every model that a policy of the yardstick may ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.simulation.streams import Stream
from flows.whatif import models

Window = Literal["all", "sliding"]


class Models(models.Models):
    """The models of one stream: scikit-learn's defaults, with categories by their dtype."""

    stream: Stream

    def __init__(self, stream: Stream, folder: Path) -> None:
        super().__init__(stream, folder / f"{stream.name}-{len(stream.target)}")

    @property
    def digest(self) -> str:
        """Nothing: there is one recipe."""
        return ""

    def last(self, window: Window) -> int | None:
        """Return the batches of a window; None for all history."""
        return None if window == "all" else self.stream.setting.first

    def fit(self, rows: slice) -> Callable[[slice], tuple[np.ndarray, tuple[str, ...]]]:
        """Fit a model on rows of the stream."""
        stream = self.stream
        model = self.estimator().fit(stream.features.iloc[rows], stream.target[rows])

        def predict(rows: slice) -> tuple[np.ndarray, tuple[str, ...]]:
            features = stream.features.iloc[rows]
            if not len(features):
                return np.empty(0), ()
            if stream.setting.problem == "binary":
                return np.asarray(model.predict_proba(features)[:, 1]), ()
            return np.asarray(model.predict(features)), ()

        return predict

    def estimator(self) -> Any:  # noqa: ANN401 - either estimator of scikit-learn
        """Return what is fitted."""
        binary = self.stream.setting.problem == "binary"
        return (HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor)(
            random_state=0
        )
