"""What other policies would have done with a model's own history."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.records.base import Record
from tasks.records.evaluation import Interval


class Tried(Record):
    """One policy, replayed."""

    name: str
    """The keys that differ from the spec, or ``as the spec says``."""
    estimator: str
    loss: float
    """Mean over the rows that it and the spec both served."""
    gain: Interval
    """By how much it is below the spec's, as a share of that; blocks of time."""
    blocks: int
    trainings: int
    seconds: float
    """CPU of the trainings, each by one thread."""
    promotions: int
    rollbacks: int
    differs: Mapping[str, tuple[str, str]]
    """Batch -> what the spec decided about it and what this policy did, where they differ."""


class Happened(Record):
    """What the ledger says of the batches that were replayed."""

    batches: int
    """Those that were judged."""
    loss: float
    """Mean over their rows, of what served them."""
    replayed: float
    """Of the spec's replay on them."""
    trainings: int
    decided: int
    """Batches about which the ledger has a decision."""
    same: int
    """Those of them about which the replay decided the same."""


class WhatIf(Record):
    """A model's own history under its spec and under others."""

    model: str
    first: str
    """The first batch that was served in the replay."""
    last: str
    batches: int
    rows: int
    share: float
    """Of the labelled rows that were replayed; 1 when all were."""
    loss: str
    """What a loss is here, in words."""
    tried: tuple[Tried, ...]
    """The spec itself first."""
    not_tried: Mapping[str, str]
    """What could not be replayed, and why."""
    happened: Happened
    trained: int
    """Models that were trained for it now; the others were stored."""
    advice: str
