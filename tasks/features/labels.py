"""Labels that come from a contract of their own, joined to their rows by key.

Only what was known at the moment counts, of each key the newest; a row without its label has none,
whatever the others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from tasks.lake import arrow_type, read_accepted
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, KnownLabels, LabelSnapshot, Past

_POSITION = "_position"


def labelled_rows(
    managed: ManagedModel,
    records: Sequence[BatchRecord],
    labels: KnownLabels,
    columns: Sequence[str],
) -> dict[str, pa.Table]:
    """Return batch id -> its accepted rows with these columns and their labels."""
    lake = managed.settings.lake
    rows = {r.batch.id: read_accepted(lake, r.snapshot, r.verdict, columns) for r in records}
    if managed.labels is None or not rows:
        return rows
    read = labels_for(records, labels)
    contract, on, target = managed.labels.contract, managed.label_key, managed.spec.target
    needed = dict.fromkeys([*on, target, contract.event_time])
    none = pa.schema([(name, arrow_type(contract.column(name))) for name in needed]).empty_table()
    tables = [none, *(read_accepted(lake, one.snapshot, one.verdict, list(needed)) for one in read)]
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
    (rows,) = labelled_rows(managed, [record], labels, columns).values()
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
    known = _keys(rows, on).drop_duplicates()
    found = _keys(labels, on).merge(known, on=list(on), how="left", indicator=True)["_merge"]
    return labels.filter(pa.array((found == "left_only").to_numpy()))


def _keys(table: pa.Table, on: Sequence[str]) -> pd.DataFrame:
    """The key columns, which have no gaps: whole numbers stay whole."""
    keys: pd.DataFrame = table.select(list(on)).to_pandas()
    return keys
