"""Labels that come from a contract of their own, joined to their rows by key.

Only what was known at the moment counts, of each key the newest; a row without its label has none,
whatever the others are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract

_POSITION = "_position"


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
    known = known.sort_by(moment)
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
