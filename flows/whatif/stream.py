"""Labelled rows in batches, and which of them were known at the decision about each batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.evaluation.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The labelled rows of one stream, oldest first, and where its batches begin."""

    name: str
    objective: Objective
    features: pd.DataFrame
    """(rows, features)."""
    target: np.ndarray
    """(rows,): float64, or str when multiclass."""
    moments: np.ndarray
    """(rows,) datetime64[us]."""
    slices: pd.DataFrame
    """(rows, slice columns)."""
    batches: tuple[str, ...]
    starts: np.ndarray
    """(batches + 1,) int64: batch ``i`` is the rows ``starts[i]:starts[i + 1]``."""
    known: tuple[int, ...]
    """For each batch the newest one whose labels are known when is decided about it; -1: none."""
    contents: tuple[str, ...]
    """A digest of each batch's rows."""

    def rows(self, first: int, last: int | None = None) -> slice:
        """Return the rows of the batches ``first`` to ``last``, both included; of ``first`` alone
        without ``last``.
        """
        return slice(
            int(self.starts[first]), int(self.starts[(first if last is None else last) + 1])
        )

    def holdout(self, batch: int, share: float = 0.2) -> slice:
        """Return the newest ``share`` of the rows of ``batch``, as tasks/training/split.py cuts
        it: between moments, and within one where more than twice the share would be held out.
        """
        inside = self.rows(batch)
        times = self.moments[inside]
        cutoff = times[min(int((1 - share) * len(times)), len(times) - 1)]
        start = inside.start + int(np.searchsorted(times, cutoff))
        if inside.stop - start > 2 * share * len(times):
            start = max(start + 1, inside.stop - int(share * len(times)))
        return slice(min(start, inside.stop - 1), inside.stop)
