"""Tests of histograms of parts: they merge, whatever the cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drift.histograms import EXPECTED, coarsened, count, count_part, join_bins
from tasks.drift.profile import make_profile
from tasks.records import FeatureFrame, FeatureProfile
from tests.tasks.builders import frame_of

number = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf]))


def _frame(numbers: list[float], words: list[str]) -> FeatureFrame:
    features = pd.DataFrame(
        {"x": np.array(numbers, dtype="float64"), "w": pd.Series(words, dtype="str")}
    )
    return frame_of(
        features, np.arange(len(features)) % 2, days=np.arange(len(features)), categorical=["w"]
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(number, st.sampled_from("abc")), min_size=4, max_size=60), st.data())
def test_parts_add_up_to_the_whole(rows: list[tuple[float, str]], data: st.DataObject) -> None:
    """The counts of two parts, added, are those of the whole: rows, time, and every bin."""
    frame = _frame([x for x, _ in rows], [w for _, w in rows])
    predicted = np.linspace(0, 1, len(frame))
    profile = make_profile(frame, frame, predicted, (np.arange(len(frame)), predicted), {})
    cut = np.arange(len(frame)) < data.draw(st.integers(1, len(frame) - 1))

    whole = count_part(profile, frame, predicted, target=True)
    parts = [
        count_part(profile, frame.where(side), predicted[side], target=True) for side in (cut, ~cut)
    ]
    merged = parts[1] + parts[0]

    assert (merged.rows, merged.start, merged.end) == (whole.rows, whole.start, whole.end)
    for one, other in zip(merged.columns, whole.columns, strict=True):
        assert one is not None
        assert other is not None
        assert one.tolist() == other.tolist()
        assert other.sum() == len(frame)


@given(
    st.lists(number, max_size=80), st.lists(st.floats(-5, 5), max_size=11, unique=True).map(sorted)
)
def test_a_number_lies_in_the_bin_that_a_binary_search_finds(
    values: list[float], edges: list[float]
) -> None:
    """A value on an edge belongs to the bin above it; a missing one to none."""
    profile = FeatureProfile(
        feature="x", kind="numerical", edges=tuple(edges), counts=(0,) * (len(edges) + 1), missing=0
    )
    numbers = np.array(values, dtype="float64")
    known = numbers[~np.isnan(numbers)]

    found = count(profile, pd.Series(numbers))

    expected = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    assert found.tolist() == [*expected.tolist(), len(numbers) - len(known)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(number, st.sampled_from("abcd")), min_size=4, max_size=200),
    st.integers(1, 1000),
)
def test_joined_bins_count_the_same_rows(rows: list[tuple[float, str]], batch: int) -> None:
    """Counting in the joined bins is joining what was counted; no row is lost, missing values stay
    apart.
    """
    frame = _frame([x for x, _ in rows], [w for _, w in rows])
    predicted = np.linspace(0, 1, len(frame))
    profile = make_profile(frame, frame, predicted, (np.arange(len(frame)), predicted), {})
    for name, fine in zip(("x", "w"), profile.features, strict=False):
        coarse, group = coarsened(fine, batch)

        own = count(fine, frame.features[name])

        assert count(coarse, frame.features[name]).tolist() == join_bins(own, group).tolist()
        assert (*coarse.counts, coarse.missing) == tuple(join_bins(own, group).tolist())
        assert np.array(coarse.blocks).sum(0).tolist() == join_bins(own, group).tolist()
        assert join_bins(own, group)[-1] == own[-1]


def test_a_small_batch_has_bins_that_expect_enough_of_it() -> None:
    """Fifty rows of ten deciles become five bins, and five hundred keep all ten; a bin that was
    empty stays apart.
    """
    rng = np.random.default_rng(0)
    frame = _frame(
        rng.normal(size=4000).tolist(), rng.choice(list("abc"), 4000, p=[0.8, 0.15, 0.05]).tolist()
    )
    predicted = np.linspace(0, 1, len(frame))
    number, word, *_ = make_profile(
        frame, frame, predicted, (np.arange(len(frame)), predicted), {}
    ).features
    constant = FeatureProfile(
        feature="x",
        kind="numerical",
        edges=(1.0, np.nextafter(1.0, 2)),
        counts=(0, 90, 0),
        missing=0,
    )

    assert [len(coarsened(number, rows)[0].counts) for rows in (5, 50, 500)] == [2, 5, 10]
    assert min(coarsened(number, 50)[0].counts) * 50 / 4000 >= EXPECTED - 0.5
    assert coarsened(word, 50)[0].categories == ("a",)
    assert coarsened(word, 500)[0].categories == ("a", "b", "c")
    assert coarsened(constant, 50)[0] == constant
