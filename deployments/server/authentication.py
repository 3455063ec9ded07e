"""One log-in before all servers that we start: nothing of them is seen without it, pages and health
included.

A person logs in once, at any of them, and has a session at all: a browser sends a cookie to every
port of a host. Programs send the name and the password of a server (RFC 7617). Where a proxy is
configured, it says who the person is. Prefect leaves its pages and its health check open, MLflow's
own application hashes a password at each request (160 ms and more, against 10); one check before
them leaves nothing open and costs nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.server.people import People
from deployments.server.sessions import Sessions, session_key
from deployments.server.tokens import Tokens
from tasks.errors import MisuseError
from tasks.settings import Settings

PREFECT_CREDENTIALS, MLFLOW_CREDENTIALS, CONSOLE_CREDENTIALS = (
    "PREFECT_SERVER_API_AUTH_STRING",
    "KINGMAKER_MLFLOW_AUTH_STRING",
    "KINGMAKER_CONSOLE_AUTH_STRING",
)
PROXY_HEADER, PROXY_SECRET = "KINGMAKER_PROXY_HEADER", "KINGMAKER_PROXY_SECRET"
"""Variables with the header in which a proxy names the person, and with what it must send in
``X-Kingmaker-Proxy`` to be believed.
"""
LOGIN, LOGOUT = "/kingmaker/login", "/kingmaker/logout"
"""Addresses of every server."""
POLICY = b"content-security-policy"
STAYS_HERE = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
"""Content security policy of pages that are not ours: their own scripts run, and no other host is
asked for anything. Prefect's page asks a host of analytics at each load without it.
"""
_FORM = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_BYTES = 4096
"""Of a form."""


class NoCredentialsError(MisuseError):
    """A server was to be started without credentials, or with empty ones."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that says who the person is."""

    header: str
    secret: str

    def person(self, headers: Mapping[str, str]) -> str:
        """Return who it says that it is; empty where it is not the proxy that speaks."""
        said = headers.get("x-kingmaker-proxy", "")
        if not self.secret or not hmac.compare_digest(said.encode(), self.secret.encode()):
            return ""
        return headers.get(self.header.lower(), "").strip()[:64]


@dataclass(frozen=True)
class Gate:
    """Who may pass to a server."""

    realm: str
    credentials: str
    """``user:password`` of programs."""
    sessions: Sessions
    people: People
    proxy: Proxy = Proxy("", "")
    policy: str = STAYS_HERE
    """Content security policy of answers that have none."""
    tokens: Tokens | None = None
    """By which programs may read; left out: by none."""
    by_token: tuple[str, ...] = ()
    """How the addresses begin that a token opens, for reading alone."""
    asks_in_sockets: bool = False
    """Whether the server behind asks by itself for the password in a socket's first message."""
    pause: float = 1.0
    """Seconds that a wrong password waits for its answer."""


