"""Losses and metrics by slice, by fairlearn's MetricFrame, and the paired test on each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.evaluation.compare import block_test
from tasks.records import SliceComparison, SliceScore

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def slice_scores(
    losses: np.ndarray, slices: pd.DataFrame, score: Callable[[np.ndarray], float] | None = None
) -> tuple[SliceScore, ...]:
    """Return rows, mean loss and metric for each value of each slice column, largest slice first.

    ``losses`` is float64 (rows,), ``slices`` str (rows, slice columns); ``score`` gives the metric on some rows, by
    their positions, and NaN where it is not defined.
    """
    import numpy as np
    from fairlearn.metrics import MetricFrame, count

    positions = np.arange(len(losses))
    metrics = {"rows": count, "loss": lambda _, rows: float(losses[rows].mean())}
    if score is not None:
        metrics["score"] = lambda _, rows: score(rows)
    scores: list[SliceScore] = []
    for column in slices.columns:
        # Positions in the place of labels: MetricFrame groups them, and predictions of any shape can be looked up.
        by_group = MetricFrame(
            metrics=metrics, y_true=positions, y_pred=positions, sensitive_features=slices[column].to_numpy()
        ).by_group
        for value, row in by_group.iterrows():
            found = float(row["score"]) if score is not None else math.nan
            scores.append(
                SliceScore(
                    column=column,
                    value=str(value),
                    rows=int(row["rows"]),
                    loss=float(row["loss"]),
                    score=found if math.isfinite(found) else None,
                )
            )
    return tuple(sorted(scores, key=lambda one: (one.column, -one.rows)))


def compare_slices(
    challenger: np.ndarray, champion: np.ndarray, blocks: np.ndarray, slices: pd.DataFrame
) -> tuple[SliceComparison, ...]:
    """Return the paired, block-clustered comparison of two models' losses (rows,) on each slice."""
    champion_by = {(s.column, s.value): s.loss for s in slice_scores(champion, slices)}
    compared = []
    for score in slice_scores(challenger, slices):
        rows = (slices[score.column] == score.value).to_numpy()
        test = block_test(challenger[rows] - champion[rows], blocks[rows])
        compared.append(
            SliceComparison(
                column=score.column,
                value=score.value,
                rows=score.rows,
                blocks=test.blocks,
                challenger_loss=score.loss,
                champion_loss=champion_by[score.column, score.value],
                p_worse=1 - test.p_below if test.blocks > 1 else 1.0,
            )
        )
    return tuple(compared)
