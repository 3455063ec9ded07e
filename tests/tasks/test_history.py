"""Tests of what follows from a model's decisions."""

from __future__ import annotations

import pytest

from tasks.history import History, in_order
from tasks.records import (
    Attempted,
    AwaitApproval,
    Decision,
    Expired,
    Freeze,
    Hold,
    LedgerEntry,
    Promote,
    Recalibrate,
    Refusal,
    Reject,
    Retrain,
    RollBack,
    Shadow,
    Thaw,
    WatchEvidence,
)
from tests.tasks.builders import (
    at,
    batch_record,
    comparison,
    entry,
    evidence,
    manual_evidence,
    policy_evidence,
    span,
)

REJECT = Reject(reason="not proven", version=2)
SHADOW = Shadow(reason="too little", version=2)
PROMOTE = Promote(reason="better", version=2, previous=1)
BACK = RollBack(reason="worse", version=1, previous=2)


def asked(id: int, version: int, **changes: object) -> LedgerEntry:
    """The gate asks a person about a version."""
    return entry(id, AwaitApproval(reason="better", version=version, previous=1), **changes)


def history(*entries: LedgerEntry) -> History:
    """The history of these entries."""
    return in_order(entries)


def numbered(*decisions: Decision) -> History:
    """The history of these decisions, in effect, in this order."""
    return history(*(entry(id, decision) for id, decision in enumerate(decisions, 1)))


# --- champions ---


def test_champions_are_promotions_and_rollbacks_that_took_effect() -> None:
    """A journalled promotion makes no champion, nor does a rejection."""
    first = entry(1, Promote(reason="first", version=1, previous=None))
    second, journalled = entry(2, PROMOTE), entry(3, PROMOTE, effective_at=None)
    back = entry(5, BACK)

    found = history(first, second, journalled, entry(4, REJECT), back)

    assert found.champion_changes == (first, second, back)
    assert (found.first_champion, found.champion) == (1, 1)
    assert found.unfinished == (journalled,)
    assert (History().first_champion, History().champion) == (None, None)


def test_champion_before_a_version() -> None:
    """What a version replaced when it was promoted last; the first champion replaced none."""
    found = numbered(
        Promote(reason="first", version=1, previous=None),
        PROMOTE,
        Promote(reason="again", version=2, previous=3),
    )

    assert [found.previous_of(version) for version in (1, 2, 9)] == [None, 3, None]


def test_entry_that_took_effect_takes_the_place_of_its_journal() -> None:
    """A history with an entry that was written, or took effect, is as if it were read again."""
    journalled = entry(2, PROMOTE, effective_at=None)
    before = history(entry(1, REJECT), journalled)

    after = before.including(entry(2, PROMOTE)).including(entry(3, REJECT))

    assert after == history(entry(1, REJECT), entry(2, PROMOTE), entry(3, REJECT))


def test_adjustments_are_those_of_the_version_before_a_batch() -> None:
    """Refreshes of another version, or on the batch itself and later, do not count."""
    made = [
        entry(
            id,
            Recalibrate(reason="", version=version, members=(), weights=(), recalibration=None),
            batch=batch,
        )
        for id, (version, batch) in enumerate([(1, "2020-01"), (2, "2020-01"), (1, "2020-02")], 1)
    ]

    assert history(*made).adjustments(1) == (made[0], made[2])
    assert history(*made).adjustments(1, before="2020-02") == (made[0],)


# --- requests for approval ---


def test_promotion_by_a_person_leaves_no_other_request_open() -> None:
    """Versions 5 and 6 wait, a person promotes 6: nothing waits, for 5 was compared with a champion
    that is none any more.
    """
    both = history(asked(1, 5), asked(2, 6))
    promoted = Promote(reason="by Ada", version=6, previous=1)

    after = both.including(entry(3, promoted, evidence=manual_evidence(rests_on=2)))

    assert [one.decision.version for one in both.awaiting_approval] == [5, 6]
    assert after.awaiting_approval == ()


@pytest.mark.parametrize(
    "later",
    [
        entry(2, Reject(reason="by Ada", version=5), evidence=manual_evidence(rests_on=1)),
        entry(
            2,
            Reject(reason="late", version=5),
            evidence=Expired(expired=1, waited_since=at(1)),
        ),
        entry(2, Promote(reason="better", version=7, previous=1)),
        entry(2, RollBack(reason="worse", version=1, previous=4)),
    ],
    ids=["refused", "expired", "overtaken", "rolled back"],
)
def test_request_waits_until_it_is_decided_or_overtaken(later: LedgerEntry) -> None:
    """The newest decision about the version, and any change of champion, ends the wait."""
    request = asked(1, 5)

    assert history(request).awaiting_approval == (request,)
    assert history(request, later).awaiting_approval == ()


