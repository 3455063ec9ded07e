"""What the next training could tell, and when more could be told, before it is begun."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from statistics import median

from flows.steps.evidence import comparisons, labelled_rows
from tasks.decisions.power import (
    ASSUMED,
    COMPARISONS,
    least_rows,
    rows_to_tell,
    spread,
    told_by,
)
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, Hold, PolicyEvidence, Record, Retrain

RECENT = 6
"""Newest batches that say how many rows come."""
FARTHEST = 3650
"""Days ahead; what takes longer has no date."""


class Told(Record):
    """A gain, and what it takes to tell it."""

    gain: float
    """Share of the champion's loss."""
    rows: int
    """That the champion has not seen, all in all; no fewer than the gate compares by."""
    batches: int
    """To come; 0 when the rows are there."""
    by: datetime | None
    """When the labels of the last of them are due; None when the rows are there, or not in
    FARTHEST days.
    """


class Plan(Record):
    """What a training of a model could tell."""

    model: str
    champion: int | None
    missing: str
    """What the first champion waits for; empty when there is one."""
    unseen_rows: int
    unseen_batches: int
    """Labelled, which the champion has not seen."""
    least_rows: int
    """Below which nothing is compared, or, by ``retrain.tell``, trained."""
    spread: float
    """Of a row's paired loss, as a share of the mean loss."""
    comparisons: int
    """That it was measured on; 0 when it is assumed."""
    rows_per_batch: float
    told: tuple[Told, ...]
    policy: str
    """What the policy said last."""

    def in_lines(self) -> Iterator[str]:
        """Give the lines for a person."""
        if self.champion is None:
            yield f"{self.model}: no champion yet: {self.missing}"
            return
        now = told_by(self.unseen_rows, self.spread)
        could = (
            f"a training now could tell a difference of {now:.1%}"
            if self.unseen_rows >= self.least_rows
            else f"nothing is trained to be compared below {self.least_rows:,}"
        )
        yield (
            f"{self.model}: version {self.champion} has not seen {self.unseen_rows:,} labelled"
            f" rows in {self.unseen_batches} batch{'es' * (self.unseen_batches != 1)}; {could}"
        )
        how = (
            f"as in the last {self.comparisons} comparisons"
            if self.comparisons
            else "which is assumed: nothing was compared yet"
        )
        yield (
            f"  a row's paired loss spreads by {self.spread:.2f} of the mean loss, {how}; told"
            " means at 5%, one-sided, in four of five cases"
        )
        for one in self.told:
            when = "now" if not one.batches else "not in ten years"
            if one.by is not None:
                more = f"{one.batches:,} batch{'es' * (one.batches != 1)} more"
                when = f"by {one.by:%Y-%m-%d}, {more} of {self.rows_per_batch:,.0f} rows"
            yield f"  a gain of {one.gain:.1%} takes {one.rows:>9,} rows: {when}"
        if self.policy:
            yield f"  the policy's last word: {self.policy}"


def plan_of(managed: ManagedModel, engine: Engine, gains: Sequence[float]) -> Plan:
    """Return what a training could tell with the rows that the champion has not seen, and by which
    date gains, as shares of the loss, could be told.

    The spread of losses is that of the model's own comparisons, where there are any. Batches are
    taken to go on as the newest RECENT were, and labels to come as ``labels.delay`` says.
    """
    spec = managed.spec
    history = ledger.history(engine, managed.name)
    records = [r for r in ledger.known_batches(engine, managed.name).values() if r.accepted]
    champion = history.champion
    until = None
    if champion is not None:
        until = ledger.training(engine, managed.name, champion).trained_until
    labelled = [r for r in records if r.performances or (until and r.batch.start < until)]
    unseen = [r for r in labelled if until and r.batch.start >= until]
    rows = sum(map(labelled_rows, unseen))
    newest = list(islice(comparisons(history), COMPARISONS))
    measured = spread(newest)
    of = ASSUMED if measured is None else measured
    recent = records[-RECENT:]
    pace = median(map(labelled_rows, recent)) if recent else 0.0
    words = [
        f"{entry.decision.kind} on {entry.batch}: {entry.decision.reason}"
        for entry in history
        if isinstance(entry.evidence, PolicyEvidence) and isinstance(entry.decision, Hold | Retrain)
    ]
    return Plan(
        model=managed.name,
        champion=champion,
        missing=(
            f"it waits for {spec.training.first} batches of {spec.training.first_rows:,} labelled"
            f" rows together, and {len(records)} are there"
        )
        if champion is None
        else "",
        unseen_rows=rows,
        unseen_batches=len(unseen),
        least_rows=max(
            spec.gate.min_rows, least_rows(spec.gate, spec.retrain, comparisons(history))
        ),
        spread=of,
        comparisons=0 if measured is None else len(newest),
        rows_per_batch=pace,
        told=tuple(
            _told(
                gain,
                max(rows_to_tell(gain, of), spec.gate.min_rows),
                rows,
                pace,
                labelled,
                spec.labels.delay,
            )
            for gain in gains
        )
        if champion is not None
        else (),
        policy=words[-1] if words else "",
    )


def _told(
    gain: float,
    needed: int,
    rows: int,
    pace: float,
    records: Sequence[BatchRecord],
    delay: timedelta,
) -> Told:
    if needed <= rows:
        return Told(gain=gain, rows=needed, batches=0, by=None)
    if not pace:
        return Told(gain=gain, rows=needed, batches=needed, by=None)
    batches, last = math.ceil((needed - rows) / pace), records[-1].batch
    lasts = batches * (last.end - last.start)
    by = None if lasts > timedelta(days=FARTHEST) else last.end + lasts + delay
    return Told(gain=gain, rows=needed, batches=batches, by=by)
