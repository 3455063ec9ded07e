"""How a model stands now, as ``kingmaker status`` tells it to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from flows.steps.pending import labels_in_words, listed, waiting_batches
from tasks.ingest.source import SourceError
from tasks.ledger import entries as ledger
from tasks.ledger.fleet import newest_batches
from tasks.ledger.lease import current_holder
from tasks.ledger.superseded import superseded
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.needs import Need, needs
from tasks.records import Estimate, LedgerEntry, Record, Superseded, stream_in_words
from tasks.reports.summary import estimate_in_words, newest_estimate
from tasks.streams import Stream


class Decided(Record):
    """A decision, without its evidence."""

    number: int
    """The ledger's, for ``kingmaker explain``."""
    as_of: datetime
    batch: str
    kind: str
    version: int | None
    reason: str
    decided_by: str
    effective_at: datetime | None
    """None for one that is not carried out yet."""

    @classmethod
    def of(cls, entry: LedgerEntry) -> Decided:
        """Return what an entry of the ledger decides."""
        return cls(
            number=entry.id,
            as_of=entry.as_of,
            batch=entry.batch,
            kind=entry.decision.kind,
            version=entry.version,
            reason=entry.decision.reason,
            decided_by=entry.decided_by,
            effective_at=entry.effective_at,
        )

    def in_lines(self) -> str:
        """Return the decision in two lines for a person."""
        what = self.kind if self.version is None else f"{self.kind} version {self.version}"
        took = "" if self.effective_at else " (not carried out yet)"
        return (
            f"{self.number:>4}  {self.as_of:%Y-%m-%d %H:%M} UTC  batch {self.batch}  {what}{took},"
            f" by {self.decided_by}\n      {self.reason}"
        )


class Waiting(Record):
    """What was delivered, and has not been taken in."""

    batches: tuple[str, ...] = ()
    unreadable: str = ""
    """Why the source cannot be looked at; empty when it can."""

    def __str__(self) -> str:
        """Say it in words; nothing when there is nothing to say."""
        return self.unreadable or listed(self.batches)


class ModelStatus(Record):
    """How a model stands now."""

    model: str
    needs: tuple[Need, ...]
    """What waits for a person, the most pressing first."""
    champion: Decided | None
    """The decision that made the champion what it is."""
    frozen: Decided | None
    last: Decided | None
    estimate: Estimate | None
    """What stands in for the labels of the newest batch."""
    estimate_in_words: str
    waiting: Waiting
    waiting_beside: Mapping[str, Waiting]
    """Of labels from a contract of their own, and of each contract that features are joined from.
    """
    labels: tuple[str, ...]
    """What a person should know of the labels, in sentences."""
    replaced: tuple[Superseded, ...]
    """Revisions of batches that were replaced, and that something rests on."""
    acting: str
    """Who acts for the model now; empty when no run does."""

    def in_lines(self) -> Iterator[str]:
        """Return the status in lines for a person."""
        yield self.model
        yield from (f"  needs     {need}" for need in self.needs)
        if self.champion is None:
            yield "  champion  none yet"
        else:
            yield f"  champion  version {self.champion.version} since batch {self.champion.batch}"
        if self.frozen is not None:
            yield f"  frozen    since batch {self.frozen.batch}: {self.frozen.reason}"
        if self.last is not None:
            yield f"  last      {self.last.batch}: {self.last.kind}: {self.last.reason}"
        if self.estimate_in_words:
            yield f"  estimate  {self.estimate_in_words}"
        yield f"  waiting   {str(self.waiting) or 'nothing'}"
        for stream, waiting in self.waiting_beside.items():
            if unread := str(waiting):
                yield f"  unread    {stream}: {unread}"
        yield from (f"  labels    {line}" for line in self.labels)
        yield from (f"  replaced  {one}" for one in self.replaced)
        if self.acting:
            yield f"  acting    {self.acting}"


def status_of(managed: ManagedModel, engine: Engine, now: datetime) -> ModelStatus:
    """Return how a model stands at ``now``, by its ledger and its sources."""
    known = ledger.history(engine, managed.name)
    changes, frozen = known.champion_changes, known.frozen
    estimated = newest_estimate(list(ledger.known_batches(engine, managed.name).values()))
    newest = newest_batches(engine, 1).get(managed.name, (None,))[-1]
    return ModelStatus(
        model=managed.name,
        needs=tuple(needs(newest, known, managed.spec.approval.within)),
        champion=Decided.of(changes[-1]) if changes else None,
        frozen=None if frozen is None else Decided.of(frozen),
        last=Decided.of(known.entries[-1]) if known else None,
        estimate=None if estimated is None else estimated.estimate,
        estimate_in_words=(
            "" if estimated is None else estimate_in_words(estimated, managed.spec.metric)
        ),
        waiting=_waiting(managed.rows, engine, now),
        waiting_beside={
            stream_in_words(one.name).strip(): _waiting(one, engine, now) for one in managed.beside
        },
        labels=labels_in_words(managed, engine, now),
        replaced=superseded(engine, managed.name),
        acting=current_holder(engine, managed.name),
    )


def _waiting(stream: Stream, engine: Engine, now: datetime) -> Waiting:
    try:
        return Waiting(batches=tuple(one.batch.id for one in waiting_batches(stream, engine, now)))
    except SourceError as error:
        return Waiting(unreadable=str(error))
