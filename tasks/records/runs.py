"""Runs, as the orchestrator tells of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tasks.records.base import Record


class FlowRun(Record):
    """One run of a flow."""

    id: str
    name: str
    flow: str
    model: str
    """Empty for one that looks after all models."""
    state: str
    """In words, such as ``Late``."""
    kind: Literal[
        "SCHEDULED",
        "PENDING",
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "CRASHED",
        "PAUSED",
        "CANCELLING",
    ]
    message: str
    """What the state says, in one line; empty where it says nothing."""
    due: datetime
    began: datetime | None
    ended: datetime | None

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.kind in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")

    @property
    def failed(self) -> bool:
        """Whether it came to a bad end."""
        return self.kind in ("FAILED", "CRASHED")
