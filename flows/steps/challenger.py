"""A challenger, from the rows of the window to the decision of the gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from prefect import get_run_logger

from flows.steps.ensemble import join_ensemble, window_kind
from flows.steps.evidence import (
    Holdout,
    compared_or_why_not,
    enough_to_judge,
    hold_out,
    newest_change,
    unseen_from,
)
from flows.steps.guardrails import every_guardrail
from flows.steps.maturity import trainable
from flows.steps.package import Example, make_package
from flows.steps.run import ModelRun
from tasks.drift.task import make_baseline
from tasks.errors import MisuseError, first_line
from tasks.evaluation.behaviour import behaviour
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import LabelledRows
from tasks.evaluation.task import score_labelled
from tasks.features.labels import labelled_by
from tasks.features.task import features_sha256
from tasks.prediction import predict
from tasks.records import (
    BatchRecord,
    Behaviour,
    Evidence,
    Expired,
    FeatureFrame,
    GateRule,
    Guardrail,
    LedgerEntry,
    LeftOut,
    Lineage,
    LoadedModel,
    Recipe,
    TrainedModel,
    WindowKind,
)
from tasks.registry.package import Package
from tasks.registry.runs import Training
from tasks.registry.task import register
from tasks.settings import code_version
from tasks.training.fit import Contender, Fitted, class_labels, contenders
from tasks.training.search import Found, Searched, SearchFailedError, search_is_due
from tasks.training.split import Split, spans
from tasks.training.task import search_candidates, split, train


class NothingToTrainError(MisuseError):
    """No accepted batch with mature labels is there to train on."""


class NothingNewError(MisuseError):
    """Neither spec, features nor rows have changed since a version was made: a challenger would be
    the same model again.
    """


@dataclass(frozen=True)
class Search:
    """What the candidates did on the rows of a window, and what judges the challengers."""

    champion: LoadedModel | None
    window: WindowKind
    features: str
    """Digest of the feature code and the feature schema."""
    parts: Split
    searched: Searched
    holdout: Holdout


@dataclass(frozen=True)
class Challenger:
    """A fitted contender, and the candidates that are left out by then."""

    fitted: Fitted
    left_out: tuple[LeftOut, ...]


def search(run: ModelRun) -> Search:
    """Compare the candidates on the window; NothingToTrainError when no batch is mature."""
    spec, champion = run.managed.spec, run.models.champion()
    kind = window_kind(run, champion)
    records = window(run, kind)
    frame = run.features(records, spec.training.rows)
    parts = split(
        run.managed,
        frame,
        unseen_from(run, champion),
        enough_to_judge(run),
        stands_for(records, frame),
    )
    incumbent = None if champion is None else champion.trained.new_member or champion.trained.recipe
    classes = class_labels(parts.train.target, spec.problem)
    loss = Objective(spec.problem, spec.metric, classes).mean_loss
    return Search(
        champion=champion,
        window=kind,
        features=features_sha256(run.managed, frame),
        parts=parts,
        searched=search_candidates(
            run.managed, parts, loss, incumbent, due=_search_is_due(run, champion)
        ),
        holdout=hold_out(run, parts, champion),
    )


def _search_is_due(run: ModelRun, champion: LoadedModel | None) -> bool:
    every = run.managed.spec.training.tuning.every
    if champion is None or every == 1:
        return True
    newest = map(run.trainings.version, reversed(run.history.challengers))
    return search_is_due(newest, every, run.managed.rows.sha256)


def window(run: ModelRun, kind: WindowKind) -> list[BatchRecord]:
    """Return the accepted, mature batches to train on: all, or the newest that the spec's window
    spans.
    """
    records = trainable(run)
    if not records:
        raise NothingToTrainError(
            f"{run.managed.name}: expected an accepted batch with mature labels at"
            f" {run.as_of:%Y-%m-%d %H:%M} UTC, found none of {len(run.batches.known)}; run"
            f" 'kingmaker run {run.managed.name}' first"
        )
    last = run.managed.spec.training.window.last
    return records if kind == "all history" or last is None else records[-last:]


def stands_for(records: Sequence[BatchRecord], frame: FeatureFrame) -> dict[str, float] | None:
    """Return batch id -> how many of its rows each row of ``frame`` stands for; None where each
    stands for itself.
    """
    taken = frame.batch.value_counts()
    found = {
        r.batch.id: r.verdict.accepted_rows / max(taken.get(r.batch.id, 0), 1) for r in records
    }
    return None if max(found.values()) <= 1 else found


def need_news(run: ModelRun) -> None:
    """Raise NothingNewError when a training now would see what that of the champion saw, or of the
    newest version that was judged against it: the same spec, the same features, and no row or label
    that it was neither trained on nor judged by.

    Raises NothingToTrainError when no batch is mature.
    """
    champion, history = run.models.champion(), run.history
    records = window(run, window_kind(run, champion))
    if champion is None:
        return
    made = [champion.trained]
    for version in history.challengers[-1:]:
        last = max((*history.judgements(version), *history.verdicts(version)), key=lambda e: e.id)
        against = history.judgements(version)[-1].evidence.champion
        if against == champion.trained.version and not isinstance(last.evidence, Expired):
            made.append(run.trainings.version(version))
    for one in made:
        if _same_again(run, one, records):
            raise NothingNewError(
                f"{run.managed.name}: expected rows, labels or a spec that version {one.version}"
                f" was not made of, found none: the newest mature batch is {records[-1].batch.id};"
                " train when another has come, or change the spec"
            )


def _same_again(run: ModelRun, made: TrainedModel, records: list[BatchRecord]) -> bool:
    """Whether a training on ``records`` sees nothing that the one of a version did not."""
    if made.spec_sha256 != run.managed.rows.sha256:
        return False
    judged = [s for e in run.history.judgements(made.version) for s in e.evidence.holdout]
    spans = [*made.trained_on, *judged]
    known = {(s.batch, s.snapshot) for s in spans}
    known |= {(s.batch, s.snapshot) for s in made.labelled_by}
    first = min(span.start for span in spans)
    now = {(r.batch.id, r.snapshot.sha256) for r in records if r.batch.end > first}
    labels = labelled_by(run.managed, records, run.known_labels)
    return (
        now | {(s.batch, s.snapshot) for s in labels} <= known
        and features_sha256(run.managed, run.features(records, run.managed.spec.training.rows))
        == made.recipe.features
    )


def challengers(run: ModelRun, search: Search) -> Iterator[Challenger]:
    """Yield each contender, fitted, in order; in place of one that cannot be fitted comes the next
    best.

    Raises SearchFailedError when none can be fitted.
    """
    found, left_out, tried = search.searched.found, search.searched.left_out, set[str]()
    any_fitted = False
    while found:
        waiting = [one for one in _contenders(run, search, found) if one.trained.hash not in tried]
        if not waiting:
            break
        tried.add(waiting[0].trained.hash)
        fitted = train(run.managed, waiting[0], search.parts)
        if isinstance(fitted, LeftOut):
            left_out = (*left_out, fitted)
            failed = waiting[0].trained
            found = tuple(one for one in found if not _same(one, failed))
            continue
        any_fitted = True
        yield Challenger(fitted, left_out)
    if not any_fitted:
        raise SearchFailedError(
            f"{run.managed.name}: expected a candidate that can be fitted, found none:"
            f" {'; '.join(map(str, left_out))}"
        )


def _contenders(run: ModelRun, search: Search, found: tuple[Found, ...]) -> tuple[Contender, ...]:
    """The recipes that challenge the champion, in order."""
    spec, champion = run.managed.spec, search.champion
    return contenders(
        found,
        search.features,
        spec.training.rows_in_words(all_history=search.window == "all history"),
        None if champion is None else champion.trained.recipe,
        ensemble=spec.ensemble.members,
        weights=spec.training.weights,
    )


def _same(found: Found, recipe: Recipe) -> bool:
    trial = found.trial
    return trial.estimator == recipe.estimator and dict(trial.params) == dict(recipe.params)


def judge(run: ModelRun, search: Search, challenger: Challenger) -> LedgerEntry:
    """Register a challenger and let the gate decide; return the decision."""
    fitted, as_fitted, joins = join_ensemble(
        run, challenger.fitted, search.holdout, search.champion, search.window
    )
    example = make_package(run, fitted)
    trained = enter(run, fitted, as_fitted, search.searched, challenger.left_out, example.package)
    evidence = gather_evidence(run, search, fitted, trained, as_fitted, example, joins)
    evidence = evidence.but(left_out=challenger.left_out)
    gate = GateRule(settings=run.managed.spec.gate, approval_required=run.approval_required())
    entry = run.decide_by(gate, run.newest_batch, evidence, trained)
    get_run_logger().info(
        "%s version %d: %s: %s",
        run.managed.name,
        trained.version,
        entry.decision.kind,
        entry.decision.reason,
    )
    return entry


def enter(
    run: ModelRun,
    fitted: Fitted,
    as_fitted: np.ndarray,
    searched: Searched,
    left_out: tuple[LeftOut, ...],
    package: Package,
) -> TrainedModel:
    """Log and register a fitted challenger, and return its record; ``as_fitted``, (rows,) or (rows,
    classes), is what it predicts for the holdout.
    """

    def predicts(features: pd.DataFrame) -> np.ndarray:
        return predict(fitted.pipeline, features, spec.problem, fitted.classes)

    spec, parts, contender = run.managed.spec, fitted.split, fitted.contender
    rows = LabelledRows(parts.holdout)
    objective = Objective(spec.problem, spec.metric, fitted.classes)
    unseen = as_fitted if fitted.unseen is None else fitted.unseen
    measured = Behaviour()
    try:
        measured = behaviour(predicts, rows, as_fitted, unseen, objective, spec.training.seed)
    except Exception as error:  # noqa: BLE001 - an estimator may raise anything; the model is trained
        get_run_logger().warning(
            "%s: which features matter cannot be told: %s", run.managed.name, first_line(error)
        )
    baseline = make_baseline(
        run.managed,
        parts.train,
        parts.holdout,
        as_fitted,
        predicts,
        measured.importance,
        history_before(run, parts.train),
        (unseen, objective.losses(rows.target, unseen)),
        rows.blocks,
    )
    lineage = Lineage(
        model=run.managed.name,
        recipe=contender.recipe,
        schema_=parts.train.schema,
        classes=fitted.classes,
        trained_on=fitted.trained_on,
        labelled_by=parts.train.labelled_by,
        looked_back=parts.train.looked_back,
        members=fitted.members,
        new_member=contender.new_member,
        new_member_on=parts.trained_on if contender.new_member else (),
        spec_sha256=run.managed.rows.sha256,
        contract_version=run.managed.contract.version,
        contract_text=run.managed.contract.file.read_text(encoding="utf-8"),
        seed=spec.training.seed,
        code_version=code_version(run.managed.settings),
        searched=searched.anew,
        behaviour=measured,
    )
    training = Training(
        lineage=lineage,
        batch=max(span.batch for span in parts.held_out),
        kind=contender.kind,
        pipeline=fitted.pipeline,
        baseline=baseline.sample,
        profile=baseline.profile,
        held=baseline.held,
        trials=tuple(item.trial for item in searched.found),
        left_out=left_out,
        spec_text=spec.model_dump_json(indent=2),
        seconds=fitted.seconds,
        package=package,
        trust=spec.trust,
    )
    return register(run.managed, training, run.fence)


def history_before(
    run: ModelRun, train: FeatureFrame
) -> Iterator[tuple[FeatureFrame, frozenset[str]]]:
    """Yield the mature batches before the training rows, the newest first: seasons to compare later
    batches with.

    With each come the columns that had moved in it against its own season: they are no reference,
    or a fault that lasts would be what is usual a year later. What had moved against all training
    rows may be the season itself.
    """
    records = trainable(run)
    first = min(
        (r.batch.start for r in records if r.batch.id in train.snapshots), default=run.as_of
    )
    for record in reversed([r for r in records if r.batch.end <= first]):
        drift, moved = record.drift, frozenset[str]()
        if drift is not None and drift.reference.kind == "season":
            moved = frozenset(f.feature for f in drift.features if f.outcome == "unusual")
        yield run.features([record]), moved


def gather_evidence(
    run: ModelRun,
    search: Search,
    fitted: Fitted,
    trained: TrainedModel,
    as_fitted: np.ndarray,
    example: Example,
    joins: tuple[Guardrail, ...] = (),
) -> Evidence:
    """Judge the challenger, as it comes back from the registry, by the rows that the champion
    predicted too; where it was trained on them, by what the fits of its folds predicted.
    """
    champion, holdout, kind = search.champion, search.holdout, fitted.contender.kind
    comparison, not_compared = None, holdout.not_compared
    model = run.models.registered(trained)
    loaded = score_labelled(run.managed, model, holdout.rows)
    challenger, folds = loaded, fitted.split.folds
    if fitted.unseen is not None:
        before = spans(folds[0].train)
        challenger = replace(loaded, members=(fitted.unseen,), weights=(1.0,), trained_on=before)
    if holdout.champion is not None:
        comparison, not_compared = compared_or_why_not(challenger, holdout.champion, holdout.spans)
    generalisation, guardrails = every_guardrail(
        run,
        fitted,
        model,
        challenger,
        holdout.champion,
        champion,
        as_fitted,
        loaded.predicted,
        example,
    )
    return Evidence(
        model=run.managed.name,
        batch=holdout.batch,
        kind=kind,
        challenger=trained.version,
        champion=None if champion is None else champion.trained.version,
        attempt=run.history.attempts + (kind == "change of recipe"),
        holdout=holdout.spans,
        comparison=comparison,
        not_compared=not_compared,
        guardrails=(*joins, *guardrails),
        generalisation=generalisation,
        folds=len(folds),
        change=newest_change(run, champion),
    )
