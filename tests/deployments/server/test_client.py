"""Tests of deployments/server/client.py, with real servers on loopback."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deployments.server.client import Server, ServerAwayError, ServerRefusedError


class Busy(ThreadingHTTPServer):
    """A server that answers by the next of its statuses, and by 200 when there are none left."""

    statuses: list[int]
    asked: list[tuple[str, str, str | None, object]]


class _Handler(BaseHTTPRequestHandler):
    server: Busy

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        sent = json.loads(body) if body else None
        self.server.asked.append((self.command, self.path, self.headers["Authorization"], sent))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"fine": true}' if status == 200 else b"database is locked")

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def busy() -> Iterator[Busy]:
    """A server on a free port."""
    with Busy(("127.0.0.1", 0), _Handler) as server:
        server.statuses, server.asked = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def of(server: Busy, credentials: str = "") -> Server:
    """How it is asked."""
    return Server("the test's server", f"http://127.0.0.1:{server.server_port}", credentials)


def nothing(_: float) -> None:
    """Wait for no time."""


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_for_a_while_is_asked_again(busy, status):
    """The same request, until it is answered well."""
    busy.statuses = [status] * 7

    answer = of(busy).ask("/state", {"a": 1}, "PATCH", patience=60, pause=nothing)

    assert json.loads(answer) == {"fine": True}
    assert busy.asked == [("PATCH", "/state", None, {"a": 1})] * 8


def test_a_server_that_never_gets_well_ends_by_name(busy):
    """After the patience, with what was asked and what was found."""
    busy.statuses = [503] * 1_000_000

    with pytest.raises(ServerAwayError, match=r"the test's server: .* GET .*/state within 0.3 s"):
        of(busy).ask("/state", patience=0.3)

    assert len(busy.asked) > 1


def test_without_patience_it_is_asked_once(busy):
    """What is told is the server's own reason."""
    busy.statuses = [503]

    with pytest.raises(ServerAwayError, match="503 Service Unavailable: database is locked"):
        of(busy).ask("/state")

    assert len(busy.asked) == 1


def test_an_answer_that_will_stay_is_not_asked_for_again(busy):
    """A wrong password, or an address that is not there."""
    busy.statuses = [401]

    with pytest.raises(ServerRefusedError, match="401 Unauthorized"):
        of(busy).ask("/state", patience=60)

    assert len(busy.asked) == 1


def test_a_server_that_comes_up_is_waited_for():
    """Refused connections, then an answer on the same port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begun: list[Busy] = []

    def begin(_: float) -> None:
        if not begun:
            begun.append(Busy(("127.0.0.1", port), _Handler))
            begun[0].statuses, begun[0].asked = [], []
            threading.Thread(target=begun[0].serve_forever, daemon=True).start()

    server = Server("the test's server", f"http://127.0.0.1:{port}")
    try:
        assert server.ask("/state", patience=60, pause=begin)
    finally:
        for one in begun:
            one.shutdown()
            one.server_close()
    assert begun


def test_what_the_pause_raises_ends_the_asking(busy):
    """As when the program that is waited for has died."""
    busy.statuses = [503] * 100

    def pause(_: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        of(busy).ask("/state", patience=60, pause=pause)


def test_it_is_asked_with_credentials_and_by_no_proxy(busy, monkeypatch):
    """A proxy of the environment would be told the password."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert of(busy, "kingmaker:a-canary-word").json("/state", {}) == {"fine": True}

    token = base64.b64encode(b"kingmaker:a-canary-word").decode()
    assert busy.asked == [("POST", "/state", f"Basic {token}", {})]
