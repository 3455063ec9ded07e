"""The ensemble: which trained models are kept, how much each one counts, and what the next one is
trained on.

Pure arithmetic over small records (docs/decisions.md): mixing the members' predictions is
``tasks/mixing.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from tasks.checks import Check
from tasks.decisions.config import EnsembleConfig
from tasks.records import EnsembleMember, Guardrail, WindowKind


def member_weights(members: Sequence[EnsembleMember], config: EnsembleConfig) -> tuple[float, ...]:
    """Return each member's share of the mix, summing to 1.

    It is proportional to ``exp(-sharpness * (v - v*) / v*)``, ``v`` the member's discounted loss
    and ``v*`` the lowest one. A loss that is no number counts nothing; when none is a number, all
    count the same. ValueError without members.
    """
    if not members:
        raise ValueError("expected at least one member, found an empty ensemble")
    best = _best(members)
    if best is None:
        return tuple(1 / len(members) for _ in members)
    raw = [
        _raw_weight(member.discounted_loss, best.discounted_loss, config.sharpness)
        for member in members
    ]
    return tuple(weight / sum(raw) for weight in raw)


def _raw_weight(discounted_loss: float, best: float, sharpness: float) -> float:
    if not math.isfinite(discounted_loss):
        return 0.0
    if discounted_loss == best:
        return 1.0
    return math.exp(-sharpness * (discounted_loss - best) / best) if best > 0 else 0.0


def judge_members(
    members: Sequence[EnsembleMember],
    losses: Mapping[int, float],
    rows: int,
    config: EnsembleConfig,
) -> tuple[EnsembleMember, ...]:
    """Return the members after one more mature batch of ``rows`` labelled rows, with the mean loss
    of each version on it.

    A discounted loss moves by ``1 - discount`` of the way to the newest loss, and by as much less
    as the batch has fewer than ``config.rows`` rows. A member that ``losses`` does not name,
    because it has seen rows of the batch, stays as it is.
    """
    step = (1 - config.discount) * min(1.0, rows / config.rows)
    return tuple(
        member.model_copy(
            update={
                "discounted_loss": (1 - step) * member.discounted_loss
                + step * losses[member.version],
                "losses": (*member.losses, losses[member.version]),
            }
        )
        if member.version in losses
        else member
        for member in members
    )


def may_join(new_member_loss: float, ensemble_loss: float, config: EnsembleConfig) -> bool:
    """Return whether a new member's loss on the holdout is above the ensemble's by at most
    ``join_worse``.

    A new member whose loss is no number never joins; one joins an ensemble whose loss is none.
    """
    if not math.isfinite(new_member_loss):
        return False
    return not math.isfinite(ensemble_loss) or new_member_loss <= ensemble_loss * (
        1 + config.join_worse
    )


class MayJoin(Check):
    """KM014: a new member is not much worse on the holdout than the ensemble that it is to join."""

    code = "KM014"

    def check(
        self, loss: float, ensemble_loss: float, rows: int, config: EnsembleConfig
    ) -> Guardrail:
        """Compare the new member's mean loss with the ensemble's on the same ``rows`` rows."""
        if rows < config.rows and math.isfinite(loss):
            found = f"too few rows to tell: {rows:,} of {config.rows:,}"
            return self.result(True, found, f"at most {config.join_worse:.0%} worse")
        return self.result(
            may_join(loss, ensemble_loss, config),
            f"loss {loss:.4g} alone, against the ensemble's {ensemble_loss:.4g}",
            f"at most {config.join_worse:.0%} worse",
        )


def join(
    members: Sequence[EnsembleMember],
    version: int,
    window: WindowKind,
    loss: float,
    config: EnsembleConfig,
) -> tuple[EnsembleMember, ...]:
    """Return the ensemble with a new member, whose discounted loss is that of the best member.

    ``loss`` is its loss on the holdout: the discounted loss of a first member, which has no other
    to take one from. Beyond ``members``, the worst of the last ``recent`` batches leaves: by its
    mean loss above the members' mean of the same batch, so that a member of a hard season is not
    blamed for it. One without a judged batch does not leave, unless none has one; then the oldest
    does.
    """
    best = _best(members)
    new_member = EnsembleMember(
        version=version,
        window=window,
        discounted_loss=loss if best is None else best.discounted_loss,
    )
    if len(members) < config.members:
        return (*members, new_member)
    leaver = _leaver(members, config)
    return (*(member for member in members if member is not leaver), new_member)


def with_newest_losses(
    packaged: Sequence[EnsembleMember], known: Sequence[EnsembleMember]
) -> tuple[EnsembleMember, ...]:
    """Return the packaged members, each with the newest discounted loss known of it.

    One of which none is known, a new member, gets the best member's.
    """
    newest = {member.version: member for member in known}
    best = _best([newest[m.version] for m in packaged if m.version in newest])
    return tuple(
        newest.get(
            m.version,
            m if best is None else m.model_copy(update={"discounted_loss": best.discounted_loss}),
        )
        for m in packaged
    )


def _leaver(members: Sequence[EnsembleMember], config: EnsembleConfig) -> EnsembleMember:
    judged = [member for member in members if member.losses]
    if not judged:
        return members[0]

    def usual(ago: int) -> float:
        """The members' mean loss on the batch so many ago, 1 the newest."""
        found = [
            m.losses[-ago] for m in judged if len(m.losses) >= ago and math.isfinite(m.losses[-ago])
        ]
        return fmean(found) if found else math.nan

    def excess(member: EnsembleMember) -> float:
        own = [
            member.losses[-ago] - usual(ago)
            for ago in range(1, min(len(member.losses), config.recent) + 1)
        ]
        return fmean(own) if all(map(math.isfinite, own)) else math.inf

    return max(judged, key=excess)


def next_window(
    members: Sequence[EnsembleMember], trainings: int, config: EnsembleConfig
) -> WindowKind:
    """Return the kind of window of the next training, after ``trainings`` of them.

    It is that of the best member, and every ``other_every``-th time the other one, so that both
    stay known.
    """
    best = _best(members)
    kind: WindowKind = "all history" if best is None else best.window
    if (trainings + 1) % config.other_every:
        return kind
    return "sliding" if kind == "all history" else "all history"


def _best(members: Sequence[EnsembleMember]) -> EnsembleMember | None:
    """The member with the lowest discounted loss that is a number; the newest of equals."""
    known = [member for member in members if math.isfinite(member.discounted_loss)]
    return min(reversed(known), key=lambda member: member.discounted_loss) if known else None
