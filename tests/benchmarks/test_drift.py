"""The drift benchmark at a small size: few false alarms, on rows in any order and on series that
remember, and power.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import (
    SHIFTS,
    Stream,
    autoregressive,
    named,
    plant,
    profile_of,
    report,
)


def _stream(rng: np.random.Generator, rows: int) -> Stream:
    """Independent rows: numbers, one with gaps, and a category."""
    features = pd.DataFrame({f"n{i}": rng.normal(size=rows) for i in range(6)})
    features["gaps"] = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    features["word"] = rng.choice(["a", "b", "c", "d"], rows, p=[0.5, 0.2, 0.2, 0.1])
    return Stream("rows", features, (rng.random(rows) < 0.3).astype("float64"), rng.random(rows))


@pytest.mark.parametrize(
    ("rows", "seed", "planted_in", "least"),
    [(500, 1, 9, 8), (50, 3, 40, 8)],
    ids=["500 rows", "50 rows"],
)
def test_independent_rows_raise_few_false_alarms_and_hide_no_shift(
    rows: int, seed: int, planted_in: int, least: int
) -> None:
    """Of 40 reports on unchanged rows at most two name anything; of those with a planted shift,
    ``least`` find it.

    With bins for any batch, and where time is never taken to say nothing, one of forty does at 50
    rows.
    """
    alarms = found = 0
    for repeat in range(40):
        rng = np.random.default_rng([seed, repeat])
        stream = _stream(rng, 8 * rows)
        profile, newest = (
            profile_of(stream, np.arange(8 * rows), rows),
            np.arange(7 * rows, 8 * rows),
        )
        alarms += bool(named(report(profile, stream, newest, repeat)))
        planted = (
            plant(stream.features.iloc[newest], SHIFTS[repeat % 3], rng)
            if repeat < planted_in
            else None
        )
        if planted is not None:
            found += planted[1] in named(report(profile, stream, newest, repeat, planted[0]))

    assert alarms <= 2
    assert found >= least


def test_a_series_that_remembers_raises_few_false_alarms():
    """Consecutive blocks of stationary series: at most two of 40 reports name anything, where
    thresholds for independent rows name something in nearly all.
    """
    alarms, naive = 0, 0
    for repeat in range(40):
        rng = np.random.default_rng([2, repeat])
        stream, rows = autoregressive(0.95, 8 * 400, 6, rng), np.arange(8 * 400)
        profile = profile_of(stream, rows, 400)
        alarms += bool(named(report(profile, stream, rows[-400:], repeat)))
        alone = profile.model_copy(update={"blocks": ()})
        naive += bool(named(report(alone, stream, rows[-400:], repeat)))

    assert alarms <= 2
    assert naive >= 35
