"""The validation page of one batch."""

from __future__ import annotations

from tasks.reports.validation_page import render_validation_page
from tests.tasks.reports.conftest import a_contract, a_rule, a_snapshot, a_verdict, months

JANUARY = months(1)[0]
RULES = (
    a_rule(
        "temp:present",
        scope="schema",
        outcome="passed",
        count=0,
        found="",
        description="column temp is there",
    ),
    a_rule("temp:low", severity="warning", count=9_000, description="temp is not low"),
    a_rule(),
    a_rule(
        "rows:count",
        scope="batch",
        outcome="not_run",
        count=0,
        found="",
        description="a month has rows",
    ),
)


def page_of(**changes):
    """The page of a verdict over the sample rules."""
    verdict = a_verdict(**({"rules": RULES} | changes))
    return render_validation_page(a_contract(), a_snapshot(JANUARY), verdict)


def test_the_verdict_and_its_reason_come_first():
    """Outcome, reason, rows, quarantine, source and digest are on the page."""
    page = page_of(
        outcome="accept with quarantine",
        reason="1,204 of 28,796 rows in quarantine",
        quarantined=1_204,
        quarantine="quarantine/flights/2013-01/x.parquet",
    )

    for text in (
        "Accepted, with rows in quarantine.",
        "1,204 of 28,796 rows",
        "28,796",
        "4.2% of the rows",
        "/data/sources/flights/2013-01.csv.gz",
        "ab12cd34" * 8,
        "quarantine/flights/2013-01/x.parquet",
    ):
        assert text in page


def test_a_refusal_says_what_it_costs():
    """Refused batches are neither trained nor scored on."""
    assert "Refused: nothing is trained or scored on this batch." in page_of(outcome="refuse")


def test_broken_rules_come_first_errors_before_warnings():
    """A warning with more rows still stands behind an error."""
    page = page_of()

    first = [
        page.index(text) for text in ("distance lies in", "temp is not low", "column temp is there")
    ]
    assert first == sorted(first)


def test_severities_differ_by_word_and_sign():
    """Colour alone tells nothing apart."""
    page = page_of()

    for text in ("&times; error", "! warning", "&#10003; passed", "&ndash; not run"):
        assert text in page


def test_no_broken_rule_is_said():
    """An empty list is a statement too."""
    assert '<p class="quiet">None.</p>' in page_of(rules=RULES[:1])


def test_rules_of_a_wide_table_stay_below_the_bound():
    """Of eight thousand the broken ones come first, and the others are counted."""
    passed = [a_rule(f"s{i}:low", outcome="passed", count=0, found="") for i in range(8_000)]

    page = page_of(rules=(*passed, *RULES))

    assert len(page.encode()) < 500_000
    assert page.index("temp is not low") < page.index("s0:low")
    assert "more rules, all of them passed" in page
