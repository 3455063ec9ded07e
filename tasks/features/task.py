"""The face of the features room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.lake import read_accepted
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import BatchRecord, FeatureFrame, Guardrail, LoadedModel

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@task(name="build features", cache_policy=NO_CACHE)
def build_features(managed: ManagedModel, records: Sequence[BatchRecord]) -> FeatureFrame:
    """Build the features of the accepted rows of ``records``: the one path for training and for scoring."""
    return _build(managed, records, {r.batch.id: _accepted(managed, r) for r in records})


@task(name="check features", cache_policy=NO_CACHE)
def check_features(
    managed: ManagedModel, record: BatchRecord, challenger: LoadedModel
) -> tuple[Guardrail, ...]:
    """Check that features and model stand what the contract allows, and that no feature knows the future."""
    from tasks.features.checks import accepts_contract, knows_no_future

    spec, contract, table = managed.spec, managed.contract, _accepted(managed, record)

    def build(rows: pa.Table) -> FeatureFrame:
        return _build(managed, [record], {record.batch.id: rows})

    def predict(frame: FeatureFrame) -> np.ndarray:
        return predict_frame(challenger, frame, spec.problem)

    return (
        accepts_contract(table, contract, spec.target, build, predict),
        knows_no_future(table, contract.event_time, build, spec.guardrails.known_early),
    )


def _accepted(managed: ManagedModel, record: BatchRecord) -> pa.Table:
    columns = managed.contract.column_names
    return read_accepted(managed.settings.lake, record.snapshot, record.verdict, columns)


def _build(
    managed: ManagedModel, records: Sequence[BatchRecord], tables: Mapping[str, pa.Table]
) -> FeatureFrame:
    from tasks.features.frame import build_frame, load_code

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
    import hashlib

    from tasks.features.frame import code_sha256

    code = code_sha256(managed.spec.features.code, managed.settings.project)
    return hashlib.sha256(f"{code}{frame.schema.model_dump_json()}".encode()).hexdigest()
