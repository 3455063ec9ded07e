"""Small, valid records and frames for the rooms' tests: each test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from tasks.batches import Batch
from tasks.evaluation.checks import make_checks
from tasks.evaluation.checks.base import CheckContext
from tasks.evaluation.config import FairnessConfig, GuardrailsConfig
from tasks.evaluation.scored import LabelledRows, Scored, score_model, seconds_by_one_thread
from tasks.records import (
    BaselineProfile,
    BatchRecord,
    Comparison,
    Decision,
    Evidence,
    FeatureFrame,
    FeatureSchema,
    Fence,
    Guardrail,
    Interval,
    LedgerEntry,
    LoadedModel,
    ManualEvidence,
    Part,
    PolicyEvidence,
    Problem,
    Recipe,
    RowSpan,
    SliceComparison,
    Snapshot,
    TrainedModel,
    Verdict,
)

START = datetime(2020, 1, 1, tzinfo=UTC)
PASSED = Guardrail(
    code="KM001", name="finite predictions", outcome="passed", found="100.0% finite", limit="all"
)

OPEN = Fence(token=1, hold=nullcontext)
"""The fence of a run whose lease cannot be taken."""


def at(days: float) -> datetime:
    """The moment so many days after the start."""
    return START + timedelta(days=days)


def frame_of(
    features: pd.DataFrame,
    target: Any,
    *,
    days: Any,
    categorical: Sequence[str] = (),
    slices: pd.DataFrame | None = None,
    batch_days: float = 30,
) -> FeatureFrame:
    """A feature frame whose rows lie ``days``, (rows,), after the start, in batches of
    ``batch_days``.
    """
    days = np.asarray(days, dtype="float64")
    numerical = tuple(name for name in features.columns if name not in categorical)
    schema = FeatureSchema(numerical=numerical, categorical=tuple(categorical))
    batch = pd.Series(
        [f"b{int(day // batch_days):03d}" for day in days], index=features.index, dtype="str"
    )
    moments = pd.Series(
        pd.to_datetime(START) + pd.to_timedelta((days * 86_400e6).round(), unit="us"),
        index=features.index,
    ).astype("datetime64[us, UTC]")
    return FeatureFrame(
        features=features[list(schema.names)],
        target=pd.Series(target, index=features.index),
        event_time=moments,
        batch=batch,
        slices=pd.DataFrame(index=features.index) if slices is None else slices,
        keys=pd.DataFrame(
            {"event_time": moments, "id": np.arange(len(features))}, index=features.index
        ),
        schema=schema,
        snapshots={name: f"{name}-snapshot" for name in sorted(set(batch))},
    )


def span(start: float, end: float, batch: str = "b000", rows: int = 100) -> RowSpan:
    """Rows of ``batch`` from ``start`` to ``end``, in days after the start."""
    return RowSpan(
        batch=batch, snapshot=f"{batch}-snapshot", start=at(start), end=at(end), rows=rows
    )


def recipe(**changes: Any) -> Recipe:
    """A recipe."""
    values: dict[str, Any] = {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "params": {},
        "encode": "auto",
        "window": "all history",
        "features": "f",
    }
    return Recipe(**(values | changes))


def trained_model(**changes: Any) -> TrainedModel:
    """A registered version that was trained on the first ten days."""
    values: dict[str, Any] = {
        "model": "flights",
        "version": 1,
        "run_id": "run",
        "recipe": recipe(),
        "schema_": FeatureSchema(numerical=("x",), categorical=()),
        "classes": (),
        "trained_on": (span(0, 10),),
        "artifact_sha256": "0" * 64,
        "spec_sha256": "1" * 64,
        "contract_version": "1.0.0",
        "contract_text": "",
        "seed": 0,
        "code_version": "test",
        "sample_sha256": "2" * 64,
        "held_sha256": "4" * 64,
        "profile_sha256": "3" * 64,
    }
    return TrainedModel(**(values | changes))


def loaded_model(pipeline: Any, frame: FeatureFrame, **changes: Any) -> LoadedModel:
    """A version with the features of ``frame`` that predicts by ``pipeline``."""
    trained = trained_model(**({"schema_": frame.schema} | changes))
    return LoadedModel(
        trained=trained,
        pipeline=pipeline,
        baseline=frame.features,
        profile=BaselineProfile(rows=0, features=()),
        held=pd.DataFrame(columns=["(loss)", "(prediction)", "(block)"], dtype="float64"),
        size=1000,
    )


def scored(
    model: LoadedModel, frame: FeatureFrame, problem: Problem = "binary", metric: str = "log_loss"
) -> Scored:
    """What a model predicts for the labelled rows of ``frame``."""
    return score_model(model, LabelledRows.of(frame), problem, metric)


def check_context(
    challenger: LoadedModel,
    holdout: FeatureFrame,
    problem: Problem = "binary",
    *,
    as_fitted: np.ndarray | None = None,
    champion: LoadedModel | None = None,
    train: FeatureFrame | None = None,
    metric: str = "",
    config: GuardrailsConfig | None = None,
    fairness: FairnessConfig | None = None,
) -> CheckContext:
    """A challenger before its checks; the holdout stands for its training rows if none are given,
    and it predicts as it was fitted unless another prediction is.
    """
    asked = metric or ("rmse" if problem == "regression" else "log_loss")
    own = scored(challenger, holdout, problem, asked)
    return CheckContext(
        challenger=own,
        champion=None if champion is None else scored(champion, holdout, problem, asked),
        train=own if train is None else scored(challenger, train, problem, asked),
        as_fitted=own.predicted if as_fitted is None else as_fitted,
        as_loaded=own.predicted,
        seconds_again=lambda rows: seconds_by_one_thread(
            challenger, holdout.sample(rows, seed=1), problem
        ),
        config=config or GuardrailsConfig(),
        fairness=fairness or FairnessConfig(),
    )


def judged(
    challenger: LoadedModel, holdout: FeatureFrame, problem: Problem, **others: Any
) -> dict[str, Guardrail]:
    """Code -> what each check of a challenger finds on the holdout; see ``check_context``."""
    made = make_checks(check_context(challenger, holdout, problem, **others))
    return {guardrail.code: guardrail for guardrail in made}


def refused(found: Mapping[str, Guardrail]) -> set[str]:
    """The codes of the checks that did not pass."""
    return {code for code, guardrail in found.items() if guardrail.outcome != "passed"}


class FixedProbability:
    """A fitted binary classifier that reads P(positive) from one feature."""

    def __init__(self, feature: str = "p") -> None:
        self.feature = feature
        self.classes_ = np.array([0.0, 1.0])

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """P(negative) and P(positive), (rows, 2)."""
        p = features[self.feature].to_numpy(dtype="float64")
        return np.column_stack([1 - p, p])


class FixedValue:
    """A fitted regressor that reads its prediction from one feature."""

    def __init__(self, feature: str = "p") -> None:
        self.feature = feature

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """The feature, (rows,)."""
        return features[self.feature].to_numpy(dtype="float64")


def interval(value: float, half: float = 0.01) -> Interval:
    """An interval around ``value``."""
    return Interval(value=value, low=value - half, high=value + half)


def comparison(**changes: Any) -> Comparison:
    """Equal models on 1,000 rows in 20 days."""
    values: dict[str, Any] = {
        "rows": 1000,
        "blocks": 20,
        "block_hours": 24.0,
        "challenger_loss": 0.5,
        "champion_loss": 0.5,
        "difference": interval(0.0),
        "t": 0.0,
        "p_better": 0.5,
        "metric": "roc_auc",
        "challenger_score": interval(0.7),
        "champion_score": interval(0.7),
        "greater_is_better": True,
        "slices": (),
    }
    return Comparison(**(values | changes))


def slice_comparison(**changes: Any) -> SliceComparison:
    """Equal models on 500 rows of one slice."""
    values: dict[str, Any] = {
        "column": "carrier",
        "value": "AA",
        "rows": 500,
        "blocks": 20,
        "challenger_loss": 0.5,
        "champion_loss": 0.5,
        "p_worse": 0.5,
    }
    return SliceComparison(**(values | changes))


def evidence(kind: str = "change of recipe", **changes: Any) -> Evidence:
    """Evidence on version 2 against champion 1 that passed its one guardrail."""
    values: dict[str, Any] = {
        "model": "flights",
        "batch": "2020-02",
        "kind": kind,
        "challenger": 2,
        "champion": 1,
        "attempt": 1,
        "holdout": (span(24, 30),),
        "comparison": comparison(),
        "guardrails": (PASSED,),
    }
    if kind == "first":
        values |= {"champion": None, "comparison": None}
    return Evidence(**(values | changes))


def manual_evidence(rests_on: int | None = None) -> ManualEvidence:
    """What a person decided."""
    return ManualEvidence(person="Ada", reason="looked into", rests_on=rests_on)


def entry(id: int, decision: Decision, **changes: Any) -> LedgerEntry:
    """A decision in effect, on evidence about the version that it is about."""
    version = getattr(decision, "version", None)
    values: dict[str, Any] = {
        "id": id,
        "model": "flights",
        "batch": "2020-02",
        "decision": decision,
        "evidence": manual_evidence() if version is None else evidence(challenger=version),
        "evidence_sha256": "0" * 64,
        "as_of": at(id),
        "recorded_at": at(id),
        "effective_at": at(id),
        "flow_run": "",
        "decided_by": "kingmaker",
    }
    return LedgerEntry(**(values | changes))


def policy_evidence(**changes: Any) -> PolicyEvidence:
    """A champion one batch after its training, with a steady loss."""
    values: dict[str, Any] = {
        "model": "flights",
        "batch": "2020-06",
        "revision": 1,
        "champion": 1,
        "accepted_batches": 6,
        "batches_since_training": 1,
        "losses": (0.50, 0.52, 0.48, 0.50),
        "newest_loss": 0.50,
        "drift_share": 0.0,
    }
    return PolicyEvidence(**(values | changes))


def batch_record(**changes: Any) -> BatchRecord:
    """An accepted batch of 100 rows."""
    batch = Batch(id="2020-01", start=at(0), end=at(31))
    snapshot = Snapshot(
        contract="flights",
        contract_version="1.0.0",
        batch=batch,
        sha256="a" * 64,
        rows=100,
        parts=(Part(file="part-0.parquet", rows=100, sha256="b" * 64),),
        path="snapshots/flights/2020-01",
        source="here",
    )
    verdict = Verdict(
        outcome="accept", reason="all rules passed", rows=100, quarantined=0, rules=()
    )
    values: dict[str, Any] = {
        "model": "flights",
        "batch": batch,
        "revision": 0,
        "snapshot": snapshot,
        "verdict": verdict,
        "fingerprint": "f1",
        "spec_sha256": "c" * 64,
        "as_of": at(32),
    }
    return BatchRecord(**(values | changes))
