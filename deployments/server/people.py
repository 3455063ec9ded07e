"""The people of a home who may log in: their names, and what their passwords are known by.

The passwords themselves are nowhere: the file keeps their scrypt digests (RFC 7914), and is its
owner's alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from deployments.server.home import USER
from deployments.server.kept import Kept
from tasks.errors import MisuseError
from tasks.records import Record

LEAST = 12
"""Fewest characters of a password."""
_COST = {"n": 2**15, "r": 8, "p": 3, "maxmem": 2**26}
"""Of one digest: 32 MB for about 0.2 s (OWASP's password storage cheat sheet)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class PersonError(MisuseError):
    """A name or a password cannot be used, or a person is not there."""


class Person(Record):
    """What one person is known by."""

    salt: str
    scrypt: str
    """Of the password, with the salt; both in base64."""

    @classmethod
    def of(cls, password: str) -> Person:
        """Return what a password is known by from now on."""
        salt = secrets.token_bytes(16)
        return cls(salt=_text(salt), scrypt=_text(_digest(password, salt)))

    def knows(self, password: str) -> bool:
        """Whether this is the password; as slow as is meant for one who guesses."""
        found = _digest(password, base64.b64decode(self.salt))
        return hmac.compare_digest(found, base64.b64decode(self.scrypt))

    @property
    def sign(self) -> str:
        """A few characters that change with the password: sessions that were begun with another one
        end.
        """
        return hashlib.sha256(self.scrypt.encode()).hexdigest()[:12]


class People:
    """The people of a home, read again when their file has changed."""

    def __init__(self, home: Path) -> None:
        self._kept = _kept(home)
        self._seen: tuple[int, int] | None = None
        self._people: Mapping[str, Person] = {}

    def sign(self, name: str) -> str:
        """Return the sign of a person's password; empty for one who is not there."""
        found = self._known().get(name)
        return "" if found is None else found.sign

    def know(self, name: str, password: str) -> bool:
        """Whether a person is there, and this is the password: equally slow for one who is not."""
        found = self._known().get(name)
        if found is None:
            Person.of(password)
            return False
        return found.knows(password)

    def _known(self) -> Mapping[str, Person]:
        try:
            status = self._kept.file.stat()
        except FileNotFoundError:
            self._seen, self._people = None, {}
            return self._people
        if self._seen != (seen := (status.st_mtime_ns, status.st_ino)):
            self._seen, self._people = seen, self._kept.read()
        return self._people


def people_file(home: Path) -> Path:
    """Return where the people of a home are kept."""
    return home.resolve() / "servers" / "people.json"


def _kept(home: Path) -> Kept[Person]:
    return Kept(people_file(home), Person)


def names(home: Path) -> tuple[str, ...]:
    """Return who may log in, by name."""
    return tuple(sorted(_kept(home).read()))


def add_person(home: Path, name: str, password: str) -> bool:
    """Let a person log in by a password, or give one who may a new one; return whether the name is
    new.

    Raises PersonError for a name or a password that cannot be used.
    """
    if not _NAME.fullmatch(name) or name == USER:
        raise PersonError(
            f"{name!r}: expected a name of letters, digits, '.', '_', '@' and '-', at most 64, and"
            f" not {USER!r}, which programs use"
        )
    if len(password) < LEAST:
        raise PersonError(
            f"the password of {name}: expected at least {LEAST} characters, found {len(password)}"
        )
    with _kept(home).changing() as people:
        new = name not in people
        people[name] = Person.of(password)
    return new


def remove_person(home: Path, name: str) -> None:
    """Let a person log in no more; sessions of theirs end at once. PersonError when not there."""
    with _kept(home).changing() as people:
        if name not in people:
            listed = ", ".join(sorted(people)) or "none"
            raise PersonError(f"{name}: expected a person who may log in, found {listed}")
        del people[name]


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_COST)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
