"""One batch against the baseline: scores on all rows, thresholds from the baseline's own swings,
Holm over all columns.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd

from tasks.drift.config import DriftConfig
from tasks.drift.histograms import Counts, bin_labels, coarsened, join_bins
from tasks.drift.profile import RARE
from tasks.drift.reference import Reference, all_training, choose_reference, pair_runs, run_length
from tasks.drift.thresholds import Null, holm_level, null_by_resampling, null_in_theory, psi
from tasks.records import (
    BaselineProfile,
    DriftReference,
    DriftSummary,
    FeatureDrift,
    FeatureProfile,
    Histogram,
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

    Missing values are a bin like any other, so a feature that goes missing drifts. A column without
    a value cannot be scored; it is reported as not evaluable and the others still are. What has
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
    others = [
        null.p_value(f.score) for f, null in measured if f.score is not None and f.kind != "target"
    ]
    share = _target_share(baseline, len(others))
    level = holm_level(others, config.false_alarms * (1 - share)) if others else config.false_alarms
    length = run_length(reference.baseline)
    return DriftSummary(
        batch=batch,
        version=version,
        rows=counts.rows,
        baseline_rows=baseline.rows,
        features=tuple(
            _judge(
                f, null, config.false_alarms * share if f.kind == "target" else level, config.psi
            )
            for f, null in measured
        ),
        reference=DriftReference(
            kind=reference.kind,
            spans=reference.spans,
            rows=reference.rows,
            earlier=reference.earlier,
            reason=reference.reason,
            runs=len(reference.baseline.blocks) / length if length else 0,
            false_alarms=config.false_alarms,
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
    others = sum(f.score is not None and f.kind != "target" for f in summary.features)
    level = config.false_alarms * _target_share(baseline, others)
    features = list(summary.features)
    for i, own in enumerate(counts.columns):
        if baseline.features[i].kind == "target" and own is not None:
            references = [choose_reference(baseline, _middle(counts), config.reference)]
            if references[0].earlier:
                references.append(choose_reference(baseline, _middle(counts), "training"))
            judged = [
                _judge(
                    *_measure(baseline, reference, i, own, summary.reference.seed),
                    level,
                    config.psi,
                )
                for reference in references
            ]
            features[i] = _told(judged[0], judged[-1], summary.reference)
    return summary.model_copy(update={"features": tuple(features)})


def _told(found: FeatureDrift, alone: FeatureDrift, reference: DriftReference) -> FeatureDrift:
    """``found`` against the season, with a note where it would be named ``alone``, against the
    training rows.
    """
    if found.outcome != "steady" or alone.outcome != "drifted" or alone.score is None:
        return found
    years = " and ".join(str(start.year) for start, _ in reference.spans)
    note = (
        f"as in this season of {years}, which the champion was not trained on: it has moved against"
        f" the training rows ({alone.score:.3g}, threshold {alone.threshold:.3g})"
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


def _measure(
    baseline: BaselineProfile, chosen: Reference, column: int, counts: np.ndarray | None, seed: int
) -> tuple[FeatureDrift, Null]:
    """Score one column, and make its null distribution at the batch's size; outcome and threshold
    come later.
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
    score, null = None, null_in_theory(2, 1, 1)
    if not why_not:
        used = (before + after) > 0
        score = float(psi(before[used], after[used]))
        # A seed of its own for each column: one more column changes nothing for the others.
        rng = np.random.default_rng([seed, crc32(profile.feature.encode())])
        null = _null(profile, used, (int(before.sum()), int(after.sum())), reference, rng)
    return (
        FeatureDrift(
            feature=profile.feature,
            kind=profile.kind,
            score=score,
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
        ),
        null,
    )


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
    profile: FeatureProfile,
    used: np.ndarray,
    rows: tuple[int, int],
    reference: Reference,
    rng: np.random.Generator,
) -> Null:
    length = run_length(reference.baseline)
    blocks = np.array(profile.blocks, dtype="int64").reshape(-1, len(used))[:, used]
    if not length or not len(blocks):
        return null_in_theory(int(used.sum()), *rows)
    runs, references = pair_runs(reference.baseline, reference.kind, profile.span, rng)
    told = int((blocks.sum(1) > 0).sum())
    return null_by_resampling(blocks, runs, references, rows, told / length, rng)


def _judge(found: FeatureDrift, null: Null, level: float, smallest: float) -> FeatureDrift:
    if found.score is None:
        return found.model_copy(update={"threshold": smallest})
    threshold = max(smallest, null.score_at(level))
    return found.model_copy(
        update={
            "threshold": threshold if math.isfinite(threshold) else 1e9,
            "p_value": null.p_value(found.score),
            "outcome": "drifted" if found.score > threshold else "steady",
        }
    )
