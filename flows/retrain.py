"""A challenger: trained on the window, judged with the champion on rows that neither has seen, crowned or not."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger

from flows.evidence import compared_or_why_not
from flows.guardrails import every_guardrail
from flows.mandate import Mandate, mandate
from flows.run_name import run_name
from tasks.decisions.rules import GateRule
from tasks.drift.task import make_baseline
from tasks.features.task import build_features, features_sha256
from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Evidence,
    FeatureFrame,
    LedgerEntry,
    LoadedModel,
    Promote,
    Reject,
    Shadow,
    TrainedModel,
)
from tasks.registry.task import load_model, register
from tasks.settings import code_version
from tasks.training.task import search_candidates, split, train

if TYPE_CHECKING:
    import numpy as np

    from tasks.training.fit import Fitted
    from tasks.training.search import Found


class NothingToTrainError(RuntimeError):
    """No accepted batch with mature labels is there to train on."""


@flow(name="retrain", flow_run_name=run_name)
async def retrain(
    model: str, reason: str = "asked for by hand", as_of: datetime | None = None
) -> LedgerEntry:
    """Train a challenger, judge it against the champion, and let the gate decide. Returns the last decision.

    When the search finds a better recipe, it is judged first; when that is refused, the champion's own recipe on the
    newer data still gets its chance.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why now, in one sentence; it is kept in the log.
        as_of: Act as if it were this moment; later labels are not known yet. Left out: now.
    """
    from tasks.evaluation.metrics import mean_loss
    from tasks.training.fit import class_labels, contenders

    with mandate(model, as_of) as m:
        get_run_logger().info("%s: training a challenger, because %s", model, reason)
        frame = build_features(m.managed, window(m))
        parts = split(m.managed, frame)
        champion = m.champion()
        incumbent = None if champion is None else champion.trained.recipe
        spec = m.managed.spec
        loss = mean_loss(spec.problem, class_labels(parts.train.target, spec.problem), spec.metric)
        found = search_candidates(m.managed, parts, loss, incumbent)
        entry: LedgerEntry
        for contender in contenders(found, features_sha256(m.managed, frame), spec.training, incumbent):
            fitted = train(m.managed, contender, parts)
            as_fitted, trained = enter(m, fitted, found)
            evidence = gather_evidence(m, fitted, trained, champion, as_fitted)
            gate = GateRule(settings=spec.gate, approval_required=m.approval_required())
            entry = m.rule(gate, evidence.batch, evidence)
            get_run_logger().info(
                "%s version %d: %s: %s", model, trained.version, entry.decision.kind, entry.decision.reason
            )
            match entry.decision:
                case Promote():
                    m.carry_out(entry)
                    break
                case AwaitApproval():
                    break
                case Reject() | Shadow():
                    continue
        return entry


def window(m: Mandate) -> list[BatchRecord]:
    """Return the newest accepted, mature batches that the spec's window spans."""
    records = m.trainable()
    if not records:
        raise NothingToTrainError(
            f"{m.managed.name}: expected an accepted batch with mature labels at {m.as_of:%Y-%m-%d %H:%M} UTC, found "
            f"none of {len(m.batches())}; run 'kingmaker run {m.managed.name}' first"
        )
    last = m.managed.spec.training.window.last
    return records if last is None else records[-last:]


def enter(m: Mandate, fitted: Fitted, found: tuple[Found, ...]) -> tuple[np.ndarray, TrainedModel]:
    """Log and register a fitted challenger; return its predictions for the holdout, and its record."""
    from tasks.evaluation.judgement import importance
    from tasks.prediction import predict
    from tasks.registry.runs import Training

    spec, parts = m.managed.spec, fitted.split
    batch = max(span.batch for span in parts.held_out)
    as_fitted = predict(fitted.pipeline, parts.holdout.features, spec.problem, fitted.classes)
    weights = importance(
        fitted.pipeline,
        fitted.classes,
        parts.holdout,
        spec.problem,
        seed=spec.training.seed,
        metric=spec.metric,
    )
    profile, baseline = make_baseline(m.managed, parts.train, as_fitted, weights)
    trained = register(
        m.managed,
        Training(
            model=m.managed.name,
            batch=batch,
            recipe=fitted.contender.recipe,
            kind=fitted.contender.kind,
            schema_=parts.train.schema,
            trained_on=parts.trained_on,
            pipeline=fitted.pipeline,
            classes=fitted.classes,
            baseline=baseline,
            profile=profile,
            trials=tuple(item.trial for item in found),
            spec_text=spec.model_dump_json(indent=2),
            spec_sha256=m.managed.sha256,
            contract_version=m.managed.contract.version,
            contract_text=m.managed.contract.file.read_text(encoding="utf-8"),
            seed=spec.training.seed,
            code_version=code_version(),
            seconds=fitted.seconds,
        ),
    )
    m.write_training(trained, batch)
    return as_fitted, trained


def gather_evidence(
    m: Mandate, fitted: Fitted, trained: TrainedModel, champion: LoadedModel | None, as_fitted: np.ndarray
) -> Evidence:
    """Judge the challenger, as it comes back from the registry, and the champion on the same unseen rows."""
    parts, kind = fitted.split, fitted.contender.kind
    holdout: FeatureFrame = parts.holdout
    challenger = load_model(m.managed, trained)
    comparison, not_compared = None, ""
    if champion is not None:
        comparison, not_compared = compared_or_why_not(m, challenger, champion, (holdout, parts.held_out))
    generalisation, guardrails = every_guardrail(m, fitted, challenger, champion, as_fitted)
    return Evidence(
        model=m.managed.name,
        batch=max(span.batch for span in parts.held_out),
        kind=kind,
        challenger=trained.version,
        champion=None if champion is None else champion.trained.version,
        attempt=m.attempts() + (kind == "change of recipe"),
        holdout=parts.held_out,
        comparison=comparison,
        not_compared=not_compared,
        guardrails=guardrails,
        generalisation=generalisation,
    )
