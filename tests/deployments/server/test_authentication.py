"""The log-in before the servers, with a server behind it that says who came."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from deployments.server.authentication import (
    CONSOLE_CREDENTIALS,
    LOGIN,
    LOGOUT,
    Gate,
    LoginMiddleware,
    NoCredentialsError,
    Proxy,
    SameServerMiddleware,
    credentials_in,
    gate_of,
)
from deployments.server.people import People, add_person
from deployments.server.sessions import COOKIE, Sessions
from deployments.server.tokens import Tokens, make_token, revoke_token

PROGRAM = "kingmaker:correct-horse"
RIGHT = "Basic " + base64.b64encode(PROGRAM.encode()).decode()
HERE = "http://testserver"
OF_HERE = {"Origin": HERE}
BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


async def whoami(request: Request) -> JSONResponse:
    """Say who came, and with what."""
    header = request.headers.get("authorization")
    return JSONResponse({"person": request.scope["person"], "authorization": header})


async def socket(websocket: WebSocket) -> None:
    """Say back what was said first."""
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


BEHIND = Starlette(
    routes=[
        Route("/{path:path}", whoami, methods=["GET", "POST", "DELETE"]),
        WebSocketRoute("/socket", socket),
    ]
)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """The log-in of a home in which ada may."""
    add_person(tmp_path, "ada", "a-canary-word")
    people = People(tmp_path)
    return Gate("Test", PROGRAM, Sessions("k" * 32, people), people, pause=0.0)


def client(gate: Gate) -> TestClient:
    """A browser or a program that follows nothing by itself."""
    return TestClient(LoginMiddleware(BEHIND, gate), base_url=HERE, follow_redirects=False)


@pytest.fixture
def stranger(gate: Gate) -> TestClient:
    """One who has not logged in."""
    return client(gate)


@pytest.fixture
def ada(gate: Gate) -> TestClient:
    """A browser in which ada has logged in."""
    browser = client(gate)
    browser.cookies.set(COOKIE, gate.sessions.begin("ada"))
    return browser


def test_a_person_logs_in_by_a_form_and_out_again(stranger):
    """And goes on to where she wanted to be."""
    asked = stranger.get("/models/weather?x=1", headers=BROWSER)
    assert asked.status_code == 401
    assert 'value="/models/weather?x=1"' in asked.text
    assert not asked.headers["www-authenticate"].startswith("Basic"), "a browser asks by our form"
    form = {"name": "ada", "next": "/models/weather?x=1"}

    wrong = stranger.post(LOGIN, data=form | {"password": "wrong"}, headers=OF_HERE)
    assert wrong.status_code == 401
    assert "No person is known" in wrong.text
    assert "set-cookie" not in wrong.headers

    right = stranger.post(LOGIN, data=form | {"password": "a-canary-word"}, headers=OF_HERE)
    assert (right.status_code, right.headers["location"]) == (303, "/models/weather?x=1")
    assert stranger.get("/models/weather").json()["person"] == "ada"
    assert "logged in as ada" in stranger.get(LOGIN).text

    out = stranger.post(LOGOUT, headers=OF_HERE)
    assert out.status_code == 303
    assert stranger.get("/models/weather").status_code == 401


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:1",
        "",
    ],
)
def test_a_log_in_leads_nowhere_else(stranger, address):
    """Whatever the form says."""
    form = {"name": "ada", "password": "a-canary-word", "next": address}

    assert stranger.post(LOGIN, data=form, headers=OF_HERE).headers["location"] == "/"


def test_the_server_behind_gets_the_credentials_that_it_checks_itself(ada):
    """Those that the page has kept from another time are replaced."""
    told = ada.get("/", headers={"Authorization": "Basic c3RhbGU="}).json()

    assert told == {"person": "ada", "authorization": RIGHT}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": HERE},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_can_have_a_browser_change_nothing(ada, headers):
    """Its requests carry the cookie, and are refused; so are sockets. Reading goes on."""
    for path in ("/", LOGIN, LOGOUT):
        assert ada.post(path, headers=headers).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        ada.websocket_connect("/socket", headers=headers | {"Origin": headers.get("Origin", "")}),
    ):
        pass
    assert ada.post("/", headers=OF_HERE).status_code == 200
    assert ada.post("/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert ada.get("/", headers=headers).status_code == 200


def test_a_program_comes_by_name_and_password(stranger):
    """The right header opens, once; a program is told that it may send one."""
    opened = stranger.get("/", headers={"Authorization": RIGHT})
    assert (opened.status_code, opened.json()["person"]) == (200, "")
    assert stranger.delete("/", headers={"Authorization": RIGHT}).status_code == 200
    refused = stranger.get("/")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert stranger.get("/", headers={"Authorization": RIGHT[:-1]}).status_code == 401
    twice = [("Authorization", RIGHT), ("Authorization", RIGHT)]
    assert stranger.get("/", headers=twice).status_code == 401


def test_a_token_reads_what_it_is_for_and_nothing_else(gate, tmp_path):
    """Until it is revoked; it is no password, and acts on nothing."""
    token = make_token(tmp_path, "grafana")
    console = client(replace(gate, tokens=Tokens(tmp_path), by_token=("/api/", "/metrics")))
    bearer = {"Authorization": f"Bearer {token}"}

    for path in ("/api/models", "/metrics"):
        assert console.get(path, headers=bearer).json()["person"] == ""
        assert console.post(path, headers=bearer).status_code == 401
        assert console.get(path, headers={"Authorization": "Bearer x"}).status_code == 401
        assert client(gate).get(path, headers=bearer).status_code == 401, "another server"
    assert console.get("/", headers=bearer).status_code == 401
    revoke_token(tmp_path, "grafana")
    assert console.get("/metrics", headers=bearer).status_code == 401


def status(*headers: tuple[bytes, bytes], kind: str = "http") -> int:
    """What is answered; 200 comes from behind it."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "behind", "status": 200})

    async def send(message):
        sent.append(message)

    people = People(Path("nowhere"))
    gate = Gate("Test", PROGRAM, Sessions("k" * 32, people), people)
    scope = {"type": kind, "method": "GET", "path": "/", "headers": list(headers)}
    asyncio.run(LoginMiddleware(app, gate)(scope, None, send))
    return sent[0]["status"]


