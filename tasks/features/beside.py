"""Features that are made of what the lake holds beside a row: of earlier rows, and of rows of other
contracts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.history import add_history, definitions
from tasks.features.join import add_joined, joined_contents, joins
from tasks.features.past import MEMORY, Asked, contents
from tasks.model_spec import ManagedModel
from tasks.records import Past, PastSnapshot, StreamName, joined_stream


def add_past(
    managed: ManagedModel, tables: Mapping[str, pa.Table], past: Past, memory: str = MEMORY
) -> dict[str, pa.Table]:
    """Return the rows of each batch with a column for each such feature, in the order of the rows.

    Raises DamagedFileError when a part of the lake is not what was written.
    """
    return add_joined(managed, add_history(managed, tables, past, memory), past, memory)


def sql_of(managed: ManagedModel) -> str:
    """Return the queries of all such features."""
    history = [one.sql() for one in definitions(managed)]
    return "".join([*history, *(one.sql() for one in joins(managed))])


def looked_back(
    managed: ManagedModel, tables: Iterable[pa.Table], past: Past
) -> tuple[PastSnapshot, ...]:
    """Return the contents that the features of rows rest on beside the rows, and which features
    do.
    """
    found, joined = definitions(managed), joins(managed)
    some = [table for table in tables if (found or joined) and table.num_rows]
    if not some:
        return ()
    times = [pc.min_max(table[managed.contract.event_time]).as_py() for table in some]
    first, last = min(one["min"] for one in times), max(one["max"] for one in times)
    lake = managed.settings.lake
    read: dict[tuple[StreamName, str, str], dict[str, None]] = defaultdict(dict)
    for one in found:
        window = Asked(first, last, one.reach)
        read_of = {"rows": contents(past.rows, window, lake)}
        if one.of_labels:
            read_of["labels"] = contents(past.labels, window, lake)
        for stream, some_of_it in read_of.items():
            for content in some_of_it:
                snapshot = content.revision.snapshot
                read[stream, snapshot.batch.id, snapshot.sha256][one.config.name] = None
    for join in joined:
        name = join.config.contract
        for content in joined_contents(managed, name, past, first, last):
            snapshot = content.revision.snapshot
            read[joined_stream(name), snapshot.batch.id, snapshot.sha256] |= dict.fromkeys(
                join.config.features
            )
    return tuple(
        PastSnapshot(stream=stream, batch=batch, snapshot=sha256, features=tuple(names))
        for (stream, batch, sha256), names in sorted(read.items())
    )
