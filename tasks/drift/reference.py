"""What a batch is held against: all training rows, or the rows of the same season in earlier
years.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from tasks.records import BaselineProfile

LEAST_RUNS = 4
"""Runs are as long as a batch, but at least so many fit into training time: fewer tell nothing of
how it swings. With less history they are shorter than a batch, and swing more.
"""
GAP = 5
"""The blocks on both sides of a run that are left out of its reference: so many of them are as long
as the run.
"""
YEAR = timedelta(days=365.2425)
SEASON = timedelta(days=15)
"""Blocks whose middle is within so many days of the batch's, in another year, are of its season."""


@dataclass(frozen=True)
class Reference:
    """The time blocks that a batch is held against, and how runs of training time are paired with
    their like.
    """

    kind: Literal["training", "season"]
    baseline: BaselineProfile
    """With the time blocks that are compared: of a season, those of the lake's history before those
    of training.
    """
    taken: np.ndarray
    """(blocks,) boolean: those of the reference."""
    reason: str
    rows: int
    earlier: int
    """How many of the rows are older than the training rows."""
    spans: tuple[tuple[datetime, datetime], ...]
    """From when to when, stretch by stretch, oldest first."""


def choose_reference(
    baseline: BaselineProfile, middle: datetime, wanted: Literal["auto", "training", "season"]
) -> Reference:
    """Return the reference of a batch around ``middle``; the season's needs a batch's worth of
    blocks in it.
    """
    if wanted == "training":
        return all_training(baseline, "as configured")
    whole = _with_history(baseline)
    moment = np.array([middle.astimezone(UTC).replace(tzinfo=None)], dtype="datetime64[us]")
    season = _same_season(moment, _middles(whole))[0]
    if len(season) and season.sum() >= baseline.blocks_per_batch:
        taken = np.flatnonzero(season)
        stretches = np.split(taken, np.flatnonzero(np.diff(taken) > 1) + 1)
        spans = tuple((whole.blocks[s[0]].start, whole.blocks[s[-1]].end) for s in stretches)
        rows = np.array([b.rows for b in whole.blocks])
        earlier = int(rows[: len(baseline.earlier)][season[: len(baseline.earlier)]].sum())
        reason = "the lake reaches back to it" if earlier else "training rows reach back to it"
        return Reference("season", whole, season, reason, int(rows[season].sum()), earlier, spans)
    reason = "training rows and history do not reach back to the same season of an earlier year"
    return all_training(baseline, reason)


def all_training(baseline: BaselineProfile, reason: str) -> Reference:
    """Return all training rows as a reference."""
    spans = ((baseline.blocks[0].start, baseline.blocks[-1].end),) if baseline.blocks else ()
    everything = np.ones(len(baseline.blocks), dtype=bool)
    return Reference("training", baseline, everything, reason, baseline.rows, 0, spans)


def _with_history(baseline: BaselineProfile) -> BaselineProfile:
    """The baseline with its earlier blocks before those of training; a column without earlier
    counts has no rows there.
    """
    if not baseline.earlier:
        return baseline
    features = tuple(
        f.model_copy(
            update={
                "blocks": (
                    (f.earlier or ((0,) * (len(f.counts) + 1),) * len(baseline.earlier)) + f.blocks
                )
            }
        )
        for f in baseline.features
    )
    return baseline.model_copy(
        update={"features": features, "blocks": baseline.earlier + baseline.blocks, "earlier": ()}
    )


def _middles(baseline: BaselineProfile) -> np.ndarray:
    """The middle of each block, (blocks,) datetime64[us], UTC."""
    found = [
        (b.start + (b.end - b.start) / 2).astimezone(UTC).replace(tzinfo=None)
        for b in baseline.blocks
    ]
    return np.array(found, dtype="datetime64[us]")


def _same_season(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether they lie whole years apart, one at least, give or take the season: (ones, others)
    boolean.
    """
    year, season = np.timedelta64(YEAR), np.timedelta64(SEASON)
    apart = ones[:, None] - others[None, :]
    years = np.round(apart / year)
    alike: np.ndarray = (years != 0) & (np.abs(apart - years * year) <= season)
    return alike


def run_length(baseline: BaselineProfile) -> int:
    """Return how many blocks a run has; 0 when there are too few blocks to resample."""
    return min(baseline.blocks_per_batch, len(baseline.blocks) // LEAST_RUNS)


def pair_runs(
    baseline: BaselineProfile,
    kind: Literal["training", "season"],
    span: int | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return runs and their references, both (runs, blocks) boolean: every run that there is, with
    its like.

    All other blocks but its neighbours; or, for a reference of ``span`` blocks, a run of that
    length elsewhere; or, for a season, the same season of other years, and where training time has
    none, the neighbours of the run on both sides.
    """
    blocks, length = len(baseline.blocks), run_length(baseline)
    starts = np.arange(blocks - length + 1)
    position = np.arange(blocks)
    runs = (position >= starts[:, None]) & (position < starts[:, None] + length)
    if span is not None:
        own = min(span, blocks - length)
        places = np.arange(blocks - own + 1)
        references = np.zeros_like(runs)
        for start in starts:
            apart = places[(places + own <= start) | (places >= start + length)]
            if len(apart):
                first = rng.choice(apart)
                references[start, first : first + own] = True
    elif kind == "season":
        middles = _middles(baseline)
        alike = _same_season(middles, middles)
        near = (
            (position >= starts[:, None] - length)
            & (position < starts[:, None] + 2 * length)
            & ~runs
        )
        mates = alike[starts + length // 2] & ~runs
        references = np.where(mates.sum(1, keepdims=True) >= length, mates, near)
    else:
        # A batch does not adjoin its training rows, the holdout lies between: nor does a run adjoin
        # its reference.
        gap = -(-length // GAP) if blocks > 2 * length else 0
        references = (position < starts[:, None] - gap) | (
            position >= starts[:, None] + length + gap
        )
    told = references.any(1)
    return runs[told], references[told]
