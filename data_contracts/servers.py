"""Where the data comes from: the ``servers`` of a contract, in the forms that can be read.

Files: ``local`` (``path``); ``s3`` (``location``, ``endpointUrl``); ``azure``, ``sftp`` and
    ``custom`` (``location``, an address that fsspec can open, such as ``abfs://``, ``sftp://``,
    ``gs://``, ``https://``). Their format is csv, json (one object a line) or parquet. A table:
    ``postgresql`` (or ``postgres``), ``duckdb``, or ``custom`` with an SQLAlchemy ``url``, such as
    ``sqlite:///shop.db``. The table's name is the ``physicalName`` of the contract's table, or else
    its ``name``. An HTTP API: ``api`` (``location``), whose answers are json or csv. What the
    standard has no key for stands in the server's ``customProperties``:

==================  ==========  ====================================================================
property            stands on   meaning
==================  ==========  ====================================================================
``delimiter``       csv files   the character between two cells (default: the comma)
``quote``           csv files   the character around a cell, or ``none`` (default: ``"``)
``escape``          csv files   the character before a quote in a cell (default: it is doubled)
``skipLines``       csv files   how many lines stand before the header
``decimal``         text files  the character before a fraction: ``.`` (default) or ``,``
``thousands``       text files  the character between groups of three digits (default: none)
``missingValues``   text files  a list of what means "no value", in place of ``contract.MISSING``
``storageOptions``  a location  what the file system is told beside the address, in fsspec's words
``url``             custom      the database's address, as SQLAlchemy writes it
``username``        postgresql  the account; it needs to read the table and nothing else
``password``        postgresql  a reference to where it is kept
``changedAt``       a table     the column that says when a row was changed, to see replaced values
``query``           a database  a SELECT whose rows are read in the place of the table's
``answers``         an API      json (default) or csv
``since``           an API      the day of the first batch that is asked for
``period``          an API      the query parameters for a period: ``{start: from, end: to}``
``params``          an API      further query parameters
``token``           an API      a reference to what is sent as ``Authorization: Bearer``
``records``         an API      where the rows stand in an answer, such as ``data.items``
``total``           an API      where an answer says how many rows there are in all
``pages``           an API      how the next page is asked for: ``{by: page, param: p}``,
                                ``{by: offset, param: skip}``, ``{by: cursor, param: after, from:
                                meta.next}``, or ``{by: link}`` for the header ``Link``
==================  ==========  ====================================================================

A reference is filled in when the source is read: ``${NAME}`` is the environment variable of that
name, and ``{{ prefect.blocks.secret.NAME }}`` a Prefect block, of this or another type, as Prefect
writes it in its deployments. A secret may stand in a contract in these forms only: a contract is
kept in git, and shown to people.

A contract may have several servers, say for test and production; ``Contract.at`` chooses.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from data_contracts.contract import Api, ContractError, Server, nearest

if TYPE_CHECKING:
    from open_data_contract_standard.model import Server as Document

FILE_FORMATS = ("csv", "json", "parquet")
FORMAT_OF_ENDING = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""What the end of a file's name says of its format."""
_DATABASES = ("postgresql", "postgres", "duckdb")
_ADDRESSES = ("s3", "azure", "sftp", "custom")
_TYPES = ("local", *_ADDRESSES, *_DATABASES, "api")
_API = ("answers", "since", "period", "params", "token", "records", "total", "pages")
_PAGES: dict[str, tuple[str, ...]] = {
    "page": ("param",),
    "offset": ("param",),
    "cursor": ("param", "from"),
    "link": (),
}
_PATH = r"[^.\s]+(\.[^.\s]+)*"

