"""Tests of histograms of parts: they merge, whatever the cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drift.histograms import count, count_part
from tasks.drift.profile import make_profile
from tasks.records import FeatureFrame, FeatureProfile
from tests.tasks.builders import frame_of

number = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf]))


def _frame(numbers: list[float], words: list[str]) -> FeatureFrame:
    features = pd.DataFrame({"x": np.array(numbers, dtype="float64"), "w": pd.Series(words, dtype="str")})
    return frame_of(features, np.arange(len(features)) % 2, days=np.arange(len(features)), categorical=["w"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(number, st.sampled_from("abc")), min_size=4, max_size=60), st.data())
def test_parts_add_up_to_the_whole(rows: list[tuple[float, str]], data: st.DataObject) -> None:
    """The counts of two parts, added, are those of the whole: rows, time, and every bin."""
    frame = _frame([x for x, _ in rows], [w for _, w in rows])
    predicted = np.linspace(0, 1, len(frame))
    profile = make_profile(frame, frame, predicted, (np.arange(len(frame)), predicted), {})
    cut = np.arange(len(frame)) < data.draw(st.integers(1, len(frame) - 1))

    whole = count_part(profile, frame, predicted, target=True)
    parts = [count_part(profile, frame.where(side), predicted[side], target=True) for side in (cut, ~cut)]
    merged = parts[1] + parts[0]

    assert (merged.rows, merged.start, merged.end) == (whole.rows, whole.start, whole.end)
    for one, other in zip(merged.columns, whole.columns, strict=True):
        assert one is not None
        assert other is not None
        assert one.tolist() == other.tolist()
        assert other.sum() == len(frame)


@given(st.lists(number, max_size=80), st.lists(st.floats(-5, 5), max_size=11, unique=True).map(sorted))
def test_a_number_lies_in_the_bin_that_a_binary_search_finds(values: list[float], edges: list[float]) -> None:
    """A value on an edge belongs to the bin above it; a missing one to none."""
    profile = FeatureProfile(
        feature="x", kind="numerical", edges=tuple(edges), counts=(0,) * (len(edges) + 1), missing=0
    )
    numbers = np.array(values, dtype="float64")
    known = numbers[~np.isnan(numbers)]

    found = count(profile, pd.Series(numbers))

    expected = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    assert found.tolist() == [*expected.tolist(), len(numbers) - len(known)]
