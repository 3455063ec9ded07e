"""Labels that come from a contract of their own, joined to their rows by key.

Only what was known at the moment counts, of each key the newest; a row without its label has none,
whatever the others are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from tasks.lake import MOST_ROWS, accepted_parts, arrow_type, sample_accepted
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, KnownLabels, LabelSnapshot, Past

_POSITION = "_position"


def labelled_rows(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    labels: KnownLabels,
    columns: Sequence[str],
    most: int = MOST_ROWS,
    older: int | None = None,
) -> dict[str, pa.Table]:
    """Return batch id -> its accepted rows with these columns and their labels; of some so many as
    ``to_draw`` says, evenly over time, drawn with the spec's seed.
    """
    lake, seed = managed.settings.lake, managed.spec.training.seed
    wanted = to_draw(records, most, older)
    rows = {
        r.batch.id: sample_accepted(lake, r.snapshot, r.verdict, columns, wanted[r.batch.id], seed)
        for r in records
    }
    return with_labels(managed, records, rows, labels, most)


def to_draw(records: Sequence[BatchRecord], most: int, older: int | None) -> dict[str, int]:
    """Return batch id -> how many of its rows are taken: all, and of more than ``most`` so many.

    Given ``older``, no more than ``most`` are taken of the newest batches together, and of those
    before them ``older`` together, of each its share. ``records`` are oldest first.
    """
    rows = {r.batch.id: r.verdict.accepted_rows for r in records}
    found = {id: min(count, most) for id, count in rows.items()}
    if older is None or not found:
        return found
    ends = itertools.accumulate(reversed(rows.values()))
    whole = sum(1 for end in ends if end <= most)
    before = list(rows)[: len(rows) - max(1, whole)]
    total = sum(rows[id] for id in before)
    return found | {id: min(rows[id], max(1, rows[id] * older // max(total, 1))) for id in before}


def with_labels(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    rows: Mapping[str, pa.Table],
    labels: KnownLabels,
    most: int = MOST_ROWS,
) -> dict[str, pa.Table]:
    """Return ``rows`` of ``records`` with their labels, where these come from a contract of their
    own; of more than ``most`` labels no others are in memory than those of these rows.
    """
    if managed.labels is None or not rows:
        return dict(rows)
    lake, read = managed.settings.lake, labels_for(records, labels)
    contract, on, target = managed.labels.contract, managed.label_key, managed.spec.target
    needed = list(dict.fromkeys([*on, target, contract.event_time]))
    tables = [pa.schema([(n, arrow_type(contract.column(n))) for n in needed]).empty_table()]
    keys = None
    if sum(one.verdict.rows for one in read) > most:
        keys = pa.concat_tables([table.select(list(on)) for table in rows.values()])
    for one in read:
        parts = accepted_parts(lake, one.snapshot, one.verdict, needed)
        tables += (part if keys is None else with_row(part, keys, on) for part in parts)
    newest = newest_labels(tables, contract, on, target, labels.as_of)
    return {id: add_labels(table, newest, on, target) for id, table in rows.items()}


def labels_for(records: Sequence[BatchRecord], labels: KnownLabels) -> list[BatchRecord]:
    """Return the batches in which a label of these rows may be: from the first of them on, as far
    as is known.
    """
    first = min((record.batch.start for record in records), default=None)
    if first is None:
        return []
    return [
        b
        for b in labels.batches
        if b.accepted and first < b.batch.end and b.batch.start <= labels.as_of
    ]


def labelled_by(
    managed: ManagedModel, records: Sequence[BatchRecord], labels: KnownLabels
) -> tuple[LabelSnapshot, ...]:
    """Return what is read for the labels of ``records``, oldest batch first; nothing when the rows
    carry theirs.
    """
    if managed.labels is None:
        return ()
    return tuple(
        LabelSnapshot(batch=one.batch.id, snapshot=one.snapshot.sha256)
        for one in labels_for(records, labels)
    )


def frame_key(
    managed: ManagedModel, records: Sequence[BatchRecord], labels: KnownLabels, past: Past
) -> tuple[object, ...]:
    """Return what the features and labels of ``records`` depend on, for one model: of equal keys
    the frames are equal.
    """
    joined = (one for revisions in past.joined.values() for one in revisions)
    earlier = tuple(
        (one.snapshot.sha256, one.quarantine, one.revised_at)
        for one in (*past.rows, *past.labels, *joined)
    )
    rows = tuple((r.batch.id, r.snapshot.sha256, r.verdict.quarantine) for r in records)
    read = labelled_by(managed, records, labels)
    return (rows, read, None if managed.labels is None else labels.as_of, earlier)


def count_labelled(
    managed: ManagedModel, record: BatchRecord, labels: KnownLabels
) -> tuple[int, int]:
    """Return how many accepted rows the batch has, and how many of them have their label."""
    columns = (managed.spec.target,) if managed.labels is None else managed.label_key
    known, target = 0, managed.spec.target
    for part in accepted_parts(managed.settings.lake, record.snapshot, record.verdict, columns):
        (rows,) = with_labels(managed, [record], {record.batch.id: part}, labels).values()
        if target in rows.column_names:  # else the contract has named it since
            known += rows.num_rows - rows[target].null_count
    return record.verdict.accepted_rows, known


def count_unknown(
    managed: ManagedModel, labels: BatchRecord, records: Iterable[BatchRecord]
) -> int:
    """Return how many rows of a batch of labels have a key that no row of ``records`` has.

    ``records`` are gone through in their order until every label is found: the newest first is the
    shortest way.
    """
    on, lake = managed.label_key, managed.settings.lake
    unknown, newest_first = 0, tuple(records)
    for left in accepted_parts(lake, labels.snapshot, labels.verdict, on):
        for record in newest_first:
            if not left.num_rows:
                break
            for rows in accepted_parts(lake, record.snapshot, record.verdict, on):
                left = without_row(left, rows, on)
        unknown += left.num_rows
    return unknown


def newest_labels(
    tables: Sequence[pa.Table], contract: Contract, on: Sequence[str], target: str, as_of: datetime
) -> pa.Table:
    """Return the columns ``on`` and ``target`` with one row a key: its newest label of those known
    at ``as_of``.

    ``tables`` are accepted rows of ``contract``, whose event time says when a label became known. A
    newest label that is missing takes the earlier one back.
    """
    moment = contract.event_time
    needed = list(dict.fromkeys([*on, target, moment]))
    known = pa.concat_tables([table.select(needed) for table in tables])
    known = known.filter(
        pc.less_equal(known[moment], pa.scalar(as_of, known.schema.field(moment).type))
    )
    known = known.take(pc.sort_indices(known[moment]))  # by value: a name may be a path to Arrow
    last = ~_keys(known, on).duplicated(list(on), keep="last")
    return known.filter(pa.array(last.to_numpy(dtype=bool))).select([*on, target])


def add_labels(rows: pa.Table, labels: pa.Table, on: Sequence[str], target: str) -> pa.Table:
    """Return ``rows``, in their order, with the column ``target`` of their labels: missing where
    there is none.

    ``labels`` has each key once. A label without a row is left out.
    """
    keys = _keys(labels, on)
    keys[_POSITION] = np.arange(len(keys), dtype="float64")
    found = _keys(rows, on).merge(keys, on=list(on), how="left", validate="many_to_one")[_POSITION]
    missing = found.isna().to_numpy()
    positions = pa.array(found.fillna(0).to_numpy(dtype="int64"), mask=missing)
    return rows.append_column(target, labels[target].combine_chunks().take(positions))


def without_row(labels: pa.Table, rows: pa.Table, on: Sequence[str]) -> pa.Table:
    """Return those of ``labels`` whose key none of ``rows`` has."""
    return labels.filter(pa.array(~_has_row(labels, rows, on)))


def with_row(labels: pa.Table, rows: pa.Table, on: Sequence[str]) -> pa.Table:
    """Return those of ``labels`` whose key one of ``rows`` has."""
    return labels.filter(pa.array(_has_row(labels, rows, on)))


def _has_row(labels: pa.Table, rows: pa.Table, on: Sequence[str]) -> np.ndarray:
    known = _keys(rows, on).drop_duplicates()
    found = _keys(labels, on).merge(known, on=list(on), how="left", indicator=True)["_merge"]
    return np.asarray(found == "both")


def _keys(table: pa.Table, on: Sequence[str]) -> pd.DataFrame:
    """The key columns, which have no gaps: whole numbers stay whole."""
    keys: pd.DataFrame = table.select(list(on)).to_pandas()
    return keys
