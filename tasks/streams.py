"""Streams: the rows of a model, their labels, or what is joined to them, as batches under one
contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from data_contracts.contract import Contract
from tasks.batches import Batch, Every, batch_named, batch_of
from tasks.records import StreamName, stream_in_words
from tasks.settings import Settings
from tasks.validation.config import ValidationConfig


@dataclass(frozen=True)
class Stream:
    """What ingest and validation take: one contract, how its event time is cut, and where things
    live.
    """

    model: str
    name: StreamName
    contract: Contract
    every: Every
    settings: Settings
    sha256: str
    """Digest of the spec file and the contract file."""
    validation: ValidationConfig

    def __str__(self) -> str:
        return f"{self.model} {stream_in_words(self.name)}".rstrip()

    def batch(self, id: str) -> Batch:
        """Return the batch called ``id``; BatchNameError when the stream has no such batches."""
        return batch_named(id, self.every, self.contract.timezone)

    def batch_of(self, moment: datetime) -> Batch:
        """Return the batch in which the aware ``moment`` lies."""
        return batch_of(moment, self.every, self.contract.timezone)

    def closed(self, batch: Batch, as_of: datetime) -> bool:
        """Whether ``batch`` has ended and its lateness is over at ``as_of``."""
        return batch.end + self.contract.lateness <= as_of
