"""A batch in one row."""

from __future__ import annotations

import pytest

from tasks.history import History, in_order
from tasks.records import AwaitApproval, Hold, Promote, Reject, Retrain, RollBack
from tasks.reports.summary import (
    REFUSED,
    UNDECIDED,
    batch_rows,
)
from tests.tasks.reports.conftest import (
    a_drift,
    a_feature,
    a_performance,
    a_record,
    a_verdict,
    an_entry,
    months,
)

JANUARY, FEBRUARY = months(2)
HOLD, RETRAIN = Hold(reason="h"), Retrain(reason="t")
REJECT = Reject(reason="j", version=2)
AWAIT = AwaitApproval(reason="a", version=2, previous=1)
PROMOTE = Promote(reason="p", version=2, previous=1)
ROLL_BACK = RollBack(reason="b", version=1, previous=2)


def row_of(*decisions):
    """The row of January with these decisions, in this order."""
    entries = [an_entry(i, JANUARY, decision) for i, decision in enumerate(decisions, 1)]
    (row,) = batch_rows([a_record(JANUARY)], in_order(entries))
    return row


@pytest.mark.parametrize(
    ("decisions", "shown"),
    [
        ((HOLD,), "Hold"),
        ((RETRAIN, HOLD), "Retrain"),
        ((RETRAIN, REJECT), "Reject"),
        ((RETRAIN, AWAIT), "AwaitApproval"),
        ((AWAIT, PROMOTE, HOLD), "Promote"),
        ((ROLL_BACK, PROMOTE), "RollBack"),
    ],
)
def test_the_most_consequential_decision_is_shown(decisions, shown):
    """RollBack > Promote > AwaitApproval > Reject > Retrain > Hold, in whatever order they were
    made.
    """
    assert row_of(*decisions).decision == shown
    assert row_of(*decisions[::-1]).decision == shown


def test_of_equals_the_newest_is_shown():
    """Two holds: the second one's reason counts."""
    assert row_of(Hold(reason="old"), Hold(reason="new")).reason == "new"


def test_a_refused_request_for_approval_is_a_rejection():
    """A person's no is the batch's decision, not the question that was asked before."""
    assert row_of(RETRAIN, AWAIT, REJECT).decision == "Reject"


def test_a_refused_batch_shows_the_verdicts_reason():
    """Whatever else was decided, nothing was done with a refused batch."""
    record = a_record(JANUARY, verdict=a_verdict(outcome="refuse", reason="no rows", rows=0))

    (row,) = batch_rows([record], in_order([an_entry(1, JANUARY, HOLD)]))

    assert (row.decision, row.reason, row.rows) == (REFUSED, "no rows", 0)


def test_a_batch_without_decision_is_undecided():
    """No entry, no decision; no champion and no labels, no numbers."""
    row = row_of()

    assert (row.decision, row.reason, row.drift_share, row.score, row.first_score) == (
        UNDECIDED,
        "",
        None,
        None,
        None,
    )


def test_scores_belong_to_the_champion_and_to_the_first_champion():
    """The first performance is the champion's; the first champion's is found by its
    version.
    """
    performances = (
        a_performance("2013-02", 3),
        a_performance("2013-02", 2),
        a_performance("2013-02", 1),
    )
    performances = tuple(
        p.model_copy(update={"score": p.score.model_copy(update={"value": 0.70 + p.version / 100})})
        for p in performances
    )
    drift = a_drift("2013-02", [a_feature(), a_feature("dewp", outcome="usual", score=0.01)])
    promoted = an_entry(1, JANUARY, Promote(reason="first", version=1, previous=None))

    (row,) = batch_rows(
        [a_record(FEBRUARY, performances=performances, drift=drift)], in_order([promoted])
    )

    assert (row.score.value, row.first_score, row.drift_share) == (0.73, 0.71, 0.5)


def test_rows_come_in_time_order_of_the_newest_revisions():
    """Read again, a batch still has one row: the newest revision's."""
    old, new = a_record(JANUARY), a_record(JANUARY, revision=2, verdict=a_verdict(rows=7))

    rows = batch_rows([a_record(FEBRUARY), new, old], History())

    assert [(row.batch, row.rows) for row in rows] == [("2013-01", 7), ("2013-02", 28_796)]
