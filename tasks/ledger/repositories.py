"""What the holder of a model's lease reads from the ledger and writes to it.

Each repository reads once and keeps what it has read: only the holder of the lease writes about the
model, and each write is refused when the lease has passed to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlalchemy import Engine

from tasks.history import History
from tasks.ledger import entries
from tasks.ledger.lease import Lease
from tasks.ledger.served import served_parts
from tasks.records import (
    AnyEvidence,
    BatchRecord,
    Cohort,
    Decision,
    LedgerEntry,
    Revision,
    Rule,
    ServedPart,
    StreamName,
    TrainedModel,
)


class Batches:
    """The newest revisions of a stream's batches."""

    def __init__(self, engine: Engine, held: Lease, stream: StreamName) -> None:
        self._engine, self._held, self._stream = engine, held, stream

    @property
    def known(self) -> Mapping[str, BatchRecord]:
        """Batch id -> newest revision, in the order of the ids."""
        return self._known

    @property
    def finished(self) -> Mapping[str, str]:
        """Batch id -> fingerprint of the source, of those that were monitored to their end."""
        return {id: one.fingerprint for id, one in self._known.items() if one.completed}

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """What of each batch says whether its labels may be used, in the order of the ids."""
        return tuple(record.cohort for record in self._known.values())

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """Every content that the batches have had, batch by batch, in the order of the revisions;
        only models whose features look back ask for it.
        """
        return tuple(self._revisions.values())

    def write(self, record: BatchRecord) -> BatchRecord:
        """Write a batch down, and return it with its revision."""
        written = entries.record_batch(self._engine, self._held, record)
        self._known = dict(sorted({**self._known, written.batch.id: written}.items()))
        if "_revisions" in self.__dict__:  # they were read
            place = (written.batch.id, written.revision)
            self._revisions = dict(sorted({**self._revisions, place: written.content}.items()))
        return written

    @cached_property
    def _known(self) -> Mapping[str, BatchRecord]:
        return entries.known_batches(self._engine, self._held.model, self._stream)

    @cached_property
    def _revisions(self) -> Mapping[tuple[str, int], Revision]:
        return entries.revisions(self._engine, self._held.model, self._stream)


class Served:
    """What was predicted for open rows of a model; runs without the lease add to it."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine, self._model = engine, model

    def of(self, batch: str) -> tuple[ServedPart, ...]:
        """Return the parts of a batch that there are by now, in their order."""
        return served_parts(self._engine, self._model, batch)


@dataclass(frozen=True)
class NewDecision:
    """A decision that is not in the ledger yet."""

    batch: str
    decision: Decision
    evidence: AnyEvidence
    rule: Rule | None = None
    training: TrainedModel | None = None
    """The training that it judges, which the ledger knows from this decision on."""
    decided_by: str = "kingmaker"


class Decisions:
    """The model's history."""

    def __init__(self, engine: Engine, held: Lease) -> None:
        self._engine, self._held = engine, held

    @property
    def history(self) -> History:
        """Every decision about the model."""
        return self._history

    def write(self, new: NewDecision, as_of: datetime, flow_run: str) -> LedgerEntry:
        """Write a decision down, and return its entry."""
        return self._keep(
            entries.record_decision(
                self._engine,
                self._held,
                new.batch,
                new.decision,
                new.evidence,
                rule=new.rule,
                as_of=as_of,
                flow_run=flow_run,
                decided_by=new.decided_by,
                training=new.training,
            )
        )

    def mark_effective(self, entry: LedgerEntry) -> LedgerEntry:
        """Say that a journalled decision has taken effect, and return the entry."""
        return self._keep(entries.mark_effective(self._engine, self._held, entry))

    def _keep(self, entry: LedgerEntry) -> LedgerEntry:
        self._history = self._history.including(entry)
        return entry

    @cached_property
    def _history(self) -> History:
        return entries.history(self._engine, self._held.model)


class Trainings:
    """The registered versions of the model."""

    def __init__(self, engine: Engine, held: Lease) -> None:
        self._engine, self._model = engine, held.model
        self._read: dict[int, TrainedModel] = {}

    def version(self, version: int) -> TrainedModel:
        """Return what the ledger knows of a version; KeyError when it knows nothing."""
        if version not in self._read:
            self._read[version] = entries.training(self._engine, self._model, version)
        return self._read[version]

    def batches(self) -> tuple[str, ...]:
        """Return the batches at which versions were trained, oldest first, each once."""
        return entries.training_batches(self._engine, self._model)

    def contract_text(self, version: str) -> str:
        """Return the text of a version of the contract, as the newest training under it kept it;
        empty when nothing was trained under it.
        """
        return entries.contract_texts(self._engine, self._model).get(version, "")
