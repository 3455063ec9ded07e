"""The panel: which trained models are kept, how much each one counts, and what the next one is
trained on.

Pure arithmetic over small records (docs/decisions.md): mixing the members' predictions is
``tasks/mixing.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from tasks.decisions.config import PanelConfig
from tasks.records import PanelMember, WindowKind


def member_weights(members: Sequence[PanelMember], config: PanelConfig) -> tuple[float, ...]:
    """Return each member's share of the mix, summing to 1: proportional to ``exp(-sharpness * (v -
    v*) / v*)``.

    ``v`` is the member's standing and ``v*`` the best one. A standing that is no number counts
    nothing; when none is a number, all count the same. ValueError without members.
    """
    if not members:
        raise ValueError("expected at least one member, found an empty panel")
    best = _best(members)
    if best is None:
        return tuple(1 / len(members) for _ in members)
    raw = [_raw_weight(member.standing, best.standing, config.sharpness) for member in members]
    return tuple(weight / sum(raw) for weight in raw)


def _raw_weight(standing: float, best: float, sharpness: float) -> float:
    if not math.isfinite(standing):
        return 0.0
    if standing == best:
        return 1.0
    return math.exp(-sharpness * (standing - best) / best) if best > 0 else 0.0


def judge_members(
    members: Sequence[PanelMember], losses: Mapping[int, float], config: PanelConfig
) -> tuple[PanelMember, ...]:
    """Return the members after one more mature batch, with the mean loss of each version on it.

    A standing moves by ``1 - discount`` of the way to the newest loss. A member that ``losses``
    does not name, because it has seen rows of the batch, stays as it is.
    """
    return tuple(
        member.model_copy(
            update={
                "standing": config.discount * member.standing
                + (1 - config.discount) * losses[member.version],
                "losses": (*member.losses, losses[member.version]),
            }
        )
        if member.version in losses
        else member
        for member in members
    )


def may_join(newcomer_loss: float, panel_loss: float, config: PanelConfig) -> bool:
    """Return whether a newcomer's loss on the holdout is above the panel's by at most
    ``join_worse``.

    A newcomer whose loss is no number never joins; one joins a panel whose loss is none.
    """
    if not math.isfinite(newcomer_loss):
        return False
    return not math.isfinite(panel_loss) or newcomer_loss <= panel_loss * (1 + config.join_worse)


def join(
    members: Sequence[PanelMember],
    version: int,
    window: WindowKind,
    loss: float,
    config: PanelConfig,
) -> tuple[PanelMember, ...]:
    """Return the panel with a newcomer in it, whose standing is that of the best member.

    ``loss`` is its loss on the holdout: the standing of a first member, who has nobody to take one
    from. Beyond ``members``, the worst of the last ``recent`` batches leaves: by its mean loss
    above the members' mean of the same batch, so that a member of a hard season is not blamed for
    it. One without a judged batch does not leave, unless nobody has one; then the oldest does.
    """
    best = _best(members)
    newcomer = PanelMember(
        version=version, window=window, standing=loss if best is None else best.standing
    )
    if len(members) < config.members:
        return (*members, newcomer)
    leaver = _leaver(members, config)
    return (*(member for member in members if member is not leaver), newcomer)


def settle(
    packaged: Sequence[PanelMember], known: Sequence[PanelMember]
) -> tuple[PanelMember, ...]:
    """Return the packaged members with the newest standing that is known of each; a newcomer stands
    with the best.
    """
    newest = {member.version: member for member in known}
    best = _best([newest[m.version] for m in packaged if m.version in newest])
    return tuple(
        newest.get(
            m.version, m if best is None else m.model_copy(update={"standing": best.standing})
        )
        for m in packaged
    )


def _leaver(members: Sequence[PanelMember], config: PanelConfig) -> PanelMember:
    judged = [member for member in members if member.losses]
    if not judged:
        return members[0]

    def usual(ago: int) -> float:
        """The members' mean loss on the batch so many ago, 1 the newest."""
        found = [
            m.losses[-ago] for m in judged if len(m.losses) >= ago and math.isfinite(m.losses[-ago])
        ]
        return fmean(found) if found else math.nan

    def excess(member: PanelMember) -> float:
        own = [
            member.losses[-ago] - usual(ago)
            for ago in range(1, min(len(member.losses), config.recent) + 1)
        ]
        return fmean(own) if all(map(math.isfinite, own)) else math.inf

    return max(judged, key=excess)


def next_window(members: Sequence[PanelMember], trainings: int, config: PanelConfig) -> WindowKind:
    """Return the kind of window of the next training, after ``trainings`` of them.

    It is that of the best member, and every ``other_every``-th time the other one, so that both
    stay known.
    """
    best = _best(members)
    kind: WindowKind = "all history" if best is None else best.window
    if (trainings + 1) % config.other_every:
        return kind
    return "sliding" if kind == "all history" else "all history"


def _best(members: Sequence[PanelMember]) -> PanelMember | None:
    """The member with the lowest standing that is a number; the newest of equals."""
    known = [member for member in members if math.isfinite(member.standing)]
    return min(reversed(known), key=lambda member: member.standing) if known else None
