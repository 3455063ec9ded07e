"""Every model that a policy asks for, trained once; what it says of later rows is stored, so that a
replay takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from flows.whatif.stream import Stream
from tasks.errors import KingmakerError
from tasks.prediction import align

UNUSED = 90
"""Days after which stored predictions that no replay asked for are removed."""


class OutOfTimeError(KingmakerError):
    """The trainings that are missing take longer than was allowed."""


class CannotTrainError(KingmakerError):
    """The rows train no model: labels of one class, or an estimator that fails."""


@dataclass
class Made:
    """What a model says of rows that it has not seen."""

    start: int
    """The row of the stream that ``predictions`` begins with: all rows before it were there to
    train on.
    """
    predictions: np.ndarray
    """(rows from ``start`` on,) or (rows, classes) float64."""
    seconds: float
    """CPU seconds of the training, by one thread."""
    again: Callable[[], Made] | None = field(default=None, repr=False, compare=False)
    """Trains it once more, and lets it predict all rows: those of newer batches were not there when
    its predictions were stored.
    """

    def of(self, rows: slice) -> np.ndarray:
        """Return the predictions for ``rows``; ValueError when one of them was there to train
        on.
        """
        if rows.start < self.start:
            raise ValueError(
                f"expected rows from {self.start} on, found {rows.start}: the model has seen them"
            )
        if rows.stop - self.start > len(self.predictions) and self.again is not None:
            self.predictions, self.again = self.again().predictions, None
        return self.predictions[rows.start - self.start : rows.stop - self.start]


@dataclass
class Bill:
    """The time for trainings that are missing, and what was trained of them."""

    left: float
    """Seconds; training begins as long as some are left."""
    trained: int = 0
    say: Callable[[str], None] = lambda _: None

    def may(self, what: str) -> None:
        """Begin a training, or raise OutOfTimeError."""
        if self.left <= 0:
            raise OutOfTimeError(
                f"no time is left to train {what}; what was trained is kept, and the same command"
                " goes on from there"
            )
        self.say(f"training {what}")

    def spent(self, seconds: float) -> None:
        """Count a training."""
        self.left -= seconds
        self.trained += 1


class Models(ABC):
    """The models of one recipe on one stream, their predictions kept in a folder."""

    def __init__(self, stream: Stream, folder: Path, bill: Bill | None = None) -> None:
        self.stream, self.folder = stream, folder
        self.bill = Bill(float("inf")) if bill is None else bill
        self._made: dict[tuple[int, int | None, bool, float], Made] = {}

    @property
    @abstractmethod
    def digest(self) -> str:
        """Digest of how a model is made, whatever it is made of."""

    @abstractmethod
    def fit(self, rows: slice) -> Callable[[slice], tuple[np.ndarray, tuple[str, ...]]]:
        """Fit a model on rows of the stream; return what predicts others, with the classes that it
        knows.
        """

    def training_rows(self, batch: int, last: int | None) -> slice:
        """Return the rows of the ``last`` batches, or of all, whose newest is ``batch``."""
        return self.stream.rows(0 if last is None else max(0, batch + 1 - last), batch)

    def can_train(self, rows: slice) -> bool:
        """Whether rows have the two classes that a classifier takes."""
        if self.stream.objective.problem == "regression":
            return bool(rows.stop > rows.start)
        return len(np.unique(self.stream.target[rows])) > 1

    def get(self, batch: int, last: int | None, held_out: bool, share: float = 0.2) -> Made:
        """Return the model that is trained when ``batch`` is the newest: on all rows of the
        ``last`` batches, or all before its holdout. Raises CannotTrainError, OutOfTimeError.
        """
        key = (batch, last, held_out, share)
        if key not in self._made:
            self._made[key] = self._stored(*key)
        return self._made[key]

    def _stored(self, batch: int, last: int | None, held_out: bool, share: float) -> Made:
        stream, rows = self.stream, self.training_rows(batch, last)
        if held_out:
            rows = slice(rows.start, stream.holdout(batch, share).start)
        first = int(np.searchsorted(stream.starts, rows.start))
        seen, told = stream.contents[first : batch + 1], stream.contents[batch:]
        text = "\n".join([self.digest, str(rows.stop - rows.start), *seen])
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        file = self.folder / f"{stream.batches[batch]}-{'held' if held_out else 'full'}-{key}.npz"

        def make() -> Made:
            made = self._train(rows, f"as of {stream.batches[batch]}")
            _store(file, made, told)
            return made

        if not file.exists():
            return make()
        with np.load(file, allow_pickle=False) as stored:
            old = tuple(stored["told"].tolist())
            if old != told[: len(old)]:
                return make()
            os.utime(file)  # it was asked for now
            again = None if old == told else make
            return Made(rows.stop, stored["predictions"], float(stored["seconds"]), again)

    def _train(self, rows: slice, when: str) -> Made:
        if not self.can_train(rows):
            raise CannotTrainError(f"{when}: the rows have labels of one class only")
        self.bill.may(f"{when} on {rows.stop - rows.start:,} rows")
        began = time.monotonic()
        with threadpool_limits(1):  # threads that wait for each other would be counted as CPU
            start = time.process_time()
            predict = self.fit(rows)
            seconds = time.process_time() - start
            told, known = predict(slice(rows.stop, len(self.stream.target)))
        self.bill.spent(time.monotonic() - began)
        classes = self.stream.objective.classes
        return Made(rows.stop, align(told, known, classes) if classes else told, seconds)


def _store(file: Path, made: Made, told: tuple[str, ...]) -> None:
    """Keep what a model says of the rows of batches with the contents ``told``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(whole, predictions=made.predictions, seconds=made.seconds, told=np.array(told))
    whole.replace(file)  # a training that was cut off leaves no half file behind


def remove_unused(folder: Path, now: float, days: int = UNUSED) -> None:
    """Remove stored predictions that no replay has asked for in so many days before ``now``, in
    seconds since 1970.
    """
    for file in folder.glob("*.npz"):
        if now - file.stat().st_mtime > days * 86_400:
            file.unlink(missing_ok=True)
