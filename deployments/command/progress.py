"""Progress for people: what our own flows and tasks say, line by line; everything else goes to a
log file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from tasks.settings import REPOSITORY, Settings

_OURS = tuple(f"{REPOSITORY / name}{os.sep}" for name in ("flows", "tasks", "deployments"))


class _Sentences(logging.Handler):
    """Passes on the messages of this repository's own code."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        if record.pathname.startswith(_OURS) and record.levelno < logging.ERROR:
            self._say(record.getMessage())


def show_progress(settings: Settings, say: Callable[[str], None]) -> None:
    """Send our own messages to ``say`` and everything, tracebacks included, to
    ``<home>/logs/kingmaker.log``.
    """
    import prefect.main  # noqa: F401 - configures logging at its import; our handlers come after

    file = settings.home.resolve() / "logs" / "kingmaker.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    log = logging.FileHandler(file, encoding="utf-8")
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().handlers = [log]
    orchestrator = logging.getLogger("prefect")
    orchestrator.handlers, orchestrator.propagate = (
        [],
        True,
    )  # else a line stands in the log twice, or not at all
    orchestrator.setLevel(logging.INFO)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_Sentences(say))


def log_failure(error: Exception) -> None:
    """Write the whole story of ``error`` to the log file."""
    logging.getLogger("prefect").error("%s", error, exc_info=error)
