"""One batch's drift report."""

# ruff: noqa: RUF001 - the pages are set with typographic signs, and the tests read them

from __future__ import annotations

import html
import math
import re
from datetime import UTC, datetime

import pytest

from tasks.history import in_order
from tasks.records import DriftReference, Hold, Interval, Promote
from tasks.reports.drift_page import render_drift_page
from tests.tasks.reports.conftest import (
    a_drift,
    a_feature,
    a_performance,
    a_record,
    a_verdict,
    an_entry,
    months,
)

JANUARY, FEBRUARY, MARCH = months(3)
FIRST = an_entry(1, JANUARY, Promote(reason="the first", version=1, previous=None))
HOLD = an_entry(2, MARCH, Hold(reason="1 batch since the last training of 3"))


def with_loss(batch, value, half=0.02, version=1):
    """A judged record with this loss."""
    loss = Interval(value=value, low=value - half, high=value + half)
    return a_record(batch, performances=(a_performance(batch.id, version, loss=loss),))


def page_of(
    record, *, entries=(FIRST, HOLD), units=(), history=(), evidently=None, validation=None
):
    """The page's text as a reader sees it, without markup."""
    page = render_drift_page(
        "flights", "roc_auc", record, in_order(entries), dict(units), history, evidently, validation
    )
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_headline_says_what_moved_how_it_did_and_what_was_decided():
    """Moved features with their share of importance, loss against earlier batches, decision with
    reason.
    """
    features = [
        a_feature("temp", importance=0.01),
        a_feature("dewp", outcome="steady", score=0.02, importance=0.03),
        a_feature("prediction", kind="prediction", importance=None),
        a_feature("gust", score=None, outcome="not evaluable", importance=None),
    ]
    record = with_loss(MARCH, 0.49).model_copy(update={"drift": a_drift("2013-03", features)})

    text = page_of(record, history=[with_loss(FEBRUARY, 0.48), record])

    assert (
        "1 of 2 features moved, carrying 25% of the champion’s importance; what it predicts moved"
        " too." in text
    )
    assert "The champion’s loss is 0.490 [0.470, 0.510], as before." in text
    assert "Decision: Hold. Hold 1 batch since the last training of 3" in text


def test_loss_beyond_its_interval_is_called_higher_or_lower():
    """Compared with the mean of the earlier batches, never with later ones."""
    past = [with_loss(JANUARY, 0.40), with_loss(MARCH, 9.0)]

    assert "higher than before (0.4 on average)" in page_of(with_loss(FEBRUARY, 0.49), history=past)
    assert "lower than before (0.4 on average)" in page_of(with_loss(FEBRUARY, 0.31), history=past)


def test_an_unknown_interval_claims_nothing():
    """Without an interval there is no telling whether the loss is as before."""
    text = page_of(with_loss(MARCH, 0.49, math.inf), history=[with_loss(FEBRUARY, 0.1)])

    assert "The champion’s loss is 0.49 (interval unknown)." in text
    assert "before (" not in text


def test_without_champion_and_labels_the_page_says_so():
    """No drift record and no performance are told in words."""
    text = page_of(a_record(MARCH), entries=())

    assert "No champion yet" in text
    assert "no baseline to hold this batch against" in text
    assert "Labels are not mature yet" in text
    assert "No decision yet." in text


def test_a_refused_batch_gives_the_verdicts_reason_and_no_scores():
    """Refused: why, and nothing that was never computed."""
    text = page_of(
        a_record(MARCH, verdict=a_verdict(outcome="refuse", reason="the batch has no rows", rows=0))
    )

    assert "The batch was refused, so nothing was scored on it. the batch has no rows" in text
    assert "Labels are not mature" not in text


def test_features_come_in_groups_by_distance_from_their_threshold():
    """The prediction, then what moved most against its own threshold, then the steady, then the
    unknown.
    """
    features = [
        a_feature("steady_one", outcome="steady", score=0.09),
        a_feature(
            "lost_one", score=None, outcome="not evaluable", note="this batch holds no value"
        ),
        a_feature("small_threshold", score=0.3, threshold=0.05),
        a_feature("large_threshold", score=0.4, threshold=0.2),
        a_feature("the_prediction", kind="prediction", outcome="steady", score=0.01),
    ]

    text = page_of(
        a_record(MARCH, drift=a_drift("2013-03", features)), units={"small_threshold": "degF"}
    )

    names = ["the_prediction", "small_threshold", "large_threshold", "steady_one", "lost_one"]
    assert sorted(names, key=text.index) == names
    assert "numerical, degF" in text
    assert "0.3 of 0.05, 6.0×" in text
    assert "this batch holds no value" in text
    assert "0% → 3.1%" in text
    assert "below 40: 50% → 25%" in text


