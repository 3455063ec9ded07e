"""The model page."""

# ruff: noqa: RUF001 - the pages are set with typographic signs, and the tests read them

from __future__ import annotations

import re
from datetime import UTC, datetime

from tasks.history import History, in_order
from tasks.records import (
    Attempted,
    AwaitApproval,
    Choice,
    ChoicesOfYear,
    Estimate,
    Hold,
    Interval,
    JudgedChoice,
    Labelled,
    Promote,
    Retrain,
    ScoreCard,
    WatchEvidence,
)
from tasks.reports.model_page import HEAT_ROWS, render_model_page
from tasks.reports.summary import estimate_in_words
from tests.tasks.builders import comparison, policy_evidence
from tests.tasks.reports.conftest import (
    a_drift,
    a_feature,
    a_performance,
    a_record,
    an_entry,
    months,
)


def link(batch):
    """Where the batch's report lies."""
    return f"{batch}/drift.html"


def card(version):
    """Where the card of a version lies."""
    return f"versions/v{version}/card.html"


def page_of(records, entries):
    """The page of a model called flights."""
    return render_model_page(
        "flights", "Will it be late?", "roc_auc", records, in_order(entries), link, card
    )


def test_it_says_who_is_champion_since_when_and_why(year):
    """The newest change of champion that took effect."""
    page = page_of(year.records, year.history)

    assert "Version 3 is champion since batch 2013-12." in page
    assert "a refresh, not clearly worse" in page
    assert "Will it be late?" in page


def test_promotions_and_rollbacks_are_marked(year):
    """Each change of champion has its mark and says in its tooltip what happened."""
    page = page_of(year.records, year.history)

    assert len(re.findall(r"<title>[^<]*: promoted version", page)) == 3
    assert len(re.findall(r"<title>[^<]*: rolled back to version", page)) == 1
    assert page.count('class="event back"') == 3  # line, mark, and the legend's


def test_the_newest_batch_stands_first_and_links_to_its_report(year):
    """The table of batches runs backwards; every batch has its link."""
    page = page_of(year.records, year.history)

    links = re.findall(r'href="([^"#]+)"', page[: page.index('id="versions"')])
    assert links == [link(record.batch.id) for record in year.records[::-1]]


def test_the_heat_map_holds_the_most_drifting_features():
    """At most thirty rows, those that moved in most batches first; the rest is mentioned."""
    batch = months(1)[0]
    features = [a_feature(f"steady_{i:02d}", outcome="usual", score=0.01) for i in range(40)]
    features.append(a_feature("mover"))
    page = page_of([a_record(batch, drift=a_drift(batch.id, features))], [])

    rows = re.findall(r'<th scope="row" title="([^"]+)"', page)
    assert len(rows) == HEAT_ROWS
    assert rows[0] == "mover"
    assert "The 30 most drifting of 41 features." in page
    assert 'title="2013-01: 3.0× its threshold">' in page
    assert f'<a href="{link("2013-01")}#feature-mover">3.0×</a>' in page


def test_what_waits_is_shown_on_top():
    """A request for approval and a promotion that is only journalled are not hidden in the list."""
    batch = months(1)[0]
    asked = an_entry(1, batch, AwaitApproval(reason="needs a person", version=2, previous=1))
    journalled = an_entry(
        2, batch, Promote(reason="is journalled", version=3, previous=1), effective_at=None
    )

    page = page_of([a_record(batch)], [asked, journalled])

    top = page[: page.index('id="score"')]
    assert "needs a person" in top
    assert "is journalled" in top
    assert "not in effect yet" in top
    assert "No champion yet." in top


def test_what_waits_for_labels_is_told_with_its_reason():
    """Batches that wait, and rows that never got a label; a batch with all its labels takes no
    room.
    """
    first, second, third = months(3)
    moment = first.end
    whole = a_record(first, labelled=Labelled(rows=100, labelled=100, as_of=moment))
    gaps = a_record(second, labelled=Labelled(rows=1200, labelled=1188, as_of=moment))
    page = render_model_page(
        "flights",
        "",
        "roc_auc",
        [whole, gaps, a_record(third)],
        History(),
        link,
        card,
        {third.id: "labels of <2013-03> are refused"},
    )

    own = page[page.index('id="labels"') : page.index('id="decisions"')]
    assert re.findall(r'<th scope="row" class="nowrap">([^<]+)</th>', own) == [third.id, second.id]
    assert "labels of &lt;2013-03&gt; are refused" in own
    assert '<td class="n">99%</td><td class="n">12</td>' in own
    assert 'id="labels"' not in page_of([whole], ())


def test_an_empty_model_has_a_page():
    """No batch, no decision: a page that says so."""
    page = page_of([], [])

    for text in ("No champion yet.", "No batch yet.", "Nothing but Hold so far."):
        assert text in page


def test_every_decision_is_listed_with_who_decided(year):
    """Holds are folded away, not left out."""
    page = page_of(year.records, year.history)

    assert page.count("decided by kingmaker, run amber-falcon") == len(year.history)
    assert "decisions to hold" in page


