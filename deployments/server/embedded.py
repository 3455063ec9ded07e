"""Prefect's server, embedded: it lives as long as the run that started it, and ends with it however
that ends.

Prefect's own temporary server outlives a run that is killed. This one reads a pipe whose other end
the run holds: the system closes it when the run is no more, and the server goes. It listens on
loopback, to the run that knows its secret.
"""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from httpx import TransportError

from deployments.server.client import BUSY, Server, ServerAwayError
from tasks.errors import KingmakerError
from tasks.processes import start_module
from tasks.settings import Settings

PATIENCE_SECONDS = 300.0
"""How long the server may take to answer; it took 6 to 11 s, and over 120 s on a machine with ten
times the work it can do.
"""
_PARTING_SECONDS = 10.0
_HINT = "look into <home>/logs, or set PREFECT_API_URL to a server of your own"


class ServerNotUpError(KingmakerError):
    """The embedded server ended, or did not answer in time."""


@contextmanager
def answering_prefect() -> Iterator[None]:
    """Raise ServerAwayError when Prefect's client gives up in the block, after its own retries
    (about a minute), on a server that does not answer or is too busy to.
    """
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL

    try:
        yield
    except (TransportError, PrefectHTTPStatusError) as error:
        if isinstance(error, PrefectHTTPStatusError) and error.response.status_code not in BUSY:
            raise
        raise ServerAwayError(
            f"Prefect's server at {PREFECT_API_URL.value()}: expected it to answer, found"
            f" {type(error).__name__}: {error}; when it answers, run again: what was written stays,"
            " and what waits is done then"
        ) from error


@contextmanager
def embedded_server() -> Iterator[None]:
    """Give the block a Prefect server of its own, unless ``PREFECT_API_URL`` names one.

    Raises ServerNotUpError when it does not come up.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    secret = f"kingmaker:{secrets.token_urlsafe(24)}"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        server = start_module(
            "deployments.server.embedded",
            str(listening.fileno()),
            directory=Settings().home.resolve(),
            environment=os.environ
            | {"PREFECT_SERVER_API_AUTH_STRING": secret, "PREFECT_UI_ENABLED": "0"},
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
        )
    # Not at the block's end: Prefect sends its last logs and events when the interpreter exits,
    # before this.
    atexit.register(_end, server)
    _wait_until_up(server, url)
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: secret}):
        yield


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None  # noqa: S101 - for the type checker
    server.stdin.close()
    try:
        server.wait(_PARTING_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], url: str) -> None:
    def pause(seconds: float) -> None:
        if server.poll() is not None:
            raise ServerNotUpError(
                f"Prefect's embedded server: expected it to answer at {url}, found that it ended"
                f" with code {server.returncode}; {_HINT}"
            )
        time.sleep(seconds)

    try:
        asked = Server("Prefect's embedded server", url)
        asked.ask("/health", patience=PATIENCE_SECONDS, timeout=PATIENCE_SECONDS, pause=pause)
    except ServerAwayError as error:
        raise ServerNotUpError(f"{error}; {_HINT}") from error


def _serve(file: int) -> None:
    """Serve on the listening socket ``file`` until the pipe on standard input is closed."""
    from prefect.server.api.server import create_app

    threading.Thread(target=_end_with_the_run, daemon=True).start()
    config = uvicorn.Config(
        create_app(ephemeral=True, final=True), log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=file)])


def _end_with_the_run() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PARTING_SECONDS / 2)
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
