"""How models did: one on a batch, two against each other, one on seen and unseen rows; and which
features matter to one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tasks.evaluation.compare import (
    BlockTest,
    block_test,
    jackknife_test,
    minority,
    paired_test,
    refuse_seen_rows,
)
from tasks.evaluation.config import UTILITY, greater_is_better
from tasks.evaluation.margins import errors_of
from tasks.evaluation.metrics import (
    EvaluationError,
    UndefinedMetricError,
    leave_one_out,
    score_interval,
)
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows, Scored
from tasks.evaluation.slices import compare_slices, slice_scores
from tasks.prediction import predict_mixed
from tasks.records import (
    Comparison,
    Generalisation,
    Interval,
    Performance,
    RowSpan,
    UtilityComparison,
)


def performance(scored: Scored, metrics: tuple[str, ...]) -> Performance:
    """Judge one model on the labelled rows of one batch, by its objective's metric and by
    ``metrics`` as far as they are defined.

    On rows of one class there is no AUC: the score is None, and the loss judges. Raises
    EvaluationError when a prediction is no number.
    """
    rows, objective = scored.rows, scored.objective
    test = block_test(scored.losses, rows.blocks)

    def interval(name: str, of: np.ndarray | slice = slice(None)) -> Interval:
        return score_interval(
            objective.by(name), rows.target[of], scored.predicted[of], rows.blocks[of]
        )

    def defined(name: str, of: np.ndarray | slice = slice(None)) -> Interval | None:
        try:
            return interval(name, of)
        except UndefinedMetricError:
            return None

    found = {name: one for name in metrics if (one := defined(name)) is not None}
    return Performance(
        batch=max(rows.frame.snapshots),
        version=scored.version,
        rows=len(rows),
        blocks=test.blocks,
        metric=objective.metric,
        score=defined(objective.metric),
        loss=test.mean.at_least(0.0),
        metrics=found if scored.worth is None else found | {UTILITY: _worth(scored)},
        slices=slice_scores(
            scored.losses,
            rows.blocks,
            rows.frame.slices,
            lambda of: defined(objective.metric, of),
        ),
        errors=(
            errors_of(rows.target.astype("float64"), scored.predicted)
            if objective.problem == "regression"
            else None
        ),
    )


def _worth(scored: Scored) -> Interval:
    """What a row is worth, by its mean."""
    worth = np.zeros(len(scored.rows)) if scored.worth is None else scored.worth
    return block_test(worth, scored.rows.blocks).mean


def compare(challenger: Scored, champion: Scored, spans: tuple[RowSpan, ...]) -> Comparison:
    """Compare what two models predict for the same rows, whose spans are ``spans``.

    A metric that is not defined, as AUC is not on one class, is None, and NaN where a prediction is
    no number; the losses are what they are: the gate says what follows. Raises SeenRowsError when
    either model was trained on a row as new.
    """
    for scored in (challenger, champion):
        refuse_seen_rows(spans, scored.trained_on, f"version {scored.version}")
    rows, metric = challenger.rows, challenger.objective.metric
    own = paired_test(challenger.losses, champion.losses, rows.blocks)
    judged = _judged(challenger, champion)
    losses = challenger.losses, champion.losses
    test, by_row, lost = judged or (own, losses, (_mean(losses[0]), _mean(losses[1])))
    comparison = Comparison(
        rows=len(rows),
        blocks=test.blocks,
        minority=minority(rows.frame.target, challenger.objective.problem),
        block_hours=rows.block_hours,
        challenger_loss=lost[0],
        champion_loss=lost[1],
        difference=test.mean,
        t=test.t,
        p_better=test.p_below,
        metric=metric,
        challenger_score=_score_or_nan(challenger),
        champion_score=_score_or_nan(champion),
        greater_is_better=greater_is_better(metric),
        slices=compare_slices(*by_row, rows.blocks, rows.frame.slices),
        judged_by="log_loss" if judged is None else challenger.objective.judged_by,
        utility=_utilities(challenger, champion),
        block_means=test.block_means,
    )
    if judged is None:
        return comparison
    by_loss = comparison.but(difference=own.mean, champion_loss=_mean(losses[1]))
    return comparison.but(loss_tells=by_loss.detectable)


def _mean(losses: np.ndarray) -> float:
    return float(losses.mean())


_Losses = tuple[np.ndarray, np.ndarray]


def _judged(
    challenger: Scored, champion: Scored
) -> tuple[BlockTest, _Losses, tuple[float, float]] | None:
    """The test, the losses by row that slices are judged by, and the losses of both, where the spec
    asks for another loss than that of the problem; None where it does not, or where predictions or
    labels give none.
    """
    by, rows = challenger.objective.judged_by, challenger.rows
    if by == "log_loss" or not (challenger.finite and champion.finite):
        return None
    if by == "utility":
        one, other = challenger.worth, champion.worth
        if one is None or other is None:
            return None
        costs = -one, -other
        return paired_test(*costs, rows.blocks), costs, (_mean(costs[0]), _mean(costs[1]))
    try:
        scores = [
            leave_one_out(of.objective, rows.target, of.predicted, rows.blocks)
            for of in (challenger, champion)
        ]
    except UndefinedMetricError:
        return None
    turned = [_as_loss(challenger.objective.metric, *score) for score in scores]
    (lost, without), (kept, kept_without) = turned
    test = jackknife_test(lost - kept, without - kept_without)
    return test, (challenger.losses, champion.losses), (lost, kept)


def _as_loss(metric: str, value: float, without: np.ndarray) -> tuple[float, np.ndarray]:
    """A metric, and what it is without each block, as a loss: less is better, and none is 0 or as
    near to it as the metric comes.
    """
    return (1 - value, 1 - without) if greater_is_better(metric) else (value, without)


def _utilities(challenger: Scored, champion: Scored) -> UtilityComparison | None:
    one, other = challenger.worth, champion.worth
    if one is None or other is None:
        return None
    blocks = challenger.rows.blocks
    return UtilityComparison(
        challenger=block_test(one, blocks).mean,
        champion=block_test(other, blocks).mean,
        difference=paired_test(one, other, blocks).mean,
    )


def _score_or_nan(scored: Scored) -> Interval | None:
    rows = scored.rows
    try:
        return score_interval(scored.objective, rows.target, scored.predicted, rows.blocks)
    except UndefinedMetricError:
        return None
    except EvaluationError:
        return Interval(value=float("nan"), low=float("-inf"), high=float("inf"))


def generalisation(challenger: Scored, train: Scored) -> Generalisation:
    """Return the mean losses on training rows and on the holdout, of the challenger and of one
    answer for all rows.

    The one answer is made from the training rows: the base rates, the mean, or the quantile that is
    asked for.
    """
    objective, seen, unseen = challenger.objective, train.rows.target, challenger.rows.target
    if objective.problem == "multiclass":
        answer = (seen[:, np.newaxis] == np.array(objective.classes)).mean(axis=0)[np.newaxis]
    elif objective.quantile is not None:
        answer = np.array([np.quantile(seen.astype("float64"), objective.quantile)])
    else:
        answer = np.array([seen.astype("float64").mean()])

    def constant(target: np.ndarray) -> np.ndarray:
        return objective.losses(target, np.repeat(answer, len(target), axis=0))

    constant_losses = constant(unseen)
    worse = block_test(challenger.losses - constant_losses, challenger.rows.blocks)
    return Generalisation(
        train_loss=float(train.losses.mean()),
        holdout_loss=float(challenger.losses.mean()),
        constant_train_loss=float(constant(seen).mean()),
        constant_holdout_loss=float(constant_losses.mean()),
        worse_than_constant=worse.mean,
    )


def importance(
    predict: Callable[[pd.DataFrame], np.ndarray],
    rows: LabelledRows,
    predicted: np.ndarray,
    objective: Objective,
    *,
    size: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Return feature -> loss added when its values are shuffled (Breiman 2001), on a seeded sample
    of ``rows``.

    ``predict`` goes from features to predictions; ``predicted``, (rows,) or (rows, classes), are
    its predictions for ``rows``. Negative values, which are noise, are given as 0.
    """
    drawn = np.arange(len(rows))
    if len(rows) > size:
        drawn = np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))
    target, features = rows.target[drawn], rows.frame.features.iloc[drawn]
    whole = objective.mean_loss(target, predicted[drawn])
    order = np.random.default_rng(seed).permutation(len(drawn))

    found = predict_mixed(predict, features, features.iloc[order], np.eye(features.shape[1]) > 0)
    return {
        str(name): max(0.0, objective.mean_loss(target, one) - whole)
        for name, one in zip(features.columns, found, strict=True)
    }
