"""Every model at a glance: what needs a person comes first, and nothing is made up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tasks.history import History, in_order
from tasks.needs import needs
from tasks.records import AwaitApproval, Freeze, KnownBatch, Promote
from tasks.reports.fleet_page import _line, at_a_glance, chosen, render_fleet_page
from tests.tasks.reports.conftest import a_performance, a_record, a_verdict, an_entry, months

NOW = datetime(2013, 6, 1, tzinfo=UTC)


def known(batch, *, completed: bool = True, **changes: object) -> KnownBatch:
    """A batch as a list of many models reads it."""
    return KnownBatch(
        batch=batch.id, completed=completed, figures=a_record(batch, **changes).figures
    )


def promoted(batch, version: int = 1, **changes: object):
    """A promotion."""
    return an_entry(version, batch, Promote(reason="r", version=version, previous=None), **changes)


def test_what_waits_for_approval_says_until_when() -> None:
    """Where the spec is known."""
    asked = an_entry(7, "2013-01", AwaitApproval(reason="r", version=3, previous=1))

    (need,) = needs(None, in_order([asked]), timedelta(days=7))

    until = asked.recorded_at + timedelta(days=7)
    assert str(need) == (
        f"version 3 waits for approval since batch 2013-01, until {until:%Y-%m-%d %H:%M} UTC"
    )


def test_a_model_at_a_glance() -> None:
    """Champion, newest batch, newest score and where it is of, scores over time."""
    january, february, march = months(3)
    batches = (
        known(january, performances=(a_performance(january.id),)),
        known(february, performances=(a_performance(february.id),)),
        known(march),
    )

    found = at_a_glance("flights", batches, in_order([promoted(january)]), managed=True)

    assert (found.champion, found.since, found.batch) == (1, january.id, march.id)
    assert found.scored == february.id
    assert found.scores == (0.7312, 0.7312, None)
    assert found.needs == ()


@pytest.mark.parametrize(
    ("batches", "entries", "what"),
    [
        ([], [an_entry(7, "2013-01", Freeze(reason="three rollbacks"))], "frozen since batch"),
        (
            [],
            [an_entry(7, "2013-01", AwaitApproval(reason="r", version=3, previous=1))],
            "version 3 waits for approval",
        ),
        ([], [promoted(months(1)[0], 7, effective_at=None)], "has not taken effect"),
        (
            [known(months(1)[0], verdict=a_verdict(outcome="refuse", reason="no column temp"))],
            [],
            "batch 2013-01 was refused: no column temp",
        ),
        ([known(months(1)[0], completed=False)], [], "its run has not come to its end"),
    ],
)
def test_what_needs_a_person_is_told(batches, entries, what) -> None:
    """Each kind, in a sentence that leads to the decision where there is one."""
    found = at_a_glance("m", batches, in_order(entries), managed=True)

    (need,) = found.needs
    assert what in need.what
    assert need.decision == (7 if entries else None)
    assert need.what in render_fleet_page([found], NOW).replace("&#39;", "'")


def test_search_and_filter() -> None:
    """By a part of the name in any case; only those that need a person."""
    calm = at_a_glance("Calm", (), History(), managed=True)
    pressing = at_a_glance(
        "pressing", (known(months(1)[0], completed=False),), History(), managed=True
    )

    assert chosen([calm, pressing], "ALM") == (calm,)
    assert chosen([calm, pressing], needing=True) == (pressing,)
    assert "No model is like that" in render_fleet_page([calm], NOW, "x")


def test_a_name_that_means_something_in_an_address_leads_to_its_page() -> None:
    """A model may be called anything that a directory can be."""
    found = at_a_glance("a?b#c", (known(months(1)[0]),), History(), managed=False)

    page = render_fleet_page([found], NOW)

    assert set(re.findall(r'href="([^"]+)"', page)) == {
        "models/a%3Fb%23c",
        "reports/a%3Fb%23c/2013-01/drift.html",
    }
    assert "no longer in the project" in page


def test_the_small_line_breaks_where_there_is_no_score() -> None:
    """From the lowest to the highest; fewer than two scores are no line."""
    assert _line([0.0, None, 1.0, 0.5]) == "M0.0,28.0 M80.0,0.0 L120.0,14.0"
    assert _line([None, 0.5]) == ""


def test_two_hundred_models_are_one_page() -> None:
    """Well below the bound of a page."""
    january = months(1)[0]
    one = at_a_glance("m", (known(january),), in_order([promoted(january)]), managed=True)

    page = render_fleet_page([one.but(model=f"model-{i}") for i in range(200)], NOW)

    assert page.count("<tr>") == 201
    assert len(page.encode()) < 500_000
