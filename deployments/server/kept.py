"""Records by name in a file of a home's that is its owner's alone, changed by one process at a
time.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from deployments.server.home import write_private
from tasks.records import Record

R = TypeVar("R", bound=Record)


class Kept(Generic[R]):
    """The records of one kind; there are none while there is no file."""

    def __init__(self, file: Path, kind: type[R]) -> None:
        self.file = file
        self._form: TypeAdapter[dict[str, R]] = TypeAdapter(dict[str, kind])  # type: ignore[valid-type]  # a class that is given

    def read(self) -> dict[str, R]:
        """Return all of them, by name."""
        try:
            return self._form.validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return {}

    @contextmanager
    def changing(self) -> Iterator[dict[str, R]]:
        """Give them to be changed; they are written when the block ends, and not when it fails."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.file.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            records = self.read()
            yield records
            write_private(self.file, self._form.dump_python(records, mode="json"))
