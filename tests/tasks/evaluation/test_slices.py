"""Tests of losses by slice."""

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.compare import block_test
from tasks.evaluation.slices import compare_slices, slice_scores
from tasks.records import Interval
from tests.tasks.builders import interval

RNG = np.random.default_rng(2)
SLICES = pd.DataFrame(
    {
        "carrier": RNG.choice(["AA", "UA", "(missing)"], 200),
        "origin": RNG.choice(["JFK", "LGA"], 200),
    }
)
OURS, THEIRS, BLOCKS = RNG.random(200), RNG.random(200), np.arange(200) // 20


def test_scores_are_a_group_by() -> None:
    """Rows and mean loss of every value are those of a pandas group-by, largest slice first."""
    expected = {
        (column, value): (len(group), group.mean())
        for column in SLICES
        for value, group in pd.Series(OURS).groupby(SLICES[column])
    }

    found = slice_scores(OURS, BLOCKS, SLICES, lambda _: None)

    assert {(s.column, s.value): (s.rows, s.loss.value) for s in found} == {
        key: (rows, pytest.approx(loss)) for key, (rows, loss) in expected.items()
    }
    for column in SLICES:
        rows = [s.rows for s in found if s.column == column]
        assert rows == sorted(rows, reverse=True)


def test_metric_of_each_slice_and_none_where_it_is_not_defined() -> None:
    """The metric is asked for the slice's own rows; where it is not defined it is None."""

    def score(rows: np.ndarray) -> Interval | None:
        return None if "JFK" in set(SLICES["origin"].iloc[rows]) else interval(OURS[rows].max())

    found = {s.value: s.score for s in slice_scores(OURS, BLOCKS, SLICES[["origin"]], score)}

    assert found == {"JFK": None, "LGA": interval(OURS[SLICES["origin"] == "LGA"].max())}


def test_loss_of_a_slice_has_the_interval_of_its_own_blocks() -> None:
    """The interval is that of the block test on the slice's rows alone."""
    rows = (SLICES["origin"] == "JFK").to_numpy()

    found = {
        s.value: s.loss for s in slice_scores(OURS, BLOCKS, SLICES[["origin"]], lambda _: None)
    }

    assert found["JFK"] == block_test(OURS[rows], BLOCKS[rows]).mean


def test_no_slices() -> None:
    """A spec without slices has none."""
    assert slice_scores(OURS, BLOCKS, pd.DataFrame(index=range(200)), lambda _: None) == ()


def test_comparison_is_the_block_test_of_the_slice() -> None:
    """Each slice is compared on its own rows, by the same test, in the other direction."""
    for found in compare_slices(OURS, THEIRS, BLOCKS, SLICES):
        rows = (SLICES[found.column] == found.value).to_numpy()
        test = block_test(OURS[rows] - THEIRS[rows], BLOCKS[rows])

        assert found.rows == rows.sum()
        assert found.blocks == test.blocks
        assert found.challenger_loss == pytest.approx(OURS[rows].mean())
        assert found.champion_loss == pytest.approx(THEIRS[rows].mean())
        assert found.p_worse == pytest.approx(1 - test.p_below)


def test_slice_of_one_block_is_no_proof() -> None:
    """A slice that lies in one block of time cannot be shown to be worse."""
    slices = pd.DataFrame({"origin": np.where(BLOCKS == 0, "EWR", "JFK")})

    found = {s.value: s for s in compare_slices(OURS + 5, THEIRS, BLOCKS, slices)}

    assert found["EWR"].p_worse == 1.0
    assert found["JFK"].p_worse < 1e-6
