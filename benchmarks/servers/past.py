"""A long past: runs that the product made, copied in its servers' own SQLite files under ids and
moments of their own.

The servers must be down. Each copy has all that the original has: in Prefect its states, task runs,
logs and artifacts, and its events as far back as the server keeps them (7 days); in MLflow its
tags, params and metrics.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

EVERY = timedelta(minutes=20)
"""Between two past runs: 5,000 of them reach back 69 days, and Prefect's server keeps 90."""
EVENTS_KEPT = timedelta(days=7)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")

Cell = str | int | float | bytes | None


@dataclass
class Rows:
    """Rows of one table, to be written again under other ids, at another moment."""

    table: str
    columns: list[str]
    moments: list[int]
    """Columns that hold a moment, as text or in milliseconds."""
    rows: list[list[Cell]]
    naming: list[list[int]] = field(default_factory=list)
    """For each row, its columns that name one of the ids."""

    def find(self, ids: set[str]) -> None:
        """Note where the ids stand."""
        self.naming = [
            [
                i
                for i, cell in enumerate(row)
                if isinstance(cell, str) and ids.intersection(_UUID.findall(cell))
            ]
            for row in self.rows
        ]

    def again(self, ids: Mapping[str, str], earlier: timedelta) -> Iterator[list[Cell]]:
        """Give each row with the new ids, so much earlier."""
        for row, naming in zip(self.rows, self.naming, strict=True):
            copy = list(row)
            for i in naming:
                copy[i] = _UUID.sub(lambda found: ids.get(found[0], found[0]), str(row[i]))
            for i in self.moments:
                copy[i] = moved(row[i], earlier)
            yield copy


def moved(moment: Cell, earlier: timedelta) -> Cell:
    """Return a moment of a database, milliseconds or text without a zone, so much earlier; None
    stays None.
    """
    if moment is None:
        return None
    if isinstance(moment, str):
        return f"{datetime.fromisoformat(moment) - earlier:%Y-%m-%d %H:%M:%S.%f}"
    return int(moment) - int(earlier / timedelta(milliseconds=1))


def prefect_past(database: Path, run: str, copies: int) -> int:
    """Copy the flow run ``run`` so often, each ``EVERY`` before the last; return how many rows were
    written.
    """
    with closing(sqlite3.connect(database)) as store, store:
        whole = [
            _rows(store, "flow_run", "id = ?", [run]),
            _rows(store, "flow_run_state", "flow_run_id = ?", [run]),
            _rows(store, "task_run", "flow_run_id = ?", [run]),
            _rows(
                store,
                "task_run_state",
                "task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = ?)",
                [run],
            ),
            _rows(store, "log", "flow_run_id = ?", [run]),
            _rows(store, "artifact", "flow_run_id = ?", [run]),
        ]
        about = "SELECT event_id FROM event_resources WHERE resource_id = ?"
        named = [f"prefect.flow-run.{run}"]
        events = [
            _rows(store, "events", f"id IN ({about})", named),
            _rows(store, "event_resources", f"event_id IN ({about})", named),
        ]
        return _write(store, [whole], events, copies)


def mlflow_past(database: Path, copies: int) -> int:
    """Copy the runs that there are, by turns, until so many were added; return how many rows were
    written.
    """
    with closing(sqlite3.connect(database)) as store, store:
        runs = [
            row[0] for row in store.execute("SELECT run_uuid FROM runs ORDER BY start_time DESC")
        ]
        kinds = [
            [
                _rows(store, table, "run_uuid = ?", [run])
                for table in ("runs", "tags", "params", "metrics", "latest_metrics")
            ]
            for run in runs
        ]
        return _write(store, kinds, [], copies)


def _rows(store: sqlite3.Connection, table: str, where: str, values: Sequence[str]) -> Rows:
    kinds = {row[1]: str(row[2]).upper() for row in store.execute(f"PRAGMA table_info({table})")}
    cursor = store.execute(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608 - our own words
    columns = [column[0] for column in cursor.description]
    moments = [
        i
        for i, name in enumerate(columns)
        if (
            kinds[name] in ("DATETIME", "TIMESTAMP") and not name.endswith("run_time")
        )  # Prefect's durations
        or name in ("start_time", "end_time", "timestamp")
    ]
    return Rows(table, columns, moments, [list(row) for row in cursor])


def _write(
    store: sqlite3.Connection, originals: list[list[Rows]], events: list[Rows], copies: int
) -> int:
    """Write the originals by turns, ``copies`` in all, the first ``EVERY`` before them; recent ones
    with ``events``.
    """
    ids = [_ids([*group, *events]) for group in originals]
    for group, known in zip(originals, ids, strict=True):
        for rows in group:
            rows.find(known)
    for rows in events:
        rows.find(ids[0])
    written = 0
    for number in range(copies):
        earlier = (number + 1) * EVERY
        turn = number % len(originals)
        fresh = {old: _fresh(old) for old in ids[turn]}
        for rows in originals[turn] + (events if earlier < EVENTS_KEPT else []):
            names, marks = (
                ", ".join(f'"{name}"' for name in rows.columns),
                ", ".join("?" * len(rows.columns)),
            )
            store.executemany(
                f"INSERT INTO {rows.table} ({names}) VALUES ({marks})",  # noqa: S608 - the store's own names
                rows.again(fresh, earlier),
            )
            written += len(rows.rows)
    return written


def _ids(group: Sequence[Rows]) -> set[str]:
    """What the rows are known by: their own ids."""
    found: set[Any] = set()
    for rows in group:
        key = next((name for name in ("id", "run_uuid") if name in rows.columns), None)
        if key is not None:
            found |= {row[rows.columns.index(key)] for row in rows.rows}
    return found


def _fresh(old: str) -> str:
    new = uuid.uuid4()
    return str(new) if "-" in old else new.hex
