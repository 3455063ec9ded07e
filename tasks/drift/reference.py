"""What a batch is held against: all training rows, or those of the same season: of a year before,
and for short batches of the same day of the week, and of the same hours of the day.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Cycle:
    """What comes again: blocks a whole number of ``length`` from the batch, one at least, give or
    take ``within``, are of its season.
    """

    length: timedelta
    within: timedelta
    name: str


YEARLY = Cycle(timedelta(days=365.2425), timedelta(days=15), "the same season of earlier years")
WEEKLY = Cycle(timedelta(days=7), timedelta(hours=12), "the same day of the week")
DAILY = Cycle(timedelta(days=1), timedelta(minutes=30), "the same hour of the day")
_LONGEST = {WEEKLY: timedelta(days=1.5), DAILY: timedelta(hours=1.5)}
"""Batches up to this length have such a season."""


@dataclass(frozen=True)
class Reference:
    """The time blocks that a batch is held against, and how runs of training time are paired with
    their like.
    """

    cycles: tuple[Cycle, ...]
    """By which its blocks are alike; none for all training rows."""
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

    @property
    def kind(self) -> Literal["training", "season"]:
        """Whether it is a season, or all training rows."""
        return "season" if self.cycles else "training"

    @property
    def like(self) -> str:
        """What its rows have in common with the batch, for people."""
        return " and ".join(cycle.name for cycle in self.cycles)


def choose_reference(
    baseline: BaselineProfile, middle: datetime, wanted: Literal["auto", "training", "season"]
) -> Reference:
    """Return the reference of a batch around ``middle``: the season of a year before needs a
    batch's worth of blocks, that of a week or a day ``LEAST_RUNS`` batches of training time.
    """
    if wanted == "training":
        return all_training(baseline, "as configured")
    moment = np.array([middle.astimezone(UTC).replace(tzinfo=None)], dtype="datetime64[us]")
    length, whole = _batch_length(baseline), _with_history(baseline)
    cycles, own = list[Cycle](), baseline
    taken = np.ones(len(baseline.blocks), dtype=bool)
    for cycle in (YEARLY, WEEKLY, DAILY):
        if cycle is not YEARLY and length > _LONGEST[cycle]:
            continue
        held = whole if cycle is YEARLY else own
        alike = _alike(moment, _middles(held), (*cycles, cycle))[0]
        least = baseline.blocks_per_batch * (1 if cycle is YEARLY else LEAST_RUNS)
        if len(alike) and alike.sum() >= least:
            cycles, own, taken = [*cycles, cycle], held, alike
    if not cycles:
        reason = "training rows and history do not reach back to the same season"
        return all_training(baseline, reason)
    found = np.flatnonzero(taken)
    stretches = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    if cycles[-1] is not YEARLY:  # a stretch a week, or a day: too many to name
        stretches = [found]
    rows, before = np.array([b.rows for b in own.blocks]), len(own.blocks) - len(baseline.blocks)
    earlier = int(rows[:before][taken[:before]].sum())
    return Reference(
        cycles=tuple(cycles),
        baseline=own,
        taken=taken,
        reason="the lake reaches back to it" if earlier else "training rows reach back to it",
        rows=int(rows[taken].sum()),
        earlier=earlier,
        spans=tuple((own.blocks[s[0]].start, own.blocks[s[-1]].end) for s in stretches),
    )


def all_training(baseline: BaselineProfile, reason: str) -> Reference:
    """Return all training rows as a reference."""
    spans = ((baseline.blocks[0].start, baseline.blocks[-1].end),) if baseline.blocks else ()
    everything = np.ones(len(baseline.blocks), dtype=bool)
    return Reference((), baseline, everything, reason, baseline.rows, 0, spans)


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


def _alike(ones: np.ndarray, others: np.ndarray, cycles: Sequence[Cycle]) -> np.ndarray:
    """Whether moments lie whole cycles apart, one at least of the first: (ones, others) boolean."""
    apart = ones[:, None] - others[None, :]
    alike = np.ones(apart.shape, dtype=bool)
    for i, cycle in enumerate(cycles):
        length, within = np.timedelta64(cycle.length), np.timedelta64(cycle.within)
        times = np.round(apart / length)
        alike &= np.abs(apart - times * length) <= within
        if i == 0:
            alike &= times != 0
    return alike


def _batch_length(baseline: BaselineProfile) -> timedelta:
    """About how long a batch is; endless where no block says it."""
    if not baseline.blocks:
        return timedelta.max
    lengths = [(b.end - b.start).total_seconds() for b in baseline.blocks]
    return timedelta(seconds=float(np.median(lengths)) * baseline.blocks_per_batch)


def run_length(baseline: BaselineProfile) -> int:
    """Return how many blocks a run has; 0 when there are too few blocks to resample."""
    return min(baseline.blocks_per_batch, len(baseline.blocks) // LEAST_RUNS)


def pair_runs(
    baseline: BaselineProfile,
    cycles: Sequence[Cycle],
    span: int | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return runs and their references, both (runs, blocks) boolean: every run that there is, with
    its like.

    All other blocks but its neighbours; or, for a reference of ``span`` blocks, a run of that
    length elsewhere; or, for a season, the same season of other cycles, and where training time has
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
    elif cycles:
        middles = _middles(baseline)
        alike = _alike(middles, middles, cycles)
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
