"""Recalibration: what to add to the predictions after each mature batch, without a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tasks.decisions.config import EnsembleConfig, RecalibrationConfig, WatchConfig
from tasks.decisions.ensemble import judge_members, member_weights
from tasks.decisions.watch import was_better
from tasks.records import LabelSummary, Problem, Recalibrate, Recalibration, RecalibrationEvidence


def decide_recalibration(
    evidence: RecalibrationEvidence,
    ensemble: EnsembleConfig,
    config: RecalibrationConfig,
    watch: WatchConfig,
) -> Recalibrate:
    """Return the weights and the recalibration to serve with from now on, and why, in one sentence.

    When those in force did harm on the newest mature batch, as the watch understands it, those
    before them come back.
    """
    rows = evidence.summaries[-1].rows if evidence.summaries else 0
    members = judge_members(evidence.members, evidence.losses, rows, ensemble)
    compared = evidence.comparison
    if compared is not None and was_better(compared, watch):
        return Recalibrate(
            reason=f"taken back: loss {compared.champion_loss:.4g} on batch {evidence.batch}, and "
            f"{compared.challenger_loss:.4g} with what was in force before (t {-compared.t:.2f})",
            version=evidence.champion,
            members=members,
            weights=evidence.weights_before,
            recalibration=evidence.recalibration_before,
            taken_back=True,
        )
    weights = member_weights(members, ensemble) if members else ()
    found = recalibrate(evidence.summaries, evidence.problem, config)
    shares = f"; weights {', '.join(f'{w:.0%}' for w in weights)}" if len(weights) > 1 else ""
    return Recalibrate(
        reason=f"{found.reason}{shares}",
        version=evidence.champion,
        members=members,
        weights=weights,
        recalibration=found if any(found.shift) else None,
    )


def recalibrate(
    summaries: Sequence[LabelSummary], problem: Problem, config: RecalibrationConfig
) -> Recalibration:
    """Return the correction that the mature batches ``summaries``, oldest first, ask for.

    A batch counts by its rows, times ``discount`` for each newer batch. With n such effective rows
    the gap between labels and predictions is closed by the share s = strength * n / (n + rows)
    (docs/decisions.md): binary, the logit is moved by s (logit y - logit p); multiclass, each
    class's log probability by s (log y_k - log p_k), of which the binary form is the case of two
    classes, and which for s = 1 is the known change of prior (Saerens et al. 2002); regression,
    predictions are multiplied by (median y / median p)^s, where both medians are positive.
    """
    weights = [
        one.rows * config.discount ** (len(summaries) - 1 - i) for i, one in enumerate(summaries)
    ]
    rows = sum(weights)
    classes = len(summaries[-1].labels) if summaries else 1
    nothing = tuple(0.0 for _ in range(classes))
    if config.strength == 0 or rows == 0:
        reason = (
            "recalibrate: never" if config.strength == 0 else "no mature batch to recalibrate on"
        )
        return Recalibration(problem=problem, shift=nothing, rows=rows, reason=reason)
    labels = _means([one.labels for one in summaries], weights)
    predictions = _means([one.predictions for one in summaries], weights)
    if not all(map(math.isfinite, (*labels, *predictions))):
        reason = "the newest labels or predictions hold no number, so nothing is corrected"
        return Recalibration(problem=problem, shift=nothing, rows=rows, reason=reason)
    if problem == "regression" and not (labels[0] > 0 and predictions[0] > 0):
        reason = f"a factor needs positive values, found {labels[0]:.4g} and {predictions[0]:.4g}"
        return Recalibration(problem=problem, shift=nothing, rows=rows, reason=reason)
    strength = config.strength * rows / (rows + config.rows)
    gaps = [_gap(y, p, problem, rows) for y, p in zip(labels, predictions, strict=True)]
    reason = (
        f"{strength:.0%} of the gap between labels and predictions over {rows:,.0f} effective rows"
    )
    return Recalibration(
        problem=problem, shift=tuple(strength * gap for gap in gaps), rows=rows, reason=reason
    )


def _means(values: Sequence[Sequence[float]], weights: Sequence[float]) -> tuple[float, ...]:
    """The weighted mean of each column."""
    return tuple(
        sum(weight * value for weight, value in zip(weights, column, strict=True)) / sum(weights)
        for column in zip(*values, strict=True)
    )


def _gap(label: float, prediction: float, problem: Problem, rows: float) -> float:
    if problem == "regression":
        return math.log(label / prediction)
    y, p = (
        (share * rows + 0.5) / (rows + 1) for share in (label, prediction)
    )  # half a row each: no log of 0
    if problem == "multiclass":
        return math.log(y / p)
    return math.log(y / (1 - y)) - math.log(p / (1 - p))
