"""Tests of what a batch is held against."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from tasks.drift.reference import (
    LEAST_RUNS,
    WEEKLY,
    YEARLY,
    Cycle,
    choose_reference,
    pair_runs,
    run_length,
)
from tasks.records import BaselineProfile, TimeBlock
from tests.tasks.builders import START


def _baseline(months: int, per_batch: int = 2) -> BaselineProfile:
    """Months of thirty days, each of so many blocks of 100 rows."""
    length = timedelta(days=30 / per_batch)
    blocks = tuple(
        TimeBlock(start=START + i * length, end=START + (i + 1) * length, rows=100)
        for i in range(months * per_batch)
    )
    return BaselineProfile(
        rows=100 * len(blocks), features=(), blocks=blocks, blocks_per_batch=per_batch
    )


def test_a_short_history_has_no_season() -> None:
    """Half a year of training data is all there is to compare with, and the reason says so."""
    found = choose_reference(_baseline(6), START + timedelta(days=195), "auto")

    assert (found.kind, found.rows, found.taken.all()) == ("training", 1200, True)
    assert "do not reach back" in found.reason


@pytest.mark.parametrize(("months", "years"), [(13, 1), (26, 2)])
def test_the_same_season_of_earlier_years(months: int, years: int) -> None:
    """With a year of training data a batch is held against its own season, and with two against
    both.
    """
    baseline = _baseline(months)
    middle = baseline.blocks[-1].end + timedelta(days=15)

    found = choose_reference(baseline, middle, "auto")

    taken = [b for b, is_in in zip(baseline.blocks, found.taken, strict=True) if is_in]
    assert found.kind == "season"
    assert found.rows == sum(b.rows for b in taken)
    assert len(found.spans) == years
    for block in taken:
        away = (middle - (block.start + (block.end - block.start) / 2)) / timedelta(days=365.2425)
        assert round(away) >= 1
        assert abs(away - round(away)) * 365.2425 <= 15


def test_the_season_of_a_year_before_training() -> None:
    """The lake's history plays the season that training rows do not hold; it is no part of what is
    all training.
    """
    whole = _baseline(14)
    short = whole.model_copy(
        update={"blocks": whole.blocks[-8:], "earlier": whole.blocks[:-8], "rows": 800}
    )
    middle = whole.blocks[-1].end + timedelta(days=15)

    found, training = (
        choose_reference(short, middle, "auto"),
        choose_reference(short, middle, "training"),
    )

    assert (found.kind, found.earlier, found.rows) == (
        "season",
        found.rows,
        100 * found.taken.sum(),
    )
    assert found.spans == choose_reference(whole, middle, "auto").spans
    assert "lake" in found.reason
    assert (training.kind, training.rows, len(training.taken)) == ("training", 800, 8)


def test_the_season_can_be_switched_off() -> None:
    """``training`` holds against all training rows, whatever they hold."""
    baseline = _baseline(26)

    assert choose_reference(baseline, baseline.blocks[-1].end, "training").kind == "training"


@pytest.mark.parametrize("cycles", [(), (YEARLY,)])
@pytest.mark.parametrize("months", [3, 13, 26])
@pytest.mark.parametrize("span", [None, 1])
def test_a_run_is_never_held_against_itself(
    cycles: tuple[Cycle, ...], months: int, span: int | None
) -> None:
    """Every run is as long as a batch, or a quarter of history, and shares no block with its
    reference.
    """
    baseline = _baseline(months)

    runs, references = pair_runs(baseline, cycles, span, np.random.default_rng(0))

    assert len(runs)
    assert set(runs.sum(1)) == {min(2, months * 2 // LEAST_RUNS)}
    assert not (runs & references).any()
    assert references.any(1).all()
    if span is not None:
        assert set(references.sum(1)) == {span}


def test_runs_of_two_years_are_held_against_their_season() -> None:
    """Where another year has the season, that is the reference of a run; elsewhere its neighbours
    are.
    """
    runs, references = pair_runs(_baseline(26), (YEARLY,), None, np.random.default_rng(0))

    for run, reference in zip(runs, references, strict=True):
        away = abs(np.flatnonzero(reference)[:, None] - np.flatnonzero(run)).min(1) * 15
        assert (away >= 330).all() or (away <= 60).all()
    assert (np.flatnonzero(references[0]) * 15 >= 330).all()


def _short(length: timedelta, count: int) -> BaselineProfile:
    """Batches of so long, a block each."""
    blocks = tuple(
        TimeBlock(start=START + i * length, end=START + (i + 1) * length, rows=10)
        for i in range(count)
    )
    return BaselineProfile(rows=10 * count, features=(), blocks=blocks)


@pytest.mark.parametrize(
    ("length", "count", "like", "taken"),
    [
        (timedelta(days=1), 30, "the same day of the week", 4),
        (timedelta(hours=1), 100, "the same hour of the day", 4),
        (timedelta(hours=1), 700, "the same day of the week and the same hour of the day", 4),
        (timedelta(days=1), 20, "", 20),
        (timedelta(days=7), 12, "", 12),
    ],
)
def test_days_and_hours_are_seasons_of_short_batches(
    length: timedelta, count: int, like: str, taken: int
) -> None:
    """A day is held against its own weekday, an hour against its own hour, and where training holds
    four of them, both at once; what is as long as the cycle has no such season.
    """
    baseline = _short(length, count)
    middle = baseline.blocks[-1].end + length / 2

    found = choose_reference(baseline, middle, "auto")

    assert (found.like, found.taken.sum()) == (like, taken)
    away = {(middle - b.start - length / 2) % timedelta(days=1) for b in baseline.blocks}
    if length < timedelta(days=1) and like:
        own = {
            (middle - b.start - length / 2) % timedelta(days=1)
            for b, is_in in zip(baseline.blocks, found.taken, strict=True)
            if is_in
        }
        assert own == {timedelta(0)} < away


def test_runs_of_days_are_held_against_their_weekday() -> None:
    """Each day of training time is held against the same day of other weeks."""
    runs, references = pair_runs(
        _short(timedelta(days=1), 30), (WEEKLY,), None, np.random.default_rng(0)
    )

    for run, reference in zip(runs, references, strict=True):
        away = np.flatnonzero(reference) - np.flatnonzero(run)
        assert set(away % 7) == {0}
        assert 0 not in away


def test_one_moment_cannot_be_resampled() -> None:
    """A single block has no runs."""
    assert run_length(_baseline(1, per_batch=1)) == 0
