"""A flow as a command runs it: on a Prefect server, with progress for a person, ended by Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from deployments.command.places import typed
from tasks.settings import Settings, prepare_environment

_BEGAN = datetime.now(UTC)


def run_flow(settings: Settings, flow: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the flow returns
    """Run a flow to its end, and return its value.

    At the first Ctrl-C it ends at its next safe point, by StoppedError where there is more to do;
    at the second at once.
    """
    from deployments.command.progress import log_failure, show_progress
    from deployments.server.embedded import answering_prefect, embedded_server
    from flows.steps.stop import StoppedError, ask_to_stop

    prepare_environment(settings)
    show_progress(settings, progress)
    try:
        with _on_ctrl_c(ask_to_stop), closing(flow), embedded_server(), answering_prefect():
            return asyncio.run(flow)
    except KeyboardInterrupt:
        raise StoppedError(
            "stopped at once; what was under way is finished, or done again, when the same command"
            " is run again"
        ) from None
    except Exception as error:
        log_failure(error)
        raise


def progress(sentence: str) -> None:
    """Print a sentence for a person, with the minutes and seconds since the command began."""
    seconds = int((datetime.now(UTC) - _BEGAN).total_seconds())
    print(f"{seconds // 60:2d}:{seconds % 60:02d}  {typed(sentence)}", file=sys.stderr, flush=True)


@contextmanager
def _on_ctrl_c(first: Callable[[], None]) -> Iterator[None]:
    """Call ``first`` at the first Ctrl-C and answer at once; raise KeyboardInterrupt at the second.

    Python calls handlers between two of its own instructions, and a fit is one, of seconds. So
    a thread answers, which the interpreter tells at once.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    presses = 0

    def answer() -> None:
        nonlocal presses
        while signals := os.read(told, 64):
            for number in signals:
                presses += number == signal.SIGINT
                if number == signal.SIGINT and presses == 1:
                    first()
                    progress("stopping after this batch; Ctrl-C once more stops at once")

    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        if max(handled, presses) > 1:
            raise KeyboardInterrupt

    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    before = signal.signal(signal.SIGINT, handle)
    wakeup = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, before)
        os.close(tell)
        answering.join()
        os.close(told)
