"""What holds for every page: escaped, self-contained, bounded."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from markupsafe import escape
from pydantic import BaseModel

from data_contracts.contract import Column
from tasks.history import in_order
from tasks.records import Hold, Interval, LedgerEntry, Predictions, Promote, SliceScore
from tasks.reports.drift_page import render_drift_page
from tasks.reports.model_page import render_model_page
from tasks.reports.page import relative_address
from tasks.reports.validation_page import render_validation_page
from tests.tasks.reports.conftest import (
    UNITS,
    a_contract,
    a_drift,
    a_feature,
    a_performance,
    a_record,
    a_rule,
    a_snapshot,
    a_verdict,
    an_entry,
    months,
    sample_history,
    unknown,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"onmouseover=alert(1) x="',
    "' onfocus=alert(1) '",
    "</style><img src=x>",
)
CLOSED = {"kind", "outcome", "severity", "scope", "start", "end"}
"""Fields that take no free text."""


def poisoned(value, text):
    """The record with ``text`` in place of every free string, however deep."""
    if isinstance(value, BaseModel):
        fields = {
            name: v if name in CLOSED else poisoned(v, text)
            for name in type(value).model_fields
            for v in [getattr(value, name)]
        }
        return value.model_copy(update=fields)
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(poisoned(v, text) for v in value)
    if isinstance(value, dict):
        return dict.fromkeys([text], next(iter(value.values()), None))
    return value


def full_record(batch):
    """A record in which every field is filled."""
    features = [a_feature(note="n"), a_feature("x", score=None, outcome="not evaluable", note="n")]
    slices = (SliceScore(column="carrier", value="EV", rows=10, loss=unknown(0.6)),)
    return a_record(
        batch,
        verdict=a_verdict(rules=(a_rule(),), quarantined=3, quarantine="q"),
        drift=a_drift(batch.id, features),
        performances=(
            a_performance(batch.id, slices=slices),
            a_performance(batch.id, 2, slices=slices),
        ),
        predictions=Predictions(
            model="m", batch=batch.id, version=1, snapshot="s", rows=10, path="p", sha256="c"
        ),
    )


def every_page(text):
    """The three pages of records in which every string is ``text``."""
    january, february = months(2)
    record, earlier = poisoned(full_record(february), text), full_record(january)
    history = in_order(
        [
            poisoned(an_entry(1, january, Promote(reason="r", version=1, previous=None)), text),
            poisoned(an_entry(2, february, Hold(reason="r")), text),
        ]
    )
    rule = poisoned(a_rule(), text)
    verdict = poisoned(a_verdict(rules=(rule,), quarantine="q"), text)
    contract = a_contract(name=text, columns=(Column(text, "string", unit=text),))
    return (
        render_drift_page(text, text, record, history, {text: text}, [earlier], text, text),
        render_validation_page(contract, poisoned(a_snapshot(february), text), verdict),
        render_model_page(
            text, text, text, [earlier, record], history, lambda _: text, lambda _: text
        ),
    )


class Elements(HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Remember the tag and its attributes."""
        self.tags.add(tag)
        self.attributes += attrs


@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_becomes_code(text):
    """Every string of every record is hostile, and no page grows an element or an attribute by
    it.
    """
    for page, harmless in zip(every_page(text), every_page("harmless"), strict=True):
        found, expected = Elements(page), Elements(harmless)

        assert found.tags == expected.tags
        assert {name for name, _ in found.attributes} == {name for name, _ in expected.attributes}
        assert "script" not in found.tags
        assert str(escape(text)) in page


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        " java\tscript:alert(1)",
        "https://example.org/x",
        "//example.org/x",
        "/etc",
        "\\\\host\\x",
    ],
)
def test_addresses_that_lead_away_are_refused(href):
    """A link goes to a file beside the page and nowhere else."""
    with pytest.raises(ValueError, match="expected an address relative to the page"):
        relative_address(href)


def test_addresses_beside_the_page_stay():
    """The ids of all kinds of batches make addresses."""
    assert relative_address("2013-11-03T05Z/drift.html") == "2013-11-03T05Z/drift.html"


def pages_of(year):
    """The pages of the sample year."""
    link = "{}/drift.html".format
    return (
        render_drift_page(
            "m", "roc_auc", year.records[10], year.history, UNITS, year.records, "e.html", "v.html"
        ),
        render_validation_page(
            a_contract(), a_snapshot(months(1)[0]), a_verdict(rules=(a_rule(),))
        ),
        render_model_page("m", "d", "roc_auc", year.records, year.history, link, lambda _: None),
    )


def test_pages_are_self_contained(year):
    """No outside address, no script, nothing that is loaded; time is said to be UTC."""
    for page in pages_of(year):
        assert not re.search(r"https?://|url\(|@import", page)
        assert not Elements(page).tags & {
            "script",
            "link",
            "iframe",
            "img",
            "object",
            "embed",
            "base",
        }
        assert not any(
            name.startswith("on") or name == "src" for name, _ in Elements(page).attributes
        )
        assert "All times are UTC." in page


def test_pages_stay_under_the_bound():
    """Sixty features over 104 batches, with long reasons, fit into 500 KB a page."""
    records, history = sample_history(
        104, tuple(f"a_feature_with_a_long_name_{i:02d}" for i in range(53))
    )
    long = in_order(
        entry.model_copy(
            update={"decision": entry.decision.model_copy(update={"reason": "word " * 40})}
        )
        for entry in history
    )

    drift = render_drift_page("m", "roc_auc", records[-1], long, UNITS, records, "e.html", "v.html")
    model = render_model_page("m", "d", "roc_auc", records, long, "{}/drift.html".format, str)

    assert len(records[-1].drift.inputs) == 60
    assert len(drift.encode()) < 500_000
    assert len(model.encode()) < 500_000


def test_same_records_same_page(year):
    """A page is a function of its records."""
    assert pages_of(year) == pages_of(year)


def test_records_are_filled():
    """The hostile test stands on records in which every free string is there to be poisoned."""
    entry = an_entry(1, months(1)[0], Hold(reason="r"))

    assert isinstance(poisoned(entry, "x"), LedgerEntry)
    assert poisoned(entry, "x").decision.reason == "x"
    assert poisoned(Interval(value=1, low=0, high=2), "x") == Interval(value=1, low=0, high=2)
