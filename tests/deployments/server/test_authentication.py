"""Authentication before the servers, without a server behind it."""

from __future__ import annotations

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.server.authentication import (
    STAYS_HERE,
    BasicAuthMiddleware,
    NoCredentialsError,
    asking_also,
    credentials_in,
)

RIGHT = b"Basic " + base64.b64encode(b"ada:correct-horse")


def status(*headers: tuple[bytes, bytes], kind: str = "http") -> int:
    """What it answers; 200 comes from behind it."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "behind", "status": 200})

    async def send(message):
        sent.append(message)

    asyncio.run(
        BasicAuthMiddleware(app, "Test", "ada:correct-horse")(
            {"type": kind, "headers": list(headers)}, None, send
        )
    )
    return sent[0]["status"]


def answered(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """The headers of an answer that had these."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"authorization", RIGHT)]}
    asyncio.run(BasicAuthMiddleware(app, "Test", "ada:correct-horse")(scope, None, send))
    return dict(sent[0]["headers"])


def test_pages_stay_with_their_own_host_unless_they_say_otherwise():
    """A page without a policy gets one; the console's own, which is narrower, stays."""
    assert answered()[b"content-security-policy"].startswith(b"default-src 'self'")
    own = (b"Content-Security-Policy", b"default-src 'none'")
    assert answered(own) == dict([own])


def test_a_page_may_ask_the_server_that_it_was_told_of():
    """Opened as localhost, Prefect's page asks 127.0.0.1 all the same; and nobody else."""
    told = asking_also("https://prefect.example:4200/api")

    assert told.endswith(
        "; connect-src 'self' https://prefect.example:4200 wss://prefect.example:4200"
    )
    assert asking_also("") == STAYS_HERE


def test_only_the_right_header_opens():
    """None, another, a shortened one and two at once are refused; the right one passes."""
    assert status((b"authorization", RIGHT)) == 200
    assert status() == 401
    assert status((b"authorization", RIGHT[:-1])) == 401
    assert status((b"authorization", RIGHT), (b"authorization", RIGHT)) == 401


@given(st.binary(max_size=60).filter(lambda value: value != RIGHT))
def test_nothing_else_opens(value):
    """Any bytes at all, valid base64 or not, are refused without an error."""
    assert status((b"authorization", value)) == 401


def test_the_servers_own_beginning_passes():
    """Lifespan messages carry no headers, and must reach the application."""
    assert status(kind="lifespan") == 200


@pytest.mark.parametrize("value", ["", "ada", "ada:", ":correct-horse", "ada:too-short"])
def test_weak_credentials_start_nothing(monkeypatch, value):
    """A missing user, a missing password and a short one are refused by the variable's name."""
    monkeypatch.setenv("SOME_AUTH_STRING", value)

    with pytest.raises(NoCredentialsError, match="SOME_AUTH_STRING"):
        credentials_in("SOME_AUTH_STRING")