def test_an_estimate_stands_in_for_labels_that_are_not_there():
    """The newest batch's, as an estimate that says what it cannot see; gone when the labels have
    come.
    """
    batch = months(1)[0]
    score = Interval(value=0.71, low=0.69, high=0.73)
    guess = Estimate(
        version=1,
        rows=100,
        reference=("2012-12",),
        reference_rows=90,
        metric="roc_auc",
        score=score,
        loss=score,
    )
    waiting = a_record(batch).model_copy(update={"estimate": guess, "performances": ()})

    page = page_of([waiting], [])

    assert "ROC AUC on 2013-01, estimated" in page
    assert "until its labels come; blind to concept drift" in page
    assert (
        estimate_in_words(waiting, "roc_auc")
        == "ROC AUC of 2013-01 is estimated at 0.710 [0.690, 0.730] until its labels come, blind to"
        " concept drift; the first that is shown"
    )
    checked = waiting.but(estimate=guess.but(checked=5, held=4))
    assert "4 of the last 5 held what the labels then said" in page_of([checked], [])
    withheld = waiting.but(estimate=guess.but(withheld="the predictions have moved"))
    assert "withheld: the predictions have moved" in page_of([withheld], [])
    assert estimate_in_words(withheld, "roc_auc") == (
        "ROC AUC of 2013-01 has no estimate: the predictions have moved"
    )
    judged = waiting.model_copy(update={"performances": (a_performance(batch.id),)})
    assert "estimated" not in page_of([judged], [])


def test_a_batch_of_one_class_says_that_it_has_no_score():
    """Where the metric is not defined the page says so, and draws on."""
    batch = months(1)[0]
    one_class = a_performance(batch.id, score=None)
    record = a_record(batch, performances=(one_class,))

    html = page_of([record], [])

    assert "not defined on these rows" in html
    assert "no score" in html


def test_a_retrain_that_trained_nothing_is_folded_away():
    """The page leads with what came of decisions; one to retrain that could train nothing is with
    the holds.
    """
    batch = months(1)[0]
    asked_for = an_entry(1, batch, Retrain(reason="the clock"), evidence=policy_evidence())
    vain = an_entry(2, batch, Hold(reason="no rows"), evidence=Attempted(retrain=1))

    html = page_of([a_record(batch)], [asked_for, vain])

    assert "Nothing but Hold so far." in html
    assert "2 decisions to hold" in html


def test_page_says_what_later_batches_said_of_a_promotion():
    """Beside its own reason: a refresh that was promoted with a slightly higher loss may have been
    right.
    """
    promoted = an_entry(
        1, months(1)[0], Promote(reason="a refresh, not clearly worse", version=2, previous=1)
    )
    watched = [
        an_entry(
            number,
            batch,
            Hold(reason="the promotion stands"),
            evidence=WatchEvidence(
                model="flights",
                batch=batch.id,
                revision=0,
                champion=2,
                previous=1,
                batches_watched=number - 1,
                comparison=comparison(challenger_loss=0.5, champion_loss=loss, rows=rows),
            ),
        )
        for number, batch, loss, rows in zip(
            (2, 3), months(3)[1:], (0.4, 0.5), (100, 300), strict=True
        )
    ]

    page = page_of([a_record(months(1)[0])], [promoted, *watched])

    assert "On the 400 rows watched after it, loss 0.475 against 0.5 of the version before" in page
    assert "rows watched after it" not in page_of([a_record(months(1)[0])], [promoted])


def test_choices_that_were_judged_stand_on_the_page(year):
    """The wrong one first, as the card has it; without a card nothing is said."""
    wrong, right = (
        JudgedChoice(
            choice=Choice(
                number=i,
                kind="Promote",
                batch=f"2013-0{i}",
                as_of=datetime(2013, i, 1, tzinfo=UTC),
                chosen=i,
                other=i - 1,
            ),
            batches=("2013-08",),
            rows=1200,
            blocks=10,
            chosen_loss=0.5,
            other_loss=0.5 + gain,
            gained=Interval(value=gain, low=gain - 0.01, high=gain + 0.01),
        )
        for i, gain in [(5, -0.05), (4, 0.05)]
    )
    gained = Interval(value=0.0, low=-9.0, high=9.0)
    sums = ChoicesOfYear(year=2013, right=1, wrong=1, untold=0, gained=gained)
    card = ScoreCard(model="m", judged=(wrong, right), holds=2, gained=gained, years=(sums,))
    given = ("flights", "", "roc_auc", year.records, year.history, link, lambda _: None)

    page = render_model_page(*given, choices=card, whatif="whatif.html")

    assert page.index(">wrong<") < page.index(">right<")
    assert "version 5, not 4" in page
    assert "2013: 1 right, 1 wrong, 0 cannot be told" in page
    assert 'href="whatif.html"' in page
    assert "What choices were worth" not in render_model_page(*given)
