"""Two versions side by side: from the ledger's records alone, and the same whoever stands left."""

from __future__ import annotations

import html
import re

from tasks.history import in_order
from tasks.records import Behaviour, FeatureSchema, Interval, Promote, Reject, WatchEvidence
from tasks.reports.compare_page import render_compare_page
from tests.tasks.builders import comparison, evidence, recipe, trained_model
from tests.tasks.reports.conftest import a_performance, a_record, an_entry, months

FIRST, SECOND = (
    trained_model(
        version=1,
        recipe=recipe(params={"C": 1.0}),
        schema_=FeatureSchema(numerical=("hour", "wind"), categorical=("carrier",)),
        behaviour=Behaviour(importance={"hour": 0.02, "wind": 0.001}),
    ),
    trained_model(
        version=2,
        recipe=recipe(params={"C": 0.1}),
        schema_=FeatureSchema(numerical=("hour",), categorical=("carrier",)),
        behaviour=Behaviour(importance={"hour": 0.03}),
    ),
)
FOUND = comparison(
    challenger_loss=0.41,
    champion_loss=0.45,
    difference=Interval(value=-0.04, low=-0.06, high=-0.02),
)
HISTORY = in_order(
    [
        an_entry(
            3,
            "2013-04",
            Promote(reason="better", version=2, previous=1),
            evidence=evidence(challenger=2, champion=1, comparison=FOUND),
        ),
        an_entry(
            4,
            "2013-05",
            Reject(reason="worse", version=3),
            evidence=evidence(challenger=3, champion=2, comparison=FOUND),
        ),
    ]
)
RECORDS = [
    a_record(batch, performances=(a_performance(batch.id, version),))
    for batch, version in zip(months(2, "2013-04"), (1, 2), strict=True)
]


def tables(one, other, history=HISTORY) -> dict[str, list[list[str]]]:
    """Title -> rows of text."""
    page = render_compare_page(one, other, RECORDS, history)
    found = {}
    for section in re.split(r"<h2[^>]*>", page)[1:]:
        title, _, rest = section.partition("</h2>")
        rows = re.findall(r"<tr>(.*?)</tr>", rest, re.DOTALL)
        found[html.unescape(title)] = [
            [
                html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
                for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
            ]
            for row in rows
        ]
    return found


def test_a_comparison_on_the_same_rows_is_shown_the_way_it_is_asked_for():
    """The sign of the difference follows the order of the versions; other versions' is left out."""
    (row,) = tables(FIRST, SECOND)["Compared on the same rows"][1:]
    (turned,) = tables(SECOND, FIRST)["Compared on the same rows"][1:]

    assert row[:5] == ["3: Promote", "2013-04", f"{FOUND.rows:,}", "0.45", "0.41"]
    assert turned[3:5] == ["0.41", "0.45"]
    assert re.findall(r"[\d.]+", row[5]) == ["0.040", "0.060", "0.020"]
    assert re.findall(r"[\d.]+", turned[5]) == ["0.040", "0.020", "0.060"]
    assert not row[5].startswith("0"), "it has its sign"
    assert turned[5].startswith("0.040")


def test_the_watch_compares_them_too():
    """In it the version before stands as the challenger."""
    watched = WatchEvidence(
        model="flights",
        batch="2013-05",
        revision=1,
        champion=2,
        previous=1,
        batches_watched=1,
        comparison=FOUND,
    )
    history = in_order([an_entry(5, "2013-05", Reject(reason="r", version=9), evidence=watched)])

    (row,) = tables(FIRST, SECOND, history)["Compared on the same rows"][1:]

    assert row[3:5] == ["0.41", "0.45"], "version 1 is the challenger there"
    assert row[5].startswith("0.04")


def test_what_differs_stands_first():
    """Of how they were made; features and importance of both."""
    found = tables(FIRST, SECOND)

    made = found["How they were made"][1:]
    marks = [row[3] for row in made]
    assert marks == sorted(marks, reverse=True)
    assert ["its C", "1.0", "0.1", "differs"] in made
    assert found["Features that only one of them has"][1:] == [["wind", "yes", "no"]]
    assert [row[0] for row in found["Importance"][1:]] == ["hour", "wind"]


def test_scores_stand_under_the_version_that_served():
    """The newest batch first, and a dash where a version was not judged."""
    rows = tables(FIRST, SECOND)["On the batches that judged them"][1:]

    assert [row[0] for row in rows] == ["2013-05", "2013-04"]
    assert [[cell == "\N{EN DASH}" for cell in row[1:3]] for row in rows] == [
        [True, False],
        [False, True],
    ]


def test_versions_alike_have_no_empty_table():
    """Of one against itself: nothing differs, and nothing was compared."""
    found = tables(FIRST, FIRST)

    assert "Compared on the same rows" not in found
    assert {row[3] for row in found["How they were made"][1:]} == {""}