@given(st.binary(max_size=60), st.sampled_from([b"authorization", b"cookie", b"x-kingmaker-proxy"]))
def test_nothing_else_opens(value, name):
    """Any bytes at all, valid base64 or not, are refused without an error."""
    if value != RIGHT.encode():
        assert status((name, value)) == 401


def test_the_servers_own_beginning_passes():
    """Lifespan messages carry no headers, and must reach the application."""
    assert status(kind="lifespan") == 200


def test_a_proxy_that_is_configured_names_the_person(gate, stranger):
    """Only with its secret: anybody could send the header."""
    proxy = client(replace(gate, proxy=Proxy("X-Forwarded-User", "s" * 12)))
    named, secret = {"X-Forwarded-User": "grace"}, {"X-Kingmaker-Proxy": "s" * 12}

    assert proxy.get("/", headers=named | secret).json()["person"] == "grace"
    assert proxy.get("/", headers=named).status_code == 401
    assert proxy.get("/", headers=named | {"X-Kingmaker-Proxy": "t" * 12}).status_code == 401
    assert proxy.get("/", headers=secret).status_code == 401
    assert proxy.post("/", headers=named | secret).status_code == 403
    assert stranger.get("/", headers=named | {"X-Kingmaker-Proxy": ""}).status_code == 401


def test_a_pages_socket_is_told_the_password_that_the_page_does_not_know(gate, ada, stranger):
    """In its first message, where the server behind asks; without a session it is the server's to
    ask.
    """
    asks = replace(gate, asks_in_sockets=True)
    page, first = client(asks), '{"type": "auth", "token": null}'
    page.cookies.set(COOKIE, gate.sessions.begin("ada"))

    with page.websocket_connect("/socket", headers=OF_HERE) as told:
        told.send_text(first)
        assert told.receive_json() == {"type": "auth", "token": PROGRAM}
    with client(asks).websocket_connect("/socket") as told:
        told.send_text(first)
        assert told.receive_json() == {"type": "auth", "token": None}
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect("/socket"):
        pass


def test_pages_stay_with_their_own_host_unless_they_say_otherwise(gate, ada):
    """A page without a policy gets one; the console's own, which is narrower, stays."""
    assert ada.get("/").headers["content-security-policy"].startswith("default-src 'self'")
    own = {"Content-Security-Policy": "default-src 'none'"}

    async def page(scope, receive, send):
        await JSONResponse({}, headers=own)(scope, receive, send)

    narrow = TestClient(LoginMiddleware(page, gate))
    answered = narrow.get("/", headers={"Authorization": RIGHT}).headers
    assert answered["content-security-policy"] == "default-src 'none'"


def test_prefects_page_asks_the_server_that_it_came_from_and_no_password():
    """Opened as localhost, or behind a proxy, by that name."""

    async def settings(request: Request) -> JSONResponse:
        return JSONResponse({"api_url": "http://127.0.0.1:4200/api", "auth": "BASIC", "flags": []})

    app = Starlette(routes=[Route("/ui-settings", settings)])
    page = TestClient(
        SameServerMiddleware(GZipMiddleware(app, minimum_size=1)),
        base_url="http://localhost:4321",
    )

    told = page.get("/ui-settings").json()
    proxied = page.get("/ui-settings", headers={"X-Forwarded-Proto": "https"}).json()

    assert told == {"api_url": "http://localhost:4321/api", "auth": None, "flags": []}
    assert proxied["api_url"] == "https://localhost:4321/api"


@pytest.mark.parametrize("value", ["", "ada", "ada:", ":correct-horse", "ada:too-short"])
def test_weak_credentials_start_nothing(monkeypatch, value):
    """A missing user, a missing password and a short one are refused by the variable's name."""
    monkeypatch.setenv("SOME_AUTH_STRING", value)

    with pytest.raises(NoCredentialsError, match="SOME_AUTH_STRING"):
        credentials_in("SOME_AUTH_STRING")


def test_a_proxy_without_a_secret_starts_nothing(monkeypatch, tmp_path):
    """Since anybody could name any person."""
    monkeypatch.setenv(CONSOLE_CREDENTIALS, PROGRAM)
    monkeypatch.setenv("KINGMAKER_SESSION_KEY", "k" * 32)
    monkeypatch.setenv("KINGMAKER_HOME", str(tmp_path))
    monkeypatch.setenv("KINGMAKER_PROXY_HEADER", "X-Forwarded-User")

    with pytest.raises(NoCredentialsError, match="KINGMAKER_PROXY_SECRET"):
        gate_of("Test", CONSOLE_CREDENTIALS)
