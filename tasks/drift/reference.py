"""What a batch is held against: all training rows, or those of the same season in earlier years."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from tasks.records import BaselineProfile

if TYPE_CHECKING:
    import numpy as np

LEAST_RUNS = 4
"""Runs are as long as a batch, but at least so many fit into training time: fewer tell nothing of how it swings. With
less history they are shorter than a batch, and swing more."""
GAP = 5
"""The blocks on both sides of a run that are left out of its reference: so many of them are as long as the run."""
YEAR = timedelta(days=365.2425)
SEASON = timedelta(days=15)
"""Blocks whose middle is within so many days of the batch's, in another year, are of its season."""


@dataclass(frozen=True)
class Reference:
    """The time blocks that a batch is held against, and how runs of training time are paired with their like."""

    kind: Literal["training", "season"]
    taken: np.ndarray
    """(blocks,) boolean: those of the reference."""
    reason: str
    rows: int
    spans: tuple[tuple[datetime, datetime], ...]
    """From when to when, stretch by stretch, oldest first."""


def choose_reference(
    baseline: BaselineProfile, middle: datetime, wanted: Literal["auto", "training", "season"]
) -> Reference:
    """Return the reference of a batch around ``middle``; the season's needs a batch's worth of blocks in it."""
    import numpy as np

    everything = np.ones(len(baseline.blocks), dtype=bool)
    whole = ((baseline.blocks[0].start, baseline.blocks[-1].end),) if baseline.blocks else ()
    if wanted == "training":
        return Reference("training", everything, "as configured", baseline.rows, whole)
    season = np.array(
        [_same_season(middle, _middle(baseline, i)) for i in range(len(everything))], dtype=bool
    )
    if len(season) and season.sum() >= baseline.blocks_per_batch:
        taken = [baseline.blocks[i] for i in np.flatnonzero(season)]
        cuts = np.flatnonzero(np.diff(np.flatnonzero(season)) > 1) + 1
        stretches = np.split(np.flatnonzero(season), cuts)
        spans = tuple((baseline.blocks[s[0]].start, baseline.blocks[s[-1]].end) for s in stretches)
        return Reference(
            "season", season, "training rows reach back to it", sum(b.rows for b in taken), spans
        )
    return Reference(
        "training",
        everything,
        "training rows do not reach back to the same season of an earlier year",
        baseline.rows,
        whole,
    )


def _middle(baseline: BaselineProfile, block: int) -> datetime:
    found = baseline.blocks[block]
    return found.start + (found.end - found.start) / 2


def _same_season(one: datetime, other: datetime) -> bool:
    """Whether they lie whole years apart, one at least, give or take the season."""
    years = round((one - other) / YEAR)
    return years != 0 and abs((one - other) - years * YEAR) <= SEASON


def run_length(baseline: BaselineProfile) -> int:
    """Return how many blocks a run has; 0 when there are too few blocks to resample."""
    return min(baseline.blocks_per_batch, len(baseline.blocks) // LEAST_RUNS)


def pair_runs(
    baseline: BaselineProfile, kind: Literal["training", "season"], span: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return runs and their references, both (runs, blocks) boolean: every run that there is, with its like.

    All other blocks but its neighbours; or, for a reference of ``span`` blocks, a run of that length elsewhere; or, for a season, the same
    season of other years, and where training time has none, the neighbours of the run on both sides.
    """
    import numpy as np

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
        middles = [_middle(baseline, i) for i in range(blocks)]
        alike = np.array([[_same_season(one, other) for other in middles] for one in middles], dtype=bool)
        near = (position >= starts[:, None] - length) & (position < starts[:, None] + 2 * length) & ~runs
        mates = alike[starts + length // 2] & ~runs
        references = np.where(mates.sum(1, keepdims=True) >= length, mates, near)
    else:
        # A batch does not adjoin its training rows, the holdout lies between: nor does a run adjoin its reference.
        gap = -(-length // GAP) if blocks > 2 * length else 0
        references = (position < starts[:, None] - gap) | (position >= starts[:, None] + length + gap)
    told = references.any(1)
    return runs[told], references[told]
