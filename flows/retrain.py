"""A challenger: trained on the window, judged with the champion on rows that neither has seen,
promoted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd
from prefect import flow, get_run_logger

from flows.steps.ensemble import join_ensemble, window_kind
from flows.steps.evidence import (
    Holdout,
    compared_or_why_not,
    enough_to_judge,
    hold_out,
    unseen_from,
)
from flows.steps.guardrails import every_guardrail
from flows.steps.publish import ask_for_approval
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from tasks.decisions.rules import GateRule
from tasks.drift.task import make_baseline
from tasks.errors import MisuseError, first_line
from tasks.evaluation.judgement import importance
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows
from tasks.evaluation.task import score_labelled
from tasks.features.task import features_sha256
from tasks.prediction import predict
from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Evidence,
    FeatureFrame,
    Guardrail,
    LedgerEntry,
    LeftOut,
    LoadedModel,
    Promote,
    Recipe,
    Reject,
    Shadow,
    TrainedModel,
    WindowKind,
)
from tasks.registry.runs import Training
from tasks.registry.task import register
from tasks.settings import code_version
from tasks.training.config import Window
from tasks.training.fit import Contender, Fitted, class_labels, contenders
from tasks.training.search import Found, Searched, SearchFailedError
from tasks.training.split import Split, spans
from tasks.training.task import search_candidates, split, train


class NothingToTrainError(MisuseError):
    """No accepted batch with mature labels is there to train on."""


@flow(name="retrain", flow_run_name=run_name)
async def retrain(
    model: str, reason: str = "asked for by hand", as_of: datetime | None = None
) -> LedgerEntry:
    """Train a challenger, judge it against the champion, and let the gate decide.

    Returns the last decision.

    When the search finds a better recipe, it is judged first; when that is refused, the champion's
    own recipe on the newer data still gets its chance.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why now, in one sentence; it is kept in the log.
        as_of: Act as if it were this moment; later labels are not known yet. Left out: now.
    """
    with model_run(model, as_of) as m:
        m.need_registry()
        get_run_logger().info("%s: training a challenger, because %s", model, reason)
        spec, champion = m.managed.spec, m.champion()
        seen = window_kind(m, champion)
        frame = m.features(window(m, seen))
        parts = split(m.managed, frame, unseen_from(m, champion), enough_to_judge(m))
        incumbent = (
            None if champion is None else champion.trained.new_member or champion.trained.recipe
        )
        current_champion = None if champion is None else champion.trained.recipe
        classes = class_labels(parts.train.target, spec.problem)
        loss = Objective(spec.problem, spec.metric, classes).mean_loss
        searched = search_candidates(m.managed, parts, loss, incumbent)
        holdout = hold_out(m, parts, champion)
        in_turn = partial(
            contenders,
            features_sha256=features_sha256(m.managed, frame),
            window=in_words(m, seen),
            champion=current_champion,
            ensemble=spec.ensemble.members,
        )
        entry: LedgerEntry
        for member, left_out in fitted_in_turn(m, searched, in_turn, parts):
            fitted, as_fitted, checks = join_ensemble(m, member, holdout, champion, seen)
            trained = enter(m, fitted, as_fitted, searched.found, left_out)
            evidence = gather_evidence(
                m, fitted, trained, holdout, champion, as_fitted, checks, left_out
            )
            gate = GateRule(settings=spec.gate, approval_required=m.approval_required())
            entry = m.rule(gate, evidence.batch, evidence, trained)
            get_run_logger().info(
                "%s version %d: %s: %s",
                model,
                trained.version,
                entry.decision.kind,
                entry.decision.reason,
            )
            match entry.decision:
                case Promote():
                    m.carry_out(entry)
                    break
                case AwaitApproval():
                    await ask_for_approval(m, entry)
                    break
                case Reject() | Shadow():
                    continue
        return entry


def fitted_in_turn(
    m: ModelRun,
    searched: Searched,
    in_turn: Callable[[Sequence[Found]], tuple[Contender, ...]],
    parts: Split,
) -> Iterator[tuple[Fitted, tuple[LeftOut, ...]]]:
    """Yield each contender, fitted, with the candidates that are left out by then: in place of one
    that cannot be fitted comes the next best.

    Raises SearchFailedError when none can be fitted.
    """
    found, left_out, tried = searched.found, searched.left_out, set[str]()
    any_fitted = False
    while found:
        waiting = [one for one in in_turn(found) if one.trained.hash not in tried]
        if not waiting:
            break
        tried.add(waiting[0].trained.hash)
        fitted = train(m.managed, waiting[0], parts)
        if isinstance(fitted, LeftOut):
            left_out = (*left_out, fitted)
            failed = waiting[0].trained
            found = tuple(one for one in found if not _same(one, failed))
            continue
        any_fitted = True
        yield fitted, left_out
    if not any_fitted:
        raise SearchFailedError(
            f"{m.managed.name}: expected a candidate that can be fitted, found none:"
            f" {'; '.join(map(str, left_out))}"
        )


def _same(found: Found, recipe: Recipe) -> bool:
    trial = found.trial
    return trial.estimator == recipe.estimator and dict(trial.params) == dict(recipe.params)


def window(m: ModelRun, kind: WindowKind) -> list[BatchRecord]:
    """Return the accepted, mature batches to train on: all, or the newest that the spec's window
    spans.
    """
    records = m.trainable()
    if not records:
        raise NothingToTrainError(
            f"{m.managed.name}: expected an accepted batch with mature labels at"
            f" {m.as_of:%Y-%m-%d %H:%M} UTC, found none of {len(m.batches())}; run 'kingmaker run"
            f" {m.managed.name}' first"
        )
    last = m.managed.spec.training.window.last
    return records if kind == "all history" or last is None else records[-last:]


def in_words(m: ModelRun, kind: WindowKind) -> str:
    """Return the window as a recipe names it."""
    return str(Window() if kind == "all history" else m.managed.spec.training.window)


def enter(
    m: ModelRun,
    fitted: Fitted,
    as_fitted: np.ndarray,
    found: tuple[Found, ...],
    left_out: tuple[LeftOut, ...],
) -> TrainedModel:
    """Log and register a fitted challenger, and return its record; ``as_fitted``, (rows,) or (rows,
    classes), is what it predicts for the holdout.
    """

    def predicts(features: pd.DataFrame) -> np.ndarray:
        return predict(fitted.pipeline, features, spec.problem, fitted.classes)

    spec, parts = m.managed.spec, fitted.split
    batch = max(span.batch for span in parts.held_out)
    weights = dict[str, float]()
    try:
        weights = importance(
            predicts,
            LabelledRows(parts.holdout),
            as_fitted,
            Objective(spec.problem, spec.metric, fitted.classes),
            seed=spec.training.seed,
        )
    except Exception as error:  # noqa: BLE001 - an estimator may raise anything; the model is trained
        get_run_logger().warning(
            "%s: which features matter cannot be told: %s", m.managed.name, first_line(error)
        )
    profile, baseline = make_baseline(
        m.managed,
        parts.train,
        parts.holdout,
        as_fitted,
        predicts,
        weights,
        history_before(m, parts.train),
    )
    return register(
        m.managed,
        Training(
            model=m.managed.name,
            batch=batch,
            recipe=fitted.contender.recipe,
            kind=fitted.contender.kind,
            schema_=parts.train.schema,
            trained_on=fitted.trained_on,
            labelled_by=parts.train.labelled_by,
            members=fitted.members,
            new_member=fitted.contender.new_member,
            new_member_on=parts.trained_on if fitted.contender.new_member else (),
            pipeline=fitted.pipeline,
            classes=fitted.classes,
            baseline=baseline,
            profile=profile,
            trials=tuple(item.trial for item in found),
            left_out=left_out,
            spec_text=spec.model_dump_json(indent=2),
            spec_sha256=m.managed.rows.sha256,
            contract_version=m.managed.contract.version,
            contract_text=m.managed.contract.file.read_text(encoding="utf-8"),
            seed=spec.training.seed,
            code_version=code_version(),
            seconds=fitted.seconds,
            trust=spec.trust,
        ),
        m.fence,
    )


def history_before(
    m: ModelRun, train: FeatureFrame
) -> Iterator[tuple[FeatureFrame, frozenset[str]]]:
    """Yield the mature batches before the training rows, the newest first: seasons to hold later
    batches against.

    With each come the columns that had moved in it against its own season: they are no reference,
    or a fault that lasts would be what is usual a year later. What had moved against all training
    rows may be the season itself.
    """
    records = m.trainable()
    first = min((r.batch.start for r in records if r.batch.id in train.snapshots), default=m.as_of)
    for record in reversed([r for r in records if r.batch.end <= first]):
        drift, moved = record.drift, frozenset[str]()
        if drift is not None and drift.reference.kind == "season":
            moved = frozenset(f.feature for f in drift.features if f.outcome == "drifted")
        yield m.features([record]), moved


def gather_evidence(
    m: ModelRun,
    fitted: Fitted,
    trained: TrainedModel,
    holdout: Holdout,
    champion: LoadedModel | None,
    as_fitted: np.ndarray,
    checks: tuple[Guardrail, ...] = (),
    left_out: tuple[LeftOut, ...] = (),
) -> Evidence:
    """Judge the challenger, as it comes back from the registry, by the rows that the champion
    predicted too; where it was trained on them, by what the fits of its folds predicted.
    """
    kind, comparison, not_compared = fitted.contender.kind, None, holdout.not_compared
    model = m.registered(trained)
    loaded = score_labelled(m.managed, model, holdout.rows)
    challenger, folds = loaded, fitted.split.folds
    if fitted.unseen is not None:
        before = spans(folds[0].train)
        challenger = replace(loaded, members=(fitted.unseen,), weights=(1.0,), trained_on=before)
    if holdout.champion is not None:
        comparison, not_compared = compared_or_why_not(challenger, holdout.champion, holdout.spans)
    generalisation, guardrails = every_guardrail(
        m, fitted, model, challenger, holdout.champion, as_fitted, loaded.predicted
    )
    return Evidence(
        model=m.managed.name,
        batch=holdout.batch,
        kind=kind,
        challenger=trained.version,
        champion=None if champion is None else champion.trained.version,
        attempt=m.attempts() + (kind == "change of recipe"),
        holdout=holdout.spans,
        comparison=comparison,
        not_compared=not_compared,
        guardrails=(*checks, *guardrails),
        generalisation=generalisation,
        folds=len(folds),
        left_out=left_out,
    )
