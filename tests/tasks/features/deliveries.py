"""Rows and labels as they were delivered, cut into batches in any way, and what had been known of
them at a moment, looked up row by row.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from data_contracts.contract import Contract
from tasks.batches import Batch, Every
from tasks.features.config import FeaturesConfig, HistoryConfig
from tasks.features.join_config import JoinConfig
from tasks.lake import arrow_type
from tasks.model_spec import ManagedModel, manage
from tasks.records import Part, Past, Revision, Snapshot
from tasks.settings import Settings
from tasks.streams import Stream
from tests.sample_contract import sample_document

START = datetime(2013, 5, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATENESS = 2 * HOUR
LABEL_LATENESS = HOUR
JOIN_LATENESS = 3 * HOUR
DELAY = 5 * HOUR
_NUMBERS = itertools.count()
FAR = datetime(2014, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    """The moment so many hours after the start."""
    return START + hours * HOUR


@dataclass(frozen=True)
class Delivered:
    """A row or a label as one delivery had it."""

    id: int
    hour: float
    shop: str = "A"
    till: int | None = 1
    amount: float | None = 1.0
    returned: bool | None = None
    since: float | None = None
    """Hour at which it was delivered as a correction; None: as the contract promises."""
    until: float | None = None
    """Hour from which on the source has not had it any more."""
    ends: float | None = None
    """Of what is joined: the hour until which it is valid."""

    @property
    def ends_at(self) -> datetime | None:
        """The same as a moment."""
        return None if self.ends is None else at(self.ends)

    def counts(self, moment: datetime) -> bool:
        """Whether the source had it at a moment."""
        return (self.since is None or at(self.since) <= moment) and (
            self.until is None or moment < at(self.until)
        )


def write_project(directory: Path, *, own_labels: bool) -> ManagedModel:
    """A model of the sample contract, whose label is a column of the rows, or of another
    contract.
    """
    document = sample_document()
    document["slaProperties"] = [{"property": "latency", "value": 2, "unit": "h"}]
    properties = document["schema"][0]["properties"]
    if own_labels:
        document["schema"][0]["properties"] = [p for p in properties if p["name"] != "returned"]
        returns = sample_document()
        returns["name"] = "returns"
        returns["slaProperties"] = [{"property": "latency", "value": 1, "unit": "h"}]
        kept = ("sold_at", "id", "returned")
        returns["schema"][0] |= {
            "name": "returns",
            "quality": [],
            "properties": [p for p in properties if p["name"] in kept],
        }
        _write(directory / "data_contracts" / "returns.odcs.yaml", returns)
    _write(directory / "data_contracts" / "sales.odcs.yaml", document)
    labels = {"contract": "returns", "key": ["id"]} if own_labels else {}
    spec = {
        "model": "sales",
        "contract": "sales",
        "problem": "binary",
        "target": "returned",
        "batch": {"every": "day"},
        "labels": {"delay": "5h"} | labels,
    }
    _write(directory / "deployments" / "sales" / "model.yaml", spec)
    return manage("sales", Settings(home=directory / "home", project=directory))


JOINED = {"stock": ("shop", "till"), "prices": ("shop",)}
"""Contracts that are joined -> by what."""


def write_joining_project(directory: Path) -> ManagedModel:
    """A model of the sample contract that joins the stock of a till, and the prices of a shop; both
    have an amount, and an end.
    """
    managed = write_project(directory, own_labels=False)
    for name, keys in JOINED.items():
        document = sample_document()
        document["name"] = name
        document["slaProperties"] = [{"property": "latency", "value": 3, "unit": "h"}]
        properties = document["schema"][0]["properties"]
        kept = [p for p in properties if p["name"] in ("sold_at", *keys, "amount")]
        for place, one in enumerate([p for p in kept if p["name"] in keys], start=2):
            one |= {"primaryKey": True, "primaryKeyPosition": place}
        kept.append({"name": "ends_at", "logicalType": "timestamp"})
        document["schema"][0] |= {"name": name, "quality": [], "properties": kept}
        _write(directory / "data_contracts" / f"{name}.odcs.yaml", document)
    file = directory / "deployments" / "sales" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    joins = [
        {"contract": name, "by": list(keys), "columns": ["amount"]} for name, keys in JOINED.items()
    ]
    _write(file, spec | {"features": {"join": joins}})
    return manage("sales", managed.settings)


def joining(managed: ManagedModel, *joins: JoinConfig) -> ManagedModel:
    """The model with other joins of the same contracts."""
    config = FeaturesConfig(join=joins)
    return replace(managed, spec=managed.spec.model_copy(update={"features": config}))


def expected_join(
    config: JoinConfig, column: str, row: Delivered, joined: Sequence[Delivered]
) -> Any:
    """What is joined to ``row``, row by row, of what had been delivered at its moment."""
    moment = at(row.hour)
    keys = [(getattr(row, own), other) for own, other in config.keys.items()]
    found = [
        one
        for one in joined
        if one.counts(moment)
        and at(one.hour) <= moment - max(config.gap, JOIN_LATENESS)
        and all(value is not None and getattr(one, other) == value for value, other in keys)
    ]
    if not found:
        return None
    newest = max(found, key=lambda one: one.hour)
    if config.max_age is not None and moment - at(newest.hour) > config.max_age:
        return None
    if config.valid_until is not None and newest.ends_at is not None and newest.ends_at <= moment:
        return None
    return getattr(newest, column)


def _write(file: Path, document: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def looking_back(managed: ManagedModel, *features: HistoryConfig) -> ManagedModel:
    """The model with features that look back."""
    config = FeaturesConfig(history=features)
    return replace(managed, spec=managed.spec.model_copy(update={"features": config}))


def rows_table(contract: Contract, rows: Iterable[Delivered]) -> pa.Table:
    """The rows in the contract's types; what they do not have is missing."""
    rows = list(rows)
    given = {contract.event_time: [at(row.hour) for row in rows]}
    return pa.table(
        {
            column.name: pa.array(
                given.get(column.name) or [getattr(row, column.name, None) for row in rows],
                arrow_type(column),
            )
            for column in contract.columns
        }
    )


