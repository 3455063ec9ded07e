"""Addresses with references in them: filled in when something is read or written, hidden again
before anything is shown.

``${NAME}`` is the environment variable of that name, ``{{ prefect.blocks.TYPE.NAME }}`` a Prefect
block. What was filled in may be a secret: no error, record or page shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from data_contracts.errors import KingmakerError
from data_contracts.servers import REFERENCE

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

_BAD = re.compile(r"\$.?|\{\{.*?\}\}", re.DOTALL)
"""What looks like a reference and is none."""
_ACCOUNT = re.compile("FSSPEC_|PASS|SECRET|TOKEN|KEY|CREDENTIAL|CONNECTION_STRING")
_S3_OPTIONS = {
    "key": "access_key",
    "secret": "secret_key",
    "token": "session_token",
    "region": "region",
}


class AddressError(KingmakerError):
    """What lies at an address cannot be read or written; the message says where and what to do."""


@dataclass(frozen=True)
class Address:
    """A text of a contract or a spec with its references filled in; it can be hidden again before
    anything is shown.
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
        """Hide what was filled in from each AddressError of the block, and from the errors that
        caused it.
        """
        try:
            yield
        except AddressError as error:
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


def fill_in(text: str, where: str, home: Path, read_block: Callable[[str], str]) -> Address:
    """Return ``text``, which stands at ``where`` (file and key path), with its references filled
    in.

    The home is no secret and is shown; everything else that was filled in is hidden. Raises
    AddressError when a variable of the environment is not set, or a Prefect block cannot be read:
    ``read_block`` returns its value or raises LookupError.
    """
    filled: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        if match["variable"] == "KINGMAKER_HOME":
            return str(home.resolve())
        if match["block"]:
            try:
                found: str | None = read_block(match[0])
            except LookupError as error:
                raise AddressError(f"{where}: {error}") from None
        else:
            found = os.environ.get(match["variable"])
        if not found:
            raise AddressError(
                f"{where}: expected the environment variable {match['variable']} to be set, found"
                f" {text!r}"
            )
        filled[found] = match[0]
        return found

    if _BAD.search(REFERENCE.sub("", text)):
        raise AddressError(
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


def hiding(filled: Iterable[tuple[str, str]]) -> Address:
    """Return an address without a text of its own, that hides these pairs of value and name."""
    return Address("", tuple(sorted(filled, key=lambda pair: -len(pair[0]))))


def without_account(error: Exception) -> str:
    """Return what the error says, without any value of the environment that may be a part of an
    account: a service may quote the key that it was shown.
    """
    account = [
        (value, f"${{{name}}}")
        for name, value in os.environ.items()
        if len(value) > 3 and _ACCOUNT.search(name)
    ]
    return hiding(account).hide(str(error) or type(error).__name__)


def s3_file_system(endpoint: str, options: Mapping[str, str]) -> S3FileSystem:
    """Return the files of a service that speaks S3; an empty ``endpoint`` is Amazon's own.

    Account and region come from the environment (``AWS_*``), or ``options`` name the account.
    Raises AddressError for an option that S3 does not have.
    """
    from pyarrow.fs import S3FileSystem

    if unknown := sorted(set(options) - set(_S3_OPTIONS)):
        raise AddressError(
            f"storageOptions: expected some of {list(_S3_OPTIONS)} for S3, found {unknown}"
        )
    split = urlsplit(endpoint)
    return S3FileSystem(
        endpoint_override=split.netloc or None,
        scheme=split.scheme or "https",
        connect_timeout=10,
        request_timeout=60,
        **{_S3_OPTIONS[name]: value for name, value in options.items()},
    )
