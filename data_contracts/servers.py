"""Where the data comes from: the first ``servers`` entry of a contract, in the forms that can be read.

Files: ``local`` (``path``) and ``s3`` (``location``, ``endpointUrl``), in format csv, json (one object a line) or parquet;
S3's account comes from the environment alone (``AWS_ACCESS_KEY_ID`` and so on, or a role). A table: ``postgresql`` (or ``postgres``),
``duckdb``, or ``custom`` with an SQLAlchemy ``url``, such as ``sqlite:///shop.db``. The table's name is the ``physicalName`` of
the contract's table, or else its ``name``. What the standard has no key for stands in the server's ``customProperties``:

=============  ==========  =========================================================================
property       stands on   meaning
=============  ==========  =========================================================================
``delimiter``  csv files   the character between two cells (default: the comma)
``url``        custom      the database's address, as SQLAlchemy writes it
``username``   postgresql  the account; it needs to read the table and nothing else
``password``   postgresql  ``${NAME}``: the variable of the environment that holds it
``changedAt``  a table     the column that says when a row was changed, to notice replaced values
=============  ==========  =========================================================================

``${NAME}`` in a value means the environment variable of that name, filled in when the source is read. A secret may
stand in a contract in this form only: a contract is kept in git, and shown to people.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, urlsplit

from data_contracts.contract import ContractError, Server, nearest

if TYPE_CHECKING:
    from open_data_contract_standard.model import Server as Document

FILE_FORMATS = ("csv", "json", "parquet")
_DATABASES = ("postgresql", "postgres", "duckdb", "custom")
_TYPES = ("local", "s3", *_DATABASES)
_WHERE = "servers.0"
_VARIABLES = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")

_SECRET = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)
_AS_VARIABLE = "its password as a variable of the environment, such as ${SALES_PASSWORD}"


def compile_server(file: Path, servers: list[Document] | None, table: str) -> Server:
    """Return our view of the first server; ``table`` is the physical name of the contract's table.

    Raises ContractError when the server cannot be read, or holds a secret in clear.
    """
    if not servers:
        raise ContractError(file, "servers", "where the data comes from", "none")
    return _Compiler(file, servers[0], table).compile()


class _Compiler:
    def __init__(self, file: Path, document: Document, table: str) -> None:
        self.file = file
        self.document = document
        self.table = table

    def compile(self) -> Server:
        document = self.document
        if document.type not in _TYPES:
            self._refuse(
                "type", f"one of {list(_TYPES)}", f"{document.type!r}{nearest(str(document.type), _TYPES)}"
            )
        return self._table() if document.type in _DATABASES else self._files()

    def _refuse(self, where: str, expected: str, found: str) -> NoReturn:
        raise ContractError(self.file, f"{_WHERE}.{where}", expected, found)

    def _files(self) -> Server:
        document = self.document
        if document.format not in FILE_FORMATS:
            self._refuse(
                "format",
                "'csv', 'json' or 'parquet'",
                f"{document.format!r}{nearest(str(document.format), FILE_FORMATS)}",
            )
        custom = self._custom(("delimiter",) if document.format == "csv" else ())
        if document.format == "json" and document.delimiter not in (None, "new_line"):
            self._refuse("delimiter", "'new_line': one JSON object a line", repr(document.delimiter))
        delimiter = custom.get("delimiter", ",")
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            self._refuse(
                "customProperties.delimiter",
                "one ASCII character, such as ';' or a tab",
                repr(delimiter),
            )
        encoding = document.encoding or "utf-8"
        try:
            codecs.lookup(encoding)
        except LookupError:
            self._refuse("encoding", "the name of an encoding, such as UTF-8", repr(encoding))
        if document.type == "s3":
            self._no_secret("location", document.location or "")
            self._no_secret("endpointUrl", document.endpointUrl or "")
            if not re.match(r"s3://[^/*?{]+/.", document.location or ""):
                self._refuse(
                    "location", "an address such as 's3://bucket/sales/{batch}.csv'", repr(document.location)
                )
        return Server(
            name=document.server or "",
            type=document.type or "",
            path=(document.location if document.type == "s3" else document.path) or "",
            format=document.format or "",
            encoding=encoding,
            delimiter=delimiter,
            endpoint=document.endpointUrl or "",
        )

    def _table(self) -> Server:
        document = self.document
        known = {"custom": ("url",), "duckdb": ()}.get(document.type or "", ("username", "password"))
        custom = self._custom((*known, "changedAt"))
        url, password = custom.get("url", ""), custom.get("password", "")
        if document.type == "custom" and not url:
            self._refuse(
                "customProperties.url", "the database's address, such as 'sqlite:///shop.db'", "none"
            )
        self._no_secret("customProperties.url", url)
        if password and not _VARIABLES.fullmatch(password):
            self._refuse("customProperties.password", _AS_VARIABLE, "one in clear")
        schema, _, name = self.table.rpartition(".")
        return Server(
            name=document.server or "",
            type=document.type or "",
            path="",
            format="",
            url=url,
            host=document.host or "",
            port=str(document.port or ""),
            database=document.database or "",
            username=custom.get("username", ""),
            password=password,
            schema=schema or document.schema_ or "",
            table=name,
            changed_at=custom.get("changedAt", ""),
        )

    def _custom(self, known: tuple[str, ...]) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in self.document.customProperties or []:
            name = item.property or ""
            if name not in known or name in found:
                hint = " twice" if name in found else nearest(name, known)
                self._refuse("customProperties", f"one of {list(known)}, once", f"{name!r}{hint}")
            found[name] = str(item.value)
        return found

    def _no_secret(self, where: str, address: str) -> None:
        """A password in an address is refused, and not shown: before the ``@``, or among the options."""
        try:
            split = urlsplit(address)
            options = parse_qsl(split.query)
        except ValueError:
            self._refuse(where, "an address", "something that cannot be read as one")
        account = split.netloc.rpartition("@")[0]
        secrets = [account.partition(":")[2], *(value for key, value in options if _SECRET.search(key))]
        if any(_VARIABLES.sub("", secret) for secret in secrets):
            self._refuse(where, _AS_VARIABLE, "one in clear")
