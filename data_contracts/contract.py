"""A typed, frozen view over an Open Data Contract Standard (ODCS v3) file.

The contract is the one place that says what the data must look like. ``odcs.py`` reads the file and
checks it against the standard's own JSON schema, ``compiler.py`` turns it into the rules below,
``servers.py`` says where the data comes from. What Kingmaker needs beyond the standard stands in
``customProperties``, which the standard reserves for that:

=================  =========  ======================================================================
property           stands on  meaning
=================  =========  ======================================================================
``eventTime``      the table  the column that says when a row happened; batches are cut by it
``availability``   a column   ``atEventTime`` (default), or ``later``: never a feature, only a label
``featureKind``    a column   ``categorical`` for a number that is a code, not a quantity
``unit``           a column   the unit of measure, shown in reports
``epoch``          a time     it is counted in this unit since 1970, UTC
``ambiguousTime``  a time     which of the two a local time means that stands twice on the clock
``trueValues``     a boolean  texts or numbers that mean true, and ``falseValues`` for false
=================  =========  ======================================================================

docs/files.md is the table of what a file may look like.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn

from data_contracts.errors import MisuseError

LogicalType = Literal["string", "integer", "number", "boolean", "timestamp", "date"]
Severity = Literal["error", "warning", "info"]
Scope = Literal["schema", "row", "batch"]
Epoch = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]
Ambiguous = Literal["earlier", "later", "quarantine"]
Pages = Literal["none", "page", "offset", "cursor", "link"]
Check = Literal[
    "present",
    "known_columns",
    "type",
    "not_null",
    "between",
    "in_set",
    "matches",
    "not_in_set",
    "length_between",
    "multiple_of",
    "format",
    "unique",
    "within_batch",
    "once_on_clock",
    "row_count",
    "null_share",
    "count",
    "fresh",
    "sql",
    "custom",
]


class ContractError(MisuseError, ValueError):
    """A contract cannot be used; the message names file, key path, what was expected and what was
    found.
    """

    def __init__(self, file: Path, where: str, expected: str, found: str) -> None:
        super().__init__(f"{file}: {where}: expected {expected}, found {found}")


MISSING = ("", "NA", "NaN", "nan", "null", "NULL")
"""What text says "no value" unless the contract's server says otherwise."""


@dataclass(frozen=True)
class Column:
    """One column of the contract."""

    name: str
    logical_type: LogicalType
    description: str = ""
    unit: str = ""
    required: bool = False
    """Declared so, or part of the key, or the event time: a row without it belongs to no batch."""
    unique: bool = False
    """Declared so, or the whole key: an identifier, never a feature."""
    sensitive: bool = False
    """Classified as other than public or internal: never a feature, never shown in clear."""
    available: bool = True
    """Known at event time. A column that becomes known later can be a label, never a feature."""
    categorical: bool = False
    """Strings, booleans, and numbers declared to be codes."""
    format: str = ""
    """How a date or a timestamp is written in text, in the letters of Java's DateTimeFormatter, as
    the standard has it; empty for ISO 8601.
    """
    epoch: Epoch | None = None
    """A timestamp that is a number: what it counts, since 1970-01-01 in UTC."""
    ambiguous: Ambiguous = "earlier"
    """Which moment a local time means that stands twice on the clock of the contract's zone."""
    true_values: tuple[str, ...] = ()
    """What a boolean is written as, beside true, t, yes, y and 1; not them when it is given."""
    false_values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One promise of the contract, in a form that any engine can be given.

    ``scope`` says what a break costs. ``schema`` and ``batch``: with severity ``error`` the batch
    is refused. ``row``: with severity ``error`` the row goes to quarantine. Other severities are
    reported only.
    """

    id: str
    scope: Scope
    check: Check
    columns: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "error"
    description: str = ""


@dataclass(frozen=True)
class Api:
    """How an HTTP API is asked for the rows of a period."""

    since: date
    """The day, in the contract's zone, with which the first batch begins that is asked for."""
    start: str
    """Query parameter for the beginning of the period, ..."""
    end: str
    """... and for its end, which is not part of it; both are told in ISO 8601, in UTC."""
    params: tuple[tuple[str, str], ...] = ()
    """Further query parameters; secrets as references only."""
    token: str = field(default="", repr=False)
    """What is sent as ``Authorization: Bearer``; empty when nothing is."""
    records: str = ""
    """Where the rows stand in an answer, such as ``data.items``; empty: it is the list itself."""
    total: str = ""
    """Where an answer says how many rows the period has in all; empty when it does not."""
    pages: Pages = "none"
    page_param: str = ""
    """Query parameter for the page, its offset in rows, or the cursor."""
    cursor: str = ""
    """Where an answer says the cursor of the next page."""


