"""Sessions of people who have logged in: a signed cookie, which all servers of a home read.

Nothing is kept on a server. A session ends after twelve hours, when the person is removed or gets
another password, and when the home's secrets are rotated.
"""

from __future__ import annotations

import os
from http.cookies import CookieError, SimpleCookie
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from deployments.server.people import People
from tasks.errors import MisuseError

COOKIE = "kingmaker_session"
HOURS = 12
KEY = "KINGMAKER_SESSION_KEY"


class NoSessionKeyError(MisuseError):
    """A server was to be started without a key to sign sessions by, or with a short one."""


class Sessions:
    """What is given to a person who logs in, and what such a thing is worth later."""

    def __init__(self, key: str, people: People, hours: float = HOURS) -> None:
        self._people, self._seconds = people, hours * 3600
        self._cookies = URLSafeTimedSerializer(key, salt="kingmaker session")
        self._forms = URLSafeTimedSerializer(key, salt="kingmaker form")

    def begin(self, name: str) -> str:
        """Return the value of the cookie of a person who has just shown who it is."""
        return str(self._cookies.dumps([name, self._people.sign(name)]))

    def person(self, cookies: str) -> str:
        """Return whose session a Cookie header holds; empty when it holds none that is good now."""
        try:
            found = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return ""
        if found is None:
            return ""
        match self._read(self._cookies, found.value):
            case [str(name), str(sign)] if sign and sign == self._people.sign(name):
                return name
            case _:
                return ""

    def form(self, person: str, what: str) -> str:
        """Return the token that a form carries: it is good for this person and this act alone."""
        return str(self._forms.dumps([person, what]))

    def sent(self, token: str, person: str, what: str) -> bool:
        """Whether a form was one of ours, for this person and this act."""
        return bool(self._read(self._forms, token) == [person, what])

    def cookie(self, value: str, *, secure: bool) -> str:
        """Return a Set-Cookie header; an empty ``value`` ends the session."""
        age = int(self._seconds) if value else 0
        words = [f"{COOKIE}={value}", "Path=/", f"Max-Age={age}", "HttpOnly", "SameSite=Lax"]
        return "; ".join([*words, "Secure"] if secure else words)

    def _read(self, serializer: URLSafeTimedSerializer, value: str) -> Any:  # noqa: ANN401 - JSON
        try:
            return serializer.loads(value, max_age=int(self._seconds))
        except BadData:
            return None


def session_key() -> str:
    """Return the key in KINGMAKER_SESSION_KEY; NoSessionKeyError when it is not long enough."""
    key = os.environ.get(KEY, "")
    if len(key) < 32:
        raise NoSessionKeyError(
            f"{KEY}: expected at least 32 characters, found {len(key)}; no server is started whose"
            " sessions could be forged"
        )
    return key
