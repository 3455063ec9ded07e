"""The ensemble in service: what the next member is trained on, how it joins, and how weights and
recalibration follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flows.steps.evidence import Holdout, compared_or_why_not, whole
from flows.steps.run import ModelRun
from tasks.decisions.ensemble import (
    MayJoin,
    join,
    member_weights,
    next_window,
    with_newest_losses,
)
from tasks.evaluation.objective import Objective
from tasks.mixing import mix
from tasks.prediction import align
from tasks.records import (
    BatchRecord,
    EnsembleMember,
    Guardrail,
    LabelSummary,
    LoadedModel,
    RecalibrationEvidence,
    RecalibrationRule,
    RowSpan,
    WindowKind,
)
from tasks.training.fit import Fitted, packaged

SUMMARIES = 12
"""Mature batches that recalibration looks back on; the discount leaves nothing of older ones."""


def window_kind(run: ModelRun, champion: LoadedModel | None) -> WindowKind:
    """Return what the next training sees: as the spec says, or, where an ensemble keeps both kinds,
    as its members' losses say.
    """
    spec = run.managed.spec
    if spec.training.window.last is None:
        return "all history"
    if spec.ensemble.members == 1:
        return "sliding"
    return next_window(current_members(run, champion), len(run.trainings.batches()), spec.ensemble)


def current_members(
    run: ModelRun, model: LoadedModel | None, before: str | None = None
) -> tuple[EnsembleMember, ...]:
    """Return the members of a version as they stand now, or stood before a batch; none when it is
    no ensemble.
    """
    if model is None:
        return ()
    made = run.history.adjustments(model.trained.version, before)
    return made[-1].decision.members if made else model.trained.members


def join_ensemble(
    run: ModelRun,
    fitted: Fitted,
    holdout: Holdout,
    champion: LoadedModel | None,
    kind: WindowKind,
) -> tuple[Fitted, np.ndarray, tuple[Guardrail, ...]]:
    """Return the challenger, packaged with the members that are kept if it is an ensemble's new
    member; what it predicts for the holdout, (rows,) or (rows, classes); and whether it may join.

    The members stand as they did before the holdout's batches, so that nothing of a contender rests
    on the holdout. Where folds predicted the holdout, their predictions are the new member's.
    """
    spec, rows = run.managed.spec, holdout.rows
    predicted = fitted.predicted
    if fitted.contender.new_member is None:
        return fitted, predicted, ()
    unseen = predicted if fitted.unseen is None else fitted.unseen
    loss = Objective(spec.problem, spec.metric, fitted.classes).mean_loss(rows.target, unseen)
    known, checks = tuple[EnsembleMember, ...](), tuple[Guardrail, ...]()
    if champion is not None and holdout.champion and _same_features(fitted, champion):
        champion_loss = float(holdout.champion.losses.mean())
        checks = (MayJoin().check(loss, champion_loss, len(rows), spec.ensemble),)
        known = current_members(run, champion, holdout.first_batch) or (
            _as_member(champion, champion_loss),
        )
    members = join(known, 0, kind, loss, spec.ensemble)
    weights = member_weights(members, spec.ensemble)
    kept = {} if champion is None else _kept(run, champion)
    ensemble = packaged(fitted, members, weights, kept)
    # The kept members have predicted these rows already, as the champion's.
    told = dict[int, tuple[np.ndarray, tuple[str, ...]]]()
    if champion is not None and holdout.champion is not None:
        for version, of in zip(_versions(champion), holdout.champion.members, strict=True):
            told[version] = of, champion.trained.classes

    def mixed(new: np.ndarray) -> np.ndarray:
        all_told = told | {0: (new, fitted.classes)}
        aligned = [
            align(of, known, ensemble.classes) if ensemble.classes else of
            for of, known in (all_told[member.version] for member in members)
        ]
        return mix(aligned, weights)

    if fitted.unseen is not None:
        ensemble = replace(ensemble, unseen=mixed(fitted.unseen))
    return ensemble, mixed(predicted), checks


def _versions(champion: LoadedModel) -> tuple[int, ...]:
    """The versions of its members; its own when it is no ensemble."""
    trained = champion.trained
    return tuple(member.version for member in trained.members) or (trained.version,)


def _same_features(fitted: Fitted, champion: LoadedModel) -> bool:
    same_code = fitted.contender.recipe.features == champion.trained.recipe.features
    return same_code and fitted.split.train.schema == champion.trained.schema_


def _as_member(champion: LoadedModel, loss: float) -> EnsembleMember:
    """A champion that stood alone, as the first member of an ensemble."""
    window: WindowKind = (
        "all history" if champion.trained.recipe.window == "all history" else "sliding"
    )
    return EnsembleMember(version=champion.trained.version, window=window, discounted_loss=loss)


def _kept(run: ModelRun, champion: LoadedModel) -> dict[int, tuple[object, Sequence[RowSpan]]]:
    """Version -> pipeline and training rows of each member of the champion."""
    trained = champion.trained
    if not trained.members:
        return {trained.version: (champion.pipeline, trained.trained_on)}
    return {
        member.version: (
            pipeline,
            run.trainings.version(member.version).new_member_on
            or run.trainings.version(member.version).trained_on,
        )
        for member, pipeline in zip(trained.members, champion.pipeline.members, strict=True)
    }


# --- weights and recalibration --------------------------------------------------------------------


def refresh(run: ModelRun, champion: LoadedModel) -> LoadedModel:
    """Refresh weights and recalibration by each mature batch that is news, and return the champion
    as it serves now.
    """
    spec, version = run.managed.spec, champion.trained.version
    nothing_moves = not champion.trained.members and spec.recalibrate.strength == 0
    if nothing_moves or run.history.frozen or run.models.unusable(champion):
        return champion
    rule = RecalibrationRule(ensemble=spec.ensemble, settings=spec.recalibrate, watch=spec.watch)
    judged = [record for record in run.batches.known.values() if record.summary is not None]
    made = run.history.adjustments(version)
    due = [record for record in judged if record.batch.id > made[-1].batch] if made else judged[-1:]
    for record in due:
        evidence = recalibration_evidence(run, champion, record, judged)
        run.carry_out(run.decide_by(rule, record.batch.id, evidence))
    return run.models.version(version)


def recalibration_evidence(
    run: ModelRun, champion: LoadedModel, record: BatchRecord, judged: Sequence[BatchRecord]
) -> RecalibrationEvidence:
    """Gather how the champion's members did on a mature batch, and what the newest labels say of
    the predictions.
    """
    version = champion.trained.version
    packaged, made = run.models.packaged(version), run.history.adjustments(version)
    now = made[-1].decision if made else None
    before = made[-2].decision if len(made) > 1 else packaged
    members, known_until = (now.members, "") if now else _taken_over(run, champion)
    summaries = [
        r.summary for r in judged if r.batch.id <= record.batch.id and r.summary is not None
    ]
    unseen = (
        frozenset[int]() if record.batch.id <= known_until else _unseen_by(run, packaged, record)
    )
    served_by_newest = (
        made and record.predictions is not None and record.predictions.adjusted_by == made[-1].id
    )
    losses, comparison = dict[int, float](), None
    if unseen or served_by_newest:
        scored = run.scored(packaged, record)
        losses = {
            version: scored.objective.mean_loss(scored.rows.target, predicted)
            for version, predicted in zip(_versions(packaged), scored.members, strict=True)
            if version in unseen
        }
    if served_by_newest and now:
        # What was in force before the newest refresh against that refresh; rows that cannot judge
        # take nothing back.
        comparison, _ = compared_or_why_not(
            scored.adjusted(before.weights, before.recalibration),
            scored.adjusted(now.weights, now.recalibration),
            (whole(record),),
        )
    return RecalibrationEvidence(
        model=record.model,
        batch=record.batch.id,
        champion=version,
        problem=run.managed.spec.problem,
        members=members,
        losses=losses,
        summaries=_alike(summaries)[-SUMMARIES:],
        weights=now.weights if now else packaged.weights,
        recalibration=now.recalibration if now else None,
        weights_before=before.weights,
        recalibration_before=before.recalibration,
        comparison=comparison,
    )


def _taken_over(run: ModelRun, champion: LoadedModel) -> tuple[tuple[EnsembleMember, ...], str]:
    """The members of a new champion as they stand by its predecessor's newest refresh, and the
    batch of that refresh.
    """
    members, version = champion.trained.members, champion.trained.version
    previous = run.history.previous_of(version)
    made = () if previous is None else run.history.adjustments(previous)
    if not made:
        return members, ""
    return with_newest_losses(members, made[-1].decision.members), made[-1].batch


def _unseen_by(run: ModelRun, packaged: LoadedModel, record: BatchRecord) -> frozenset[int]:
    """The members that have not seen the batch."""
    return frozenset(
        member.version
        for member in packaged.trained.members
        if run.trainings.version(member.version).trained_until <= record.batch.start
    )


def _alike(summaries: Sequence[LabelSummary]) -> tuple[LabelSummary, ...]:
    """The summaries over as many classes as the newest has: a new class begins the count anew."""
    return tuple(one for one in summaries if len(one.labels) == len(summaries[-1].labels))
