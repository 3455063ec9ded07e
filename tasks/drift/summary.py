"""One batch against the baseline, in three answers kept apart: what moved, what of it is unusual
(scores on all rows, thresholds from the baseline's own swings, Holm over all columns), and what it
is expected to do to the champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd

from tasks.drift.config import DriftConfig
from tasks.drift.effect import Held, effect_of, effect_together
from tasks.drift.histograms import Counts, Spread, coarsened, histogram, join_bins
from tasks.drift.missing import Gaps, Swing, gaps_of, swings_of
from tasks.drift.move import measure_move
from tasks.drift.profile import RARE
from tasks.drift.reference import Reference, all_training, choose_reference, pair_runs, run_length
from tasks.drift.relations import RowSample, hold_relations, relations_of, value_at
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
    MissingDrift,
    Outside,
    Relation,
)

NOT_MATURE = "labels are not mature yet"


def summarise_drift(
    baseline: BaselineProfile,
    version: int,
    batch: str,
    counts: Counts,
    config: DriftConfig,
    seed: int,
    held: Held | None = None,
    sample: RowSample | None = None,
) -> DriftSummary:
    """Hold the batch counted in ``counts`` against ``baseline``: one score, threshold, p-value and
    histogram a column; from the champion's holdout ``held``, what its moves should do; and from a
    ``sample`` of its rows, whether the numbers are what the other columns say.

    Missing values have a score and a threshold of their own. A column without a value is not
    evaluable, but for its missing values; the others still are. One whose threshold lies beyond any
    score that a batch of this size can get cannot be told: that is no steady one. What has
    moved against all training rows, and not against a season that the champion was not trained on,
    is steady, and its note says so: a fault may come back too.
    """
    related = [] if sample is None else relations_of(baseline, sample, seed)
    besides = [one.p_value for one in related]

    def held_against(wanted: Literal["auto", "training", "season"]) -> DriftSummary:
        reference = choose_reference(baseline, _middle(counts), wanted)
        return _summary(reference, baseline, version, batch, counts, config, seed, besides)

    found = held_against(config.reference)
    if found.reference.earlier:
        pairs = zip(found.features, held_against("training").features, strict=True)
        found = found.but(features=tuple(_told(f, alone, found.reference) for f, alone in pairs))
    if sample is not None:
        found = _with_relations(found, baseline, sample, config)
    return _with_effects(found, baseline, counts, held)


def _with_relations(
    found: DriftSummary, baseline: BaselineProfile, sample: RowSample, config: DriftConfig
) -> DriftSummary:
    """``found`` with what the other columns say of each number; unusual is a feature, too, that is
    not what they say.
    """
    reference = found.reference
    level = config.false_alarms if reference.level is None else reference.level
    known = {f.feature: f for f in baseline.features}
    told = dict[str, Relation]()
    for one in hold_relations(baseline, sample, level, config.psi, reference.seed):
        profile, threshold = known[one.feature], max(config.psi, one.score_at(level))
        outcome: DriftOutcome = "unusual" if one.score > threshold else "usual"
        if outcome == "usual" and threshold >= one.reach:
            outcome = "cannot be told"
        told[one.feature] = Relation(
            score=one.score,
            threshold=None if outcome == "cannot be told" else threshold,
            p_value=one.p_value,
            outcome=outcome,
            expected=value_at(profile, one.expected),
            found=value_at(profile, one.found),
            leans_on=one.leans_on,
        )
    features = tuple(
        f.but(
            relation=told.get(f.feature),
            outcome=(
                "unusual"
                if f.feature in told and told[f.feature].outcome == "unusual"
                else f.outcome
            ),
        )
        for f in found.features
    )
    return found.but(features=features)


def _with_effects(
    found: DriftSummary, baseline: BaselineProfile, counts: Counts, held: Held | None
) -> DriftSummary:
    """``found`` with the rows outside of training, and what the moves should do to the champion."""
    found = found.but(
        outside=Outside(rows=counts.outside, share=counts.outside / max(counts.rows, 1))
    )
    (output,) = (i for i, f in enumerate(baseline.features) if f.kind == "prediction")
    spread = counts.spreads[output]
    if held is None or not len(held) or spread is None or spread.mean is None:
        return found
    features = list(found.features)
    for i, f in enumerate(features):
        own, lies = counts.columns[i], counts.spreads[i]
        if f.kind in ("numerical", "categorical") and own is not None and lies is not None:
            features[i] = f.but(effect=effect_of(held, i, baseline.features[i], own, lies))
    moved = [
        i for i, f in enumerate(features) if f.moved and f.kind in ("numerical", "categorical")
    ]
    together = None
    if moved:
        together = effect_together(held, [*moved, output], baseline, counts.columns, counts.spreads)
    return found.but(
        features=tuple(features),
        together=together,
        predicted=(float(held.predicted.mean()), spread.mean),
    )


def _summary(
    reference: Reference,
    baseline: BaselineProfile,
    version: int,
    batch: str,
    counts: Counts,
    config: DriftConfig,
    seed: int,
    besides: Sequence[float],
) -> DriftSummary:
    scored = [
        _measure(baseline, reference, i, own, lies, config, seed)
        for i, (own, lies) in enumerate(zip(counts.columns, counts.spreads, strict=True))
    ]
    measured = _with_swings(scored)
    others = [p for one in measured if one.found.kind != "target" for p in one.p_values()]
    others += besides
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
            like=reference.like,
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
    for i, (own, lies) in enumerate(zip(counts.columns, counts.spreads, strict=True)):
        if baseline.features[i].kind == "target" and own is not None:
            references = [choose_reference(baseline, _middle(counts), config.reference)]
            if references[0].earlier:
                references.append(choose_reference(baseline, _middle(counts), "training"))
            judged = [
                _measure(baseline, reference, i, own, lies, config, summary.reference.seed).judged(
                    level, config.psi
                )
                for reference in references
            ]
            features[i] = _told(judged[0], judged[-1], summary.reference)
    return summary.but(features=tuple(features))


def _told(found: FeatureDrift, alone: FeatureDrift, reference: DriftReference) -> FeatureDrift:
    """``found`` against the season, with a note where it would be named ``alone``, against the
    training rows.
    """
    if found.outcome == "unusual" or alone.outcome != "unusual":
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
    return found.but(note=note)


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
            return threshold, "unusual"
        if threshold >= self.reach:
            return None, "cannot be told"
        return threshold, "usual"


@dataclass(frozen=True)
class _Measured:
    """One column with its scores; outcome and thresholds come when the level is known."""

    found: FeatureDrift
    values: _Scored | None
    gaps: Gaps | None
    swing: Swing | None = None

    def p_values(self) -> list[float]:
        own = [] if self.values is None else [self.values.p_value]
        if self.gaps is not None and self.swing is not None:
            own.append(self.swing.p_value(self.gaps))
        return own

    def judged(self, level: float, smallest: float) -> FeatureDrift:
        update: dict[str, object] = {"threshold": smallest}
        outcomes: list[DriftOutcome] = []
        if self.values is not None:
            threshold, outcome = self.values.judged(level, smallest)
            update |= {"threshold": threshold, "p_value": self.values.p_value}
            outcomes.append(outcome)
        if self.gaps is not None and self.swing is not None:
            missing = _missing(self.gaps, self.swing, level, smallest)
            update["missing"], outcome = missing, missing.outcome
            outcomes.append(outcome if self.values or outcome == "unusual" else "not evaluable")
        if outcomes:
            update["outcome"] = "unusual" if "unusual" in outcomes else outcomes[0]
        return self.found.but(**update)


def _missing(gaps: Gaps, swing: Swing, level: float, smallest: float) -> MissingDrift:
    """What the share of missing values says at ``level``, of a score of ``smallest`` at least."""
    reached = swing.score_at(gaps, level)
    threshold = None if reached is None else max(smallest, reached)
    outcome: DriftOutcome = "usual"
    if threshold is None:
        outcome = "cannot be told"
    elif gaps.score > threshold:
        outcome = "unusual"
    return MissingDrift(
        score=gaps.score, threshold=threshold, p_value=swing.p_value(gaps), outcome=outcome
    )


def _with_swings(measured: Sequence[_Measured]) -> list[_Measured]:
    """The columns with how far their missing values swing, which is known from all together."""
    some = [one for one in measured if one.gaps is not None]
    found = dict(
        zip(
            [one.found.feature for one in some],
            swings_of([one.gaps for one in some if one.gaps is not None]),
            strict=True,
        )
    )
    return [replace(one, swing=found.get(one.found.feature)) for one in measured]


def _measure(
    baseline: BaselineProfile,
    chosen: Reference,
    column: int,
    counts: np.ndarray | None,
    spread: Spread | None,
    config: DriftConfig,
    seed: int,
) -> _Measured:
    """Score the values of one column, and its missing ones, each against its null distribution at
    the batch's size; and tell how far it moved from the training rows.
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
    move = None
    if counts is not None and spread is not None:
        # Shared among the columns: one report is to call few still ones moved.
        level = config.false_alarms / len(baseline.features)
        move = measure_move(profile, counts, spread, level, config.psi)
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
    values = gaps = None
    if not why_not:
        values = _score(before[:-1], after[:-1], blocks[:, :-1], reference, profile.span, own_seed)
    watched = profile.kind in ("numerical", "categorical")
    if watched and before.sum() and after.sum() and (before[-1] or after[-1]):
        gaps = _gaps(before, after, blocks, reference, np.random.default_rng([*own_seed, 1]))
    found = FeatureDrift(
        feature=profile.feature,
        kind=profile.kind,
        score=None if values is None else values.score,
        threshold=0.0,
        outcome="not evaluable",
        missing_before=float(before[-1] / max(before.sum(), 1)),
        missing_after=float(after[-1] / max(after.sum(), 1)),
        importance=profile.importance,
        histogram=histogram(profile, after, spread),
        move=move,
        note=why_not or note,
    )
    return _Measured(found, values, gaps)


def _gaps(
    before: np.ndarray,
    after: np.ndarray,
    blocks: np.ndarray,
    reference: Reference,
    rng: np.random.Generator,
) -> Gaps:
    """The missing values of counts (bins + 1,), and of blocks (blocks, bins + 1)."""
    then, now, each = (
        np.stack([of[..., :-1].sum(-1), of[..., -1]], -1) for of in (before, after, blocks)
    )
    length = run_length(reference.baseline)
    if not length or not len(blocks):
        none = np.zeros((0, len(blocks)))
        return gaps_of(then, now, each, none, none, 0.0)
    runs, references = pair_runs(reference.baseline, reference.cycles, None, rng)
    return gaps_of(then, now, each, runs, references, len(blocks) / length)


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
    runs, references = pair_runs(reference.baseline, reference.cycles, span, rng)
    told = int((blocks.sum(1) > 0).sum())
    return null_by_resampling(blocks, runs, references, rows, told / length, rng)
