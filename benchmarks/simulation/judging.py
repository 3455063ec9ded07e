"""Stored predictions in the seats of loaded models, so that the house's own judgement judges
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from benchmarks.simulation.streams import Stream
from tasks.evaluation.guardrails import CheckContext, prediction_guardrails
from tasks.evaluation.judgement import compare
from tasks.records import (
    BaselineProfile,
    Comparison,
    Evidence,
    FeatureFrame,
    FeatureSchema,
    LoadedModel,
    Recipe,
    RowSpan,
    TrainedModel,
)

METRIC = {"binary": "log_loss", "regression": "mae"}


@dataclass(frozen=True)
class Stored:
    """A fitted estimator whose predictions are one column of the frame."""

    column: str
    classes_: tuple[float, float] = (0.0, 1.0)

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Return the column, (rows,)."""
        column: np.ndarray = features[self.column].to_numpy()
        return column

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """Return P(0) and P(1), (rows, 2)."""
        p = self.predict(features)
        return np.column_stack([1 - p, p])


def compare_stored(
    stream: Stream,
    rows: slice,
    predictions: Mapping[str, np.ndarray],
    challenger: str,
    champion: str,
) -> Comparison:
    """Compare two of ``predictions``, each for ``rows``, which are newer than any row that either
    model has seen.
    """
    frame, span = _frame(stream, rows, predictions)
    one, other = (_seat(stream, frame, name, span) for name in (challenger, champion))
    return compare(
        one, other, frame, (span,), stream.setting.problem, METRIC[stream.setting.problem]
    )


def refresh_evidence(
    stream: Stream, batch: int, challenger: np.ndarray, champion: np.ndarray, version: int
) -> Evidence:
    """Return the evidence on a refresh from both models' predictions for the holdout of
    ``batch``.
    """
    rows = stream.holdout(batch)
    both = {"challenger": challenger, "champion": champion}
    frame, span = _frame(stream, rows, both)
    return Evidence(
        model=stream.setting.name,
        batch=stream.batches[batch],
        kind="refresh",
        challenger=version,
        champion=version - 1,
        attempt=0,
        holdout=(span,),
        comparison=compare_stored(stream, rows, both, "challenger", "champion"),
        guardrails=prediction_guardrails(
            CheckContext(
                _seat(stream, frame, "challenger", span),
                None,
                frame,
                frame,
                challenger,
                stream.setting.problem,
                "log_loss",
            )
        ),
    )


def _frame(
    stream: Stream, rows: slice, predictions: Mapping[str, np.ndarray]
) -> tuple[FeatureFrame, RowSpan]:
    """The rows as the house's rooms know them, with the predictions for features, and their
    span.
    """
    name, features = stream.setting.name, pd.DataFrame(dict(predictions))
    times = pd.Series(pd.to_datetime(stream.moments[rows], utc=True)).astype("datetime64[us, UTC]")
    frame = FeatureFrame(
        features=features,
        target=pd.Series(stream.target[rows]),
        event_time=times,
        batch=pd.Series(name, index=features.index, dtype="str"),
        slices=pd.DataFrame(index=features.index),
        keys=pd.DataFrame(index=features.index),
        schema=FeatureSchema(numerical=tuple(predictions), categorical=()),
        snapshots={name: name},
    )
    start, end = (
        times.iloc[0].to_pydatetime(),
        (times.iloc[-1] + pd.Timedelta("1us")).to_pydatetime(),
    )
    return frame, RowSpan(batch=name, snapshot=name, start=start, end=end, rows=len(times))


def _seat(stream: Stream, frame: FeatureFrame, column: str, held_out: RowSpan) -> LoadedModel:
    """``Made.of`` has refused rows that the model has seen; the spans say it once more, for the
    comparison.
    """
    long_ago = datetime(1900, 1, 1, tzinfo=UTC)
    seen = RowSpan(batch="before", snapshot="", start=long_ago, end=held_out.start, rows=1)
    trained = TrainedModel(
        model=stream.setting.name,
        version=1,
        run_id="",
        schema_=frame.schema,
        classes=(),
        trained_on=(seen,),
        recipe=Recipe(estimator="", params={}, encode="auto", window="", features=""),
        trained_until=held_out.start,
        artifact_sha256="",
        spec_sha256="",
        contract_version="",
        seed=0,
        code_version="",
        rows=1,
    )
    nothing = BaselineProfile(rows=0, features=())
    return LoadedModel(
        trained=trained, pipeline=Stored(column), baseline=frame.features, profile=nothing
    )
