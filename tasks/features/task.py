"""The face of the features room."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.lake import read_accepted
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, FeatureFrame


@task(name="build features", cache_policy=NO_CACHE)
def build_features(managed: ManagedModel, records: Sequence[BatchRecord]) -> FeatureFrame:
    """Build the features of the accepted rows of ``records``: the one path for training and for scoring."""
    from tasks.features.frame import build_frame, load_code

    spec, columns = managed.spec, managed.contract.column_names
    code = load_code(spec.features.code, managed.settings.project) if spec.features.code else None
    return build_frame(
        {r.batch.id: read_accepted(managed.settings.lake, r.snapshot, r.verdict, columns) for r in records},
        {r.batch.id: r.snapshot.sha256 for r in records},
        managed.contract,
        spec.features,
        target=spec.target,
        problem=spec.problem,
        slices=spec.slices,
        code=code,
    )


def features_sha256(managed: ManagedModel, frame: FeatureFrame) -> str:
    """Return the digest of the feature code and the feature schema: part of a recipe."""
    import hashlib

    from tasks.features.frame import code_sha256

    code = code_sha256(managed.spec.features.code, managed.settings.project)
    return hashlib.sha256(f"{code}{frame.schema.model_dump_json()}".encode()).hexdigest()
