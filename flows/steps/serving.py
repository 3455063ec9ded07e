"""Rows whose outcome is not known yet: read, checked, scored by the champion, written down.

Nothing here needs a lease: the champion is read, and what is written down is only added to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.diff import broken_promises
from data_contracts.open_rows import open_contract
from flows.steps.champion import in_force
from tasks.errors import KingmakerError, MisuseError, RefusedError
from tasks.features.task import open_features
from tasks.ingest.open_rows import write_open_rows
from tasks.ingest.rows import Rows
from tasks.lake import read_reasons, scratch_directory, write_whole
from tasks.ledger.served import PartTakenError, record_served, served_parts
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import FeatureFrame, LoadedModel, ServedPart, Verdict
from tasks.scoring.served import (
    ScoredRows,
    newest_served,
    newly_served,
    served_table,
    write_part,
)
from tasks.validation.task import validate_open

Reasons = Callable[[LoadedModel, FeatureFrame, int], Sequence[str]]
"""What explains predictions: the champion, a frame and how many features to name -> one JSON text a
row, a list of {feature, value, contribution}.
"""


class NoChampionError(MisuseError):
    """There is no champion yet to score by."""


class ChampionUnusableError(KingmakerError):
    """The contract has changed so that the champion cannot be used."""


class RowsRefusedError(RefusedError):
    """Rows that are to be scored lack what the contract says of all of them."""


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
    trained = champion.trained
    if changes := broken_promises(trained.contract_text, managed.contract):
        raise ChampionUnusableError(
            f"{managed.name}: version {trained.version} was trained under {managed.contract.name}"
            f" {trained.contract_version}, and {managed.contract.version} breaks it:"
            f" {'; '.join(map(str, changes))}; put the contract back, or train under the new one"
            f" with 'kingmaker retrain {managed.name}'"
        )
    return champion


@dataclass(frozen=True)
class CheckedRows:
    """Rows to be scored, with what the contract says of them."""

    directory: Path
    parts: tuple[Path, ...]
    verdict: Verdict | None
    """None when there are no rows."""
    broken: dict[int, str]
    """Position of a row, from 0 in the order in which it was read -> the rules that it breaks."""

    @property
    def quarantine(self) -> Path | None:
        """The rows that break a rule, with their positions and reasons; None when none does."""
        if self.verdict is None or self.verdict.quarantine is None:
            return None
        return self.directory / self.verdict.quarantine


@contextmanager
def checked_rows(
    managed: ManagedModel, rows: Rows, before: datetime | None = None
) -> Iterator[CheckedRows]:
    """Give the rows, read and checked, in a directory that is gone when the block ends.

    Raises RowsRefusedError when a column is missing or of another type than the contract says, and
    SourceError when the rows cannot be read.
    """
    contract = open_contract(managed.contract, managed.spec.target)
    with scratch_directory(managed.settings.lake, "score") as directory:
        opened = write_open_rows(directory, rows, contract, before=before)
        if opened.snapshot is None:
            yield CheckedRows(directory, (), None, {})
            return
        verdict = validate_open(contract, directory, opened.snapshot)
        if verdict.refused:
            raise RowsRefusedError(f"{rows.where}: {verdict.reason}; nothing was scored")
        broken = read_reasons(directory, verdict.quarantine) if verdict.quarantine else {}
        parts = tuple(directory / part.file for part in opened.snapshot.parts)
        yield CheckedRows(directory, parts, verdict, broken)


def scored(
    managed: ManagedModel,
    champion: LoadedModel,
    checked: CheckedRows,
    reasons: Reasons | None = None,
    k: int = 0,
) -> Iterator[ScoredRows]:
    """Give the sound rows with the champion's predictions, part by part, in their order."""
    names = open_contract(managed.contract, managed.spec.target).column_names
    start = 0
    for part in checked.parts:
        table = pq.ParquetFile(part).read().select(list(names))
        keep = np.ones(table.num_rows, dtype=bool)
        keep[[p - start for p in checked.broken if start <= p < start + table.num_rows]] = False
        start += table.num_rows
        sound = table if keep.all() else table.filter(pa.array(keep))
        if not sound.num_rows:
            continue
        frame = open_features(managed, sound)
        yield ScoredRows(
            rows=sound,
            frame=frame,
            predicted=predict_frame(champion, frame, managed.spec.problem),
            champion=champion,
            reasons=reasons(champion, frame, k) if reasons is not None and k else None,
        )


def write_down(
    managed: ManagedModel, engine: Engine, part: ScoredRows, as_of: datetime, source: str
) -> tuple[ServedPart, ...]:
    """Write down what the rows were told, those of each batch as a part of its own; what was
    written down before is not written down again.
    """
    found = []
    moments = part.frame.event_time
    first = managed.rows.batch_of(moments.min().to_pydatetime())
    last = moments.max()
    batch = first
    while batch.start <= last:
        mask = ((moments >= batch.start) & (moments < batch.end)).to_numpy()
        if mask.any():
            written = _record(managed, engine, part.where(mask), batch.id, as_of, source)
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
) -> ServedPart | None:
    contract, lake = managed.contract, managed.settings.lake
    include = () if managed.spec.scoring is None else managed.spec.scoring.include
    while True:
        there = served_parts(engine, managed.name, batch)
        known = newest_served(lake, there, contract)
        fresh = newly_served(rows, contract, known, as_of)
        if not fresh.any():
            return None
        table = served_table(rows.where(fresh), contract, include)
        written = write_part(lake, table, rows, batch, as_of, source)
        try:
            return record_served(engine, written, len(there) + 1)
        except PartTakenError:
            continue  # another run scores the same batch: look again at what is there by now


def keep_quarantine(managed: ManagedModel, checked: CheckedRows, batch: str) -> None:
    """Keep the rows of an open batch that break a rule, in place of those of the look before."""
    if checked.quarantine is not None:
        path = Path("quarantine") / managed.contract.name / batch / "open.parquet"
        write_whole(managed.settings.lake / path, checked.quarantine.read_bytes())