class LoginMiddleware:
    """Answers 401 to every request without a session, a proxy's word or the password of programs,
    with a form for a browser; and 403 to what another site has a browser send.

    The scope that it passes on says in ``person`` who is there: empty for a program.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate
        self._basic = "Basic " + base64.b64encode(gate.credentials.encode()).decode()
        self._guesses = asyncio.Semaphore(2)  # each takes 32 MB

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed, and the server's own beginning and end."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        if scope["type"] == "http" and scope["path"] in (LOGIN, LOGOUT):
            await self._session(scope, headers, receive, send)
            return
        if self._is_program(scope) or self._has_token(scope, headers):
            await self._app({**scope, "person": ""}, receive, self._with_policy(scope, send))
            return
        person = self._gate.proxy.person(headers) or self._gate.sessions.person(
            headers.get("cookie", "")
        )
        if not person:
            await self._refuse(scope, headers, receive, send)
        elif not _of_this_site(scope, headers):
            await self._forbid(scope, send)
        else:
            await self._app(
                self._as_person(scope, person),
                self._as_program(receive) if scope["type"] == "websocket" else receive,
                self._with_policy(scope, send),
            )

    # --- who is there ---

    def _is_program(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._basic.encode())

    def _has_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        """Whether a request reads what a token opens, with one that is good (RFC 6750)."""
        if scope["type"] != "http" or scope["method"] not in _SAFE or self._gate.tokens is None:
            return False
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not scope["path"].startswith(self._gate.by_token):
            return False
        return bool(self._gate.tokens.name(token.strip()))

    def _as_person(self, scope: Scope, person: str) -> Scope:
        """What the server behind gets: with the credentials that Prefect's checks once more."""
        others = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        headers = [*others, (b"authorization", self._basic.encode())]
        return {**scope, "headers": headers, "person": person}

    def _as_program(self, receive: Receive) -> Receive:
        """A socket's messages, of which the first one carries Prefect's credentials: a page knows
        none.
        """
        first = True

        async def told() -> Message:
            nonlocal first
            message = await receive()
            if not first or message["type"] != "websocket.receive":
                return message
            first = False
            try:
                said = json.loads(message.get("text") or "")
            except ValueError:
                return message
            if not isinstance(said, dict) or said.get("type") != "auth":
                return message
            return {**message, "text": json.dumps(said | {"token": self._gate.credentials})}

        return told

    # --- answers ---

    async def _refuse(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "websocket":
            if self._gate.asks_in_sockets:
                await self._app({**scope, "person": ""}, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
        elif scope["method"] in _SAFE and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            path = str(scope.get("raw_path", scope["path"].encode()), "latin-1").partition("?")[0]
            await self._form(send, 401, f"{path}?{query}" if query else path)
        else:
            await _answer(send, 401, b"", self._challenge(headers))

    async def _forbid(self, scope: Scope, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _answer(send, 403, b"another site asked for this", [])

    def _challenge(self, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        """What to come with: a name and a password, but for a browser, which would ask for them by
        a window of its own.
        """
        scheme = "Session" if "sec-fetch-mode" in headers else "Basic"
        challenge = f'{scheme} realm="{self._gate.realm}", charset="UTF-8"'
        return [(b"www-authenticate", challenge.encode())]

    async def _session(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        """Begin a session by a name and a password, or end one."""
        sessions, secure = self._gate.sessions, _scheme(scope, headers) == "https"
        if scope["method"] != "POST":
            there = sessions.person(headers.get("cookie", ""))
            await self._form(send, 200 if there else 401, "/", there=there)
            return
        if not _of_this_site(scope, headers):
            await self._forbid(scope, send)
            return
        if scope["path"] == LOGOUT:
            await _go(send, "/", sessions.cookie("", secure=secure))
            return
        form = await _read_form(receive)
        name, password, after = (form.get(field, "") for field in ("name", "password", "next"))
        async with self._guesses:
            known = await asyncio.to_thread(self._gate.people.know, name, password)
        if not known:
            await asyncio.sleep(self._gate.pause)
            await self._form(send, 401, after, name=name)
            return
        await _go(send, _local(after), sessions.cookie(sessions.begin(name), secure=secure))

    async def _form(
        self, send: Send, status: int, after: str, *, name: str = "", there: str = ""
    ) -> None:
        from tasks.reports.page import render_page  # programs never see a page

        page = render_page(
            "login.html.j2",
            realm=self._gate.realm,
            after=_local(after),
            name=name,
            there=there,
            login=LOGIN,
            logout=LOGOUT,
        )
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (POLICY, _FORM.encode()),
            (b"referrer-policy", b"same-origin"),
            (b"cache-control", b"no-store"),
        ]
        if status == 401:
            headers.append((b"www-authenticate", f'Session realm="{self._gate.realm}"'.encode()))
        await _answer(send, status, page.encode(), headers)

    def _with_policy(self, scope: Scope, send: Send) -> Send:
        if scope["type"] != "http":
            return send

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name.lower() == POLICY for name, _ in headers):
                    headers.append((POLICY, self._gate.policy.encode()))
                message = {**message, "headers": headers}
            await send(message)

        return with_policy


# --- requests and answers -------------------------------------------------------------------------


def _headers(scope: Scope) -> dict[str, str]:
    """The headers of a request by their names in small letters; of two that are alike the last."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }


def _of_this_site(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something, or a socket, was begun by a page of this very
    server: a browser says so, and a page cannot have it say otherwise.
    """
    if scope["type"] == "http" and scope["method"] in _SAFE:
        return True
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == headers.get("host")


def _scheme(scope: Scope, headers: Mapping[str, str]) -> str:
    """How the browser came: a proxy says so where there is one."""
    return headers.get("x-forwarded-proto", str(scope.get("scheme", "http")))


def _local(address: str) -> str:
    """An address of this server to go on to; its first page for any other."""
    found = urlsplit(address)
    local = address.startswith("/") and not address.startswith(("//", "/\\"))
    local = local and address.isprintable()  # a browser leaves out a tab: /<tab>/host is //host
    return address if local and not (found.scheme or found.netloc) else "/"


async def _read_form(receive: Receive) -> dict[str, str]:
    body, more = b"", True
    while more and len(body) <= _MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return form_fields(body)


def form_fields(body: bytes) -> dict[str, str]:
    """Return the fields of a form as a browser sends it; none of one that is longer than any of
    ours.
    """
    if len(body) > _MOST_BYTES:
        return {}
    found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in found.items()}


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _go(send: Send, to: str, cookie: str) -> None:
    headers = [
        (b"location", to.encode("latin-1", "replace")),
        (b"set-cookie", cookie.encode()),
        (b"cache-control", b"no-store"),
    ]
    await _answer(send, 303, b"", headers)


# --- the servers ----------------------------------------------------------------------------------


class SameServerMiddleware:
    """Tells Prefect's page to ask the server that it came from, by whatever name that was opened,
    and for no password: who is there has logged in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change one answer, ``/ui-settings``, and pass everything else on."""
        if scope["type"] != "http" or not scope["path"].endswith("/ui-settings"):
            await self._app(scope, receive, send)
            return
        headers, started, body = _headers(scope), dict[str, Any](), b""

        async def keep(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                body += message.get("body", b"")

        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self._app({**scope, "headers": plain}, receive, keep)
        settings = json.loads(body)
        settings |= {"auth": None}
        settings["api_url"] = f"{_scheme(scope, headers)}://{headers['host']}/api"
        kept = [(b"content-type", b"application/json")]
        await _answer(send, started["status"], json.dumps(settings).encode(), kept)


def prefect_app() -> ASGIApp:
    """Prefect's API, pages and, unless PREFECT__SERVER_WEBSERVER_ONLY is set, services, behind the
    log-in.
    """
    from prefect.server.api.server import create_app

    app = SameServerMiddleware(create_app(final=True))
    return LoginMiddleware(app, gate_of("Prefect", PREFECT_CREDENTIALS, asks_in_sockets=True))


def mlflow_app() -> ASGIApp:
    """MLflow's tracking server and pages behind the log-in; ``mlflow server --app-name kingmaker``
    starts it.
    """
    from mlflow.server.fastapi_app import app

    from tasks.registry.moved import follow_home

    if store := os.environ.get("MLFLOW_BACKEND_STORE_URI"):
        follow_home(store, Settings().artifacts)
    return LoginMiddleware(app, gate_of("MLflow", MLFLOW_CREDENTIALS))


def gate_of(
    realm: str,
    credentials: str,
    *,
    asks_in_sockets: bool = False,
    by_token: tuple[str, ...] = (),
) -> Gate:
    """Return who may pass to a server, by the environment; NoCredentialsError or NoSessionKeyError
    when that does not say.
    """
    people = People(Settings().home)
    proxy = Proxy(os.environ.get(PROXY_HEADER, ""), os.environ.get(PROXY_SECRET, ""))
    if proxy.header and len(proxy.secret) < 12:
        raise NoCredentialsError(
            f"{PROXY_SECRET}: expected at least 12 characters, since {PROXY_HEADER} lets a proxy"
            " say who a person is, found fewer; anybody could say so without it"
        )
    return Gate(
        realm=realm,
        credentials=credentials_in(credentials),
        sessions=Sessions(session_key(), people),
        people=people,
        proxy=proxy if proxy.header else Proxy("", ""),
        tokens=Tokens(Settings().home),
        by_token=by_token,
        asks_in_sockets=asks_in_sockets,
    )


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
