"""Stored predictions, compared and checked as those of loaded models are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flows.whatif.stream import Stream
from tasks.evaluation.checks import PREDICTION_CHECKS, make_checks
from tasks.evaluation.checks.base import CheckContext
from tasks.evaluation.config import GuardrailsConfig
from tasks.evaluation.judgement import compare
from tasks.evaluation.scored import LabelledRows, Scored
from tasks.records import Comparison, Evidence, FeatureFrame, FeatureSchema, RowSpan


def compare_stored(
    stream: Stream, rows: slice, challenger: np.ndarray, champion: np.ndarray
) -> Comparison:
    """Compare two models by their predictions for ``rows``, each (rows,) or (rows, classes)
    float64; ``Made.of`` has refused rows that one of them has seen.
    """
    labelled = labelled_rows(stream, rows)
    return compare(_scored(stream, labelled, challenger), _scored(stream, labelled, champion), ())


def refresh_evidence(
    stream: Stream,
    batch: int,
    rows: slice,
    challenger: np.ndarray,
    champion: np.ndarray,
    version: int,
    guardrails: GuardrailsConfig,
) -> Evidence:
    """Return the evidence on a refresh at ``batch`` from both models' predictions for ``rows``."""
    labelled = labelled_rows(stream, rows)
    frame, scored = labelled.frame, _scored(stream, labelled, challenger)
    return Evidence(
        model=stream.name,
        batch=stream.batches[batch],
        kind="refresh",
        challenger=version,
        champion=version - 1,
        attempt=0,
        holdout=(_span(frame),),
        comparison=compare_stored(stream, rows, challenger, champion),
        guardrails=make_checks(
            CheckContext(scored, None, scored, challenger, challenger, guardrails),
            PREDICTION_CHECKS,
        ),
    )


def _scored(stream: Stream, rows: LabelledRows, predicted: np.ndarray) -> Scored:
    return Scored(rows, stream.objective, (predicted,))


def labelled_rows(stream: Stream, rows: slice) -> LabelledRows:
    """Return the labels and moments of ``rows``: predictions are stored, so no feature is
    needed.
    """
    name, target = stream.name, pd.Series(stream.target[rows])
    nothing = pd.DataFrame(index=target.index)
    frame = FeatureFrame(
        features=nothing,
        target=target,
        event_time=pd.Series(stream.moments[rows]).dt.tz_localize("UTC"),
        batch=pd.Series(name, index=target.index, dtype="str"),
        slices=stream.slices.iloc[rows].reset_index(drop=True),
        keys=nothing,
        schema=FeatureSchema(numerical=(), categorical=()),
        snapshots={name: name},
    )
    return LabelledRows(frame)


def _span(frame: FeatureFrame) -> RowSpan:
    name, times = max(frame.snapshots), frame.event_time
    start = times.iloc[0].to_pydatetime()
    end = (times.iloc[-1] + pd.Timedelta("1us")).to_pydatetime()
    return RowSpan(batch=name, snapshot=name, start=start, end=end, rows=len(frame))
