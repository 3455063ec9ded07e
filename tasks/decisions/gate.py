"""The promotion gate: a pure function from evidence to one decision."""

from __future__ import annotations

import math

from tasks.decisions.config import GateConfig
from tasks.decisions.sequential import e_value
from tasks.records import (
    AwaitApproval,
    Comparison,
    Evidence,
    Guardrail,
    Promote,
    Reject,
    Shadow,
    SliceComparison,
)

_NAMES = {"log_loss": "loss", "metric": "{metric} as a loss", "utility": "cost"}
"""What is compared, in words."""

_NEWER = "; that cannot be told from no difference, and the new version has learned from newer rows"
"""Why a refresh with a slightly higher loss is promoted."""


def attempt_alpha(alpha: float, attempt: int) -> float:
    """Return the level of the ``attempt``-th try (from 1): ``alpha * 6 / (pi * attempt)^2``.

    The levels of endlessly many tries sum to ``alpha``, since the sum of 1 / i^2 is pi^2 / 6.
    """
    return alpha * 6 / (math.pi * attempt) ** 2


def decide_promotion(
    evidence: Evidence, config: GateConfig, *, approval_required: bool = False
) -> Promote | Reject | AwaitApproval | Shadow:
    """Return whether the challenger is champion, and why, in one sentence.

    The first champion needs its guardrails only, and a person's yes where one is required. A
    refresh, the champion's own recipe on newer data, is promoted unless it is clearly worse; a test
    for superiority there blocks useful refreshes. A change of recipe must be proven better, at a
    level that shrinks with each attempt since the last promotion, so that trying long enough does
    not promote an equal model. When the holdout is too little for that, the challenger predicts up
    to ``pool`` following batches in shadow, and is judged by all of these rows together, after each
    of them, by a test that may be looked at repeatedly. Whatever the kind, a failed guardrail or a
    slice that lost clearly
    refuses; one whose check the configuration accepts does not, and the reason names it.
    """
    if refusal := _guardrail_refusal(evidence, config):
        return Reject(reason=refusal + _left_out(evidence), version=evidence.challenger)
    verdict, reason = _compared(evidence, config)
    reason += _accepted(evidence, config) + _left_out(evidence)
    reason += f"; {evidence.change}" if evidence.change else ""
    if verdict is None and len(evidence.pooled) < config.pool:
        return Shadow(reason=f"{reason}; it goes on in shadow", version=evidence.challenger)
    if not verdict:
        return Reject(reason=reason, version=evidence.challenger)
    kind = AwaitApproval if approval_required else Promote
    return kind(reason=reason, version=evidence.challenger, previous=evidence.champion)


def _guardrail_refusal(evidence: Evidence, config: GateConfig) -> str:
    if not evidence.guardrails:
        return "no guardrail was checked, and a check that was not made has not passed"
    for guardrail in evidence.guardrails:
        if guardrail.outcome != "passed" and guardrail.code not in config.accept:
            return f"guardrail {_in_full(guardrail)}"
    return ""


def _accepted(evidence: Evidence, config: GateConfig) -> str:
    """What did not pass, and refuses nothing because the model spec accepts it."""
    accepted = [
        _in_full(guardrail)
        for guardrail in evidence.guardrails
        if guardrail.outcome != "passed" and guardrail.code in config.accept
    ]
    return f"; accepted by gate.accept: {'; '.join(accepted)}" if accepted else ""


def _left_out(evidence: Evidence) -> str:
    """The candidates that could not be trained."""
    return f"; left out: {'; '.join(map(str, evidence.left_out))}" if evidence.left_out else ""


def _in_full(guardrail: Guardrail) -> str:
    return (
        f"{guardrail.code} '{guardrail.name}' {guardrail.outcome}: {guardrail.found}, limit"
        f" {guardrail.limit}"
    )


def _slice_refusal(comparison: Comparison, config: GateConfig) -> str:
    judged = [
        s
        for s in comparison.slices
        if s.rows >= config.slice_rows and s.blocks >= config.min_blocks
    ]
    lost = [s for s in judged if _lost(s, config, len(judged))]
    if not lost:
        return ""
    worst = max(lost, key=_worse_by)
    return (
        f"slice {worst.column} = {worst.value} is {_worse_by(worst):.1%} worse on {worst.rows:,}"
        f" rows (p {worst.p_worse:.2g} over {len(judged)} slices)"
    )


def _utility_refusal(comparison: Comparison, config: GateConfig) -> str:
    """Why the challenger's predictions are told to be worth less; empty where they are not, or
    where that is what is compared anyway.
    """
    utility = comparison.utility
    if utility is None or config.loss == "utility" or not utility.difference.high < 0:
        return ""
    return (
        f"its predictions are worth less: {utility.challenger} a row against {utility.champion},"
        f" difference {utility.difference}"
    )


def _lost(one: SliceComparison, config: GateConfig, slices: int) -> bool:
    worse = one.challenger_loss > one.champion_loss * (1 + config.slice_worse)
    return worse and one.p_worse < config.slice_alpha / slices