@dataclass(frozen=True)
class Server:
    """Where the data comes from: an ODCS ``servers`` entry."""

    name: str
    type: str
    path: str
    """Of files: their path or address, with ``{batch}`` or ``*`` in it, and ``${NAME}`` not filled
    in yet.
    """
    format: str
    where: str = "servers.0"
    """Its place in the contract."""
    environment: str = ""
    """Such as ``prod``."""
    encoding: str = "utf-8"
    delimiter: str = ","
    """Between the cells of a CSV file, as are the next three."""
    quote: str = '"'
    """Around a cell that holds a delimiter or a line end; empty when there is none."""
    escape: str = ""
    """Before a quote within a quoted cell; empty when it is doubled."""
    skip_lines: int = 0
    """Lines before the header."""
    decimal: str = "."
    """Before the fraction of a number that is text."""
    thousands: str = ""
    """Between groups of three digits of a number that is text; empty when there is nothing."""
    missing: tuple[str, ...] = MISSING
    """What a CSV cell without quotes, and text in a column of another type than string, says when
    there is no value.
    """
    endpoint: str = ""
    """Address of an S3 service; empty for that of Amazon."""
    options: tuple[tuple[str, str], ...] = ()
    """What the file system is told beside the address, in fsspec's words; secrets as references
    only.
    """
    url: str = ""
    """Of a database: its SQLAlchemy address, or else the five below."""
    host: str = ""
    port: str = ""
    database: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    table: str = ""
    api: Api | None = None
    """Of an HTTP API; its address is ``path``."""
    query: str = ""
    """What is read in the place of the table: its rows are cut by event time in the same way."""
    changed_at: str = ""
    """Column that says when a row of the table was changed."""


@dataclass(frozen=True)
class Contract:
    """What a batch must look like, and where it comes from."""

    file: Path
    name: str
    version: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event_time: str
    timezone: str
    """IANA name of the zone in which batches are cut; everything is stored in UTC."""
    lateness: timedelta
    """How long after its end a batch may still grow (SLA property ``latency``)."""
    rules: tuple[Rule, ...]
    servers: tuple[Server, ...]
    purpose: str = ""
    """What the data is for, on one line; these four are words for people, and empty where the file
    has none.
    """
    usage: str = ""
    limitations: str = ""
    """What it must not be used for, or does not hold."""
    owner: str = ""
    """The team, or the people of it who have not left."""

    @property
    def server(self) -> Server:
        """The one server; ContractError when there are several and none was chosen."""
        if len(self.servers) > 1:
            self._ambiguous("")
        return self.servers[0]

    def at(self, server: str) -> Contract:
        """Return the contract with one of its servers: the one of this name, or of this
        environment, such as ``prod``.

        An empty ``server`` means the only one there is, and one without an environment serves in
        all of them. Raises ContractError when that leaves none or several.
        """
        found = [one for one in self.servers if not server or server in (one.name, one.environment)]
        if not found and len(self.servers) == 1 and not self.servers[0].environment:
            found = [self.servers[0]]
        if len(found) != 1:
            self._ambiguous(server)
        return replace(self, servers=tuple(found))

    def _ambiguous(self, server: str) -> NoReturn:
        named = [
            f"{one.name} ({one.environment})" if one.environment else one.name
            for one in self.servers
        ]
        raise ContractError(
            self.file,
            "servers",
            f"KINGMAKER_SERVER to name one of {named}, or an environment that one of them"
            " alone has",
            repr(server) if server else "it not set",
        )

    def column(self, name: str) -> Column:
        """Return the column called ``name``; KeyError names the nearest column when there is
        none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(
                f"contract {self.name} has no column {name!r}{nearest(name, self.column_names)}"
            ) from None

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """All column names, in the contract's order."""
        return tuple(self._by_name)

    @property
    def feature_columns(self) -> tuple[Column, ...]:
        """The allow-list: columns known at event time, not sensitive, not unique, neither time nor
        date.
        """
        return tuple(
            column
            for column in self.columns
            if column.available
            and not column.sensitive
            and not column.unique
            and column.logical_type not in ("timestamp", "date")
        )


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest of ``words``, or an empty string."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""


def load_contract(file: Path, text: str | None = None) -> Contract:
    """Read, check and compile the contract in ``file``; with ``text``, an earlier version of that
    file.

    Raises ContractError when the file is missing, is not YAML, is not ODCS v3, or holds a rule that
    cannot be compiled: no rule is ever skipped in silence.
    """
    from data_contracts.odcs import read_text

    return _compiled(file, read_text(file) if text is None else text)


@functools.lru_cache(maxsize=16)
def _compiled(file: Path, text: str) -> Contract:
    """The same text is compiled once: a run asks for its contract, and for the champion's, again
    and again.
    """
    from data_contracts.compiler import compile_contract
    from data_contracts.odcs import parse_document

    return compile_contract(file, parse_document(file, text))
