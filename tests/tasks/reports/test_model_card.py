"""The card of a version: taken from ledger and contract, on a page and as Markdown."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tasks.history import History, in_order
from tasks.records import (
    AwaitApproval,
    Behaviour,
    CalibrationBin,
    EnsembleMember,
    Guardrail,
    MainEffect,
    ManualEvidence,
    Promote,
    Reject,
    RollBack,
    RowSpan,
    SliceScore,
)
from tasks.reports.model_card import (
    MOST,
    REST,
    About,
    make_card,
    render_card_page,
    render_card_text,
    state_of,
)
from tests.tasks.builders import (
    comparison,
    evidence,
    interval,
    recipe,
    slice_comparison,
    trained_model,
)
from tests.tasks.reports.conftest import a_contract, a_performance, a_record, an_entry, months


def about(**changes: object) -> About:
    """What the sample's model is for."""
    contract = a_contract(
        purpose="Decide whether it will be late.",
        usage="One file a month.",
        limitations="Cancelled flights never get a label.",
        owner="Operations",
    )
    return About(
        **{
            "model": "flights",
            "description": "Will it be late?",
            "target": "late",
            "metric": "roc_auc",
            "contract": contract,
        }
        | changes
    )


def a_span(start: datetime, end: datetime) -> RowSpan:
    """Rows between two moments."""
    return RowSpan(batch=f"{start:%Y-%m}", snapshot="s", start=start, end=end, rows=1000)


def a_version(**changes: object):
    """A version that was trained on two months and behaves somehow."""
    return trained_model(
        **{
            "version": 2,
            "trained_on": (
                a_span(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)),
                a_span(datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)),
            ),
            "behaviour": Behaviour(
                importance={"hour": 0.02, "carrier": 0.01, "idle": 0.0},
                calibration=(
                    CalibrationBin(predicted=0.1, seen=0.11, low=0.08, high=0.14, rows=400),
                    CalibrationBin(predicted=0.7, seen=0.5, low=0.45, high=0.55, rows=400),
                ),
                effects=(
                    MainEffect(
                        feature="dep_hour", grid=(5.0, 12.0, 23.0), predicted=(0.1, 0.2, 0.4)
                    ),
                    MainEffect(feature="carrier", grid=("UA", "EV"), predicted=(0.2, 0.3)),
                ),
            ),
        }
        | changes
    )


def judged_history(*more: object) -> History:
    """Version 2 was promoted by the gate in February."""
    _, february = months(2)
    seen = evidence(
        kind="refresh",
        challenger=2,
        champion=1,
        comparison=comparison(slices=(slice_comparison(),)),
        guardrails=(
            Guardrail(code="KM004", name="calibration", outcome="failed", found="0.2", limit="0.1"),
        ),
    )
    promoted = an_entry(
        3,
        february,
        Promote(reason="a refresh, clearly better", version=2, previous=1),
        evidence=seen,
    )
    return in_order([promoted, *more])


def test_a_reader_finds_what_it_is_for_and_where_it_fails() -> None:
    """Purpose, limits of use, owner, data, scores by batch and slice, calibration, importance,
    effects, guardrails, the decision: each on the page and in the text.
    """
    february, march = months(3)[1:]
    slices = tuple(
        SliceScore(column="carrier", value=value, rows=90, loss=interval(loss, 0.1))
        for value, loss in (("EV", 0.7), ("UA", 0.4))
    )
    records = [
        a_record(february, performances=(a_performance(february.id, 1),)),
        a_record(march, performances=(a_performance(march.id, 2, slices=slices),)),
    ]

    card = make_card(about(), a_version(), trained_model(version=1), records, judged_history())

    for written in (render_card_page(card), render_card_text(card, 100_000)):
        for part in (
            "Champion since batch 2013-02.",
            "Will it be late?",
            "Cancelled flights never get a label.",
            "Operations",
            "2,000 in 2 spans",
            "Where about 0.70 was predicted",
            "Its loss is higher where carrier is EV",
            "trained on no row of March, April",
            "KM004, calibration: failed",
            "By slice, on 2013-03",
            "a refresh, clearly better",
            "hour",
            "Against the version before",
        ):
            assert part in written, part
        assert "carrier is UA" not in written
        assert "Where about 0.1" not in written
    assert f"batch {february.id}" in render_card_page(card)
    assert [row[0] for row in table_of(card, "How it did on batches since").rows] == [march.id]


