"""One batch's drift report."""

# ruff: noqa: RUF001 - the pages are set with typographic signs, and the tests read them

from __future__ import annotations

import html
import math
import re
from datetime import UTC, datetime

import pytest

from tasks.history import in_order
from tasks.records import (
    DriftReference,
    Histogram,
    Hold,
    Interval,
    LossNotSplit,
    LossPart,
    MissingDrift,
    Outside,
    Promote,
    Relation,
)
from tasks.reports.drift_page import render_drift_page
from tasks.reports.drift_words import move_in_words
from tests.tasks.reports.conftest import (
    a_change,
    a_drift,
    a_feature,
    a_move,
    a_performance,
    a_record,
    a_verdict,
    an_effect,
    an_entry,
    months,
    still,
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


def test_the_page_answers_from_the_top():
    """What moved in its own unit, by consequence; whether that is unusual, whether it matters, how
    the champion does and what was decided.
    """
    features = [
        a_feature("temp", importance=0.01, effect=an_effect(0.02)),
        a_feature("dewp", outcome="cannot be told", threshold=None, effect=an_effect(-0.04)),
        still("humid", importance=0.03),
        a_feature("prediction", kind="prediction", importance=None),
        a_feature("gust", score=None, outcome="not evaluable", importance=None, move=None),
    ]
    drift = a_drift(
        "2013-03",
        features,
        together=an_effect(0.03, unknown=0.1),
        outside=Outside(rows=2_880, share=0.1),
        predicted=(0.21, 0.27),
    )
    record = with_loss(MARCH, 0.49).model_copy(update={"drift": drift})

    text = page_of(record, units={"temp": "degF"}, history=[with_loss(FEBRUARY, 0.48), record])

    assert (
        "2 of 3 features moved: dewp (median 41 to 55, 10% of the rows above anything in training)"
        " and temp (median 41 to 55 °F, 10% of the rows above anything in training); what it"
        " predicts moved too." in text
    )
    assert "Is that unusual? Yes, temp: beyond what its own swings explain; cannot be" in text
    assert "told of dewp: no earlier time of the same season is known" in text
    assert (
        "Does it matter? Loss rises by +0.030 [0.025, 0.035]; the champion has never seen 10% of"
        " the rows, of which nothing is known; its mean prediction went from 0.21 to 0.27." in text
    )
    assert "The champion’s loss is 0.490 [0.470, 0.510], as before." in text
    assert "What was decided? Hold. Hold 1 batch since the last training of 3" in text


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


def test_features_come_by_consequence():
    """What moved first, by what that should do to the loss, then what did not, then what cannot be
    compared, then what the champion predicts.
    """
    features = [
        still("still_one", importance=1.0),
        a_feature("lost_one", score=None, outcome="not evaluable", move=None, note="no value"),
        a_feature("unclear", effect=an_effect(0.5, half=1.0), importance=0.2),
        a_feature("harmless", effect=an_effect(0.001, half=0.0001), importance=0.001),
        a_feature("harmful", effect=an_effect(0.09), score=0.3, threshold=0.05),
        a_feature("the_prediction", kind="prediction", outcome="usual", score=0.01),
    ]
    record = with_loss(MARCH, 0.49).model_copy(update={"drift": a_drift("2013-03", features)})

    text = page_of(record, units={"harmful": "mile"})

    text = text[text.index("Features that moved come first") :]
    names = ["harmful", "unclear", "harmless", "still_one", "lost_one", "the_prediction"]
    assert sorted(names, key=text.index) == names
    assert "numerical, mile" in text
    assert "0.3 of 0.05, 6.0×" in text
    assert "loss rises by +0.090 [0.085, 0.095]" in text
    assert "loss rises by less than 1%" in text
    assert "no clear effect on the loss" in text
    assert "below 40: 50% → 25%" in text
    assert "cannot be compared no value" in text


def test_features_of_a_wide_table_are_all_named_and_the_farthest_drawn():
    """Two thousand of them stay below the bound of a page."""
    features = [a_feature("moved", score=9.0)] + [still(f"s{i:04d}") for i in range(2_000)]
    record = a_record(MARCH, drift=a_drift("2013-03", features))

    page = render_drift_page(
        "m", "roc_auc", record, in_order((FIRST, HOLD)), {}, [record], None, None
    )

    assert len(page.encode()) < 500_000
    assert page.index("Moved: 1 feature") < page.index("Did not move: 2,000 features")
    assert "And 1,901 features with the score alone: s0099 0.02, " in page
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
    """How rare it is, and why a large score may be usual, or a rare one too small."""
    features = [
        a_feature("rare", p_value=0.00021),
        a_feature("swinging", outcome="usual", score=0.4, threshold=0.9, p_value=0.3),
        still("tiny", p_value=1e-9),
        a_feature("wild", outcome="cannot be told", score=0.4, threshold=None, p_value=0.02),
        a_feature("the_target", kind="target", score=0.5, p_value=1e-4),
    ]
    reference = DriftReference(
        kind="training", rows=81_403, runs=6, level=0.002, reason="as configured"
    )

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", features, reference=reference)))

    assert "yes: 1 in 4,800 if nothing had changed" in text
    assert "usual: it swings as far by itself (30% if nothing had changed)" in text
    assert "less than 1 in a million if nothing had changed, but too small to matter" in text
    assert "cannot be told of wild" in text
    assert "no for swinging, which swings as far within training time" in text
    assert "what came true moved too" in text
    assert "all training rows (as configured)" in text
    assert "Rarer than 1 in 500 counts" in text


def test_missing_values_and_other_columns_are_told():
    """A share of missing values that rose, and a number that is not what the others say, are named
    with what was expected.
    """
    gone = MissingDrift(score=0.9, threshold=0.2, p_value=1e-5, outcome="unusual")
    said = Relation(
        score=4.0, threshold=0.5, p_value=1e-4, outcome="unusual", expected=75.0, found=24.0
    )
    lost = a_move(values=False, gaps=True, missing=0.01, above=0.0)
    features = [
        a_feature("dewp", missing=gone, missing_after=0.31, move=lost, score=0.01),
        a_feature("temp", relation=said),
        a_feature("humid", relation=said.model_copy(update={"leans_on": ("temp",)})),
    ]

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", features)), units={"temp": "degF"})

    assert "missing 1.0% to 31%" in text
    assert "missing values, 1 in 100,000 if nothing had changed" in text
    assert "Yes, temp: the other columns say a median of 75 °F, found 24 °F; with it humid" in text
    assert "beside the other columns: unusual, 4 of 0.5, with what they say of temp" in text


def test_rows_outside_of_training_are_told_with_their_loss():
    """Their number, and how the champion did there and on the others."""
    found = Outside(
        rows=900,
        share=0.03,
        inside=Interval(value=0.4, low=0.39, high=0.41),
        outside=Interval(value=0.6, low=0.5, high=0.7),
    )

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", [a_feature()], outside=found)))

    assert "900 rows lie outside of what training held in one feature or more: 3.0%" in text
    assert "The loss is 0.60 [0.50, 0.70] there, and 0.400 [0.390, 0.410] on the others" in text


def test_the_page_says_why_the_loss_changed():
    """In a sentence, and in parts with their intervals, those of the inputs by feature."""
    page = page_of(with_loss(MARCH, 0.49).but(change=a_change()))

    said = (
        "Why did the loss change? From 0.46 on the holdout it rose to 0.49: the inputs moved"
        " (+0.0100 [0.0060, 0.0150], most by temp) and the relation between inputs and target"
        " changed (+0.019 [0.012, 0.027]); a retrain can help."
    )
    assert said in page
    assert "of them temp +0.0090 [0.0050, 0.0130] of them humid +0.0010" in page
    assert "seats" not in page
    assert "Chance what none of these explains" in page
    assert "All +0.03" in page
    assert "Adjusted since" not in page


def test_many_parts_share_a_line():
    """Of many features the largest have lines of their own, and all parts still add up."""
    small = Interval(value=0.001, low=0.0005, high=0.0015)
    features = tuple(LossPart(feature=f"f{i}", change=small) for i in range(9))
    adjusted = Interval(value=-0.002, low=-0.003, high=-0.001)

    page = page_of(
        with_loss(MARCH, 0.49).but(change=a_change(features=features, adjusted=adjusted))
    )

    assert "of them f5 +0.0010" in page
    assert "of them 3 other features +0.003" in page
    assert "Adjusted since" in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            a_change(named=()),
            "From 0.46 on the holdout it rose to 0.49, and nothing of that is told from chance.",
        ),
        (
            a_change(named=("base rate",), base_rate=Interval(value=-0.02, low=-0.03, high=-0.01)),
            "the base rate moved (−0.020 [−0.030, −0.010]).",
        ),
        (
            LossNotSplit(version=1, before=0.46, after=0.49, why="the batch has 60 labelled rows"),
            "It is 0.49; why it is not that of the holdout cannot be told: the batch has 60",
        ),
    ],
    ids=["chance", "for the better", "not split"],
)
def test_other_answers_to_why_the_loss_changed(change, said):
    """Chance is an answer, what lowered the loss asks for nothing, and what cannot be told says
    so.
    """
    assert said in page_of(with_loss(MARCH, 0.49).but(change=change))


