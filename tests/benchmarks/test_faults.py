"""The bench of planted faults at a small size: faults are found, and a season is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import Stream
from benchmarks.faults import NUMBERS, WORDS, Tally, cases, faults_of, look_at, tell

ROWS = 8_000


@pytest.fixture
def stream() -> tuple[Stream, pd.Series]:
    """Ten months of a season, two numbers that say each other, and a category."""
    rng = np.random.default_rng(1)
    days = np.linspace(0, 300, ROWS, endpoint=False)
    warm = 60 - 20 * np.cos(2 * np.pi * days / 365) + 6 * rng.normal(size=ROWS)
    wind = rng.gamma(3, 3, ROWS)
    features = pd.DataFrame(
        {
            "warm": warm,
            "felt": warm - 0.5 * wind + rng.normal(size=ROWS),
            "wind": wind,
            "place": rng.choice(["Abc", "Bcd", "Cde"], ROWS),
        }
    )
    times = pd.Series(pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(days, unit="D"))
    target = (rng.random(ROWS) < 0.3).astype("float64")
    return Stream("flights", features, target, rng.random(ROWS)), times


def test_every_fault_changes_what_it_is_planted_in(stream) -> None:  # type: ignore[no-untyped-def]
    """Each of them, in the column that it is said to befall, or in the number of rows."""
    features, rng = stream[0].features, np.random.default_rng(2)

    planted = list(faults_of(features, 99, rng))

    assert {name for name, _, _ in planted} == {*NUMBERS, *WORDS}
    for name, column, plant in planted:
        broken = plant(features, column, rng)
        assert len(broken) != len(features) or not broken[column].equals(features[column]), name


def test_faults_are_found_and_the_season_is_not(stream, capsys) -> None:  # type: ignore[no-untyped-def]
    """Of two months the report names none as they are, and half of the faults at least; the tables
    say so.
    """
    ways = ("ours", "contract")
    tally = Tally(ways, {way: [] for way in ways}, {}, {}, [])

    for number, case in enumerate(cases(*stream, 2)):
        look_at(case, number, 8, tally)
    tell(tally)

    hits = [hit for of in tally.found.values() for hit in of["ours"]]
    assert tally.alarms["ours"] == [False, False]
    assert len(hits) >= 12
    assert np.mean(hits) > 0.5
    said = capsys.readouterr().out
    assert "| alarms on unaltered batches | 0.0%" in said
    assert f"of {len(hits)}." in said
