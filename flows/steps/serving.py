"""Rows whose outcome is not known yet: read, checked, scored by the champion, written down.

Nothing here needs a lease: the champion is read, and what is written down is only added to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from prefect import get_run_logger

from data_contracts.open_rows import open_contract
from flows.steps.champion import in_force
from flows.steps.models import unusable
from flows.steps.open_rows import CheckedRows, checked_rows, past_of_open_rows
from tasks.batches import Batch
from tasks.errors import KingmakerError, MisuseError
from tasks.evaluation.margins import interval_margins
from tasks.explanation.reasons import in_json, reasons
from tasks.features.task import open_features
from tasks.ingest.open_rows import rows_of_batch
from tasks.lake import write_whole
from tasks.ledger import entries as ledger
from tasks.ledger.served import PartTakenError, record_served, served_parts
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import LoadedModel, Past, ServedPart
from tasks.scoring.predictions import without_prediction
from tasks.scoring.served import (
    ScoredRows,
    ServedBefore,
    newly_served,
    served_table,
    write_part,
)

ERRORS, ERROR_ROWS = 6, 200
"""Mature batches whose errors make an interval, and rows below which those of the rows held out in
training are taken besides.
"""


class NoChampionError(MisuseError):
    """There is no champion yet to score by."""


class ChampionUnusableError(KingmakerError):
    """The contract has changed so that the champion cannot be used."""


def champion_to_score_by(managed: ManagedModel, engine: Engine) -> LoadedModel:
    """Return the champion, verified, with the weights and the recalibration in force.

    Raises NoChampionError when there is none, and ChampionUnusableError when the contract is
    another than the one that it was trained under.
    """
    champion = in_force(managed, engine)
    if champion is None:
        raise NoChampionError(
            f"{managed.name}: expected a champion to score by, found none yet; 'kingmaker run"
            f" {managed.name}' trains the first"
        )
    if broken := unusable(champion, managed.contract):
        raise ChampionUnusableError(
            f"{managed.name}: {broken}; put the contract back, or train under the new one with"
            f" 'kingmaker retrain {managed.name}'"
        )
    return champion


def serve_open_batch(
    managed: ManagedModel,
    engine: Engine,
    champion: LoadedModel,
    batch: Batch,
    as_of: datetime,
    before: datetime | None,
) -> tuple[ServedPart, ...]:
    """Score what there is of an open batch, and write down what is new; rows that break a rule are
    kept in quarantine.

    Raises SourceError when the rows cannot be read, RowsRefusedError when all are refused, and
    ReasonsError.
    """
    assert managed.spec.scoring is not None  # noqa: S101 - the flow has looked
    name = f"{managed.name} {batch.id}"
    rows, found = rows_of_batch(managed.open_rows, batch), list[ServedPart]()
    earlier = ServedBefore(managed.settings.lake, managed.contract)
    with (
        checked_rows(managed, rows, before) as checked,
        past_of_open_rows(managed, engine, as_of, batch.start, batch.end, before) as past,
    ):
        if checked.verdict is not None and (checked.broken or checked.warned):
            get_run_logger().warning("%s: open rows: %s", name, checked.verdict.reason)
        keep_quarantine(managed, checked, batch.id)
        explain, margins = managed.spec.scoring.explain, margins_of(managed, engine, champion)
        for part in scored(managed, champion, checked, past, explain, margins):
            unknown = without_prediction(
                managed.contract, champion, part.frame, part.predicted, managed.spec.problem
            )
            if unknown:
                get_run_logger().warning("%s: %s", name, unknown)
            found += write_down(managed, engine, part, as_of, rows.where, earlier)
    return tuple(found)


def scored(
    managed: ManagedModel,
    champion: LoadedModel,
    checked: CheckedRows,
    past: Past,
    explain: int = 0,
    margins: tuple[float, float] | None = None,
) -> Iterator[ScoredRows]:
    """Give the sound rows with the champion's predictions, part by part, in their order; each with
    the ``explain`` features that moved it most, and with an interval where ``margins`` are given.
    ``past`` is what features look back on.

    Raises ReasonsError when reasons do not add up to a prediction.
    """
    problem = managed.spec.problem
    names = open_contract(managed.contract, managed.spec.target).column_names
    for rows in checked.sound():
        sound = rows.select(list(names))
        frame = open_features(managed, sound, past)
        predicted = predict_frame(champion, frame, problem)
        why = reasons(champion, frame.features, predicted, problem, explain) if explain else None
        told = None if why is None else in_json(why)
        yield ScoredRows(sound, frame, predicted, champion, told, margins)


def margins_of(
    managed: ManagedModel, engine: Engine, champion: LoadedModel
) -> tuple[float, float] | None:
    """Return the margins of the interval that the spec asks for, NaN while the champion's errors
    are of too few rows; None when it asks for none.

    They are those of its newest mature batches, and of the rows held out when it was made where
    these have too few rows.
    """
    config, trained = managed.spec.scoring, champion.trained
    if config is None or config.interval is None:
        return None
    known = ledger.newest_errors(engine, managed.name, trained.version, ERRORS)
    if sum(one.rows for one in known) < ERROR_ROWS and trained.behaviour.errors is not None:
        known = (*known, trained.behaviour.errors)
    return interval_margins(known, config.interval) or (math.nan, math.nan)


def write_down(
    managed: ManagedModel,
    engine: Engine,
    part: ScoredRows,
    as_of: datetime,
    source: str,
    earlier: ServedBefore,
) -> tuple[ServedPart, ...]:
    """Write down what was predicted, for the rows of each batch as a part of its own; what was
    written down ``earlier`` is not written down again.
    """
    found = []
    moments = part.frame.event_time
    first = managed.rows.batch_of(moments.min().to_pydatetime())
    last = moments.max()
    batch = first
    while batch.start <= last:
        mask = ((moments >= batch.start) & (moments < batch.end)).to_numpy()
        if mask.any():
            written = _record(managed, engine, part.where(mask), batch.id, as_of, source, earlier)
            found += [] if written is None else [written]
        batch = managed.rows.batch_of(batch.end)
    return tuple(found)


def _record(
    managed: ManagedModel,
    engine: Engine,
    rows: ScoredRows,
    batch: str,
    as_of: datetime,
    source: str,
    earlier: ServedBefore,
) -> ServedPart | None:
    contract, lake = managed.contract, managed.settings.lake
    include = () if managed.spec.scoring is None else managed.spec.scoring.include
    while True:
        there = served_parts(engine, managed.name, batch)
        fresh = newly_served(rows, contract, earlier.newest(batch, there, rows.rows), as_of)
        if not fresh.any():
            return None
        table = served_table(rows.where(fresh), contract, include)
        written = write_part(lake, table, rows, batch, as_of, source)
        try:
            recorded = record_served(engine, written, len(there) + 1)
        except PartTakenError:
            continue  # another run scores the same batch: look again at what is there by now
        earlier.wrote(recorded)
        return recorded


def keep_quarantine(managed: ManagedModel, checked: CheckedRows, batch: str) -> None:
    """Keep the rows of an open batch that break a rule, in place of those of the look before."""
    path = managed.settings.lake / "quarantine" / managed.contract.name / batch / "open.parquet"
    if checked.quarantine is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, checked.quarantine.read_bytes())