def table_of(card, title: str):
    """The table with this title."""
    return next(table for table in card.tables if table.title == title)


def test_only_what_changed_stands_against_the_version_before() -> None:
    """Another parameter, other members, a feature that came and one that went; nothing that is the
    same.
    """
    before = trained_model(version=1, trained_on=a_version().trained_on)
    now = a_version(
        recipe=recipe(params={"C": 0.5}),
        schema_={"numerical": ("y",), "categorical": ()},
        members=(EnsembleMember(version=2, window="sliding", discounted_loss=0.1),),
    )

    rows = table_of(
        make_card(about(), now, before, [], History()), "Against the version before"
    ).rows

    assert rows == (
        ("its C", "–", "0.5"),  # noqa: RUF001 - the sign that stands for nothing
        ("ensemble of", "", "version 2"),
        ("features that only it has", "x", "y"),
    )


def test_what_became_of_a_version() -> None:
    """Champion, replaced, taken back, back again, waiting, refused: each in words."""
    january, february, march = months(3)
    first = an_entry(1, january, Promote(reason="r", version=1, previous=None))
    second = an_entry(2, february, Promote(reason="r", version=2, previous=1))
    back = an_entry(3, march, RollBack(reason="r", version=1, previous=2))
    asked = an_entry(4, march, AwaitApproval(reason="r", version=3, previous=1))
    refused = an_entry(5, march, Reject(reason="worse by 3%", version=4))
    history = in_order([first, second, back, asked, refused])

    assert state_of(1, history) == "Champion since batch 2013-03."
    assert state_of(2, history) == "Was champion from batch 2013-02 to batch 2013-03."
    assert state_of(3, history) == "Waits for a person's approval."
    assert state_of(4, history) == "Refused: worse by 3%"
    assert state_of(1, in_order([first, second])).endswith("to batch 2013-02.")
    assert state_of(9, history) == "Registered, and not judged yet."


def test_the_person_who_approved_is_named() -> None:
    """Not 'kingmaker', and not 'a person'."""
    person = ManualEvidence(person="Ada", reason="looked at it", rests_on=3)
    approved = an_entry(
        4, "2013-02", Promote(reason="by Ada: looked at it", version=2, previous=1), evidence=person
    )

    card = make_card(about(), a_version(), None, [], judged_history(approved))

    assert [row[2] for row in table_of(card, "Decisions").rows] == ["kingmaker", "Ada"]


@pytest.mark.parametrize("most", [MOST, 1200, 400])
def test_markdown_is_whole_tables_within_its_room(most: int) -> None:
    """MLflow's database keeps so many characters: what has no room is left out whole, and said."""
    card = make_card(about(), a_version(), None, [], judged_history())

    text = render_card_text(card, most)

    assert len(text) <= most
    assert text.endswith(REST) == (len(render_card_text(card, 100_000)) > most)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_a_version_without_anything_has_a_card() -> None:
    """No evidence, no batch, nothing measured: the card says so."""
    card = make_card(
        about(description="", contract=a_contract()), trained_model(), None, [], History()
    )

    page = render_card_page(card)
    assert "Registered, and not judged yet." in page
    assert "not named: the contract has no team" in page
    assert "No batch of flights has judged it yet" in page


def test_no_value_becomes_code() -> None:
    """A hostile category or description is text."""
    evil = "<script>alert(1)</script>"
    effects = (MainEffect(feature=evil, grid=(evil, "b"), predicted=(0.1, 0.2)),)
    version = a_version(behaviour=Behaviour(importance={evil: 1.0}, effects=effects))

    card = make_card(about(description=evil), version, None, [], History())

    assert "<script" not in render_card_page(card)
    assert "<script" not in render_card_text(card)


def test_a_mark_lies_where_its_numbers_say() -> None:
    """The lower bin stands in a corner of the square, the higher one at its right edge below the
    diagonal.
    """
    card = make_card(about(), a_version(), None, [], History())

    low, high = card.calibration
    assert low.x == 0.0
    assert high.x == 300.0
    assert high.y == pytest.approx(300 * (0.5 - 0.1) / (0.7 - 0.1), abs=0.1)
    assert re.search(r'<circle class="dot" cx="300.0"', render_card_page(card))
