"""Where a command works, and how the next one is typed to work in the same place."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from tasks.errors import MisuseError
from tasks.ledger.tables import Engine, open_ledger
from tasks.settings import Settings

_QUOTED = re.compile(r"'kingmaker (?=[a-z])")
_GIVEN: list[str] = []
"""The options that say where this command works, as they were typed."""


class NoLedgerError(MisuseError):
    """A command that only reads was given a home in which nothing has run yet."""


def remember(project: Path | None, home: Path | None) -> None:
    """Keep where this command was told to work, for the next one; None for what was left out."""
    given = {"--project": project, "--home": home}
    _GIVEN[:] = [
        word for name, value in given.items() if value is not None for word in (name, str(value))
    ]


def me() -> str:
    """Return the command as it has to be typed to work in the same place: by its name when it is on
    the path, with the options that say where.
    """
    program = Path(sys.argv[0])
    installed = shutil.which(program.name) or program.name != "kingmaker"
    words = ["kingmaker" if installed else os.path.relpath(program)]
    return shlex.join([*words, *_GIVEN])


def typed(sentence: str) -> str:
    """Return a sentence with each 'kingmaker ...' in it as it has to be typed here."""
    return _QUOTED.sub(lambda _: f"'{me()} ", sentence)


def existing_ledger(settings: Settings) -> Engine:
    """Return the ledger, for reading: a home that was mistyped is not made.

    Raises NoLedgerError when the home has none.
    """
    file = settings.home.resolve() / "ledger.db"
    if not settings.ledger and not file.exists():
        found = "one without a ledger" if settings.home.exists() else "no such directory"
        raise NoLedgerError(
            f"{settings.home.resolve()}: expected a home in which a model has run, found {found};"
            " 'kingmaker run MODEL' makes one, --home names another"
        )
    return open_ledger(settings.ledger_url)