def deliver(stream: Stream, every: Every, rows: Sequence[Delivered]) -> tuple[Revision, ...]:
    """Write every content that the batches of the rows have had to the lake, in two parts each, and
    with one row in quarantine.
    """
    cut = replace(stream, every=every)
    batches = {cut.batch_of(at(row.hour)).id: cut.batch_of(at(row.hour)) for row in rows}
    revisions = []
    for id, batch in sorted(batches.items()):
        own = [row for row in rows if cut.batch_of(at(row.hour)).id == id]
        changes = {hour for row in own for hour in (row.since, row.until) if hour is not None}
        for hour in (None, *sorted(changes)):
            moment = datetime(1970, 1, 1, tzinfo=UTC) if hour is None else at(hour)
            revisions.append(_content(stream, batch, [r for r in own if r.counts(moment)], hour))
    return tuple(revisions)


def _content(stream: Stream, batch: Batch, rows: list[Delivered], hour: float | None) -> Revision:
    lake, contract = stream.settings.lake, stream.contract
    path = f"snapshots/{contract.name}/{batch.id}/{next(_NUMBERS)}"
    # In quarantine, and so never looked at: a row that would change everything.
    bad = Delivered(id=-1, hour=(batch.start - START) / HOUR, amount=999.0, returned=True)
    tables = [rows_table(contract, some) for some in (rows[::2], [bad, *rows[1::2]])]
    parts = tuple(
        Part(
            file=f"{i}.parquet",
            rows=one.num_rows,
            sha256=_write_parquet(lake / path / f"{i}.parquet", one),
        )
        for i, one in enumerate(tables)
    )
    position = tables[0].num_rows
    return Revision(
        snapshot=Snapshot(
            contract=contract.name,
            contract_version=contract.version,
            batch=batch,
            sha256=hashlib.sha256(path.encode()).hexdigest(),
            rows=sum(part.rows for part in parts),
            parts=parts,
            path=path,
            source="here",
        ),
        accepted=True,
        quarantine=_quarantine(lake, path, position),
        revised_at=None if hour is None else at(hour),
    )