@pytest.mark.parametrize("by_a_person", [False, True])
def test_what_judged_a_version_is_older_than_the_decision(by_a_person: bool) -> None:
    """With late labels a promotion of June rests on rows of January; a rollback on no judgement."""
    judged = asked(1, 2, batch="2020-01", evidence=evidence(batch="2020-01", challenger=2))
    rests_on = manual_evidence(rests_on=1) if by_a_person else judged.evidence
    promoted = entry(2, PROMOTE, batch="2020-06", evidence=rests_on)
    back = entry(3, BACK, batch="2020-07", evidence=manual_evidence())

    found = history(judged, promoted, back)

    assert found.judged_until(promoted) == "2020-01"
    assert found.judged_until(back) == "2020-07"


def test_request_about_another_version_ends_no_wait() -> None:
    """A refusal of version 6, a promotion that did not take effect: version 5 goes on waiting."""
    request = asked(1, 5)
    others = (
        entry(2, Reject(reason="", version=6)),
        entry(3, Promote(reason="", version=7, previous=1), effective_at=None),
    )

    found = history(request, *others)

    assert found.awaiting_approval == (request,)
    assert not found.came_to_nothing(request)
    assert found.including(entry(4, Reject(reason="", version=5))).came_to_nothing(request)
    assert found.requests("2020-02") == found.requests() == (request,)
    assert found.requests("2020-03") == ()


# --- challengers ---


def test_attempts_are_counted() -> None:
    """Each change of recipe that was judged counts, whatever was decided; refreshes and holds do
    not.
    """
    found = history(
        entry(1, Promote(reason="first", version=1, previous=None), evidence=evidence("first")),
        entry(2, REJECT),
        entry(3, REJECT, evidence=evidence("refresh")),
        entry(4, Hold(reason="steady"), evidence=policy_evidence()),
        asked(5, 3),
    )

    assert History().attempts == 0
    assert found.attempts == 2


def test_judged_again_is_the_same_attempt() -> None:
    """A challenger that goes on in shadow is one attempt, however often it is judged."""
    assert numbered(SHADOW, SHADOW, REJECT).attempts == 1


def test_promoted_change_of_recipe_starts_anew() -> None:
    """When a change of recipe is champion, the attempts before it are over."""
    assert numbered(REJECT, PROMOTE).attempts == 0
    assert numbered(REJECT, PROMOTE, REJECT).attempts == 1


def test_refresh_and_rollback_start_nothing_anew() -> None:
    """A promoted refresh, or a rollback, between attempts leaves the count: else every attempt
    would be the first.
    """
    entries = []
    for version in range(3):
        entries.append(entry(2 * version + 1, Reject(reason="", version=version)))
        entries.append(entry(2 * version + 2, PROMOTE, evidence=evidence("refresh")))

    assert history(*entries, entry(9, BACK, evidence=manual_evidence())).attempts == 3


@pytest.mark.parametrize(("kind", "left"), [("change of recipe", 0), ("refresh", 1)])
def test_promotion_by_a_person_is_what_it_rests_on(kind: str, left: int) -> None:
    """A person's promotion starts anew when the judgement that it rests on was of a change of
    recipe.
    """
    found = history(
        entry(1, REJECT),
        asked(2, 2, evidence=evidence(kind)),
        entry(3, PROMOTE, evidence=manual_evidence(rests_on=2)),
    )

    assert found.attempts == left


def test_who_waits_in_shadow() -> None:
    """The newest judgement of each challenger counts; a promoted change of recipe ends the wait of
    all before it.
    """
    newest, third = entry(2, SHADOW), entry(3, Shadow(reason="too little", version=3))
    found = history(entry(1, SHADOW), newest, third)
    assert found.in_shadow == (newest, third)
    assert found.judgements(2) == (found.entries[0], newest)

    found = found.including(entry(4, REJECT))
    assert found.in_shadow == (third,)

    refreshed = Promote(reason="better", version=4, previous=1)
    found = found.including(entry(5, refreshed, evidence=evidence("refresh", challenger=4)))
    assert found.in_shadow == (third,)

    found = found.including(entry(6, Promote(reason="better", version=5, previous=4)))
    assert found.in_shadow == ()


def test_verdicts_on_a_version() -> None:
    """Requests and rejections of it, by whom ever; no judgement in shadow, and none of another."""
    found = numbered(SHADOW, AwaitApproval(reason="", version=2, previous=1), REJECT, BACK)

    assert [one.id for one in found.verdicts(2)] == [2, 3]
    assert found.verdicts(7) == ()


def test_retrain_that_could_train_nothing() -> None:
    """The decision to retrain gives way to the one that says why nothing could be trained."""
    asked_for = entry(1, Retrain(reason="the clock"))
    vain = entry(2, Hold(reason="no rows"), evidence=Attempted(retrain=1))

    assert not history(asked_for).came_to_nothing(asked_for)
    assert history(asked_for, vain).came_to_nothing(asked_for)
    assert not history(asked_for, vain).came_to_nothing(vain)
    assert history(asked_for, vain).trained_nothing(asked_for)


