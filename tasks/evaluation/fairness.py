"""Fairness: whether a challenger treats the groups of an audited column more unequally than the
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

from tasks.evaluation.compare import time_blocks
from tasks.evaluation.config import FairnessConfig
from tasks.evaluation.guardrails import CheckContext, check
from tasks.evaluation.metrics import row_losses, standard_error
from tasks.prediction import predict_frame
from tasks.records import Guardrail, LoadedModel

ALPHA = 0.05
"""Chance that an equally fair challenger fails, over all measures and columns (Bonferroni)."""


def fairness(exam: CheckContext, config: FairnessConfig) -> tuple[Guardrail, ...]:
    """Check each audited column on the holdout: no difference between groups may be clearly above
    the champion's.

    Binary: demographic parity and equalised odds of the decision at 0.5 (Agarwal et al. 2018), and
    mean loss; other problems: mean loss, as a share of the whole holdout's. A difference is that of
    the largest and the smallest group.
    """
    measures = {n: d for n, d in _MEASURES.items() if n == "loss" or exam.problem == "binary"}
    tests = len(measures) * len(config.columns)
    return tuple(_column(exam, column, config, measures, tests) for column in config.columns)


def _column(
    exam: CheckContext,
    column: str,
    config: FairnessConfig,
    measures: dict[str, Callable[[pd.DataFrame], float]],
    tests: int,
) -> Guardrail:
    name = f"fairness by {column}"
    limit = (
        f"not clearly more than {config.worse} above the champion's, over groups of {config.rows:,}"
        " rows or more"
    )
    cells = _cells(exam, exam.challenger, column, config.rows)
    groups = cells["group"].nunique()
    if groups < 2:
        found = (
            f"too few rows to tell: {groups} of 2 such groups; lower fairness.rows, or hold out"
            " more (training.holdout)"
        )
        return check(name, True, found, limit)
    champion = None if exam.champion is None else _cells(exam, exam.champion, column, config.rows)
    said, passed = [], True
    for measure, difference in measures.items():
        ours = difference(cells)
        if champion is None:
            said.append(f"{measure} {ours:.3f}")
            continue
        theirs = difference(champion)
        said.append(f"{measure} {ours:.3f} (champion {theirs:.3f})")
        passed = passed and not _clearly_above(
            cells, champion, difference, config.worse, ALPHA / tests
        )
    return check(name, passed, f"differences over {groups} groups: {', '.join(said)}", limit)


def _clearly_above(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    difference: Callable[[pd.DataFrame], float],
    allowed: float,
    alpha: float,
) -> bool:
    """Whether the worsening is above ``allowed``, and above nothing by more than chance over blocks
    of time.
    """
    worse = difference(ours) - difference(theirs)
    if not worse > allowed:
        return False
    blocks = ours["block"].unique()
    without = [
        difference(ours[ours["block"] != b]) - difference(theirs[theirs["block"] != b])
        for b in blocks
    ]
    error = standard_error(np.array(without))
    return math.isfinite(error) and worse > float(stats.t.ppf(1 - alpha, len(blocks) - 1)) * error


def _cells(exam: CheckContext, model: LoadedModel, column: str, least: int) -> pd.DataFrame:
    """The holdout counted by block, group, label and decision, with the rows and the mean loss of
    each cell.

    Rows of a cell are alike to every measure, so that what is left out a block at a time is small,
    whatever the holdout.
    """
    holdout = exam.holdout
    if holdout.audit is None:
        raise ValueError(
            f"fairness: expected a holdout with the audited column {column!r}, found none"
        )
    target, predicted = holdout.target.to_numpy(), predict_frame(model, holdout, exam.problem)
    losses = row_losses(target, predicted, exam.problem, model.trained.classes, exam.metric)
    binary = exam.problem == "binary"
    rows = pd.DataFrame(
        {
            "block": time_blocks(holdout.moments)[0],
            "group": holdout.audit[column].to_numpy(),
            "label": target if binary else np.zeros(len(target)),
            "decision": predicted >= 0.5 if binary else np.zeros(len(target)),
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


_MEASURES: dict[str, Callable[[pd.DataFrame], float]] = {
    "demographic parity": _demographic_parity,
    "equalised odds": _equalised_odds,
    "loss": _loss_difference,
}
