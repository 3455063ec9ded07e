"""Prefect tasks of the features room: build feature frames, and check features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tasks.features.checks import AcceptsContract, KnowsNoFuture
from tasks.features.frame import build_by_spec, code_sha256, with_later
from tasks.features.fresh import SameElsewhere
from tasks.features.labels import labelled_by, labelled_rows
from tasks.features.neighbours import SameAlone
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    Guardrail,
    KnownLabels,
    LoadedModel,
)
from tasks.task import task


@task("build features")
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


@task("check features")
def check_features(
    managed: ManagedModel,
    record: BatchRecord,
    before: BatchRecord | None,
    labels: KnownLabels,
    challenger: LoadedModel,
    champion: LoadedModel | None,
) -> tuple[Guardrail, ...]:
    """Check that features and model take what the contract allows, that no feature knows the
    future, that none rests on other rows, and that feature code other than the champion's makes the
    same features elsewhere.

    ``before`` is the batch before ``record``; None when there is none.
    """
    spec, contract, batch = managed.spec, managed.contract, record.batch.id
    records = [record] if before is None or spec.features.code is None else [before, record]
    tables = labelled_rows(managed, records, labels, contract.column_names)
    table = tables.pop(batch)

    def build(rows: pa.Table) -> FeatureFrame:
        return _build(managed, [record], {batch: rows})

    def build_beside(rows: Mapping[str, pa.Table]) -> FeatureFrame:
        return _build(managed, records, rows)

    def predict(frame: FeatureFrame) -> np.ndarray:
        return predict_frame(challenger, frame, spec.problem)

    return (
        AcceptsContract().check(table, contract, spec.target, build, predict),
        KnowsNoFuture().check(table, contract.event_time, build, spec.guardrails.known_early),
        SameElsewhere().check(managed, table, _same_code(challenger, champion)),
        *(
            []
            if spec.features.code is None
            else [SameAlone().check(batch, table, tables, build_beside)]
        ),
    )


def open_features(managed: ManagedModel, rows: pa.Table) -> FeatureFrame:
    """Build the features of rows whose outcome is not known yet, (rows, columns known at event
    time): the same code as for closed batches.
    """
    rows = with_later(rows, managed.contract, managed.spec.target)
    return build_by_spec(managed, {"open": rows}, {"open": ""})


def _same_code(challenger: LoadedModel, champion: LoadedModel | None) -> int | None:
    """The champion's version, where its features are made as the challenger's are."""
    if champion is None:
        return None
    of, own = champion.trained.recipe.features, challenger.trained.recipe.features
    return champion.trained.version if of == own else None


def _build(
    managed: ManagedModel, records: Sequence[BatchRecord], tables: Mapping[str, pa.Table]
) -> FeatureFrame:
    return build_by_spec(managed, tables, {r.batch.id: r.snapshot.sha256 for r in records})


def features_sha256(managed: ManagedModel, frame: FeatureFrame) -> str:
    """Return the digest of the feature code and the feature schema: part of a recipe."""
    code = code_sha256(managed.spec.features.code, managed.settings.project)
    return hashlib.sha256(f"{code}{frame.schema.model_dump_json()}".encode()).hexdigest()