def test_challenger_judged_since_a_retrain() -> None:
    """A promotion or a request after the decision to retrain says that it was carried out."""
    found = numbered(PROMOTE, REJECT, SHADOW)

    assert found.judged_since(entry(0, REJECT))
    assert not found.judged_since(found.entries[0])
    assert found.including(asked(4, 3)).judged_since(found.entries[0])


# --- freezes ---


def test_frozen_until_thawed() -> None:
    """A freeze holds until a person thaws the model, which also starts the count of rollbacks
    anew.
    """
    froze = entry(3, Freeze(reason="twice"))
    found = history(entry(1, BACK), entry(2, BACK, decided_by="Ada"), froze)
    assert found.frozen == froze
    assert found.rollbacks_since_thaw == ("2020-02",)

    thawed = found.including(entry(4, Thaw(reason="seen")))
    assert thawed.frozen is None
    assert thawed.rollbacks_since_thaw == ()
    assert History().frozen is None


# --- batches ---


def _watched(champion: int, batch: str = "2020-02", **changes: object) -> WatchEvidence:
    values = {
        "model": "flights",
        "batch": batch,
        "revision": 1,
        "champion": champion,
        "previous": champion - 1,
        "batches_watched": 1,
        "comparison": comparison(),
    }
    return WatchEvidence(**(values | changes))


@pytest.mark.parametrize(
    ("decided", "outcome"),
    [
        (entry(1, Hold(reason=""), evidence=policy_evidence(revision=1)), True),
        (entry(1, Hold(reason=""), evidence=policy_evidence(revision=2)), False),
        (entry(1, Hold(reason=""), evidence=policy_evidence(revision=1), batch="2020-03"), False),
        (entry(1, Hold(reason=""), evidence=_watched(2)), False),
        (entry(1, BACK, evidence=_watched(2)), True),
        (entry(1, PROMOTE), False),
    ],
    ids=["policy", "revision", "batch", "watch", "rollback", "challenger"],
)
def test_what_decides_about_a_batch(decided: LedgerEntry, outcome: bool) -> None:
    """The policy does, and the watch when it rolls back; a hold of the watch, another revision and
    a challenger's judgement do not.
    """
    batch = batch_record().batch.model_copy(update={"id": "2020-02"})

    assert history(decided).decided(batch_record(batch=batch, revision=1)) == outcome


def test_refusal_is_no_decision_once_the_batch_is_accepted() -> None:
    """A batch that is let in at last begins anew."""
    refused = batch_record(
        revision=1, verdict=batch_record().verdict.model_copy(update={"outcome": "refuse"})
    )
    refusal = Refusal(model="flights", batch="2020-01", revision=1, verdict=refused.verdict)
    found = history(entry(1, Hold(reason=""), evidence=refusal, batch="2020-01"))

    assert found.decided(refused)
    assert not found.decided(batch_record(revision=1))


def test_batches_that_the_watch_has_looked_at() -> None:
    """Since a promotion, by the batch that was compared on."""
    promoted = entry(2, PROMOTE)
    found = history(
        entry(1, Hold(reason=""), evidence=_watched(1, "2020-01")),
        promoted,
        entry(3, Hold(reason=""), evidence=_watched(2, "2020-03")),
    )

    assert found.watched_since(promoted) == {"2020-03"}


def test_what_a_training_realised() -> None:
    """A rejected challenger nothing, a watched promotion what the watch saw; what no batch has
    watched is left out.
    """
    found = history(
        entry(1, REJECT, evidence=evidence(holdout=(span(0, 1, "2020-01"),))),
        entry(2, PROMOTE, evidence=evidence("refresh", holdout=(span(0, 1, "2020-02"),))),
        entry(3, Hold(reason=""), evidence=_watched(2, "2020-03")),
        entry(4, Promote(reason="", version=3, previous=2)),
    )

    assert found.realised == ((), (comparison(),))


def test_choices_between_two_versions() -> None:
    """Promotions, refusals and rollbacks, each until the next change; the first champion was no
    choice, and what never took effect is none.
    """
    history = in_order(
        [
            entry(1, Promote(reason="", version=1, previous=None), batch="2020-01"),
            entry(2, Reject(reason="", version=2), batch="2020-02"),
            entry(3, Promote(reason="", version=3, previous=1), batch="2020-03"),
            entry(4, Reject(reason="", version=4), batch="2020-04"),
            entry(5, RollBack(reason="", version=1, previous=3), batch="2020-05"),
            entry(6, Promote(reason="", version=5, previous=1), batch="2020-06", effective_at=None),
        ]
    )

    found = [(one.number, one.chosen, one.other, one.until) for one in history.choices]

    assert found == [
        (2, 1, 2, "2020-03"),
        (3, 3, 1, "2020-05"),
        (4, 3, 4, "2020-05"),
        (5, 1, 3, ""),
    ]


def test_a_challenger_refused_before_there_is_a_champion_was_no_choice() -> None:
    """There is nothing to compare it with."""
    assert in_order([entry(1, Reject(reason="", version=1))]).choices == ()
