"""How far a column is from what the champion was trained on, in the column's own unit."""

from __future__ import annotations

import numpy as np

from tasks.drift.histograms import Spread
from tasks.drift.thresholds import null_in_theory, psi
from tasks.records import FeatureProfile, Move


def measure_move(
    profile: FeatureProfile, counts: np.ndarray, spread: Spread, level: float, smallest: float
) -> Move | None:
    """Return how far the batch's counts (bins + 1,), missing values last, are from the profile's,
    in its bins; None where either has no row.

    A move is beyond what sampling explains when independent rows would score as much with a
    probability below ``level``, and large enough to tell of when it scores above ``smallest``.
    """
    before, rows = np.array([*profile.counts, profile.missing], dtype="int64"), int(counts.sum())
    if not before.sum() or not rows:
        return None
    known_before, known_now = int(before[:-1].sum()), int(counts[:-1].sum())
    score, chance = None, 0.0
    if known_before and known_now and len(before) > 2:
        used = (before[:-1] + counts[:-1]) > 0
        score = float(psi(before[:-1][used], counts[:-1][used]))
        chance = null_in_theory(int(used.sum()), known_before, known_now).score_at(level)
    gaps = [np.array([of[:-1].sum(), of[-1]]) for of in (before, counts)]
    of_gaps = float(psi(*gaps))
    by_chance = null_in_theory(2, int(before.sum()), rows).score_at(level)
    trained = profile.quantiles[len(profile.quantiles) // 2] if profile.quantiles else None
    now = spread.median
    return Move(
        score=score,
        chance=chance,
        values=score is not None and score > max(chance, smallest),
        gaps=of_gaps > max(by_chance, smallest),
        missing=float(before[-1] / before.sum()),
        median=None if trained is None or now is None else (trained, now),
        below=spread.below / rows,
        above=spread.above / rows,
        unseen=spread.unseen / rows,
    )
