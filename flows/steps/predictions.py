"""Predictions that a person asks for at the command line: of a file now, or of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from flows.steps.delivery import deliver
from flows.steps.open_rows import RowsRefusedError, checked_rows, past_of_rows
from flows.steps.serving import champion_to_score_by, margins_of, scored, write_down
from tasks.errors import MisuseError
from tasks.ingest.open_rows import rows_of_file
from tasks.lake import scratch_directory
from tasks.ledger import entries as ledger
from tasks.ledger.served import served_parts
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel
from tasks.records import served_by
from tasks.scoring.config import ScoringConfig
from tasks.scoring.current import write_newest
from tasks.scoring.delivered import SCORED_AT, VERSION, as_delivered, delivered_rows
from tasks.scoring.predictions import read_predictions, without_prediction
from tasks.scoring.served import ServedBefore, served_table
from tasks.scoring.writing import table_writer


class NoKeyError(MisuseError):
    """The contract has no primary key by which a served row could be known again."""


@dataclass(frozen=True)
class FileScored:
    """What became of the rows of a file."""

    rows: int
    broken: dict[int, str]
    """Position of a row that was not scored -> the rules that it breaks."""
    unknown: tuple[str, ...]
    """Which rows the champion gave no number for, in sentences."""
    served_by: str
    recorded: int
    warned: str = ""
    """What of the contract's warnings the rows break, by rule."""
    away: tuple[str, ...] = ()
    """What is to be said of sinks that could not be delivered to."""


def score_file(
    managed: ManagedModel,
    file: Path,
    name: str,
    target: Path | BinaryIO,
    as_of: datetime,
    *,
    record: bool = False,
    explain: int = 0,
) -> FileScored:
    """Score the rows of a file, in their order, and write to ``target`` their predictions, each
    with the ``explain`` features that moved it most.

    Nothing is written to the ledger and nothing delivered, unless they are to be recorded. Raises
    NoChampionError, ChampionUnusableError, UnreadableError and RowsRefusedError, before anything is
    written, and ReasonsError.
    """
    if record and not managed.contract.key:
        raise NoKeyError(
            f"{managed.name}: expected a primary key in contract {managed.contract.name}, to know"
            " a row that was scored again, found none; without --record it is scored all the same"
        )
    engine = open_ledger(managed.settings.ledger_url)
    champion = champion_to_score_by(managed, engine)
    rows = rows_of_file(file, managed.contract, name)
    config = managed.spec.scoring or ScoringConfig()
    served_name = served_by(champion.trained.version, champion.adjusted_by)
    given = {
        VERSION: pa.scalar(served_name),
        SCORED_AT: pa.scalar(as_of, pa.timestamp("us", tz="UTC")),
    }
    recorded, unknown = 0, list[str]()
    earlier = ServedBefore(managed.settings.lake, managed.contract)
    with (
        checked_rows(managed, rows) as checked,
        past_of_rows(managed, engine, as_of, checked) as past,
        table_writer(target) as write,
    ):
        margins = margins_of(managed, engine, champion)
        for part in scored(managed, champion, checked, past, explain, margins):
            table = served_table(part, managed.contract, config.include)
            missing = without_prediction(
                managed.contract, champion, part.frame, part.predicted, managed.spec.problem
            )
            unknown += [missing] if missing else []
            write(as_delivered(table, managed.contract, config.include, config.threshold, given))
            if record:
                written = write_down(managed, engine, part, as_of, rows.where, earlier)
                recorded += sum(one.rows for one in written)
        number = checked.verdict.rows if checked.verdict is not None else 0
        if number == len(checked.broken):
            found = "no rows" if not number else f"none of {number:,} that keeps the contract"
            raise RowsRefusedError(
                f"{rows.where}: expected rows to score, found {found}"
                + (f"; {checked.verdict.reason}" if checked.verdict and number else "")
            )
        broken, warned = checked.broken, checked.warned
    away = tuple(str(error) for error in deliver(managed, engine)) if record else ()
    return FileScored(number, broken, tuple(unknown), served_name, recorded, warned, away)


def write_predictions_of(managed: ManagedModel, batch: str, target: Path | BinaryIO) -> int:
    """Write the predictions of a batch to ``target``, and return how many there are: of a closed
    batch those that are judged, of an open one the newest that were served.
    """
    engine, lake = open_ledger(managed.settings.ledger_url), managed.settings.lake
    config = managed.spec.scoring or ScoringConfig()
    known = ledger.known_batches(engine, managed.name).get(batch)
    if known is not None and known.predictions is not None:
        with table_writer(target) as write:
            for table in read_predictions(lake, known.predictions, managed.contract, config):
                write(table)
        return known.predictions.rows
    parts = served_parts(engine, managed.name, batch)
    if not parts:
        return 0
    rows = 0
    with scratch_directory(lake, "predictions") as scratch, table_writer(target) as write:
        newest = scratch / "newest.parquet"
        tables = (delivered_rows(lake, part, managed.contract, config) for part in parts)
        write_newest(newest, tables, managed.contract, lake)
        for piece in pq.ParquetFile(newest).iter_batches():
            write(pa.Table.from_batches([piece]))
            rows += piece.num_rows
    return rows
