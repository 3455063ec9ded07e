"""The retrain policy: a pure function from evidence to one decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from statistics import fmean, stdev

from tasks.decisions.config import Adaptation, PolicyConfig
from tasks.records import Comparison, Condition, Hold, PolicyEvidence, Retrain

_ASK = ("alarm", "clock", "staleness", "volume")
_FORBID = ("evidence", "cooldown", "budget")
_TOLD = 1.645
"""Standard errors that a one-sided test at 5% asks for."""


def decide_retrain(
    evidence: PolicyEvidence, config: PolicyConfig, first: int, first_rows: int = 0
) -> Hold | Retrain:
    """Return whether to train a challenger, why, in one sentence, and what of the policy fired and
    what did not.

    Before there is a champion: wait for ``first`` accepted batches of ``first_rows`` labelled rows
    together, and then for the person whom the first version waits for. After that the alarm (the
    newest loss above mean + ``alarm_sd`` standard deviations of its own recent past, from
    ``alarm_from`` batches on, and told from that mean by its own rows), the clock, the age of the
    newest training or the rows since it may ask, never before there are rows to compare a
    challenger by, within the cooldown or above the budget.
    Drift alone never does: on seasonal data it fires on nearly every batch and hardly tells whether
    a retrain helps (docs/decisions.md, 1). With ``dry_run`` a Retrain says that nothing is done.
    """
    if config.never:
        never = Condition(name="never", fired=True, found="retrain.never", limit="no training")
        return Hold(
            reason="retrain.never: nothing is trained unless a person asks for it",
            conditions=(never,),
        )
    have, rows = evidence.accepted_batches, evidence.unseen_rows
    if evidence.champion is None and evidence.awaits_approval is not None:
        waits = Condition(
            name="approval",
            fired=True,
            found=f"version {evidence.awaits_approval}",
            limit="no training while the first champion waits for a person",
        )
        return Hold(
            reason=f"version {evidence.awaits_approval} waits for a person's approval, and there is"
            " no champion yet",
            conditions=(waits,),
        )
    if evidence.champion is None:
        enough = Condition(
            name="first",
            fired=have >= first and rows >= first_rows,
            found=f"{_batches(have)}, {rows:,} labelled rows",
            limit=f"{_batches(first)}, {first_rows:,} rows",
        )
        if not enough.fired:
            few = (
                f"{have} of the {first} batches"
                if have < first
                else f"{rows:,} of the {first_rows:,} labelled rows"
            )
            reason = f"collecting: {few} that the first champion needs"
            return Hold(reason=reason, conditions=(enough,))
        return _retrain(f"{have} batches are there, and no champion yet", (enough,), config)
    conditions = (
        _alarm(evidence, config),
        _clock(evidence, config),
        _staleness(evidence, config),
        _volume(evidence, config),
        _drift(evidence),
        _evidence(evidence),
        _cooldown(evidence, config),
        _budget(evidence, config),
    )
    fired = {condition.name: condition for condition in conditions if condition.fired}
    asked = "; ".join(_in_words(fired[name]) for name in _ASK if name in fired)
    forbidden = " and ".join(
        f"{fired[name].found} ({fired[name].limit})" for name in _FORBID if name in fired
    )
    why = f"; {evidence.change}" if evidence.change else ""
    if asked and not forbidden:
        return _retrain(asked + why, conditions, config)
    if asked:
        return Hold(reason=f"{asked}, but {forbidden}{why}", conditions=conditions)
    since, period = evidence.batches_since_training, clock_period(evidence.gains, config)
    count = _batches(since) if period is None else f"{since} of {_batches(period)}"
    return Hold(
        reason=f"{count} since the last training; {_loss_in_words(evidence)}{why}",
        conditions=conditions,
    )


def clock_period(gains: Sequence[float], config: PolicyConfig) -> int | None:
    """Return the clock's period in batches after trainings that realised ``gains``, oldest first;
    None without a clock.

    A gain below ``adapt.below`` doubles the period up to ``adapt.most``, one above ``adapt.above``
    halves it down to one (docs/decisions.md). A period that the spec sets above ``adapt.most`` is
    not doubled.
    """
    period, adapt = config.every, config.adapt
    if period is None or adapt is None:
        return period
    for gain in gains:
        period = _adapted(period, gain, adapt)
    return period


def realised_gain(watched: Sequence[Comparison]) -> float:
    """Return what a promotion has gained on the batches that the watch has seen, as a share of the
    loss before it.

    In each comparison the previous champion is compared as the challenger; NaN when nothing was
    watched or it lost nothing.
    """
    before = sum(one.rows * one.challenger_loss for one in watched)
    return 1 - sum(one.rows * one.champion_loss for one in watched) / before if before else math.nan


def _adapted(period: int, gain: float, adapt: Adaptation) -> int:
    if gain < adapt.below:
        return max(period, min(2 * period, adapt.most))
    return max(period // 2, 1) if gain > adapt.above else period  # a gain of NaN says nothing


def _retrain(reason: str, conditions: tuple[Condition, ...], config: PolicyConfig) -> Retrain:
    dry = "; a dry run: nothing is done" if config.dry_run else ""
    return Retrain(reason=reason + dry, conditions=conditions, dry_run=config.dry_run)


# --- what asks ---


def _alarm(evidence: PolicyEvidence, config: PolicyConfig) -> Condition:
    if 0 < evidence.rows == evidence.rows_unknown:
        return Condition(
            name="alarm",
            fired=True,
            limit="a number",
            found=f"the champion gives no number for any of {evidence.rows:,} rows",
        )
    newest = evidence.newest_loss
    found = "no new loss" if newest is None else f"loss {newest:.4g}"
    if config.alarm_sd is None:
        return Condition(name="alarm", fired=False, found=found, limit="off")
    if newest is not None and not math.isfinite(newest):
        return Condition(
            name="alarm",
            fired=True,
            limit="a number",
            found=f"the champion's loss is {newest}, so its predictions are no numbers",
        )
    # A loss that is no number compares with nothing and is left out.
    recent = [loss for loss in evidence.losses if math.isfinite(loss)][-config.alarm_memory :]
    if len(recent) < config.alarm_from:
        limit = f"silent before {_batches(config.alarm_from)}, and there are {len(recent)}"
        return Condition(name="alarm", fired=False, found=found, limit=limit)
    most = fmean(recent) + config.alarm_sd * stdev(recent)
    limit = (
        f"{most:.4g}, {config.alarm_sd:g} standard deviations over its last {len(recent)} batches"
    )
    # A loss of few rows is above its past by chance: its own error must not explain the distance.
    told = newest is not None and newest - _TOLD * evidence.newest_error > fmean(recent)
    if newest is not None and newest > most and not told:
        error = f"standard error {evidence.newest_error:.2g}"
        found += f", which its rows cannot tell from the mean ({error})"
    return Condition(
        name="alarm", fired=newest is not None and newest > most and told, found=found, limit=limit
    )


def _clock(evidence: PolicyEvidence, config: PolicyConfig) -> Condition:
    since, period = evidence.batches_since_training, clock_period(evidence.gains, config)
    return Condition(
        name="clock",
        fired=period is not None and since >= period,
        found=f"{_batches(since)} since the last training",
        limit="off" if period is None else _batches(period),
    )


def _staleness(evidence: PolicyEvidence, config: PolicyConfig) -> Condition:
    age, limit = evidence.training_age, config.stale_after
    return Condition(
        name="staleness",
        fired=limit is not None and age is not None and age > limit,
        found="no training yet" if age is None else f"the newest training is {_days(age)} old",
        limit="off" if limit is None else _days(limit),
    )


def _volume(evidence: PolicyEvidence, config: PolicyConfig) -> Condition:
    rows, limit = evidence.rows_since_training, config.volume
    return Condition(
        name="volume",
        fired=limit is not None and rows >= limit,
        found=f"{rows:,} labelled rows since the last training",
        limit="off" if limit is None else f"{limit:,} rows",
    )


def _drift(evidence: PolicyEvidence) -> Condition:
    share = evidence.drift_share
    found = "not measured" if share is None else f"{share:.0%} of the columns"
    return Condition(name="drift", fired=False, found=found, limit="it informs, and never asks")


# --- what forbids ---


def _evidence(evidence: PolicyEvidence) -> Condition:
    rows, least = evidence.unseen_rows, evidence.least_rows
    return Condition(
        name="evidence",
        fired=rows < least,
        found=f"{rows:,} labelled rows that the champion has not seen",
        limit=f"{least:,} to compare a challenger by" if least else "off",
    )


def _cooldown(evidence: PolicyEvidence, config: PolicyConfig) -> Condition:
    since = evidence.batches_since_training
    return Condition(
        name="cooldown",
        fired=since < config.cooldown,
        found=f"the last training is {_batches(since)} ago",
        limit=f"cooldown {config.cooldown}",
    )


def _budget(evidence: PolicyEvidence, config: PolicyConfig) -> Condition:
    if config.budget is None:
        return Condition(
            name="budget",
            fired=False,
            found=f"{len(evidence.trainings)} trainings so far",
            limit="off",
        )
    most, batches = config.budget.trainings, config.budget.batches
    spent = sum(
        ago < batches for ago in evidence.trainings
    )  # one now would be among the last ``batches`` too
    return Condition(
        name="budget",
        fired=spent >= most,
        found=f"{spent} of the last {_batches(batches)} had a training",
        limit=f"budget {most} in {batches}",
    )


# --- in words ---


def _in_words(asked: Condition) -> str:
    if asked.name == "alarm" and asked.limit != "a number":
        return f"the alarm: {asked.found} is above {asked.limit}"
    if asked.name in ("alarm", "clock"):
        return f"the {asked.name}: {asked.found}"
    return f"{asked.name}: {asked.found} ({asked.limit})"


def _loss_in_words(evidence: PolicyEvidence) -> str:
    if evidence.newest_loss is None:
        waits = evidence.waiting
        why = f", and {_batches(waits)} wait{'s' * (waits == 1)} for labels" if waits else ""
        if not evidence.losses:
            return f"no batch is judged yet{why}"
        return f"no batch is judged since, the last loss was {evidence.losses[-1]:.4g}{why}"
    if not evidence.losses:
        return f"loss {evidence.newest_loss:.4g}"
    return f"loss {evidence.newest_loss:.4g} after {evidence.losses[-1]:.4g}"


def _batches(count: int) -> str:
    return f"{count} batch{'es' if count != 1 else ''}"


def _days(time: timedelta) -> str:
    return f"{time / timedelta(days=1):.3g} days"
