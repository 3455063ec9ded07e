"""Tests of the page of other policies."""

from __future__ import annotations

import math

from tasks.records import Happened, Interval, Tried, WhatIf
from tasks.reports.whatif_page import LEFT, RIGHT, WIDTH, plot_of, render_whatif_page


def tried(name: str, value: float, low: float, high: float) -> Tried:
    """A policy and its gain."""
    return Tried(
        name=name,
        estimator="sklearn.linear_model.Ridge",
        loss=1 - value,
        gain=Interval(value=value, low=low, high=high),
        blocks=30,
        trainings=5,
        seconds=12.0,
        promotions=3,
        rollbacks=1,
        differs={"2013-05": ("Hold", "Retrain, Promote")} if value else {},
    )


FOUND = WhatIf(
    model="flights",
    first="2013-05",
    last="2013-12",
    batches=8,
    rows=1234,
    share=0.5,
    loss="log loss",
    tried=(
        tried("as the spec says", 0.0, 0.0, 0.0),
        tried("retrain.every=4", -0.02, -0.04, 0.01),
        tried("<b>=1", 0.03, -math.inf, math.inf),
    ),
    not_tried={"retrain.every=1": "no time is left"},
    happened=Happened(batches=7, loss=0.5, replayed=0.51, trainings=4, decided=7, same=6),
    trained=3,
    advice="Leave it as the spec says: nothing.",
)


def test_plot_keeps_the_order_of_gains() -> None:
    """Zero, gains and the ends of intervals lie on one axis, within the plot; an interval that is
    unknown is not drawn.
    """
    plot = plot_of(FOUND)

    known, unknown = plot.bars
    assert LEFT == known.low < known.at < plot.zero < known.high < unknown.at == WIDTH - RIGHT
    assert (unknown.low, unknown.high) == (None, None)
    assert [label for _, label in plot.ticks] == ["-4.0%", "+0.0%", "+3.0%"]


def test_page_says_all_of_it() -> None:
    """Advice, table, what would have been decided otherwise, what was not replayed; escaped."""
    page = render_whatif_page(FOUND)

    assert "Leave it as the spec says" in page
    assert "2013-05: Retrain, Promote, not Hold" in page
    assert "retrain.every=1 was not replayed: no time is left" in page
    assert "which decided 6 of 7 times as the ledger has it" in page
    assert "<b>=1" not in page
    assert "&lt;b&gt;=1" in page
