"""Losses by slice, by fairlearn's MetricFrame, and the paired test on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.evaluation.compare import block_test
from tasks.records import SliceComparison, SliceScore

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def slice_scores(losses: np.ndarray, slices: pd.DataFrame) -> tuple[SliceScore, ...]:
    """Return rows and mean loss for each value of each slice column, largest slice first.

    ``losses`` is float64 (rows,), ``slices`` str (rows, slice columns).
    """
    from fairlearn.metrics import MetricFrame, count

    scores: list[SliceScore] = []
    for column in slices.columns:
        frame = MetricFrame(
            metrics={"rows": count, "loss": lambda _, losses: float(losses.mean())},
            y_true=losses,
            y_pred=losses,
            sensitive_features=slices[column].to_numpy(),
        ).by_group
        scores += [
            SliceScore(column=column, value=str(value), rows=int(row["rows"]), loss=float(row["loss"]))
            for value, row in frame.iterrows()
        ]
    return tuple(sorted(scores, key=lambda score: (score.column, -score.rows)))


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
