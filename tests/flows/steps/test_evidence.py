"""Tests of what the monitor gathers for its decisions."""

from typing import Any

import pytest

from flows.steps.evidence import realised_gains
from tasks.records import Comparison, Decision, Hold, LedgerEntry, Promote, Reject, WatchEvidence
from tests.tasks.builders import START, comparison, evidence, span


def entry(
    id: int, batch: str, decision: Decision, rests_on: Any, rule: str = "gate"
) -> LedgerEntry:
    """A decision as the ledger keeps it, with the rule that made it."""
    return LedgerEntry(
        id=id,
        model="flights",
        batch=batch,
        decision=decision,
        evidence=rests_on.model_dump(mode="json") | {"rule": {"rule": rule}},
        evidence_sha256="0" * 64,
        as_of=START,
        recorded_at=START,
        effective_at=START,
        flow_run="",
        decided_by="test",
    )


def promoted(id: int, batch: str, version: int) -> LedgerEntry:
    """A promotion of ``version`` over the one before it."""
    return entry(
        id,
        batch,
        Promote(reason="", version=version, previous=version - 1),
        evidence("refresh", holdout=(span(0, 1, batch),)),
    )


def watched(
    id: int, batch: str, champion: int, before: float, now: float, rows: int = 100
) -> LedgerEntry:
    """A batch of the watch: the previous champion would have lost ``before``, the new one lost
    ``now``.
    """
    seats: Comparison = comparison(challenger_loss=before, champion_loss=now, rows=rows)
    shadow = WatchEvidence(
        model="flights",
        batch=batch,
        revision=0,
        champion=champion,
        previous=champion - 1,
        batches_watched=1,
        comparison=seats,
    )
    return entry(id, batch, Hold(reason="the promotion stands"), shadow, "watch")


def test_promotion_gained_what_the_watch_saw() -> None:
    """Over both watched batches, by their rows: 100 x 0.5 + 300 x 0.4 before, 100 x 0.45 + 300 x
    0.4 now.
    """
    history = [
        promoted(1, "2020-01", 2),
        watched(2, "2020-02", 2, before=0.5, now=0.45),
        watched(3, "2020-03", 2, before=0.4, now=0.4, rows=300),
    ]

    assert realised_gains(history) == pytest.approx((5 / 170,))


def test_rejected_challenger_gained_nothing() -> None:
    """A training whose challenger was rejected was in vain; a refresh that is promoted at the same
    batch was not.
    """
    in_vain = entry(
        1, "2020-01", Reject(reason="", version=2), evidence(holdout=(span(0, 1, "2020-01"),))
    )
    first_refused = entry(
        2, "2020-02", Reject(reason="", version=3), evidence(holdout=(span(0, 1, "2020-02"),))
    )
    history = [
        in_vain,
        first_refused,
        promoted(3, "2020-02", 4),
        watched(4, "2020-03", 4, before=0.5, now=0.4),
    ]

    assert realised_gains(history) == pytest.approx((0.0, 0.2))


def test_what_is_not_known_yet_is_left_out() -> None:
    """A promotion that no batch has watched, and the first champion, have no gain."""
    first = entry(1, "2020-01", Promote(reason="", version=1, previous=None), evidence("first"))

    assert realised_gains([first, promoted(2, "2020-02", 2)]) == ()


def test_worse_champion_has_a_negative_gain() -> None:
    """A promotion that was rolled back shows as a loss."""
    assert realised_gains(
        [promoted(1, "2020-01", 2), watched(2, "2020-02", 2, before=0.4, now=0.5)]
    ) == pytest.approx((-0.25,))


def test_challenger_rejected_after_batches_in_shadow_counts_where_it_was_trained() -> None:
    """A verdict that comes late is no second training, and takes nothing from the promotion of its
    own batch.
    """
    late = entry(
        5,
        "2020-04",
        Reject(reason="", version=3),
        evidence(holdout=(span(0, 1, "2020-01"),), pooled=("2020-02",)),
    )
    promotion = [promoted(1, "2020-01", 2), watched(2, "2020-02", 2, before=0.5, now=0.4)]

    assert realised_gains([*promotion, late]) == pytest.approx((0.2,))
    assert realised_gains([late]) == (0.0,)
