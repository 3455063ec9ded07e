"""What a source is: something that knows which batches it holds, and can read one of them.

Three kinds, opened by ``arrivals.open_source`` from the contract's server:

- ``by_batch.py``: one file or many files a period, found by ``{batch}`` in their path;
- ``growing.py``: one file or many that grow, cut by event time;
- ``sql.py``: a table in a database, cut by event time.

Files lie where ``stores.py`` can reach them, and are read by ``formats.py``, piece by piece. Whatever the kind, ``rows.py`` and
``conform.py`` give the columns the contract's types.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from tasks.batches import Batch

if TYPE_CHECKING:
    from data_contracts.contract import Contract
    from tasks.ingest.rows import Rows

MISSING = ["", "NA", "NaN", "nan", "null", "NULL"]
"""What text says "no value"; in a column of type string only where it is not quoted."""

_VARIABLE = re.compile(r"\$(?:\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<bad>.?))", re.DOTALL)


class SourceError(RuntimeError):
    """The source cannot be read; the message names the file or the table, and says what to do."""


class UnreadableError(SourceError):
    """What was delivered of a batch is whole and still, and cannot be read: it stays so until it is delivered again."""


class Source(Protocol):
    """Where the batches of a contract come from."""

    @property
    def name(self) -> str:
        """The address for people: without a secret, with ``{batch}`` as in the contract."""

    def batches(self) -> dict[str, str]:
        """Return batch id -> fingerprint of what there is of it now, in the order of the ids.

        A fingerprint is a cheap sign of change; the content decides. Raises SourceError when the source cannot be
        reached, because an absent source must not look like an idle one.
        """

    def read(self, batch: Batch) -> Rows:
        """Return the rows of the batch, which are read when they are asked for; SourceError, then, when they cannot be."""


@dataclass(frozen=True)
class Address:
    """A text of the contract with the environment filled in; it can be hidden again before anything is shown."""

    text: str = field(repr=False)
    filled: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Pairs of value and name of the variables that were filled in, the longest value first."""

    def below(self, directory: Path) -> Address:
        """Return the address with a relative path counted from ``directory``."""
        return replace(self, text=(directory / self.text).as_posix())

    @contextmanager
    def hidden_in_errors(self) -> Iterator[None]:
        """Hide what was filled in from each SourceError of the block, and from the errors that caused it."""
        try:
            yield
        except SourceError as error:
            if not self.filled:
                raise
            raise type(error)(self.hide(str(error))) from None

    def hide(self, text: str) -> str:
        """Return ``text`` with every filled-in value replaced by the variable that it came from."""
        for value, name in self.filled:
            for spelling in (value, quote(value, safe="")):
                text = text.replace(spelling, f"${{{name}}}")
        return text


def fill_in(text: str, contract: Contract, where: str, home: Path) -> Address:
    """Return ``text`` with ``${KINGMAKER_HOME}`` and the variables of the environment filled in.

    The home is no secret and is shown; everything else that was filled in is hidden. Raises SourceError when a variable
    is not set. A Prefect block reference ({{ prefect.blocks.secret.name }}) is not read: Prefect can put a block into
    the environment of a run by its job variables.
    """
    filled: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "KINGMAKER_HOME":
            return str(home.resolve())
        if name is None or not os.environ.get(name):
            what = "variables as ${NAME}" if name is None else f"the environment variable {name} to be set"
            raise SourceError(f"{contract.file}: {where}: expected {what}, found {text!r}")
        filled[os.environ[name]] = name
        return os.environ[name]

    account, at, rest = text.rpartition(
        "@"
    )  # within an account, an address needs '@' and '/' in another spelling
    full = (
        _VARIABLE.sub(lambda match: quote(value(match), safe=""), account) + at + _VARIABLE.sub(value, rest)
    )
    return replace(hiding(filled.items()), text=full)


def hiding(filled: Iterable[tuple[str, str]]) -> Address:
    """Return an address without a text of its own, that hides these pairs of value and name."""
    return Address("", tuple(sorted(filled, key=lambda pair: -len(pair[0]))))


def digest_of(parts: Mapping[str, str]) -> str:
    """Return sixteen digits that change when a name or a value of ``parts`` changes, in whatever order they come."""
    text = "\n".join(f"{name}={value}" for name, value in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
