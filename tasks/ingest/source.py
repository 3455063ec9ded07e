"""What a source is: something that knows which batches it holds, and can read one of them.

Three kinds, opened by ``arrivals.open_source`` from the contract's server:

- ``by_batch.py``: one file or many files a period, found by ``{batch}`` in their path;
- ``growing.py``: one file or many that grow, cut by event time;
- ``sql.py``: a table in a database, cut by event time.

Files lie where ``stores.py`` can reach them, and are read by ``formats.py``, piece by piece.
Whatever the kind, ``rows.py`` and ``tasks/conform.py`` give the columns the contract's types.
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

from data_contracts.servers import REFERENCE
from tasks.batches import Batch
from tasks.errors import KingmakerError, RefusedError

if TYPE_CHECKING:
    from data_contracts.contract import Contract
    from tasks.ingest.rows import Rows

_BAD = re.compile(r"\$.?|\{\{.*?\}\}", re.DOTALL)
"""What looks like a reference and is none."""


class SourceError(KingmakerError):
    """The source cannot be read; the message names the file or the table, and says what to do."""


class UnreadableError(RefusedError, SourceError):
    """What was delivered of a batch is whole and still, and cannot be read: it stays so until it is
    delivered again.
    """


class Source(Protocol):
    """Where the batches of a contract come from."""

    @property
    def name(self) -> str:
        """The address for people: without a secret, with ``{batch}`` as in the contract."""

    def batches(self) -> dict[str, str]:
        """Return batch id -> fingerprint of what there is of it now, in the order of the ids.

        A fingerprint is a cheap sign of change; the content decides. Raises SourceError when the
        source cannot be reached, because an absent source must not look like an idle one.
        """

    def read(self, batch: Batch) -> Rows:
        """Return the rows of the batch, which are read when they are asked for; SourceError, then,
        when they cannot be.
        """


@dataclass(frozen=True)
class Address:
    """A text of the contract with the environment filled in; it can be hidden again before anything
    is shown.
    """

    text: str = field(repr=False)
    filled: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Pairs of a value that was filled in and the reference that stands for it, the longest value
    first.
    """

    def hiding(self, others: Iterable[Address]) -> Address:
        """Return the address, which hides what was filled in into ``others`` too."""
        return replace(
            self,
            filled=hiding({*self.filled, *(pair for one in others for pair in one.filled)}).filled,
        )

    def below(self, directory: Path) -> Address:
        """Return the address with a relative path counted from ``directory``."""
        return replace(self, text=(directory / self.text).as_posix())

    @contextmanager
    def hidden_in_errors(self) -> Iterator[None]:
        """Hide what was filled in from each SourceError of the block, and from the errors that
        caused it.
        """
        try:
            yield
        except SourceError as error:
            if not self.filled:
                raise
            raise type(error)(self.hide(str(error))) from None

    def hide(self, text: str) -> str:
        """Return ``text`` with every filled-in value replaced by the reference that it came
        from.
        """
        for value, reference in self.filled:
            for spelling in (value, quote(value, safe="")):
                text = text.replace(spelling, reference)
        return text


def fill_in(text: str, contract: Contract, key: str, home: Path) -> Address:
    """Return ``text``, the ``key`` of the contract's server, with its references filled in.

    The home is no secret and is shown; everything else that was filled in is hidden. Raises
    SourceError when a variable of the environment is not set, or a Prefect block cannot be read.
    """
    filled: dict[str, str] = {}
    where = f"{contract.file}: {contract.server.where}.{key}"

    def value(match: re.Match[str]) -> str:
        if match["variable"] == "KINGMAKER_HOME":
            return str(home.resolve())
        found = _block(match[0], where) if match["block"] else os.environ.get(match["variable"])
        if not found:
            raise SourceError(
                f"{where}: expected the environment variable {match['variable']} to be set, found"
                f" {text!r}"
            )
        filled[found] = match[0]
        return found

    if _BAD.search(REFERENCE.sub("", text)):
        raise SourceError(
            f"{where}: expected variables as ${{NAME}} and blocks as {{{{ prefect.blocks.TYPE.NAME"
            f" }}}}, found {text!r}"
        )
    account, at, rest = text.rpartition(
        "@"
    )  # within an account, an address needs '@' and '/' in another spelling
    full = (
        REFERENCE.sub(lambda match: quote(value(match), safe=""), account)
        + at
        + REFERENCE.sub(value, rest)
    )
    return replace(hiding(filled.items()), text=full)


def _block(reference: str, where: str) -> str:
    # Only a contract with a block pays for the import of Prefect, which the room's face alone
    # knows.
    from tasks.ingest.task import read_block

    try:
        return read_block(reference)
    except LookupError as error:
        raise SourceError(f"{where}: {error}") from None


def hiding(filled: Iterable[tuple[str, str]]) -> Address:
    """Return an address without a text of its own, that hides these pairs of value and name."""
    return Address("", tuple(sorted(filled, key=lambda pair: -len(pair[0]))))


def digest_of(parts: Mapping[str, str]) -> str:
    """Return sixteen digits that change when a name or a value of ``parts`` changes, in whatever
    order they come.
    """
    text = "\n".join(f"{name}={value}" for name, value in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
