"""KM013: whether a challenger treats the groups of an audited column more unequally than the
champion, by fairlearn.

Groups come from ``fairness.columns`` of the spec. Values of a personal column are numbered where
the feature frame is made (tasks/features/frame.py), so that none of them can get here, or into a
report.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, demographic_parity_difference, equalized_odds_difference
from scipy import stats

from tasks.evaluation.checks.base import CheckContext, ModelCheck
from tasks.evaluation.metrics import standard_error
from tasks.evaluation.scored import Scored
from tasks.records import Guardrail

ALPHA = 0.05
"""Chance that an equally fair challenger fails, over all measures and columns (Bonferroni)."""


class Fairness(ModelCheck):
    """KM013: on the holdout no difference between groups is clearly above the champion's.

    Binary: demographic parity and equalised odds of the decision at 0.5 (Agarwal et al. 2018), and
    mean loss; other problems: mean loss, as a share of the whole holdout's. A difference is that of
    the largest and the smallest group.
    """

    code = "KM013"

    def __init__(self, column: str) -> None:
        self.column = column

    @property
    def title(self) -> str:
        """What is checked, with the audited column."""
        return f"{super().title} by {self.column}"

    def check(self, context: CheckContext) -> Guardrail:
        """Compare the differences between groups with the champion's."""
        config, binary = context.fairness, context.challenger.objective.problem == "binary"
        limit = (
            f"not clearly more than {config.worse} above the champion's, over groups of"
            f" {config.rows:,} rows or more"
        )
        challenger = cells(context.challenger, self.column, config.rows)
        groups = challenger["group"].nunique()
        if groups < 2:
            found = (
                f"too few rows to tell: {groups} of 2 such groups; lower fairness.rows, or hold out"
                " more (training.holdout)"
            )
            return self.result(True, found, limit)
        champion = (
            None if context.champion is None else cells(context.champion, self.column, config.rows)
        )
        measures = {n: of for n, of in MEASURES.items() if n == "loss" or binary}
        alpha = ALPHA / (len(measures) * len(config.columns))
        told, passed = list[str](), True
        for name, difference in measures.items():
            own = f"{name} {difference(challenger):.3f}"
            if champion is not None:
                own += f" (champion {difference(champion):.3f})"
                passed = passed and not _clearly_above(
                    challenger, champion, difference, config.worse, alpha
                )
            told.append(own)
        return self.result(passed, f"differences over {groups} groups: {', '.join(told)}", limit)


def _clearly_above(
    challenger: pd.DataFrame,
    champion: pd.DataFrame,
    difference: Callable[[pd.DataFrame], float],
    allowed: float,
    alpha: float,
) -> bool:
    """Whether the worsening is above ``allowed``, and above nothing by more than chance over blocks
    of time.
    """
    worse = difference(challenger) - difference(champion)
    if not worse > allowed:
        return False
    blocks = challenger["block"].unique()
    without = [
        difference(challenger[challenger["block"] != b])
        - difference(champion[champion["block"] != b])
        for b in blocks
    ]
    error = standard_error(np.array(without))
    return math.isfinite(error) and worse > float(stats.t.ppf(1 - alpha, len(blocks) - 1)) * error


def cells(scored: Scored, column: str, least: int) -> pd.DataFrame:
    """Return the rows of groups of at least ``least``, counted by block, group, label and decision,
    with the rows and the mean loss of each cell.

    Rows of a cell are alike to every measure, so that what is left out a block at a time is small,
    whatever the holdout.
    """
    audit, target, losses = scored.rows.frame.audit, scored.rows.target, scored.losses
    if audit is None:
        raise ValueError(
            f"fairness: expected a holdout with the audited column {column!r}, found none"
        )
    binary = scored.objective.problem == "binary"
    rows = pd.DataFrame(
        {
            "block": scored.rows.blocks,
            "group": audit[column].to_numpy(),
            "label": target if binary else np.zeros(len(target)),
            "decision": scored.predicted >= 0.5 if binary else np.zeros(len(target)),
            "loss": losses if binary else losses / (losses.mean() or 1.0),
        }
    )
    enough = rows["group"].map(rows["group"].value_counts()) >= least
    by = rows[enough].groupby(["block", "group", "label", "decision"])["loss"]
    return by.agg(loss="mean", rows="size").reset_index()


def _loss_difference(cells: pd.DataFrame) -> float:
    def mean(losses: np.ndarray, _: np.ndarray, rows: np.ndarray) -> float:
        return float(np.average(losses, weights=rows))

    return float(
        MetricFrame(
            metrics=mean,
            y_true=cells["loss"],
            y_pred=cells["loss"],
            sensitive_features=cells["group"],
            sample_params={"rows": cells["rows"]},
        ).difference()
    )


def _demographic_parity(cells: pd.DataFrame) -> float:
    return float(
        demographic_parity_difference(
            cells["label"],
            cells["decision"].astype("float64"),
            sensitive_features=cells["group"],
            sample_weight=cells["rows"],
        )
    )


def _equalised_odds(cells: pd.DataFrame) -> float:
    """0 when fewer than two groups have rows of both labels: a rate of no rows is none."""
    both = cells[cells.groupby("group")["label"].transform("nunique") == 2]
    if both["group"].nunique() < 2:
        return 0.0
    return float(
        equalized_odds_difference(
            both["label"],
            both["decision"].astype("float64"),
            sensitive_features=both["group"],
            sample_weight=both["rows"],
        )
    )


MEASURES: dict[str, Callable[[pd.DataFrame], float]] = {
    "demographic parity": _demographic_parity,
    "equalised odds": _equalised_odds,
    "loss": _loss_difference,
}
"""What is measured -> from cells to the difference between groups."""
