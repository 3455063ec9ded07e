"""Labels that are filled in later in the rows' own source: the same rows again, known better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tasks.lake import checked_parts, read_reasons
from tasks.records import BatchRecord, Snapshot
from tasks.streams import Stream


def relabelled(stream: Stream, target: str, before: BatchRecord, after: BatchRecord) -> bool:
    """Whether a new revision of an accepted batch differs in the ``target`` and in columns that
    become known later alone.
    """
    if not (before.accepted and after.accepted):
        return False
    lake, contract = stream.settings.lake, stream.contract
    known = [c.name for c in contract.columns if c.available and c.name != target]
    aside = [
        {} if one.verdict.quarantine is None else read_reasons(lake, one.verdict.quarantine)
        for one in (before, after)
    ]
    return aside[0].keys() == aside[1].keys() and same_rows(
        lake, before.snapshot, after.snapshot, known
    )


def same_rows(lake: Path, before: Snapshot, after: Snapshot, columns: Sequence[str]) -> bool:
    """Whether two snapshots hold the same values in ``columns``, row for row; part by part, so
    memory is bounded.

    Snapshots are in one order whatever order their rows came in. Parts that are cut in another way
    count as other rows.
    """
    if [part.rows for part in before.parts] != [part.rows for part in after.parts]:
        return False
    with checked_parts(lake, before) as old, checked_parts(lake, after) as new:
        return all(
            set(columns) <= set(pq.read_schema(one).names) & set(pq.read_schema(other).names)
            and pq.ParquetFile(one)
            .read(list(columns))
            .equals(pq.ParquetFile(other).read(list(columns)))
            for one, other in zip(old, new, strict=True)
        )
