"""Tokens by which programs read the console's JSON and its metrics, and nothing else.

A token is shown once, when it is made; the file keeps its digest. It has 256 bits of chance, so a
plain digest tells nothing of it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from deployments.server.kept import Kept
from tasks.errors import MisuseError
from tasks.records import Record

PREFIX = "kingmaker_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TokenError(MisuseError):
    """A token's name cannot be used, is taken, or is not there."""


class Token(Record):
    """What a token is known by."""

    sha256: str
    made: datetime


class Tokens:
    """The tokens of a home, read anew at each look: programs ask seldom."""

    def __init__(self, home: Path) -> None:
        self._kept = _kept(home)

    def name(self, token: str) -> str:
        """Return the name of a token; empty for one that is none of this home's."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        return next(
            (
                name
                for name, one in self._kept.read().items()
                if secrets.compare_digest(one.sha256, digest)
            ),
            "",
        )


def tokens_file(home: Path) -> Path:
    """Return where the tokens of a home are kept."""
    return home.resolve() / "servers" / "tokens.json"


def _kept(home: Path) -> Kept[Token]:
    return Kept(tokens_file(home), Token)


def made(home: Path) -> dict[str, datetime]:
    """Return each token's name, and when it was made."""
    return {name: one.made for name, one in _kept(home).read().items()}


def make_token(home: Path, name: str) -> str:
    """Make a token, and return it; TokenError for a name that cannot be used or is taken."""
    if not _NAME.fullmatch(name):
        raise TokenError(
            f"{name!r}: expected a name of letters, digits, '.', '_' and '-', at most 64"
        )
    with _kept(home).changing() as tokens:
        if name in tokens:
            raise TokenError(
                f"{name}: expected a new name, found a token that is called so; revoke it first"
            )
        token = PREFIX + secrets.token_urlsafe(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        tokens[name] = Token(sha256=digest, made=datetime.now(UTC))
    return token


def revoke_token(home: Path, name: str) -> None:
    """Have a token open nothing any more, at once; TokenError when there is none of that name."""
    with _kept(home).changing() as tokens:
        if name not in tokens:
            listed = ", ".join(sorted(tokens)) or "none"
            raise TokenError(f"{name}: expected the name of a token, found {listed}")
        del tokens[name]