def test_a_season_is_named():
    """The page says that the batch was held against its own season, and from when to when that
    was.
    """
    start, end = (datetime(2012, month, 1, tzinfo=UTC) for month in (3, 4))
    reference = DriftReference(
        kind="season",
        like="the same season of earlier years",
        rows=9_000,
        spans=((start, end),),
        reason="training rows reach back to it",
    )

    text = page_of(a_record(MARCH, drift=a_drift("2013-03", [a_feature()], reference=reference)))

    assert "against 9,000 training rows of version 1, the same season of earlier years" in text
    assert "2012-03-01 to 2012-04-01" in text


def test_a_season_beyond_training_is_named():
    """Rows that the champion was not trained on are not called training rows, and counted."""
    start, end = (datetime(2012, month, 1, tzinfo=UTC) for month in (3, 4))
    reference = DriftReference(
        kind="season",
        like="the same season of earlier years",
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
        ({}, "No feature could be compared."),
        ({"A": "usual"}, "No for A, which swings as far within training time."),
        ({"A": "unusual", "b": "unusual"}, "Yes, A and b: beyond what their own swings explain."),
        ({"A": "cannot be told"}, "Cannot be told of A: no earlier time of the same season"),
        ({"A": "unusual", "b": "cannot be told"}, "explain; cannot be told of b: no earlier"),
        (dict.fromkeys("Abcdefghi", "usual"), "No for 9 features, which swing as far"),
        (dict.fromkeys("Abcd", "usual"), "above anything in training), c and d."),
    ],
)
def test_the_headline_says_what_moved_and_what_cannot_be_told(outcomes, sentence):
    """By name where there are few, and never as usual what is not known."""
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


def test_nothing_moved_is_said_so():
    """None of the features, and no effect to tell of."""
    text = page_of(a_record(MARCH, drift=a_drift("2013-03", [still("a"), still("b")])))

    assert "None of 2 features moved. Is that unusual? Nothing is unusual." in text
    assert "Does it matter? Nothing moved." in text


def test_a_category_is_told_by_the_share_that_changed_most():
    """Or as it was, where even that is the same as people read it."""
    move = a_move(median=None, above=0.0)

    def told(after: tuple[float, float]) -> str:
        bins = Histogram(labels=("EWR", "JFK"), before=(0.4, 0.6), after=after)
        return move_in_words(a_feature("origin", kind="categorical", histogram=bins, move=move))

    assert told((0.5, 0.5)) == "EWR 40% to 50%"
    assert told((0.401, 0.599)) == "EWR 40% as before"
