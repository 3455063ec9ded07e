"""Prefect tasks of the features room: build feature frames, join and count labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.features.checks import AcceptsContract, KnowsNoFuture
from tasks.features.frame import build_by_spec, code_sha256
from tasks.features.fresh import SameElsewhere
from tasks.features.labels import add_labels, newest_labels, without_row
from tasks.lake import arrow_type, read_accepted
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    Guardrail,
    KnownLabels,
    LabelSnapshot,
    LoadedModel,
)


@task(name="build features", cache_policy=NO_CACHE)
def build_features(
    managed: ManagedModel, records: Sequence[BatchRecord], labels: KnownLabels | None
) -> FeatureFrame:
    """Build the features of the accepted rows of ``records``: the one path for training and for
    scoring.

    ``labels`` are what was read of the model's contract of labels, if it has one; None when the
    rows carry theirs.
    """
    frame = _build(
        managed, records, _labelled_rows(managed, records, labels, managed.contract.column_names)
    )
    read = [] if managed.labels is None else _labels_for(records, labels)
    return replace(
        frame,
        labelled_by=tuple(
            LabelSnapshot(batch=r.batch.id, snapshot=r.snapshot.sha256) for r in read
        ),
    )


@task(name="check features", cache_policy=NO_CACHE)
def check_features(
    managed: ManagedModel,
    record: BatchRecord,
    labels: KnownLabels | None,
    challenger: LoadedModel,
    champion: LoadedModel | None,
) -> tuple[Guardrail, ...]:
    """Check that features and model take what the contract allows, that no feature knows the
    future, and that feature code other than the champion's makes the same features elsewhere.
    """
    spec, contract = managed.spec, managed.contract
    (table,) = _labelled_rows(managed, [record], labels, contract.column_names).values()

    def build(rows: pa.Table) -> FeatureFrame:
        return _build(managed, [record], {record.batch.id: rows})

    def predict(frame: FeatureFrame) -> np.ndarray:
        return predict_frame(challenger, frame, spec.problem)

    return (
        AcceptsContract().check(table, contract, spec.target, build, predict),
        KnowsNoFuture().check(table, contract.event_time, build, spec.guardrails.known_early),
        SameElsewhere().check(managed, table, _same_code(challenger, champion)),
    )


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


def count_labelled(
    managed: ManagedModel, record: BatchRecord, labels: KnownLabels | None
) -> tuple[int, int]:
    """Return how many accepted rows the batch has, and how many of them have their label."""
    columns = (managed.spec.target,) if managed.labels is None else managed.label_key
    (rows,) = _labelled_rows(managed, [record], labels, columns).values()
    if managed.spec.target not in rows.column_names:  # the contract has named it since
        return rows.num_rows, 0
    return rows.num_rows, rows.num_rows - rows[managed.spec.target].null_count


def count_unknown(
    managed: ManagedModel, labels: BatchRecord, records: Iterable[BatchRecord]
) -> int:
    """Return how many rows of a batch of labels have a key that no row of ``records`` has.

    ``records`` are gone through in their order until every label is found: the newest first is the
    shortest way.
    """
    on, lake = managed.label_key, managed.settings.lake
    left = read_accepted(lake, labels.snapshot, labels.verdict, on)
    for record in records:
        if not left.num_rows:
            break
        left = without_row(left, read_accepted(lake, record.snapshot, record.verdict, on), on)
    return int(left.num_rows)


def _labelled_rows(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    labels: KnownLabels | None,
    columns: Sequence[str],
) -> dict[str, pa.Table]:
    """Batch id -> its accepted rows with these columns and their labels."""
    lake = managed.settings.lake
    rows = {r.batch.id: read_accepted(lake, r.snapshot, r.verdict, columns) for r in records}
    if managed.labels is None or not rows:
        return rows

    if labels is None:
        raise ValueError(
            f"{managed.name}: expected the labels that contract {managed.labels.contract.name} gave"
        )
    read = _labels_for(records, labels)
    contract, on, target = managed.labels.contract, managed.label_key, managed.spec.target
    needed = dict.fromkeys([*on, target, contract.event_time])
    none = pa.schema([(name, arrow_type(contract.column(name))) for name in needed]).empty_table()
    tables = [none, *(read_accepted(lake, one.snapshot, one.verdict, list(needed)) for one in read)]
    newest = newest_labels(tables, contract, on, target, labels.as_of)
    return {id: add_labels(table, newest, on, target) for id, table in rows.items()}


def _labels_for(records: Sequence[BatchRecord], labels: KnownLabels | None) -> list[BatchRecord]:
    """The batches in which a label of these rows may be: from the first of them on, as far as is
    known.
    """
    first = min((record.batch.start for record in records), default=None)
    if first is None or labels is None:
        return []
    return [
        b
        for b in labels.batches
        if b.accepted and first < b.batch.end and b.batch.start <= labels.as_of
    ]


def features_sha256(managed: ManagedModel, frame: FeatureFrame) -> str:
    """Return the digest of the feature code and the feature schema: part of a recipe."""
    code = code_sha256(managed.spec.features.code, managed.settings.project)
    return hashlib.sha256(f"{code}{frame.schema.model_dump_json()}".encode()).hexdigest()
