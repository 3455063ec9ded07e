"""A person's wish that a long flow ends: it does so between two batches, where nothing is half
done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import ClassVar, TypeVar

from tasks.errors import ExitCode, KingmakerError

T = TypeVar("T")

_ASKED = threading.Event()


class StoppedError(KingmakerError):
    """A person ended the command before it was done."""

    exit_code: ClassVar[ExitCode] = ExitCode.STOPPED


def ask_to_stop() -> None:
    """Have the flow that runs in this process end at its next safe point."""
    _ASKED.set()


def until_stopped(batches: Iterable[T]) -> Iterator[T]:
    """Yield each batch; StoppedError before the next one is looked at, when a person has asked for
    it.
    """
    _raise_if_asked()
    for batch in batches:
        yield batch
        _raise_if_asked()


def _raise_if_asked() -> None:
    if _ASKED.is_set():
        _ASKED.clear()
        raise StoppedError(
            "stopped as asked, between two batches; what was done is kept, and the same command"
            " goes on from there"
        )
