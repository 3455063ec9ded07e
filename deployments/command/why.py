"""One row's prediction, in words: what served it, from which values, and which of them moved it
most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import Contract, nearest
from flows.steps.champion import served_version
from tasks.configuration import ConfigurationError
from tasks.errors import MisuseError
from tasks.explanation.reasons import plain, reasons
from tasks.features.beside import add_past
from tasks.features.frame import build_by_spec
from tasks.features.labels import with_labels
from tasks.lake import accepted_parts
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord, KnownLabels, Past, Record, serving_version
from tasks.scoring.delivered import SCORED_AT, VERSION
from tasks.scoring.served import KEY, PREDICTION, PROBABILITY

SHOWN = 3
"""Rows that are named when a key names more than one."""


class NoSuchRowError(MisuseError):
    """No row, or more than one, has a prediction under a key."""


class Reason(Record):
    """A feature, and by how much it moved a prediction."""

    feature: str
    value: float | str | None
    """None: a number that is missing."""
    effect: float


class RowExplained(Record):
    """What was predicted for one row, and why."""

    model: str
    batch: str
    key: tuple[tuple[str, str], ...]
    """Columns and values of the key; sensitive ones are left out."""
    version: int
    adjusted_by: int | None
    """The decision that put weights and recalibration in force."""
    scored_at: datetime
    """When it was served; of a row that was scored with its batch, the moment that the run which
    took the batch in acted at.
    """
    label: str
    """Multiclass: the likeliest class, whose probability ``prediction`` is; else empty."""
    prediction: float | None
    """A probability, or a value of the target; None where the model gave no number."""
    usual: float | None
    """The mean prediction for a sample of the training rows."""
    reasons: tuple[Reason, ...]
    rest: float | None
    """By how much all other features moved it together."""

    def in_lines(self) -> Iterator[str]:
        """Give the lines for a person."""
        row = ", ".join(f"{name}={value}" for name, value in self.key)
        yield f"{self.model} {self.batch}: {row}"
        by = f"version {self.version}"
        if self.adjusted_by is not None:
            by += f" as adjusted by decision {self.adjusted_by}"
        if self.prediction is None or self.usual is None or self.rest is None:
            yield f"  no prediction: {by} gave no number for it"
            return
        of = f" for {self.label}" if self.label else ""
        at = f"{self.scored_at:%Y-%m-%d %H:%M} UTC"
        yield f"  predicted {self.prediction:.4g}{of}, by {by}, at {at}"
        yield f"  {self.usual:>+10.4g}  the mean prediction for its training rows"
        for one in self.reasons:
            value = f"{one.value:.6g}" if isinstance(one.value, float) else one.value or "(missing)"
            yield f"  {one.effect:>+10.4g}  {one.feature} = {value}"
        yield f"  {self.rest:>+10.4g}  all other features"


def explain_row(managed: ManagedModel, engine: Engine, key: Sequence[str], k: int) -> RowExplained:
    """Return what was predicted for the row that ``key`` names, with its ``k`` reasons.

    ``key`` are columns of the contract's key as NAME=VALUE. Raises ConfigurationError when one is
    no such column or its value does not fit, NoSuchRowError when not exactly one row was predicted
    under it, and ReasonsError when the version predicts otherwise from today's features.
    """
    contract, wanted = managed.contract, _parsed(managed, key)
    record, row = predicted_row(managed, engine, wanted)
    version, adjusted_by = serving_version(row[VERSION][0].as_py())
    history = ledger.history(engine, managed.name)
    served = served_version(managed, engine, history, version, adjusted_by)
    columns = [f"{PROBABILITY}{label}" for label in served.trained.classes] or [PREDICTION]
    values = np.array([[row[name][0].as_py() for name in columns]], dtype="float64")
    predicted = values if served.trained.classes else values[:, 0]
    features = _features(managed, engine, record, row)
    found = reasons(served, features, predicted, managed.spec.problem, k)
    known = bool(np.isfinite(predicted).all())
    return RowExplained(
        model=managed.name,
        batch=record.batch.id,
        key=tuple((name, str(row[f"{KEY}{name}"][0].as_py())) for name in _shown_columns(contract)),
        version=version,
        adjusted_by=adjusted_by,
        scored_at=row[SCORED_AT][0].as_py() or record.as_of,
        label="" if found.classes is None or not known else str(found.classes[0]),
        prediction=float(predicted.max()) if known else None,
        usual=float(found.base[0]) if known else None,
        reasons=tuple(
            Reason(feature=str(name), value=plain(value), effect=float(effect))
            for name, value, effect in zip(
                found.features[0], found.inputs[0], found.effects[0], strict=True
            )
        )
        if known
        else (),
        rest=float(found.rest[0]) if known else None,
    )


def predicted_row(
    managed: ManagedModel, engine: Engine, wanted: Sequence[tuple[str, str]]
) -> tuple[BatchRecord, pa.Table]:
    """Return the batch, and the one row of its predictions whose key has the values ``wanted``.

    Raises NoSuchRowError when there is none or more than one.
    """
    found: list[tuple[BatchRecord, pa.Table]] = []
    for record in ledger.known_batches(engine, managed.name).values():
        if record.predictions is None:
            continue
        table = pq.read_table(managed.settings.lake / record.predictions.path)
        rows = _matching(managed, table, wanted)
        found += [(record, rows[i : i + 1]) for i in range(rows.num_rows)]
    if len(found) != 1:
        asked = " ".join(f"{name}={value}" for name, value in wanted)
        rows_told = "; ".join(
            " ".join(
                f"{name}={row[f'{KEY}{name}'][0].as_py()}"
                for name in _shown_columns(managed.contract)
            )
            for _, row in found[:SHOWN]
        )
        raise NoSuchRowError(
            f"{managed.name}: expected one row with a prediction and {asked}, found"
            + (f" {len(found):,}, such as {rows_told}; name more of its key" if found else " none")
        )
    return found[0]


def _parsed(managed: ManagedModel, key: Sequence[str]) -> list[tuple[str, str]]:
    """The columns and values of ``key``, each a column of the key and once."""
    columns, parsed = _key_columns(managed.contract), dict[str, str]()
    for word in key:
        name, equals, value = word.partition("=")
        if not equals or name not in columns or name in parsed:
            raise ConfigurationError(
                managed.contract.file,
                "why",
                f"NAME=VALUE with a name of {', '.join(columns)}, each at most once",
                f"{word!r}{nearest(name, columns)}",
            )
        parsed[name] = value
    return list(parsed.items())


def _key_columns(contract: Contract) -> list[str]:
    """Event time and key, as predictions have them."""
    return list(dict.fromkeys([contract.event_time, *contract.key]))


def _shown_columns(contract: Contract) -> list[str]:
    return [name for name in _key_columns(contract) if not contract.column(name).sensitive]


def _where(table: pa.Table, values: Sequence[tuple[str, pa.Scalar]]) -> pa.Table:
    """Return the rows whose columns have these values."""
    mask = pa.array(np.ones(table.num_rows, dtype=bool))
    for name, value in values:
        mask = pc.and_(mask, pc.fill_null(pc.equal(table[name], value), fill_value=False))
    return table.filter(mask)


def _matching(
    managed: ManagedModel, table: pa.Table, wanted: Sequence[tuple[str, str]]
) -> pa.Table:
    """Return the rows that have these values, as they were typed."""
    values = []
    for name, text in wanted:
        kind = table[f"{KEY}{name}"].type
        try:
            values.append((f"{KEY}{name}", pa.scalar(text).cast(kind)))
        except pa.ArrowInvalid as error:
            raise ConfigurationError(
                managed.contract.file, f"why {name}", f"a value of type {kind}", repr(text)
            ) from error
    return _where(table, values)


def _features(
    managed: ManagedModel, engine: Engine, record: BatchRecord, row: pa.Table
) -> pd.DataFrame:
    """Return the features of the one row of the batch, made as they were for its prediction."""
    of_labels = (
        {} if managed.labels is None else ledger.known_batches(engine, managed.name, "labels")
    )
    known = KnownLabels(batches=tuple(of_labels.values()), as_of=record.as_of)
    parts, lake = list[pa.Table](), managed.settings.lake
    columns = managed.contract.column_names
    for part in accepted_parts(lake, record.snapshot, record.verdict, columns):
        key = [
            (name, row[f"{KEY}{name}"][0].cast(part[name].type))
            for name in _key_columns(managed.contract)
        ]
        parts.append(_where(part, key))
    rows = with_labels(managed, [record], {record.batch.id: pa.concat_tables(parts)}, known)
    past = Past(record.as_of)
    if managed.spec.features.of_past:
        past = ledger.past(engine, managed.name, record.as_of, managed.joined)
    tables = add_past(managed, rows, past)
    return build_by_spec(managed, tables, {record.batch.id: record.snapshot.sha256}).features
