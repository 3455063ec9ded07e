"""The watch after a promotion: a pure function from evidence to one decision."""

from __future__ import annotations

import math

from tasks.decisions.config import WatchConfig
from tasks.records import Comparison, Freeze, FreezeEvidence, Hold, RollBack, WatchEvidence


def decide_watch(evidence: WatchEvidence, config: WatchConfig) -> Hold | RollBack:
    """Return whether the previous champion comes back, and why, in one sentence.

    It was scored in shadow on the same rows. It comes back when its block-wise t shows it better
    and its loss is better by more than ``better``, within the first ``batches`` batches after the
    promotion; or when it has a loss and the champion's is no number.
    """
    comparison = evidence.comparison
    if math.isfinite(comparison.challenger_loss) and not math.isfinite(comparison.champion_loss):
        return RollBack(
            reason=(
                f"the champion's loss is {comparison.champion_loss}, so its predictions are no"
                f" numbers; the previous champion, version {evidence.previous}, has loss"
                f" {comparison.challenger_loss:.4g}"
            ),
            version=evidence.previous,
            previous=evidence.champion,
        )
    gain = (
        1 - comparison.challenger_loss / comparison.champion_loss
        if comparison.champion_loss
        else 0.0
    )
    words = (
        f"the previous champion, version {evidence.previous}, has loss"
        f" {comparison.challenger_loss:.4g} against {comparison.champion_loss:.4g} ({gain:+.1%}"
        f" better, t {-comparison.t:.2f}) in batch {evidence.batches_watched} of {config.batches}"
        f" of the watch, on {comparison.rows:,} rows"
    )
    if was_better(comparison, config):
        return RollBack(reason=words, version=evidence.previous, previous=evidence.champion)
    return Hold(reason=f"the promotion stands: {words}")


def was_better(comparison: Comparison, config: WatchConfig) -> bool:
    """Whether what was before, compared as the challenger, is better by t and by share, on rows
    enough to say so.
    """
    gain = (
        1 - comparison.challenger_loss / comparison.champion_loss
        if comparison.champion_loss
        else 0.0
    )
    enough = comparison.rows >= config.rows
    return enough and -comparison.t > config.better_t and gain > config.better


def decide_freeze(evidence: FreezeEvidence, config: WatchConfig) -> Freeze | Hold:
    """Return whether the model is frozen, because promotions were rolled back too often for chance
    to explain.
    """
    late = [
        batch for batch in evidence.rollbacks if batch in evidence.recent[-config.freeze_batches :]
    ]
    words = (
        f"{len(late)} rollback{'s' if len(late) != 1 else ''} in {config.freeze_batches} batches"
    )
    if len(late) < config.freeze_rollbacks:
        return Hold(reason=f"not frozen: {words}, of the {config.freeze_rollbacks} that it takes")
    return Freeze(
        reason=(
            f"{words} ({', '.join(late)}): what the gate sees does not hold in service; nothing is"
            " trained or promoted until a person has looked and thawed the model"
        )
    )
