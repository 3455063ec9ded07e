"""Requests to the servers that we start: with credentials, never by a proxy, asked again within
bounds.

By the standard library, since an idle run pays for what it imports.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from tasks.errors import KingmakerError

BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""Answers of a server that could not do it now; Prefect's says 503 while its SQLite is busy."""
_OFTEN, _SELDOM = 0.1, 2.0
"""Seconds between two requests: at first, and at most."""


class ServerAwayError(KingmakerError):
    """A server did not answer, or was too busy to, for as long as it was asked."""


class ServerRefusedError(KingmakerError):
    """A server answered that a request cannot be done; asking again would not help."""


@dataclass(frozen=True)
class Server:
    """A server, and what opens it."""

    name: str
    """For messages, such as ``Prefect's server``."""
    url: str
    credentials: str = ""
    """``user:password``; left out: none are sent."""

    def ask(
        self,
        path: str,
        body: Any = None,  # noqa: ANN401 - JSON
        method: str | None = None,
        *,
        patience: float = 0.0,
        timeout: float = 30.0,
        pause: Callable[[float], object] = time.sleep,
    ) -> bytes:
        """Return the content of the answer to one request, which may be made more than once.

        Args:
            path: Below the server's URL, with its first slash.
            body: Sent as JSON; the method is POST then, unless another is given.
            method: Left out: GET, or POST where there is a body.
            patience: Seconds for which a server that is away or busy is asked again; the last
                answer may come later.
            timeout: The longest that one answer may take, in seconds.
            pause: Waits so many seconds; what it raises ends the asking.

        Raises ServerRefusedError at once for an answer that will stay, and ServerAwayError when the
        patience is over.
        """
        request = self._request(path, body, method)
        end, wait = time.monotonic() + patience, _OFTEN
        cause: Exception
        while True:
            try:
                return self._answer(request, timeout)
            except urllib.error.HTTPError as error:
                content = error.read()[:500].decode(errors="replace")
                found, cause = f"{error.code} {error.reason}: {content}", error
                if error.code not in BUSY:
                    raise ServerRefusedError(
                        f"{self.name}: expected {request.method} {request.full_url} to be done,"
                        f" found {found}"
                    ) from error
            except (OSError, HTTPException) as error:
                found, cause = f"{type(error).__name__}: {error}", error
            if time.monotonic() + wait > end:
                raise ServerAwayError(
                    f"{self.name}: expected an answer to {request.method} {request.full_url} within"
                    f" {patience or timeout:g} s, found {found}"
                ) from cause
            pause(wait)
            wait = min(2 * wait, _SELDOM)

    def json(
        self,
        path: str,
        body: Any = None,  # noqa: ANN401 - JSON
        method: str | None = None,
        *,
        patience: float = 0.0,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return what the answer says as JSON, None for an answer without content; see ``ask``."""
        content = self.ask(path, body, method, patience=patience)
        return json.loads(content) if content else None

    def _request(self, path: str, body: Any, method: str | None) -> urllib.request.Request:  # noqa: ANN401 - JSON
        headers = {"Content-Type": "application/json"}
        if self.credentials:
            token = base64.b64encode(self.credentials.encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        data = None if body is None else json.dumps(body).encode()
        method = method or ("GET" if data is None else "POST")
        return urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - the address of our own server

    def _answer(self, request: urllib.request.Request, timeout: float) -> bytes:
        # No proxy: it stands before others' servers, and would be told the password.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as answer:
            content: bytes = answer.read()
        return content