_CSV = ("delimiter", "quote", "escape", "skipLines")
_TEXT = ("decimal", "thousands", "missingValues")
_MARKS = {
    "delimiter": r"""[^"\r\n\x80-\U0010ffff]""",
    "quote": r"[^\r\n\x80-\U0010ffff]?",
    "escape": r"[^\r\n\x80-\U0010ffff]?",
    "decimal": r"[.,]",
    "thousands": "[.,'\u2019 _\u00a0\u2009\u202f]?",
}
_MARK_NAMES = {
    "delimiter": "one ASCII character, such as ';' or a tab",
    "quote": "one ASCII character, or none",
    "escape": "one ASCII character, or none",
    "decimal": "'.' or ','",
    "thousands": "'.', ',', an apostrophe, a blank of any width, '_' or none",
}


_QUERY = re.compile(r"(select|with)\b[^;]*", re.IGNORECASE)

REFERENCE = re.compile(
    r"\$\{(?P<variable>[A-Za-z_][A-Za-z0-9_]*)\}|\{\{\s*(?P<block>prefect\.blocks\.[\w.\-\[\]]+)\s*\}\}"
)
"""A value that is kept elsewhere: in the environment, or in a Prefect block."""
SECRET_NAME = re.compile("pass|pwd|secret|token|key|sig|credential|connection", re.IGNORECASE)
"""A name that says that its value is a secret."""
_AS_REFERENCE = (
    "its secret as a reference, such as ${SALES_PASSWORD} or {{"
    " prefect.blocks.secret.sales-password }}"
)


def compile_servers(file: Path, servers: list[Document] | None, table: str) -> tuple[Server, ...]:
    """Return our view of each server; ``table`` is the physical name of the contract's table.

    Raises ContractError when one of them cannot be read, holds a secret in clear, or has the name
    of another.
    """
    if not servers:
        raise ContractError(file, "servers", "where the data comes from", "none")
    names = [server.server for server in servers]
    if doubles := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ContractError(file, "servers", "each server once", f"{doubles} more than once")
    return tuple(
        _Compiler(file, f"servers.{i}", one, table).compile() for i, one in enumerate(servers)
    )


