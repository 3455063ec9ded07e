"""Prefect tasks of the features room: build feature frames, and check features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.features.checks import AcceptsContract, KnowsNoFuture
from tasks.features.frame import build_frame, code_sha256, load_code
from tasks.features.labels import labelled_by, labelled_rows
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    Guardrail,
    KnownLabels,
    LoadedModel,
)


@task(name="build features", cache_policy=NO_CACHE)
def build_features(
    managed: ManagedModel, records: Sequence[BatchRecord], labels: KnownLabels
) -> FeatureFrame:
    """Build the features of the accepted rows of ``records``: the one path for training and for
    scoring.

    ``labels`` are what was read of the model's contract of labels, if it has one.
    """
    rows = labelled_rows(managed, records, labels, managed.contract.column_names)
    return replace(
        _build(managed, records, rows), labelled_by=labelled_by(managed, records, labels)
    )


@task(name="check features", cache_policy=NO_CACHE)
def check_features(
    managed: ManagedModel, record: BatchRecord, labels: KnownLabels, challenger: LoadedModel
) -> tuple[Guardrail, ...]:
    """Check that features and model stand what the contract allows, and that no feature knows the
    future.
    """
    spec, contract = managed.spec, managed.contract
    (table,) = labelled_rows(managed, [record], labels, contract.column_names).values()

    def build(rows: pa.Table) -> FeatureFrame:
        return _build(managed, [record], {record.batch.id: rows})

    def predict(frame: FeatureFrame) -> np.ndarray:
        return predict_frame(challenger, frame, spec.problem)

    return (
        AcceptsContract().check(table, contract, spec.target, build, predict),
        KnowsNoFuture().check(table, contract.event_time, build, spec.guardrails.known_early),
    )


def _build(
    managed: ManagedModel, records: Sequence[BatchRecord], tables: Mapping[str, pa.Table]
) -> FeatureFrame:
    spec = managed.spec
    code = load_code(spec.features.code, managed.settings.project) if spec.features.code else None
    return build_frame(
        tables,
        {r.batch.id: r.snapshot.sha256 for r in records},
        managed.contract,
        spec.features,
        target=spec.target,
        problem=spec.problem,
        slices=spec.slices,
        code=code,
        audit=spec.fairness.columns,
    )


def features_sha256(managed: ManagedModel, frame: FeatureFrame) -> str:
    """Return the digest of the feature code and the feature schema: part of a recipe."""
    code = code_sha256(managed.spec.features.code, managed.settings.project)
    return hashlib.sha256(f"{code}{frame.schema.model_dump_json()}".encode()).hexdigest()
