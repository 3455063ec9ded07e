"""One batch against the baseline: scores on all rows, thresholds from the baseline's own swings,
Holm over all columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd

from tasks.drift.config import DriftConfig
from tasks.drift.histograms import Counts, bin_labels, coarsened, join_bins
from tasks.drift.profile import RARE
from tasks.drift.reference import Reference, all_training, choose_reference, pair_runs, run_length
from tasks.drift.thresholds import (
    Null,
    holm_level,
    null_by_resampling,
    null_in_theory,
    psi,
    psi_reach,
)
from tasks.records import (
    BaselineProfile,
    DriftOutcome,
    DriftReference,
    DriftSummary,
    FeatureDrift,
    Histogram,
    MissingDrift,
)

NOT_MATURE = "labels are not mature yet"


def summarise_drift(
    baseline: BaselineProfile,
    version: int,
    batch: str,
    counts: Counts,
    config: DriftConfig,
    seed: int,
) -> DriftSummary:
    """Hold the batch counted in ``counts`` against ``baseline``: one score, threshold, p-value and
    histogram a column.

    Missing values have a score and a threshold of their own. A column without a value is not
    evaluable, but for its missing values; the others still are. One whose threshold lies beyond any
    score that a batch of this size can get cannot be told: that is no steady one. What has
    moved against all training rows, and not against a season that the champion was not trained on,
    is steady, and its note says so: a fault may come back too.
    """

    def held_against(wanted: Literal["auto", "training", "season"]) -> DriftSummary:
        reference = choose_reference(baseline, _middle(counts), wanted)
        return _summary(reference, baseline, version, batch, counts, config, seed)

    found = held_against(config.reference)
    if not found.reference.earlier:
        return found
    pairs = zip(found.features, held_against("training").features, strict=True)
    return found.model_copy(
        update={"features": tuple(_told(f, alone, found.reference) for f, alone in pairs)}
    )


def _summary(
    reference: Reference,
    baseline: BaselineProfile,
    version: int,
    batch: str,
    counts: Counts,
    config: DriftConfig,
    seed: int,
) -> DriftSummary:
    measured = [_measure(baseline, reference, i, own, seed) for i, own in enumerate(counts.columns)]
    others = [p for one in measured if one.found.kind != "target" for p in one.p_values()]
    share = _target_share(baseline, len(others))
    level = holm_level(others, config.false_alarms * (1 - share)) if others else config.false_alarms
    length = run_length(reference.baseline)
    return DriftSummary(
        batch=batch,
        version=version,
        rows=counts.rows,
        baseline_rows=baseline.rows,
        features=tuple(
            one.judged(
                config.false_alarms * share if one.found.kind == "target" else level, config.psi
            )
            for one in measured
        ),
        reference=DriftReference(
            kind=reference.kind,
            spans=reference.spans,
            rows=reference.rows,
            earlier=reference.earlier,
            reason=reference.reason,
            runs=len(reference.baseline.blocks) / length if length else 0,
            false_alarms=config.false_alarms,
            tests=len(others),
            level=level,
            psi=config.psi,
            seed=seed,
        ),
    )


def add_target(
    summary: DriftSummary, baseline: BaselineProfile, counts: Counts, config: DriftConfig
) -> DriftSummary:
    """Return ``summary`` with the target, now that its labels are mature; what it said of the other
    columns stays.

    ``counts`` are those of the same batch's target.
    """
    level = config.false_alarms * _target_share(baseline, summary.reference.tests)
    features = list(summary.features)
    for i, own in enumerate(counts.columns):
        if baseline.features[i].kind == "target" and own is not None:
            references = [choose_reference(baseline, _middle(counts), config.reference)]
            if references[0].earlier:
                references.append(choose_reference(baseline, _middle(counts), "training"))
            judged = [
                _measure(baseline, reference, i, own, summary.reference.seed).judged(
                    level, config.psi
                )
                for reference in references
            ]
            features[i] = _told(judged[0], judged[-1], summary.reference)
    return summary.model_copy(update={"features": tuple(features)})


def _told(found: FeatureDrift, alone: FeatureDrift, reference: DriftReference) -> FeatureDrift:
    """``found`` against the season, with a note where it would be named ``alone``, against the
    training rows.
    """
    if found.outcome == "drifted" or alone.outcome != "drifted":
        return found
    if alone.score is not None and alone.threshold is not None and alone.score > alone.threshold:
        how = f"{alone.score:.3g}, threshold {alone.threshold:.3g}"
    else:
        how = f"missing values, from {alone.missing_before:.1%} to {alone.missing_after:.1%}"
    years = " and ".join(str(start.year) for start, _ in reference.spans)
    note = (
        f"as in this season of {years}, which the champion was not trained on: it has moved against"
        f" the training rows ({how})"
    )
    return found.model_copy(update={"note": note})


def _target_share(baseline: BaselineProfile, others: int) -> float:
    """The target's share of the false alarms, kept for it: its labels come when the report has been
    read already.
    """
    return 1 / (others + 1) if any(f.kind == "target" for f in baseline.features) else 0.0


def _middle(counts: Counts) -> datetime:
    middle = counts.start + (counts.end - counts.start) // 2
    return pd.Timestamp(middle).tz_localize(UTC).to_pydatetime()


@dataclass(frozen=True)
class _Scored:
    """A score, how large it gets when nothing has changed, and the largest that a batch can get."""

    score: float
    null: Null
    reach: float

    @property
    def p_value(self) -> float:
        return self.null.p_value(self.score)

    def judged(self, level: float, smallest: float) -> tuple[float | None, DriftOutcome]:
        """Return the threshold at ``level``, ``smallest`` at least, and what the score says; no
        threshold where no batch could reach it.
        """
        threshold = max(smallest, self.null.score_at(level))
        if self.score > threshold:
            return threshold, "drifted"
        if threshold >= self.reach:
            return None, "cannot be told"
        return threshold, "steady"


@dataclass(frozen=True)
class _Measured:
    """One column with its scores; outcome and thresholds come when the level is known."""

    found: FeatureDrift
    values: _Scored | None
    missing: _Scored | None

    def p_values(self) -> list[float]:
        return [one.p_value for one in (self.values, self.missing) if one is not None]

    def judged(self, level: float, smallest: float) -> FeatureDrift:
        update: dict[str, object] = {"threshold": smallest}
        outcomes: list[DriftOutcome] = []
        if self.values is not None:
            threshold, outcome = self.values.judged(level, smallest)
            update |= {"threshold": threshold, "p_value": self.values.p_value}
            outcomes.append(outcome)
        if self.missing is not None:
            threshold, outcome = self.missing.judged(level, smallest)
            update["missing"] = MissingDrift(
                score=self.missing.score,
                threshold=threshold,
                p_value=self.missing.p_value,
                outcome=outcome,
            )
            outcomes.append(outcome if self.values or outcome == "drifted" else "not evaluable")
        if outcomes:
            update["outcome"] = "drifted" if "drifted" in outcomes else outcomes[0]
        return self.found.model_copy(update=update)


def _measure(
    baseline: BaselineProfile, chosen: Reference, column: int, counts: np.ndarray | None, seed: int
) -> _Measured:
    """Score the values of one column, and its missing ones, each against its null distribution at
    the batch's size.
    """
    reference = _reference_of(baseline, chosen, column)
    profile, note = reference.baseline.features[column], ""
    if reference is not chosen and profile.span is None:
        note = (
            f"held against all training rows: in {', '.join(profile.left_out) or 'this season'} it"
            " is no reference"
        )
    if counts is not None:
        rows = min(int(counts.sum()), sum(profile.counts) + profile.missing)
        profile, group = coarsened(profile, rows)
        counts = join_bins(counts, group)
    before = np.array([*profile.counts, profile.missing], dtype="int64")
    if reference.kind == "season":
        before = np.array(profile.blocks, dtype="int64")[reference.taken].sum(0)
    after = np.zeros_like(before) if counts is None else counts
    known_before, known_after = before[:-1].sum(), after[:-1].sum()
    why_not = ""
    if counts is None:
        why_not = NOT_MATURE
    elif not known_before:
        why_not = "the champion's training data held no value"
    elif not known_after:
        why_not = "this batch holds no value"
    elif len(profile.counts) < 2 and profile.kind == "categorical":
        why_not = f"no category had {RARE} training rows, so there is nothing to tell apart"
    blocks = np.array(profile.blocks, dtype="int64").reshape(-1, len(before))
    # Seeds of its own for each column: one more column changes nothing for the others.
    own_seed = [seed, crc32(profile.feature.encode())]
    values = missing = None
    if not why_not:
        values = _score(before[:-1], after[:-1], blocks[:, :-1], reference, profile.span, own_seed)
    watched = profile.kind in ("numerical", "categorical")
    if watched and before.sum() and after.sum() and (before[-1] or after[-1]):
        before_gaps, after_gaps, gaps = (_gaps(one) for one in (before, after, blocks))
        missing = _score(before_gaps, after_gaps, gaps, reference, None, [*own_seed, 1])
    found = FeatureDrift(
        feature=profile.feature,
        kind=profile.kind,
        score=None if values is None else values.score,
        threshold=0.0,
        outcome="not evaluable",
        missing_before=float(before[-1] / max(before.sum(), 1)),
        missing_after=float(after[-1] / max(after.sum(), 1)),
        importance=profile.importance,
        histogram=Histogram(
            labels=bin_labels(profile),
            before=tuple((before[:-1] / known_before).tolist()) if known_before else (),
            after=tuple((after[:-1] / known_after).tolist()) if known_after else (),
        ),
        note=why_not or note,
    )
    return _Measured(found, values, missing)


def _gaps(counts: np.ndarray) -> np.ndarray:
    """Counts (..., bins + 1) as those that are there and those that are missing: (..., 2)."""
    return np.stack([counts[..., :-1].sum(-1), counts[..., -1]], axis=-1)


def _score(
    before: np.ndarray,
    after: np.ndarray,
    blocks: np.ndarray,
    reference: Reference,
    span: int | None,
    seed: Sequence[int],
) -> _Scored:
    """Score counts (bins,) against each other; ``blocks`` (blocks, bins) say how they swing."""
    used = (before + after) > 0
    score = float(psi(before[used], after[used]))
    rows = int(before.sum()), int(after.sum())
    null = _null(blocks[:, used], rows, reference, span, np.random.default_rng(seed))
    return _Scored(score, null, max(psi_reach(before, rows[1]), score))


def _reference_of(baseline: BaselineProfile, chosen: Reference, column: int) -> Reference:
    """What one column is held against: predictions have no season, nor has a column that was left
    out of it.
    """
    profile = chosen.baseline.features[column]
    if chosen.kind == "season":
        known = np.array(profile.blocks, dtype="int64")[chosen.taken][:, :-1]
        if profile.span is not None or not known.any():
            return all_training(baseline, "it has no season")
    return chosen


def _null(
    blocks: np.ndarray,
    rows: tuple[int, int],
    reference: Reference,
    span: int | None,
    rng: np.random.Generator,
) -> Null:
    length = run_length(reference.baseline)
    if not length or not len(blocks):
        return null_in_theory(blocks.shape[1], *rows)
    runs, references = pair_runs(reference.baseline, reference.kind, span, rng)
    told = int((blocks.sum(1) > 0).sum())
    return null_by_resampling(blocks, runs, references, rows, told / length, rng)