def test_features_of_a_wide_table_are_all_named_and_the_farthest_drawn():
    """Two thousand of them stay below the bound of a page."""
    features = [a_feature("moved", score=9.0)] + [
        a_feature(f"s{i:04d}", outcome="steady", score=0.05) for i in range(2_000)
    ]
    record = a_record(MARCH, drift=a_drift("2013-03", features))

    page = render_drift_page(
        "m", "roc_auc", record, in_order((FIRST, HOLD)), {}, [record], None, None
    )

    assert len(page.encode()) < 500_000
    assert page.index("Moved: 1 feature") < page.index("Steady: 2,000 features")
    assert "And 1,901 features with the score alone: s0099 0.05, " in page
    assert all(f.feature in page for f in features)


def test_contenders_are_named_by_their_role():
    """The champion first, then the first champion, then the one in shadow."""
    performances = tuple(a_performance("2013-03", version) for version in (3, 1, 2))

    text = page_of(a_record(MARCH, performances=performances))

    assert "Version 3 champion " in text
    assert "Version 1 first champion" in text
    assert "Version 2 previous champion, in shadow" in text


def test_a_journalled_decision_is_not_in_effect():
    """What is only written down is not shown as done."""
    journalled = an_entry(
        2, MARCH, Promote(reason="better", version=2, previous=1), effective_at=None
    )

    assert "not in effect yet" in page_of(a_record(MARCH), entries=(FIRST, journalled))


def test_links_carry_their_warning():
    """Evidently's page is linked with what it is drawn from; without it nothing is promised."""
    with_links = page_of(a_record(MARCH), evidently="evidently.html", validation="validation.html")

    assert (
        "Its pictures are drawn from a sample; scores, thresholds and verdicts are ours, on all"
        " rows" in with_links
    )
    assert "Evidently" not in page_of(a_record(MARCH))


def test_a_score_is_told_against_chance():
    """How rare it is, and why a large score may be steady, or a rare one too small."""
    features = [
        a_feature("rare", p_value=0.00021),
        a_feature("swinging", outcome="steady", score=0.4, threshold=0.9, p_value=0.3),
        a_feature("tiny", outcome="steady", score=0.02, p_value=1e-9),
        a_feature("wild", outcome="cannot be told", score=0.4, threshold=None, p_value=0.02),
        a_feature("the_target", kind="target", score=0.5, p_value=1e-4),
    ]
    reference = DriftReference(
        kind="training", rows=81_403, runs=6, level=0.002, reason="as configured"
    )

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", features, reference=reference)))

    assert "1 in 4,800 if nothing had changed" in text
    assert "30% if nothing had changed: within its usual swings" in text
    assert "less than 1 in a million if nothing had changed, but too small to matter" in text
    assert "whether wild moved unusually cannot be told" in text
    assert "cannot be told: it swung too much within training time (as configured)" in text
    assert "0.4 no threshold cannot be told" in text
    assert "what came true moved too" in text
    assert "all training rows (as configured)" in text
    assert "Rarer than 1 in 500 counts" in text


def test_a_season_is_named():
    """The page says that the batch was held against its own season, and from when to when that
    was.
    """
    start, end = (datetime(2012, month, 1, tzinfo=UTC) for month in (3, 4))
    reference = DriftReference(
        kind="season", rows=9_000, spans=((start, end),), reason="training rows reach back to it"
    )

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", [a_feature()], reference=reference)))

    assert "against 9,000 training rows of version 1, the same season of earlier years" in text
    assert "2012-03-01 to 2012-04-01" in text


def test_a_season_beyond_training_is_named():
    """Rows that the champion was not trained on are not called training rows, and counted."""
    start, end = (datetime(2012, month, 1, tzinfo=UTC) for month in (3, 4))
    reference = DriftReference(
        kind="season",
        rows=9_000,
        earlier=9_000,
        spans=((start, end),),
        reason="the lake reaches back to it",
    )

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", [a_feature()], reference=reference)))

    assert "against 9,000 rows, the same season of earlier years" in text
    assert "9,000 rows of them are older than what the champion was trained on" in text
    assert "2012-03-01 to 2012-04-01" in text


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ({"A": "steady", "b": "steady"}, "None of 2 features moved."),
        ({"A": "drifted", "b": "steady"}, "1 of 2 features moved"),
        (
            {"A": "cannot be told", "b": "steady"},
            "A moved unusually cannot be told; none of 1 other",
        ),
        ({"A": "cannot be told", "b": "drifted"}, "; whether A moved unusually cannot be told."),
        ({"A": "cannot be told", "b": "cannot be told"}, "Whether A, b moved unusually cannot be"),
        (dict.fromkeys("Abcde", "cannot be told"), "Whether 5 features moved unusually cannot be"),
    ],
)
def test_the_headline_says_what_moved_and_what_cannot_be_told(outcomes, sentence):
    """By name where there are few, and never as steady what is not known."""
    features = [
        a_feature(
            name,
            outcome=outcome,
            importance=0.0,
            score=0.4,
            threshold=None if outcome == "cannot be told" else 0.2,
        )
        for name, outcome in outcomes.items()
    ]

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", features)))

    assert sentence in text
