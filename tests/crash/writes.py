"""Every write that a run makes, found by watching the process and not by a list; and death before
any one of them.

What is watched: each file below the home that is opened for writing, renamed or removed, each
directory made or removed (Python's own audit events), each commit of a database that has something
to commit, and each request that may change a server. After a write is before the next one: nothing
on the disk changes in between.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
_OURS = tuple(f"{REPOSITORY / name}{os.sep}" for name in ("tasks", "flows"))
_NOT_KEPT = ("prefect", "cache", "logs")
"""What lies below the home and carries no promise."""
_PATH_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


class Writes:
    """Notes every write of this process below ``home``, and stops it before the first that is, or
    begins as, ``fatal``.
    """

    def __init__(
        self,
        home: Path,
        fatal: str | None,
        stop: signal.Signals = signal.SIGKILL,
        *,
        prefix: bool = False,
    ) -> None:
        self.home, self.fatal, self.stop, self.prefix = f"{home}{os.sep}", fatal, stop, prefix
        self.seen: list[str] = []
        self._busy = False

    def install(self) -> None:
        """Watch from now on; there is no way back, so call it in a process of its own."""
        import requests
        from sqlalchemy.engine.default import DefaultDialect

        sys.addaudithook(self._audit)
        commit, send = DefaultDialect.do_commit, requests.Session.send

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            if getattr(
                connection.dbapi_connection, "in_transaction", True
            ):  # only SQLite knows before it commits
                self.before("commit")
            commit(dialect, connection)

        def request(
            session: requests.Session, asked: requests.PreparedRequest, **how: Any
        ) -> requests.Response:
            if asked.method != "GET" and not str(asked.url).endswith("search"):
                self.before(f"{asked.method} {_stable(str(asked.url))}")
            return send(session, asked, **how)

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
        requests.Session.send = request  # type: ignore[method-assign]

    def before(self, what: str) -> None:
        """Note a write that is about to be made, by what it does and the way through our own code
        to it.
        """
        frames, frame = [], sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name in ("_renew", "fenced"):
                # the clock's renewal of the lease is no step of the story, and a fence changes
                # nothing
                return
            if frame.f_code.co_filename.startswith(_OURS):
                file = Path(frame.f_code.co_filename).relative_to(REPOSITORY)
                frames.append(f"{file}:{frame.f_lineno}")
            frame = frame.f_back  # type: ignore[assignment]
        name = " < ".join([what, *frames])
        self.seen.append(name)
        if self.fatal and (name.startswith(self.fatal) if self.prefix else name == self.fatal):
            os.kill(os.getpid(), self.stop)
            self.fatal = None  # only reached when it was paused, and woken

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if event == "open":
                path, _, flags = arguments
                if flags & (os.O_WRONLY | os.O_RDWR) and self._kept(path):
                    self.before(f"open {_stable(path)}")
            elif event in _PATH_EVENTS and self._kept(arguments[0]):
                if os.path.exists(arguments[0]) == (event == "os.mkdir"):
                    return  # made or removed just in case: nothing changes
                self.before(f"{event} {_stable(arguments[0])}")
        finally:
            self._busy = False

    def _kept(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        name = os.fspath(path)
        return (
            isinstance(name, str)
            and name.startswith(self.home)
            and name.removeprefix(self.home).split(os.sep)[0] not in _NOT_KEPT
        )


def _stable(path: object) -> str:
    """The path's last name, the same in every run: without the ids that are drawn anew."""
    return re.sub(r"[0-9a-f]{16,}|(?<=uploading\.)\w+", "*", os.path.basename(str(path)))


def site(write: str) -> tuple[str, str]:
    """The kind of a write and the line of ours that makes it, whichever way led there and whatever
    it writes.
    """
    what, _, way = write.partition(" < ")
    return what.split()[0], way.partition(" < ")[0]
