"""What a source is: something that knows which batches it holds, and can read one of them.

Four kinds, opened by ``arrivals.open_source`` from the contract's server:

- ``by_batch.py``: one file or many files a period, found by ``{batch}`` in their path;
- ``growing.py``: one file or many that grow, cut by event time;
- ``sql.py``: a table in a database, or a query, cut by event time;
- ``api.py``: an HTTP API, asked for one period of event time after another.

Files lie where ``stores.py`` can reach them, and are read by ``formats.py``, piece by piece.
Whatever the kind, ``rows.py`` and ``tasks/conform.py`` give the columns the contract's types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks import addresses
from tasks.addresses import Address, AddressError
from tasks.batches import Batch
from tasks.errors import RefusedError

if TYPE_CHECKING:
    from data_contracts.contract import Contract
    from tasks.ingest.rows import Rows

PIECE_BYTES = 16 * 2**20
"""About how much of a text file is read as one piece, and the longest row of CSV that can be
read.
"""


class SourceError(AddressError):
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


def fill_in(text: str, contract: Contract, key: str, home: Path) -> Address:
    """Return ``text``, the ``key`` of the contract's server, with its references filled in.

    Raises SourceError when a variable of the environment is not set, or a Prefect block cannot be
    read.
    """
    where = f"{contract.file}: {contract.server.where}.{key}"
    try:
        return addresses.fill_in(text, where, home, _read_block)
    except AddressError as error:
        raise SourceError(str(error)) from None


def _read_block(reference: str) -> str:
    # Only a contract with a block pays for the import of Prefect, which task.py alone knows.
    from tasks.ingest.task import read_block

    return read_block(reference)


def digest_of(parts: Mapping[str, str]) -> str:
    """Return sixteen digits that change when a name or a value of ``parts`` changes, in whatever
    order they come.
    """
    text = "\n".join(f"{name}={value}" for name, value in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