def _compared(evidence: Evidence, config: GateConfig) -> tuple[bool | None, str]:
    """Yes, no, or None while more rows could still say so; and why."""
    comparison = evidence.comparison
    if evidence.kind == "first" and evidence.champion is None:
        others = "other " if _accepted(evidence, config) else ""
        return (
            True,
            f"the first champion: every {others}guardrail passed, and there is nothing to compare"
            " with",
        )
    if evidence.kind == "first" or evidence.champion is None or comparison is None:
        why = f" ({evidence.not_compared})" if evidence.not_compared else ""
        return False, f"nothing was compared with the champion{why}, and without evidence it stays"
    if not math.isfinite(comparison.challenger_loss):
        return (
            False,
            f"the challenger's loss is {comparison.challenger_loss}, which compares with nothing",
        )
    if comparison.challenger_score and not math.isfinite(comparison.challenger_score.value):
        return False, "a prediction of the challenger is no number, which compares with nothing"
    if not math.isfinite(comparison.champion_loss):
        return (
            True,
            f"the champion's loss is {comparison.champion_loss}: any finite challenger is better",
        )
    if refusal := _slice_refusal(comparison, config) or _utility_refusal(comparison, config):
        return False, refusal
    if evidence.kind == "refresh":
        return _refresh(comparison, config)
    return _change_of_recipe(evidence, comparison, config)


def _worse_by(losses: Comparison | SliceComparison) -> float:
    """The challenger's excess loss as a share of the champion's."""
    if losses.champion_loss == 0:
        lost = losses.challenger_loss
        return 0.0 if lost == 0 else math.copysign(math.inf, lost)
    # A cost may be below 0, where predictions are worth something.
    return (losses.challenger_loss - losses.champion_loss) / abs(losses.champion_loss)


def _short(comparison: Comparison, config: GateConfig) -> str:
    if comparison.rows < config.min_rows:
        return f"{comparison.rows:,} rows of the {config.min_rows:,} that it takes"
    if comparison.blocks < config.min_blocks:
        return f"{comparison.blocks} blocks of time of the {config.min_blocks} that it takes"
    if comparison.minority is not None and comparison.minority < config.min_minority:
        return (
            f"{comparison.minority} of {comparison.rows:,} rows have another label than the most"
            f" frequent one, of the {config.min_minority} that it takes"
        )
    return ""


def _refresh(comparison: Comparison, config: GateConfig) -> tuple[bool, str]:
    if short := _short(comparison, config):
        if config.without_evidence == "keep":
            return False, f"too little to compare, so the champion is kept: {short}"
        return True, f"a refresh that passes its guardrails; too little to compare: {short}"
    share = _worse_by(comparison)
    words = f"{_in_words(comparison)}, t {comparison.t:.2f}"
    if share > config.refresh_worse_outright:
        return False, f"a refresh that is worse outright: {words}"
    # A t that is no number clears no challenger.
    if share > config.refresh_worse and not comparison.t <= config.refresh_t:
        return False, f"a refresh that is clearly worse: {words}"
    if config.refresh == "better" and not share < 0:
        return False, f"a refresh that is not better, and gate.refresh asks for that: {words}"
    how = "clearly better" if comparison.t < -config.refresh_t else "not clearly worse"
    why = _NEWER if share > 0 else ""
    return True, f"a refresh, {how}: {words}{why}"


def _change_of_recipe(
    evidence: Evidence, comparison: Comparison, config: GateConfig
) -> tuple[bool | None, str]:
    after = f" after {len(evidence.pooled)} batches in shadow" if evidence.pooled else ""
    if short := _short(comparison, config):
        return None, f"a change of recipe cannot be proven with {short}{after}"
    level = attempt_alpha(config.alpha, evidence.attempt)
    p = _p_of_many_looks(comparison) if evidence.pooled else comparison.p_better
    words = (
        f"{_in_words(comparison)}{after}, p {p:.2g} against {level:.2g} at attempt"
        f" {evidence.attempt}"
    )
    if not p < level:  # a p of NaN proves nothing
        return None if evidence.pooled else False, f"a change of recipe, not proven better: {words}"
    if _contradicts(comparison):
        return (
            False,
            (
                f"a change of recipe with lower loss, but {comparison.metric} is clearly worse: "
                f"{comparison.challenger_score} against {comparison.champion_score}"
            ),
        )
    return True, f"a change of recipe, proven better: {words}"


def _p_of_many_looks(comparison: Comparison) -> float:
    """One over the e-value where the challenger is ahead: as a p-value it holds however often one
    looks.
    """
    evidence = e_value(comparison.block_means)
    return min(1.0, 1 / evidence) if evidence > 0 and sum(comparison.block_means) < 0 else 1.0


def _contradicts(comparison: Comparison) -> bool:
    """Whether the user's metric is worse beyond both its intervals; one that is not defined on
    these rows says nothing.
    """
    challenger, champion = comparison.challenger_score, comparison.champion_score
    if challenger is None or champion is None:
        return False
    if comparison.greater_is_better:
        return challenger.high < champion.low
    return challenger.low > champion.high


def _in_words(comparison: Comparison) -> str:
    share, by = _worse_by(comparison), _NAMES[comparison.judged_by]
    told = "" if comparison.loss_tells is None else f" (the loss tells {comparison.loss_tells:.1%})"
    return (
        f"{by.format(metric=comparison.metric)} {comparison.challenger_loss:.4g} against"
        f" {comparison.champion_loss:.4g}"
        f" ({share:+.1%}) on {comparison.rows:,} unseen rows in {comparison.blocks} blocks of time,"
        f" enough to tell a difference of {comparison.detectable:.1%}{told}"
    )
