"""One batch against the baseline: scores on all rows, thresholds from the baseline's own swings, Holm over all columns."""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING
from zlib import crc32

from tasks.drift.config import DriftConfig
from tasks.drift.histograms import Counts, bin_labels
from tasks.drift.profile import RARE
from tasks.drift.reference import Reference, choose_reference, pair_runs, run_length
from tasks.drift.thresholds import Null, holm_level, null_by_resampling, null_in_theory, psi
from tasks.records import (
    BaselineProfile,
    DriftReference,
    DriftSummary,
    FeatureDrift,
    FeatureProfile,
    Histogram,
)

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np

NOT_MATURE = "labels are not mature yet"


def summarise_drift(
    baseline: BaselineProfile, version: int, batch: str, counts: Counts, config: DriftConfig, seed: int
) -> DriftSummary:
    """Hold the batch counted in ``counts`` against ``baseline``: one score, threshold, p-value and histogram a column.

    Missing values are a bin like any other, so a feature that goes missing drifts. A column without a value cannot be
    scored; it is reported as not evaluable and the others still are.
    """
    middle = _moment(counts.start + (counts.end - counts.start) // 2)
    reference = choose_reference(baseline, middle, config.reference)
    measured = [
        _measure(baseline, profile, own, reference, seed)
        for profile, own in zip(baseline.features, counts.columns, strict=True)
    ]
    others = [null.p_value(f.score) for f, null in measured if f.score is not None and f.kind != "target"]
    share = _target_share(baseline, len(others))
    level = holm_level(others, config.false_alarms * (1 - share)) if others else config.false_alarms
    length = run_length(baseline)
    return DriftSummary(
        batch=batch,
        version=version,
        rows=counts.rows,
        baseline_rows=baseline.rows,
        features=tuple(
            _judge(f, null, config.false_alarms * share if f.kind == "target" else level, config.psi)
            for f, null in measured
        ),
        reference=DriftReference(
            kind=reference.kind,
            spans=reference.spans,
            rows=reference.rows,
            reason=reference.reason,
            runs=len(baseline.blocks) / length if length else 0,
            false_alarms=config.false_alarms,
            level=level,
            psi=config.psi,
            seed=seed,
        ),
    )


def add_target(
    summary: DriftSummary, baseline: BaselineProfile, counts: Counts, config: DriftConfig
) -> DriftSummary:
    """Return ``summary`` with the target, now that its labels are mature; what it said of the other columns stays.

    ``counts`` are those of the same batch's target.
    """
    middle = _moment(counts.start + (counts.end - counts.start) // 2)
    reference = choose_reference(baseline, middle, config.reference)
    others = sum(f.score is not None and f.kind != "target" for f in summary.features)
    features = []
    for f, profile, own in zip(summary.features, baseline.features, counts.columns, strict=True):
        if f.kind == "target" and own is not None:
            found, null = _measure(baseline, profile, own, reference, summary.reference.seed)
            features.append(
                _judge(found, null, config.false_alarms * _target_share(baseline, others), config.psi)
            )
        else:
            features.append(f)
    return summary.model_copy(update={"features": tuple(features)})


def _target_share(baseline: BaselineProfile, others: int) -> float:
    """The target's share of the false alarms, kept for it: its labels come when the report has been read already."""
    return 1 / (others + 1) if any(f.kind == "target" for f in baseline.features) else 0.0


def _moment(moment: np.datetime64) -> datetime:
    import pandas as pd

    found: datetime = pd.Timestamp(moment).tz_localize(UTC).to_pydatetime()
    return found


def _measure(
    baseline: BaselineProfile,
    profile: FeatureProfile,
    counts: np.ndarray | None,
    reference: Reference,
    seed: int,
) -> tuple[FeatureDrift, Null]:
    """Score one column, and make its null distribution at the batch's size; outcome and threshold come later."""
    import numpy as np

    before = np.array([*profile.counts, profile.missing], dtype="int64")
    if reference.kind == "season" and profile.span is None:
        before = np.array(profile.blocks, dtype="int64")[reference.taken].sum(0)
    after = np.zeros_like(before) if counts is None else counts
    known_before, known_after = before[:-1].sum(), after[:-1].sum()
    note = ""
    if counts is None:
        note = NOT_MATURE
    elif not known_before:
        note = "the champion's training data held no value"
    elif not known_after:
        note = "this batch holds no value"
    elif len(profile.counts) < 2 and profile.kind == "categorical":
        note = f"no category had {RARE} training rows, so there is nothing to tell apart"
    score, null = None, null_in_theory(2, 1, 1)
    if not note:
        used = (before + after) > 0
        score = float(psi(before[used], after[used]))
        # A seed of its own for each column: one more column changes nothing for the others.
        rng = np.random.default_rng([seed, crc32(profile.feature.encode())])
        null = _null(baseline, profile, used, (int(before.sum()), int(after.sum())), reference, rng)
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
            note=note,
        ),
        null,
    )


def _null(
    baseline: BaselineProfile,
    profile: FeatureProfile,
    used: np.ndarray,
    rows: tuple[int, int],
    reference: Reference,
    rng: np.random.Generator,
) -> Null:
    import numpy as np

    length = run_length(baseline)
    blocks = np.array(profile.blocks, dtype="int64").reshape(-1, len(used))[:, used]
    if not length or not len(blocks):
        return null_in_theory(int(used.sum()), *rows)
    runs, references = pair_runs(baseline, reference.kind, profile.span, rng)
    return null_by_resampling(blocks, runs, references, rows, len(baseline.blocks) / length, rng)


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
