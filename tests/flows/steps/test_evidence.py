"""Tests of what the monitor gathers for its decisions."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.steps.evidence import by_rows, newest_change, realised_gains
from tasks.history import in_order
from tasks.records import (
    AnyLossChange,
    Comparison,
    Hold,
    Labelled,
    LedgerEntry,
    LossNotSplit,
    Promote,
    Reject,
    WatchEvidence,
)
from tests.tasks.builders import at, batch_record, comparison, entry, evidence, span
from tests.tasks.reports.conftest import a_change, a_performance, a_record, months


def promoted(id: int, batch: str, version: int) -> LedgerEntry:
    """A promotion of ``version`` over the one before it."""
    decision = Promote(reason="", version=version, previous=version - 1)
    seen = evidence("refresh", holdout=(span(0, 1, batch),))
    return entry(id, decision, batch=batch, evidence=seen)


def watched(
    id: int, batch: str, champion: int, before: float, now: float, rows: int = 100
) -> LedgerEntry:
    """A batch of the watch: the previous champion would have lost ``before``, the new one lost
    ``now``.
    """
    compared: Comparison = comparison(challenger_loss=before, champion_loss=now, rows=rows)
    shadow = WatchEvidence(
        model="flights",
        batch=batch,
        revision=0,
        champion=champion,
        previous=champion - 1,
        batches_watched=1,
        comparison=compared,
    )
    return entry(id, Hold(reason="the promotion stands"), batch=batch, evidence=shadow)


@given(
    rows=st.lists(st.integers(0, 60), max_size=12),
    share=st.sampled_from([None, 0.5, 1.0]),
    least=st.integers(1, 100),
)
def test_small_batches_are_taken_together(rows: list[int], share: float | None, least: int) -> None:
    """Each group has the labelled rows that it takes, and none without its last batch; no batch is
    left out before the newest, or taken twice.
    """
    counts = [count if share is None else int(count * share) for count in rows]
    records = [
        batch_record(
            revision=i,
            verdict=batch_record().verdict.but(rows=count, quarantined=0),
            labelled=None if share is None else Labelled(rows=count, labelled=known, as_of=at(40)),
        )
        for i, (count, known) in enumerate(zip(rows, counts, strict=True))
    ]

    groups = by_rows(records, least)

    taken = [record.revision for group in groups for record in group]
    sums = [[counts[record.revision] for record in group] for group in groups]
    assert taken == list(range(len(taken)))
    assert all(sum(own) >= least > sum(own[:-1]) for own in sums)
    assert sum(counts[len(taken) :]) < least


def test_promotion_gained_what_the_watch_saw() -> None:
    """Over both watched batches, by their rows: 100 x 0.5 + 300 x 0.4 before, 100 x 0.45 + 300 x
    0.4 now.
    """
    history = [
        promoted(1, "2020-01", 2),
        watched(2, "2020-02", 2, before=0.5, now=0.45),
        watched(3, "2020-03", 2, before=0.4, now=0.4, rows=300),
    ]

    assert realised_gains(in_order(history)) == pytest.approx((5 / 170,))


def test_rejected_challenger_gained_nothing() -> None:
    """A training whose challenger was rejected was in vain; a refresh that is promoted at the same
    batch was not.
    """
    in_vain = entry(
        1, Reject(reason="", version=2), evidence=evidence(holdout=(span(0, 1, "2020-01"),))
    )
    first_refused = entry(
        2, Reject(reason="", version=3), evidence=evidence(holdout=(span(0, 1, "2020-02"),))
    )
    history = [
        in_vain,
        first_refused,
        promoted(3, "2020-02", 4),
        watched(4, "2020-03", 4, before=0.5, now=0.4),
    ]

    assert realised_gains(in_order(history)) == pytest.approx((0.0, 0.2))


def test_what_is_not_known_yet_is_left_out() -> None:
    """A promotion that no batch has watched, and the first champion, have no gain."""
    first = entry(1, Promote(reason="", version=1, previous=None), evidence=evidence("first"))

    assert realised_gains(in_order([first, promoted(2, "2020-02", 2)])) == ()


def test_worse_champion_has_a_negative_gain() -> None:
    """A promotion that was rolled back shows as a loss."""
    history = [promoted(1, "2020-01", 2), watched(2, "2020-02", 2, before=0.4, now=0.5)]

    assert realised_gains(in_order(history)) == pytest.approx((-0.25,))


def test_challenger_rejected_after_batches_in_shadow_counts_where_it_was_trained() -> None:
    """A verdict that comes late is no second training, and takes nothing from the promotion of its
    own batch.
    """
    late = entry(
        5,
        Reject(reason="", version=3),
        batch="2020-04",
        evidence=evidence(holdout=(span(0, 1, "2020-01"),), pooled=("2020-02",)),
    )
    promotion = [promoted(1, "2020-01", 2), watched(2, "2020-02", 2, before=0.5, now=0.4)]

    assert realised_gains(in_order([*promotion, late])) == pytest.approx((0.2,))
    assert realised_gains(in_order([late])) == (0.0,)


@pytest.mark.parametrize(
    ("version", "change", "told"),
    [
        (1, a_change(), str(a_change())),
        (2, a_change(), ""),
        (None, a_change(), ""),
        (1, LossNotSplit(version=1, before=0.4, after=0.5, why="few rows"), ""),
        (1, None, ""),
    ],
    ids=["told", "another version", "no champion", "not split", "not looked into"],
)
def test_the_newest_judged_batch_says_why_the_loss_changed(
    version: int | None, change: AnyLossChange | None, told: str
) -> None:
    """Of the champion, and not of the batches that are not judged yet."""
    judged, newest = months(2)
    records = {
        judged.id: a_record(judged, performances=(a_performance(judged.id),)).but(change=change),
        newest.id: a_record(newest),
    }
    run: Any = SimpleNamespace(batches=SimpleNamespace(known=records))
    champion: Any = SimpleNamespace(trained=SimpleNamespace(version=version))

    assert newest_change(run, None if version is None else champion) == told
