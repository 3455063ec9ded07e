"""The retrain policy: a pure function from evidence to one decision."""

from __future__ import annotations

import math
from statistics import fmean, stdev

from tasks.decisions.config import PolicyConfig
from tasks.records import Hold, PolicyEvidence, Retrain


def decide_retrain(evidence: PolicyEvidence, config: PolicyConfig, first: int) -> Hold | Retrain:
    """Return whether to train a challenger, and why, in one sentence.

    Before there is a champion: wait for ``first`` accepted batches. After that the clock (``every`` batches) or the
    alarm (the newest loss above mean + ``alarm_sd`` standard deviations of its own recent past, from
    ``alarm_from`` batches on) may ask, never within the cooldown. Drift alone never does: on seasonal data it
    fires on nearly every batch and hardly tells whether a retrain helps (docs/decisions.md, 1).
    """
    have = evidence.accepted_batches
    if evidence.champion is None:
        if have < first:
            return Hold(reason=f"collecting: {have} of the {first} batches that the first champion needs")
        return Retrain(reason=f"{have} batches are there, and no champion yet")
    since = evidence.batches_since_training
    alarm = _alarm(evidence, config)
    clock = config.every is not None and since >= config.every
    if since < config.cooldown:
        asked = alarm or (f"the clock ({config.every})" if clock else "")
        if asked:
            return Hold(
                reason=f"{asked}, but the last training is {_batches(since)} ago (cooldown {config.cooldown})"
            )
    elif alarm:
        return Retrain(reason=alarm)
    elif clock:
        return Retrain(reason=f"the clock: {_batches(since)} since the last training")
    count = _batches(since) if config.every is None else f"{since} of {_batches(config.every)}"
    return Hold(reason=f"{count} since the last training; {_loss_in_words(evidence)}")


def _recent(evidence: PolicyEvidence, config: PolicyConfig) -> tuple[float, ...]:
    """The losses that the alarm remembers; one that is no number compares with nothing and is left out."""
    return tuple(loss for loss in evidence.losses if math.isfinite(loss))[-config.alarm_memory :]


def _alarm(evidence: PolicyEvidence, config: PolicyConfig) -> str:
    """The alarm's sentence, or nothing while all is well or too little is known."""
    recent = _recent(evidence, config)
    newest = evidence.newest_loss
    if config.alarm_sd is None or newest is None:
        return ""
    if not math.isfinite(newest):
        return f"the alarm: the champion's loss is {newest}, so its predictions are no numbers"
    if len(recent) < config.alarm_from:
        return ""
    limit = fmean(recent) + config.alarm_sd * stdev(recent)
    if newest <= limit:
        return ""
    return (
        f"the alarm: loss {newest:.4g} is above {limit:.4g}, "
        f"{config.alarm_sd:g} standard deviations over its last {len(recent)} batches"
    )


def _loss_in_words(evidence: PolicyEvidence) -> str:
    if evidence.newest_loss is None:
        return "no mature labels yet"
    if not evidence.losses:
        return f"loss {evidence.newest_loss:.4g}"
    return f"loss {evidence.newest_loss:.4g} after {evidence.losses[-1]:.4g}"


def _batches(count: int) -> str:
    return f"{count} batch{'es' if count != 1 else ''}"
