"""Tokens by which programs read the console's JSON and its metrics, and nothing else.

A token is shown once, when it is made; the file keeps its digest. It has 256 bits of chance, so a
plain digest tells nothing of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from deployments.server.home import write_private
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
        self._file = tokens_file(home)

    def name(self, token: str) -> str:
        """Return the name of a token; empty for one that is none of this home's."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        return next(
            (
                name
                for name, one in _read(self._file).items()
                if secrets.compare_digest(one.sha256, digest)
            ),
            "",
        )


def tokens_file(home: Path) -> Path:
    """Return where the tokens of a home are kept."""
    return home.resolve() / "servers" / "tokens.json"


def made(home: Path) -> dict[str, datetime]:
    """Return each token's name, and when it was made."""
    return {name: one.made for name, one in _read(tokens_file(home)).items()}


def make_token(home: Path, name: str) -> str:
    """Make a token, and return it; TokenError for a name that cannot be used or is taken."""
    if not _NAME.fullmatch(name):
        raise TokenError(
            f"{name!r}: expected a name of letters, digits, '.', '_' and '-', at most 64"
        )
    with _changing(home) as tokens:
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
    with _changing(home) as tokens:
        if name not in tokens:
            listed = ", ".join(sorted(tokens)) or "none"
            raise TokenError(f"{name}: expected the name of a token, found {listed}")
        del tokens[name]


@contextmanager
def _changing(home: Path) -> Iterator[dict[str, Token]]:
    """Give the tokens to be changed, one process at a time."""
    file = tokens_file(home)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = _read(file)
        yield tokens
        write_private(
            file, {name: json.loads(one.model_dump_json()) for name, one in tokens.items()}
        )


_TOKENS = TypeAdapter(dict[str, Token])


def _read(file: Path) -> dict[str, Token]:
    try:
        return _TOKENS.validate_json(file.read_bytes())
    except FileNotFoundError:
        return {}
