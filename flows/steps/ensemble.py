"""The ensemble in service: what the next member is trained on, how it joins, and how weights and
recalibration follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flows.steps.evidence import whole
from flows.steps.run import ModelRun
from tasks.decisions.ensemble import join, may_join, member_weights, next_window, with_newest_losses
from tasks.decisions.rules import RecalibrationRule
from tasks.evaluation.compare import SeenRowsError
from tasks.evaluation.metrics import EvaluationError, mean_loss
from tasks.evaluation.task import compare_models
from tasks.ledger import entries as ledger
from tasks.prediction import predict, predict_members, predict_raw
from tasks.records import (
    BatchRecord,
    Comparison,
    EnsembleMember,
    Guardrail,
    LabelSummary,
    LedgerEntry,
    LoadedModel,
    Promote,
    Recalibrate,
    RecalibrationEvidence,
    RowSpan,
    WindowKind,
)
from tasks.training.fit import Fitted, packaged

SUMMARIES = 12
"""Mature batches that recalibration looks back on; the discount leaves nothing of older ones."""


def window_kind(m: ModelRun, champion: LoadedModel | None) -> WindowKind:
    """Return what the next training sees: as the spec says, or, where an ensemble keeps both kinds,
    as its members' losses say.
    """
    spec = m.managed.spec
    if spec.training.window.last is None:
        return "all history"
    if spec.ensemble.members == 1:
        return "sliding"
    return next_window(current_members(m, champion), len(m.training_batches()), spec.ensemble)


def current_members(
    m: ModelRun, model: LoadedModel | None, before: str | None = None
) -> tuple[EnsembleMember, ...]:
    """Return the members of a version as they stand now, or stood before a batch; none when it is
    no ensemble.
    """
    if model is None:
        return ()
    made = [e for e in m.adjustments(model.trained.version) if before is None or e.batch < before]
    return _refresh(made[-1]).members if made else model.trained.members


def join_ensemble(
    m: ModelRun, fitted: Fitted, champion: LoadedModel | None, kind: WindowKind
) -> tuple[Fitted, tuple[Guardrail, ...]]:
    """Return the challenger, packaged with the members that are kept if it is an ensemble's new
    member; and whether it may join.

    The members stand as they did before the holdout's batch, so that nothing of a contender rests
    on the holdout.
    """
    if fitted.contender.new_member is None:
        return fitted, ()

    spec, holdout = m.managed.spec, fitted.split.holdout
    batch = max(span.batch for span in fitted.split.held_out)
    loss = mean_loss(spec.problem, fitted.classes, spec.metric)
    target = holdout.target.to_numpy()
    own = loss(target, predict(fitted.pipeline, holdout.features, spec.problem, fitted.classes))
    known, checks = tuple[EnsembleMember, ...](), tuple[Guardrail, ...]()
    if (
        champion is not None
        and _same_features(fitted, champion)
        and not m.contract_broken(champion)
    ):
        theirs = mean_loss(spec.problem, champion.trained.classes, spec.metric)
        its = theirs(
            target, predict_raw(m.model(champion.trained.version, batch), holdout, spec.problem)
        )
        checks = (_may_join(own, its, spec.ensemble.join_worse, may_join(own, its, spec.ensemble)),)
        known = current_members(m, champion, batch) or (_as_member(champion, its),)
    members = join(known, 0, kind, own, spec.ensemble)
    kept = {} if champion is None else _kept(m, champion)
    return packaged(fitted, members, member_weights(members, spec.ensemble), kept), checks


def _same_features(fitted: Fitted, champion: LoadedModel) -> bool:
    ours, its = fitted.contender.recipe.features, champion.trained.recipe.features
    return ours == its and fitted.split.train.schema == champion.trained.schema_


def _as_member(champion: LoadedModel, loss: float) -> EnsembleMember:
    """A champion that stood alone, as the first member of an ensemble."""
    window: WindowKind = (
        "all history" if champion.trained.recipe.window == "all history" else "sliding"
    )
    return EnsembleMember(version=champion.trained.version, window=window, discounted_loss=loss)


def _kept(m: ModelRun, champion: LoadedModel) -> dict[int, tuple[object, Sequence[RowSpan]]]:
    """Version -> pipeline and training rows of each member of the champion."""
    trained = champion.trained
    if not trained.members:
        return {trained.version: (champion.pipeline, trained.trained_on)}
    return {
        member.version: (
            pipeline,
            m.training(member.version).new_member_on or m.training(member.version).trained_on,
        )
        for member, pipeline in zip(trained.members, champion.pipeline.members, strict=True)
    }


def _may_join(own: float, its: float, worse: float, passed: bool) -> Guardrail:
    return Guardrail(
        name="new member may join the ensemble",
        outcome="passed" if passed else "failed",
        found=f"loss {own:.4g} alone, against the ensemble's {its:.4g}",
        limit=f"at most {worse:.0%} worse",
    )


# --- weights and recalibration --------------------------------------------------------------------


def refresh(m: ModelRun, champion: LoadedModel) -> LoadedModel:
    """Refresh weights and recalibration by each mature batch that is news, and return the champion
    as it serves now.
    """
    spec, version = m.managed.spec, champion.trained.version
    nothing_moves = not champion.trained.members and spec.recalibrate.strength == 0
    if nothing_moves or m.frozen() or m.contract_broken(champion):
        return champion
    rule = RecalibrationRule(ensemble=spec.ensemble, settings=spec.recalibrate, watch=spec.watch)
    judged = [record for record in m.batches().values() if record.summary is not None]
    made = m.adjustments(version)
    due = [record for record in judged if record.batch.id > made[-1].batch] if made else judged[-1:]
    for record in due:
        m.rule(rule, record.batch.id, recalibration_evidence(m, champion, record, judged))
    return m.model(version)


def recalibration_evidence(
    m: ModelRun, champion: LoadedModel, record: BatchRecord, judged: Sequence[BatchRecord]
) -> RecalibrationEvidence:
    """Gather how the champion's members did on a mature batch, and what the newest labels say of
    the predictions.
    """
    version, made = champion.trained.version, m.adjustments(champion.trained.version)
    packaged = m.packaged(version)
    weights_before, recalibration_before = packaged.weights, packaged.recalibration
    if len(made) > 1:
        weights_before, recalibration_before = (
            _refresh(made[-2]).weights,
            _refresh(made[-2]).recalibration,
        )
    members, known_until = (current_members(m, champion), "") if made else _taken_over(m, champion)
    summaries = [
        r.summary for r in judged if r.batch.id <= record.batch.id and r.summary is not None
    ]
    return RecalibrationEvidence(
        model=record.model,
        batch=record.batch.id,
        champion=version,
        problem=m.managed.spec.problem,
        members=members,
        losses={} if record.batch.id <= known_until else _member_losses(m, packaged, record),
        summaries=_alike(summaries)[-SUMMARIES:],
        weights=_refresh(made[-1]).weights if made else packaged.weights,
        recalibration=_refresh(made[-1]).recalibration if made else None,
        weights_before=weights_before,
        recalibration_before=recalibration_before,
        comparison=_effect(
            m,
            record,
            made,
            replace(packaged, weights=weights_before, recalibration=recalibration_before),
        ),
    )


def _taken_over(m: ModelRun, champion: LoadedModel) -> tuple[tuple[EnsembleMember, ...], str]:
    """The members of a new champion as they stand by its predecessor's newest refresh, and the
    batch of that refresh.
    """
    promoted = [
        e.decision for e in ledger.champion_changes(m.history()) if isinstance(e.decision, Promote)
    ]
    previous = [
        d.previous
        for d in promoted
        if d.version == champion.trained.version and d.previous is not None
    ]
    made = m.adjustments(previous[-1]) if previous else ()
    if not made:
        return champion.trained.members, ""
    return with_newest_losses(champion.trained.members, _refresh(made[-1]).members), made[-1].batch


def _member_losses(m: ModelRun, packaged: LoadedModel, record: BatchRecord) -> dict[int, float]:
    """Mean loss on the batch of each member that has not seen it, by version."""
    unseen = {
        x.version
        for x in packaged.trained.members
        if m.training(x.version).trained_until <= record.batch.start
    }
    if not unseen:
        return {}
    frame = m.features([record])
    labelled = frame.where(frame.target.notna().to_numpy())
    loss, target = (
        mean_loss(m.managed.spec.problem, packaged.trained.classes, m.managed.spec.metric),
        labelled.target.to_numpy(),
    )
    predicted = predict_members(packaged, labelled, m.managed.spec.problem)
    return {
        member.version: loss(target, p)
        for member, p in zip(packaged.trained.members, predicted, strict=True)
        if member.version in unseen
    }


def _effect(
    m: ModelRun, record: BatchRecord, made: Sequence[LedgerEntry], before: LoadedModel
) -> Comparison | None:
    """What was in force before the newest refresh against that refresh, on a batch that was served
    by it.
    """
    if not made or record.predictions is None or record.predictions.adjusted_by != made[-1].id:
        return None

    frame, spans = m.features([record]), (whole(record),)
    try:
        return compare_models(m.managed, before, m.served(record.predictions), frame, spans)
    except (SeenRowsError, EvaluationError):
        return None  # rows that cannot judge take nothing back


def _refresh(entry: LedgerEntry) -> Recalibrate:
    assert isinstance(entry.decision, Recalibrate)  # noqa: S101 - the ledger gave it as one
    return entry.decision


def _alike(summaries: Sequence[LabelSummary]) -> tuple[LabelSummary, ...]:
    """The summaries over as many classes as the newest has: a new class begins the count anew."""
    return tuple(one for one in summaries if len(one.labels) == len(summaries[-1].labels))