class _Compiler:
    def __init__(self, file: Path, where: str, document: Document, table: str) -> None:
        self.file = file
        self.where = where
        self.document = document
        self.table = table

    def compile(self) -> Server:
        document = self.document
        if document.type not in _TYPES:
            self._refuse(
                "type",
                f"one of {list(_TYPES)}",
                f"{document.type!r}{nearest(str(document.type), _TYPES)}",
            )
        is_table = document.type in _DATABASES or (
            document.type == "custom" and not document.location
        )
        if document.type == "api":
            return self._api()
        return self._table() if is_table else self._files()

    def _refuse(self, where: str, expected: str, found: str) -> NoReturn:
        raise ContractError(self.file, f"{self.where}.{where}", expected, found)

    def _files(self) -> Server:
        document = self.document
        if document.format not in FILE_FORMATS:
            self._refuse(
                "format",
                "'csv', 'json' or 'parquet'",
                f"{document.format!r}{nearest(str(document.format), FILE_FORMATS)}",
            )
        known = [
            *_CSV * (document.format == "csv"),
            *_TEXT * (document.format != "parquet"),
            *("storageOptions",) * (document.type in _ADDRESSES),
        ]
        custom = self._custom(known)
        if document.format == "json" and document.delimiter not in (None, "new_line"):
            self._refuse(
                "delimiter", "'new_line': one JSON object a line", repr(document.delimiter)
            )
        encoding = document.encoding or "utf-8"
        try:
            codecs.lookup(encoding)
        except LookupError:
            self._refuse("encoding", "the name of an encoding, such as UTF-8", repr(encoding))
        if document.type in _ADDRESSES:
            self._no_secret("location", document.location or "")
            self._no_secret("endpointUrl", document.endpointUrl or "")
            scheme = "s3" if document.type == "s3" else "abfs" if document.type == "azure" else "gs"
            pattern = r"s3://[^/*?{]+/." if document.type == "s3" else r"[a-z][a-z0-9+.-]*://[^*?/]"
            if not re.match(pattern, document.location or ""):
                self._refuse(
                    "location",
                    f"an address such as '{scheme}://bucket/sales/{{batch}}.csv'",
                    repr(document.location),
                )
        return Server(
            name=document.server or "",
            type=document.type or "",
            path=(document.location if document.type in _ADDRESSES else document.path) or "",
            format=document.format or "",
            where=self.where,
            environment=document.environment or "",
            encoding=encoding,
            **self._dialect(custom),
            endpoint=document.endpointUrl or "",
            options=self._options("storageOptions", custom.get("storageOptions", {})),
        )

    def _dialect(self, custom: dict[str, object]) -> dict[str, Any]:
        """How text is written, as far as it is said."""
        found: dict[str, Any] = {}
        for key, allowed in _MARKS.items():
            if key not in custom:
                continue
            given = custom[key]
            mark = "" if given == "none" and key in ("quote", "escape", "thousands") else given
            if not isinstance(mark, str) or not re.fullmatch(allowed, mark):
                self._refuse(f"customProperties.{key}", _MARK_NAMES[key], repr(given))
            found[key] = mark
        marks = {"delimiter": ",", "quote": '"', "decimal": ".", "thousands": ""} | found
        for one, other in (("delimiter", "quote"), ("decimal", "thousands")):
            if marks[one] == marks[other]:
                self._refuse(
                    f"customProperties.{one}", f"another than the {other}", repr(marks[one])
                )
        if "skipLines" in custom:
            lines = custom["skipLines"]
            if not isinstance(lines, int) or isinstance(lines, bool) or lines < 0:
                self._refuse("customProperties.skipLines", "a number of lines", repr(lines))
            found["skip_lines"] = lines
        if "missingValues" in custom:
            texts = custom["missingValues"]
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                self._refuse(
                    "customProperties.missingValues",
                    "a list of texts in quotes, such as ['', '-999']",
                    repr(texts),
                )
            found["missing"] = tuple(texts)
        return found

    def _options(self, key: str, given: object) -> tuple[tuple[str, str], ...]:
        """The options as texts; a nested one is refused, and a secret in clear, and neither is
        shown.
        """
        where = f"customProperties.{key}"
        if not isinstance(given, dict) or not all(
            isinstance(value, str) for value in given.values()
        ):
            self._refuse(
                where, "options with one text each, such as {account_name: sales}", "another value"
            )
        for name, value in given.items():
            if SECRET_NAME.search(name) and REFERENCE.sub("", value):
                self._refuse(f"{where}.{name}", _AS_REFERENCE, "one in clear")
        return tuple(given.items())

    def _api(self) -> Server:
        document = self.document
        custom = self._custom((*_API, *_CSV, *_TEXT))
        format = custom.get("answers", "json")
        if format not in ("json", "csv"):
            self._refuse("customProperties.answers", "'json' or 'csv'", repr(format))
        if format == "json":
            self._custom((*_API, *_TEXT))
        self._no_secret("location", document.location or "")
        if not re.match(r"https?://[^/?#]+", document.location or ""):
            expected = "an address such as 'https://api.example.com/v1/orders'"
            self._refuse("location", expected, repr(document.location))
        where = "customProperties"
        try:
            since = date.fromisoformat(str(custom.get("since")))
        except ValueError:
            found = repr(custom.get("since"))
            self._refuse(f"{where}.since", "a day in quotes, such as '2024-01-01'", found)
        period = custom.get("period")
        if (
            not isinstance(period, dict)
            or set(period) != {"start", "end"}
            or not all(isinstance(name, str) and name for name in period.values())
        ):
            expected = "the query parameters of a period, such as {start: from, end: to}"
            self._refuse(f"{where}.period", expected, repr(period))
        token = str(custom.get("token", ""))
        if token and not REFERENCE.fullmatch(token):
            self._refuse(f"{where}.token", _AS_REFERENCE, "one in clear")
        for name in ("records", "total"):
            given = custom.get(name, "")
            if given and not re.fullmatch(_PATH, str(given)):
                self._refuse(f"{where}.{name}", "names with dots, as data.items", repr(given))
            if given and format == "csv":
                self._refuse(f"{where}.{name}", "none of a CSV answer", repr(given))
        pages = self._pages(custom.get("pages"), format)
        return Server(
            name=document.server or "",
            type="api",
            path=document.location or "",
            format=format,
            where=self.where,
            environment=document.environment or "",
            **self._dialect(custom),
            api=Api(
                since=since,
                start=period["start"],
                end=period["end"],
                params=self._options("params", custom.get("params", {})),
                token=token,
                records=str(custom.get("records", "")),
                total=str(custom.get("total", "")),
                **pages,
            ),
        )

    def _pages(self, given: object, format: str) -> dict[str, Any]:
        """How the next page is asked for."""
        if given is None:
            return {}
        where = "customProperties.pages"
        by = given.get("by") if isinstance(given, dict) else None
        if not isinstance(given, dict) or by not in _PAGES:
            self._refuse(
                where, f"{{by: one of {list(_PAGES)}}}", f"{given!r}{nearest(str(by), _PAGES)}"
            )
        expected = {"by", *_PAGES[by]}
        if set(given) != expected or not all(isinstance(v, str) and v for v in given.values()):
            self._refuse(where, f"a text for each of {sorted(expected)}, by {by}", repr(given))
        if by == "cursor" and format == "csv":
            self._refuse(where, "another than cursor, which stands in a JSON answer", repr(given))
        return {
            "pages": by,
            "page_param": given.get("param", ""),
            "cursor": given.get("from", ""),
        }

    def _table(self) -> Server:
        document = self.document
        known = {"custom": ("url",), "duckdb": ()}.get(
            document.type or "", ("username", "password")
        )
        custom = {
            name: str(value) for name, value in self._custom((*known, "changedAt", "query")).items()
        }
        url, password = custom.get("url", ""), custom.get("password", "")
        if document.type == "custom" and not url:
            self._refuse(
                "customProperties.url",
                "the database's address, such as 'sqlite:///shop.db', or else a location of files",
                "none",
            )
        self._no_secret("customProperties.url", url)
        if password and not REFERENCE.fullmatch(password):
            self._refuse("customProperties.password", _AS_REFERENCE, "one in clear")
        query = custom.get("query", "").strip()
        if "query" in custom and not _QUERY.fullmatch(query):
            self._refuse(
                "customProperties.query",
                "one SELECT, which may begin with WITH, and has no semicolon",
                repr(query[:80]),
            )
        schema, _, name = self.table.rpartition(".")
        return Server(
            name=document.server or "",
            type=document.type or "",
            path="",
            format="",
            where=self.where,
            environment=document.environment or "",
            url=url,
            host=document.host or "",
            port=str(document.port or ""),
            database=document.database or "",
            username=custom.get("username", ""),
            password=password,
            schema=schema or document.schema_ or "",
            table=name,
            query=query,
            changed_at=custom.get("changedAt", ""),
        )

    def _custom(self, known: Sequence[str]) -> dict[str, object]:
        found: dict[str, object] = {}
        for item in self.document.customProperties or []:
            name = item.property or ""
            if name not in known or name in found:
                hint = " twice" if name in found else nearest(name, known)
                self._refuse("customProperties", f"one of {list(known)}, once", f"{name!r}{hint}")
            found[name] = item.value
        return found

    def _no_secret(self, where: str, address: str) -> None:
        """A password in an address is refused, and not shown: before the ``@``, or among the
        options.
        """
        try:
            shown = shows_secret(address)
        except ValueError:
            self._refuse(where, "an address", "something that cannot be read as one")
        if shown:
            self._refuse(where, _AS_REFERENCE, "one in clear")


def shows_secret(address: str) -> bool:
    """Whether a password stands in ``address`` in clear: before the ``@``, or among the options.

    Raises ValueError when the text cannot be read as an address.
    """
    split = urlsplit(address)
    account = split.netloc.rpartition("@")[0]
    secrets = [
        account.partition(":")[2],
        *(value for key, value in parse_qsl(split.query) if SECRET_NAME.search(key)),
    ]
    return any(REFERENCE.sub("", secret) for secret in secrets)
