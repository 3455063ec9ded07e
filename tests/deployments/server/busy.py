"""A server that is busy for some requests, before one that is not."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OURS = ("host", "connection", "accept-encoding")
"""Headers that are not passed on: about the way here, and content is passed on as it is."""


class Busy(ThreadingHTTPServer):
    """Passes requests on to ``address``, but answers 503 to those for which ``is_busy`` says so."""

    def __init__(self, address: str, is_busy: Callable[[int], bool]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.is_busy, self.count, self.refused = address, is_busy, 0, 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Busy

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.count += 1
        if self.server.is_busy(self.server.count):
            self.server.refused += 1
            self._say(503, b'{"exception_message": "database is locked"}', {"Retry-After": "0.01"})
            return
        behind = http.client.HTTPConnection(urlsplit(self.server.behind).netloc, timeout=120)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in _OURS}
        behind.request(self.command, self.path, body, kept)
        answer = behind.getresponse()
        self._say(answer.status, answer.read(), {"Content-Type": answer.getheader("Content-Type")})
        behind.close()

    def _say(self, status: int, content: bytes, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""
