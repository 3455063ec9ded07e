"""Prefect tasks of the features room: build feature frames, and check features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.beside import add_past, looked_back, sql_of
from tasks.features.checks import AcceptsContract, KnowsNoFuture
from tasks.features.frame import build_by_spec, code_sha256, with_later
from tasks.features.fresh import ROWS as ELSEWHERE
from tasks.features.fresh import SameElsewhere
from tasks.features.labels import labelled_by, labelled_rows
from tasks.features.neighbours import SameAlone
from tasks.lake import MOST_ROWS, accepted_parts
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    Guardrail,
    KnownLabels,
    LoadedModel,
    Past,
)
from tasks.task import task


@task("build features")
def build_features(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    labels: KnownLabels,
    past: Past,
    most: int = MOST_ROWS,
    older: int | None = None,
) -> FeatureFrame:
    """Build the features of the accepted rows of ``records``: the one path for training and for
    scoring. Of a batch of more than ``most`` rows so many are drawn, evenly over time; given
    ``older``, of those before the newest so many together.

    ``labels`` are what was read of the model's contract of labels, if it has one; ``past`` is what
    its features look back on.
    """
    rows = labelled_rows(managed, records, labels, managed.contract.column_names, most, older)
    rows = add_past(managed, rows, past)
    return replace(
        _build(managed, records, rows),
        labelled_by=labelled_by(managed, records, labels),
        looked_back=looked_back(managed, rows.values(), past),
    )


def features_by_part(
    managed: ManagedModel, record: BatchRecord, past: Past
) -> Iterator[FeatureFrame]:
    """Give the features of all accepted rows of a batch, part by part and without labels from a
    contract of their own: what is in memory is bounded by the part.
    """
    snapshot, target = record.snapshot, managed.spec.target
    columns = managed.contract.column_names
    for rows in accepted_parts(managed.settings.lake, snapshot, record.verdict, columns):
        if not rows.num_rows:
            continue
        if managed.labels is not None:
            rows = rows.append_column(target, pa.nulls(rows.num_rows, pa.float64()))
        yield _build(managed, [record], add_past(managed, {record.batch.id: rows}, past))


@task("check features")
def check_features(
    managed: ManagedModel,
    record: BatchRecord,
    before: BatchRecord | None,
    labels: KnownLabels,
    past: Past,
    challenger: LoadedModel,
    champion: LoadedModel | None,
) -> tuple[Guardrail, ...]:
    """Check that features and model take what the contract allows, that no feature knows the
    future, that none rests on the rows beside it, and that feature code other than the champion's
    makes the same features elsewhere.

    ``past`` is what features look back on. ``before`` is the batch before ``record``; None when
    there is none.
    """
    spec, contract, batch = managed.spec, managed.contract, record.batch.id
    records = [record] if before is None or spec.features.code is None else [before, record]
    tables = labelled_rows(managed, records, labels, contract.column_names)
    table = tables.pop(batch)

    def build(rows: pa.Table) -> FeatureFrame:
        last = pc.max(rows[contract.event_time]).as_py()
        so_far = replace(past, before=last + last.resolution)  # what came after is not there yet
        return _build(managed, [record], add_past(managed, {batch: rows}, so_far))

    def build_beside(rows: Mapping[str, pa.Table]) -> FeatureFrame:
        return _build(managed, records, add_past(managed, rows, past))

    def predict(frame: FeatureFrame) -> np.ndarray:
        return predict_frame(challenger, frame, spec.problem)

    return (
        AcceptsContract().check(table, contract, spec.target, build, predict),
        KnowsNoFuture().check(table, contract.event_time, build, spec.guardrails.known_early),
        SameElsewhere().check(
            managed,
            add_past(managed, {batch: table.slice(0, ELSEWHERE)}, past)[batch],
            _same_code(challenger, champion),
        ),
        *(
            []
            if spec.features.code is None
            else [SameAlone().check(batch, table, tables, build_beside)]
        ),
    )


def open_features(managed: ManagedModel, rows: pa.Table, past: Past) -> FeatureFrame:
    """Build the features of rows whose outcome is not known yet, (rows, columns known at event
    time): the same code as for closed batches.
    """
    rows = with_later(rows, managed.contract, managed.spec.target)
    return build_by_spec(managed, add_past(managed, {"open": rows}, past), {"open": ""})


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
    """Return the digest of the feature code, of the queries over the past, and of the feature
    schema: part of a recipe.
    """
    code = code_sha256(managed.spec.features.code, managed.settings.project)
    text = f"{code}{sql_of(managed)}{frame.schema.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()
