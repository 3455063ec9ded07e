"""Authentication before the servers that we start: nothing of them is seen without credentials,
pages and health included.

Prefect leaves its pages and its health check open, MLflow's own application hashes a password at
each request (160 ms and more, against 10); one check before both leaves nothing open and costs
nothing. Prefect checks its credentials once more after it, and those of WebSockets alone: browsers
send no header with them.
"""

from __future__ import annotations

import base64
import hmac
import os
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.errors import MisuseError

PREFECT_CREDENTIALS, MLFLOW_CREDENTIALS, CONSOLE_CREDENTIALS = (
    "PREFECT_SERVER_API_AUTH_STRING",
    "KINGMAKER_MLFLOW_AUTH_STRING",
    "KINGMAKER_CONSOLE_AUTH_STRING",
)


class NoCredentialsError(MisuseError):
    """A server was to be started without credentials, or with empty ones."""


POLICY = b"content-security-policy"
STAYS_HERE = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
"""Content security policy of pages that are not ours: their own scripts run, and no other host is
asked for anything. Prefect's page asks a host of analytics at each load without it.
"""


class BasicAuthMiddleware:
    """Answers 401 to every HTTP request without the one user's name and password (RFC 7617), and
    gives answers that have none a content security policy.
    """

    def __init__(
        self, app: ASGIApp, realm: str, credentials: str, policy: str = STAYS_HERE
    ) -> None:
        self._app = app
        self._realm = realm
        self._expected = b"Basic " + base64.b64encode(credentials.encode())
        self._policy = policy.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed, and the server's own beginning and end."""
        if scope["type"] == "http" and not self._allows(scope):
            challenge = f'Basic realm="{self._realm}", charset="UTF-8"'.encode()
            headers = [(b"www-authenticate", challenge), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name.lower() == POLICY for name, _ in headers):
                    headers.append((POLICY, self._policy))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, with_policy if scope["type"] == "http" else send)

    def _allows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


def prefect_app() -> ASGIApp:
    """Prefect's API, pages and, unless PREFECT__SERVER_WEBSERVER_ONLY is set, services, behind
    authentication.
    """
    from prefect.server.api.server import create_app

    return BasicAuthMiddleware(
        create_app(final=True), "Prefect", credentials_in(PREFECT_CREDENTIALS)
    )


def mlflow_app() -> ASGIApp:
    """MLflow's tracking server and pages behind authentication; ``mlflow server --app-name
    kingmaker`` starts it.
    """
    from mlflow.server.fastapi_app import app

    return BasicAuthMiddleware(app, "MLflow", credentials_in(MLFLOW_CREDENTIALS))


def asking_also(api: str) -> str:
    """Return the policy of pages that ask the server of ``api``, an address, besides their own:
    Prefect's page asks the one that it was told of, under whatever name it is opened.
    """
    found = urlsplit(api)
    if not found.netloc:
        return STAYS_HERE
    sockets = {"http": "ws", "https": "wss"}[found.scheme]
    there = f"{found.scheme}://{found.netloc} {sockets}://{found.netloc}"
    return f"{STAYS_HERE}; connect-src 'self' {there}"


def credentials_in(variable: str) -> str:
    """Return user and password of an environment's variable; NoCredentialsError when there are none
    that are long enough.
    """
    value = os.environ.get(variable, "")
    user, _, password = value.partition(":")
    if not user or len(password) < 12:
        raise NoCredentialsError(
            f"{variable}: expected user:password with at least 12 characters in the password, found"
            f" {'one with fewer' if password else 'none'}; no server is started open"
        )
    return value
