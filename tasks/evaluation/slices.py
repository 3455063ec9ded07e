"""Losses and metrics by slice, by fairlearn's MetricFrame, and the paired test on each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame

from tasks.evaluation.compare import PIECE, block_test, paired_sums, ratio_test
from tasks.records import Interval, SliceComparison, SliceScore


def slice_scores(
    losses: np.ndarray,
    blocks: np.ndarray,
    slices: pd.DataFrame,
    score: Callable[[np.ndarray], Interval | None],
) -> tuple[SliceScore, ...]:
    """Return rows, mean loss and metric, with their intervals, for each value of each slice column,
    largest first.

    ``losses`` is float64 (rows,), ``blocks`` (rows,) the block of time of each row, ``slices`` str
    (rows, slice columns); ``score`` gives the metric on some rows, by their positions, and None
    where it is not defined.
    """
    positions = np.arange(len(losses))

    # Positions in the place of labels: MetricFrame groups them, and predictions of any shape can be
    # looked up.
    def judge(rows: np.ndarray, _: np.ndarray) -> dict[str, object]:
        rows = np.asarray(rows)
        loss = block_test(losses[rows], blocks[rows]).mean.at_least(0.0)
        return {"rows": len(rows), "loss": loss, "score": score(rows)}

    scores = [
        SliceScore(column=column, value=str(value), **judged)
        for column in slices.columns
        for value, judged in MetricFrame(
            metrics=judge,
            y_true=positions,
            y_pred=positions,
            sensitive_features=slices[column].to_numpy(),
        ).by_group.items()
    ]
    return tuple(sorted(scores, key=lambda one: (one.column, -one.rows)))


def compare_slices(
    challenger: np.ndarray, champion: np.ndarray, blocks: np.ndarray, slices: pd.DataFrame
) -> tuple[SliceComparison, ...]:
    """Return the paired, block-clustered comparison of two models' losses (rows,) on each slice,
    largest first.

    Each column is gone through once, whatever the number of its values.
    """
    compared = list[SliceComparison]()
    for column in slices.columns:
        values, codes = _numbered(slices[column])
        sums = paired_sums(challenger, champion, blocks, codes, len(values))
        rows = sums.rows.sum(axis=1)
        challenger_losses = sums.challenger.sum(axis=1) / rows
        champion_losses = sums.champion.sum(axis=1) / rows
        for i, value in enumerate(values):
            test = ratio_test(sums.difference[i], sums.rows[i])
            compared.append(
                SliceComparison(
                    column=column,
                    value=str(value),
                    rows=int(rows[i]),
                    blocks=test.blocks,
                    challenger_loss=float(challenger_losses[i]),
                    champion_loss=float(champion_losses[i]),
                    p_worse=1 - test.p_below if test.blocks > 1 else 1.0,
                )
            )
    return tuple(sorted(compared, key=lambda one: (one.column, -one.rows)))


def _numbered(column: pd.Series) -> tuple[list[str], np.ndarray]:
    """The column's values, and the number of each row's, int32 (rows,): found in pieces, for the
    sake of memory.
    """
    numbers = dict[str, int]()
    codes = np.empty(len(column), dtype="int32")
    for start in range(0, len(column), PIECE):
        here, values = pd.factorize(column.iloc[start : start + PIECE])
        known = np.array(
            [numbers.setdefault(value, len(numbers)) for value in values], dtype="int32"
        )
        codes[start : start + PIECE] = known[here]
    return list(numbers), codes
