"""Programs under supervision: started, started again within bounds when they die, and ended with
all that they started.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.errors import KingmakerError
from tasks.processes import start_module

MARK, PART = "KINGMAKER_UP", "KINGMAKER_UP_PART"
"""Variables in the environment of all that we start, and of all that it starts: a home's programs,
and one of them, are found by them.
"""
_END_SECONDS = 20
"""The longest that a program may take to end before it is killed."""


class NotReadyError(KingmakerError):
    """A program did not begin, or died too often; the message names its log."""


@dataclass
class Program:
    """One program of a home: a module in an interpreter of its own."""

    name: str
    module: str
    arguments: list[str]
    environment: Mapping[str, str]
    """All of its variables; secrets go here, never by the arguments."""
    home: Path
    """Absolute; its working directory, where uvicorn looks for modules by itself."""
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=deque)

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.home / "logs" / f"{self.name}.log"

    def start(self) -> None:
        """Start it, away from our terminal, so that Ctrl-C reaches us alone and we end things in
        order.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = start_module(
                self.module,
                *self.arguments,
                directory=self.home,
                environment={**self.environment, MARK: str(self.home), PART: self.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def died(self) -> int | None:
        """How it ended, if it did."""
        return None if self.process is None else self.process.poll()

    def how_it_ended(self) -> str:
        """Return its exit code and its last words, for a message."""
        words = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        return f"code {self.died}; its last words, from {self.log}:\n" + "\n".join(words)


def supervise(
    programs: list[Program],
    stop: threading.Event,
    say: Callable[[str], None],
    *,
    most_deaths: int = 5,
    within_seconds: float = 600,
) -> None:
    """Start again what died, until ``stop`` is set.

    Raises NotReadyError when a program died more than ``most_deaths`` times ``within_seconds``.
    """
    while not stop.wait(0.5):
        for program in programs:
            if program.died is None:
                continue
            now = time.monotonic()
            program.deaths.append(now)
            while program.deaths[0] < now - within_seconds:
                program.deaths.popleft()
            if len(program.deaths) > most_deaths:
                raise NotReadyError(
                    f"{program.name}: died {len(program.deaths)} times within"
                    f" {within_seconds / 60:g} minutes, the last time with"
                    f" {program.how_it_ended()}"
                )
            say(
                f"{program.name} died with code {program.died}; it is started again ({program.log})"
            )
            # What a server leaves holds its port; what a worker leaves are runs.
            if program.name != "worker":
                end(started_in(program.home, program.name))
            if stop.wait(2 ** (len(program.deaths) - 1) - 1):
                return
            program.start()


def started_in(home: Path, part: str | None = None) -> list[psutil.Process]:
    """Return every process that descends from a program of this home, however far: of one part, or
    of all.
    """
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # another user's, or gone
        if environment.get(MARK) == str(home) and part in (None, environment.get(PART)):
            found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """Ask each to end, wait, and kill what has not."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=_END_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
