"""What a cookie and a form are worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.server.people import People, add_person, remove_person
from deployments.server.sessions import COOKIE, NoSessionKeyError, Sessions, session_key

KEY = "k" * 32


@pytest.fixture
def sessions(tmp_path) -> Sessions:
    """Sessions of a home in which ada may log in."""
    add_person(tmp_path, "ada", "a-canary-word")
    return Sessions(KEY, People(tmp_path))


def test_a_session_is_its_persons_until_it_ends(sessions, tmp_path):
    """By another key, after its time, or without the person it is nobody's."""
    cookie = f"other=1; {COOKIE}={sessions.begin('ada')}"

    assert sessions.person(cookie) == "ada"
    assert Sessions("x" * 32, People(tmp_path)).person(cookie) == ""
    assert Sessions(KEY, People(tmp_path), hours=-1).person(cookie) == ""
    add_person(tmp_path, "ada", "another-long-word")
    assert sessions.person(cookie) == "", "another password ends it"
    again = f"{COOKIE}={sessions.begin('ada')}"
    assert sessions.person(again) == "ada"
    remove_person(tmp_path, "ada")
    assert sessions.person(again) == ""
    assert sessions.person(f"{COOKIE}={sessions.begin('ada')}") == "", "nor can one be begun"


def test_a_form_is_good_for_one_person_and_one_act(sessions):
    """A session's cookie is no form, nor is a form a session."""
    token = sessions.form("ada", "freeze weather")

    assert sessions.sent(token, "ada", "freeze weather")
    assert not sessions.sent(token, "grace", "freeze weather")
    assert not sessions.sent(token, "ada", "thaw weather")
    assert not sessions.sent(sessions.begin("ada"), "ada", "freeze weather")
    assert sessions.person(f"{COOKIE}={token}") == ""


@given(st.text(max_size=80))
def test_any_other_cookie_is_nobodys(text):
    """Whatever it says, it is refused without an error."""
    assert Sessions(KEY, People.__new__(People)).person(f"{COOKIE}={text}") == ""
    assert Sessions(KEY, People.__new__(People)).person(text) == ""


def test_a_cookie_is_for_the_server_alone(sessions):
    """No script reads it, no other site sends it with what changes something."""
    cookie = sessions.cookie("v", secure=True)

    for word in ("HttpOnly", "SameSite=Lax", "Path=/", "Secure", "Max-Age=43200"):
        assert word in cookie
    assert "Max-Age=0" in sessions.cookie("", secure=False)


def test_no_server_starts_with_a_key_that_can_be_guessed(monkeypatch):
    """It is refused by the variable's name."""
    monkeypatch.setenv("KINGMAKER_SESSION_KEY", "short")

    with pytest.raises(NoSessionKeyError, match="KINGMAKER_SESSION_KEY"):
        session_key()