def _quarantine(lake: Path, path: str, position: int) -> str:
    reasons = {position: "bad"}
    digest = hashlib.sha256(f'[[{position}, "bad"]]'.encode()).hexdigest()
    name = f"quarantine/{path}-{digest[:16]}.parquet"
    table = pa.table({"_row": list(reasons), "_reasons": list(reasons.values())})
    _write_parquet(lake / name, table)
    return name


def _write_parquet(file: Path, table: pa.Table) -> str:
    """Not flushed to the disk, as the lake's own are: there are many of them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def expected(
    config: HistoryConfig,
    row: Delivered,
    rows: Sequence[Delivered],
    labels: Sequence[Delivered] | None,
    as_of: datetime = FAR,
) -> Any:
    """What the feature of ``row`` is, row by row, from what had been delivered at its moment."""
    moment = at(row.hour)
    if any(getattr(row, key) is None for key in config.by):
        return None
    of_label = config.column == "returned"
    cut = max(config.gap, LATENESS, DELAY if of_label else timedelta(0))
    found = []
    for one in rows:
        if not one.counts(moment) or any(getattr(one, k) != getattr(row, k) for k in config.by):
            continue
        happened = at(one.hour)
        if happened >= moment - cut:
            continue
        if config.over is not None and happened < moment - cut - config.over:
            continue
        value = True if config.column is None else getattr(one, config.column)
        if of_label:
            value = _label(one, labels, moment, as_of)
        if value is not None:
            found.append((happened, value))
    found.sort(key=lambda pair: pair)
    if config.rows is not None:
        found = found[-config.rows :]
    return _taken(config, [value for _, value in found], found[-1][0] if found else None, moment)


def _label(
    row: Delivered, labels: Sequence[Delivered] | None, moment: datetime, as_of: datetime
) -> bool | None:
    if labels is None:
        return row.returned if at(row.hour) + DELAY <= as_of else None
    told = [
        one
        for one in labels
        if one.id == row.id
        and one.counts(moment)
        and max(at(one.hour) + LABEL_LATENESS, at(one.since or -(10**6))) <= min(moment, as_of)
    ]
    return max(told, key=lambda one: one.hour).returned if told else None


def _taken(config: HistoryConfig, values: list[Any], newest: datetime | None, now: datetime) -> Any:
    function = config.function
    if function == "count":
        return len(values)
    if function == "distinct_count":
        return len(set(values))
    if not values or newest is None:
        return None
    match function:
        case "last":
            return values[-1]
        case "time_since_last":
            return (now - newest) / HOUR
        case "share":
            return sum(value == config.value for value in values) / len(values)
        case "sum":
            return math.fsum(values)
        case "mean":
            return math.fsum(values) / len(values)
        case "std":
            return statistics.stdev(values) if len(values) > 1 else None
    return {"min": min, "max": max}[function](values)


def past_of(
    managed: ManagedModel,
    every: Every,
    rows: Sequence[Delivered],
    labels: Sequence[Delivered] | None = None,
    labels_every: Every = "day",
) -> Past:
    """All of it in the lake, cut into batches."""
    told = () if managed.labels is None else deliver(managed.labels, labels_every, labels or ())
    return Past(as_of=FAR, rows=deliver(managed.rows, every, rows), labels=told)


def one_batch(contract: Contract, rows: Sequence[Delivered]) -> dict[str, pa.Table]:
    """The rows that features are asked for, with what is known at their event time."""
    found = defaultdict(list)
    for row in rows:
        found["even" if row.id % 2 else "odd"].append(row)
    return {id: rows_table(contract, some) for id, some in found.items()}
