"""The rows of one batch, read piece by piece: no more of them in memory than one piece, each column
of one type.

Whether a column fits the contract's type is known only when its last value was seen. So the first
reading takes it that all do, and that a column the contract does not name is what its first piece
is. When that turns out wrong, and it does for broken batches only, the rest is read to learn what
the columns are, and the batch is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from tasks.batches import Batch
from tasks.conform import as_text, conform, has_offset, plain
from tasks.ingest.source import SourceError, UnreadableError
from tasks.lake import arrow_type

_MOST_READINGS = 6
"""A source that stands still needs four: a column does not fit, is text, does not fit as text
either, and is kept.
"""


@dataclass(frozen=True)
class Piece:
    """Some rows as they were read."""

    file: str
    """Where they stand: all pieces of one file together have its columns."""
    table: pa.Table
    chosen: pa.Array | None = None
    """Positions of the rows that belong to the batch; None when all do."""


@dataclass(frozen=True)
class _Known:
    """What a whole reading has taught about the columns."""

    columns: tuple[str, ...] = ()
    kinds: dict[str, pa.DataType] = field(default_factory=dict)
    """Column -> the one type that holds what was read of it."""
    as_text: frozenset[str] = frozenset()
    """Columns whose values have no type in common: each is its text."""
    unfit: frozenset[str] = frozenset()
    """Columns of the contract with a value that does not fit: they stay as they were read."""


@dataclass(frozen=True)
class Rows:
    """A batch that can be read from its beginning as often as it needs."""

    read: Callable[[frozenset[str]], Iterator[Piece]]
    """Reads the batch; JSON and SQL give the columns that are named as text, whatever their values
    are.
    """
    contract: Contract
    where: str
    """Name of the source in errors."""
    refuse: Callable[[UnreadableError], UnreadableError] = lambda error: error
    """What the source says to what cannot be read, when it has kept it."""

    def readings(self) -> Iterator[Iterator[pa.Table]]:
        """Give one reading after another, each to be read to its end: the last one holds the
        batch's rows.

        Its tables have the same columns in the same types: the contract's where all values fit it
        exactly, else the type that holds them all, or text. Raises SourceError when the rows cannot
        be read now, UnreadableError when what was delivered cannot be read, or files of one batch
        have different columns; by then it is kept.
        """
        known = _Known()
        for _ in range(_MOST_READINGS):
            reading = _Reading(self, known)
            yield reading.tables()
            if reading.held:
                return
            known = reading.learned()
        raise SourceError(
            f"{self.where}: the columns changed while they were read; they will be read again at"
            " the next run"
        )

    def table(self) -> pa.Table:
        """Return all rows at once, in memory."""
        tables: list[pa.Table] = []
        for reading in self.readings():
            tables = list(reading)
        return pa.concat_tables(tables)


class _Reading:
    """One reading of all rows, and what it teaches."""

    def __init__(self, rows: Rows, known: _Known) -> None:
        self.held = True
        """Whether every column was so far what it was taken for; nothing is given after it was not.
        """
        self._rows, self._known = rows, known
        self._columns = known.columns
        self._kinds: dict[str, pa.DataType] = {}  # of the pieces with a value
        self._empty: dict[str, pa.DataType] = {}  # of those without
        self._taken: dict[str, pa.DataType] = {}
        self._as_text, self._unfit = set(known.as_text), set(known.unfit)
        self._widened: set[str] = set()
        """Columns that the pieces of this reading hold in more than one type, and that no earlier
        reading knew wider.
        """
        self._offsets: dict[str, bool] = {}
        self._names: dict[str, dict[str, None]] = {}

    def tables(self) -> Iterator[pa.Table]:
        """Give the tables, as long as the reading holds."""
        try:
            yield from self._read()
            self._same_columns()
        except UnreadableError as error:
            raise self._rows.refuse(error) from error

    def _read(self) -> Iterator[pa.Table]:
        for piece in self._rows.read(self._known.as_text):
            self._names.setdefault(piece.file, {}).update(dict.fromkeys(piece.table.column_names))
            table = _plain(piece.table)
            self._learn(table)
            chosen = table if piece.chosen is None else table.take(piece.chosen)
            if self.held:
                fitted = self._fitted(chosen)
                if self.held:
                    yield fitted

    def learned(self) -> _Known:
        """Return what is to be taken for granted at the next reading."""
        new_text = self._as_text - self._known.as_text
        return _Known(
            columns=tuple(next(iter(self._names.values()), ())),
            kinds=self._empty | self._kinds,
            as_text=frozenset(self._as_text),
            unfit=frozenset(
                self._unfit - new_text - self._widened
            ),  # as text, or in the wider type, it may fit
        )

    def _learn(self, table: pa.Table) -> None:
        """Find the type that holds what this piece and those before it have, or else that it is
        text.
        """
        for field_, values in zip(table.schema, table.columns, strict=True):
            name = field_.name
            kind = pa.string() if name in self._as_text else field_.type
            kind = _common(self._known.kinds.get(name, kind), kind) or kind
            if values.null_count == len(values):  # a piece without a value has no say
                self._empty.setdefault(name, kind)
                continue
            known = self._kinds.setdefault(name, kind)
            if known != kind:
                self._widened.add(name)
                self._kinds[name] = _common(known, kind) or pa.string()
                if pa.types.is_string(self._kinds[name]):
                    self._as_text.add(name)

    def _fitted(self, table: pa.Table) -> pa.Table:
        self._columns = self._columns or tuple(table.column_names)
        self.held = (
            set(table.column_names) <= set(self._columns) and self._as_text == self._known.as_text
        )
        present = set(table.column_names)
        columns = {}
        for name in self._columns:
            values = (
                table[name] if name in present else pa.chunked_array([pa.nulls(table.num_rows)])
            )
            columns[name] = self._column(name, values)
        return pa.table(columns)

    def _column(self, name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
        if name in self._as_text and not pa.types.is_string(values.type):
            values = as_text(values)
        contract = self._rows.contract
        if name in contract.column_names and name not in self._unfit:
            wanted = arrow_type(contract.column(name))
            fitting = conform(values, contract, name)
            agree = True
            if pa.types.is_timestamp(wanted) and pa.types.is_string(values.type):
                offset = has_offset(values, contract)  # mixed within a piece, they did not fit
                agree = offset is None or self._offsets.setdefault(name, offset) == offset
            if fitting.type == wanted and agree:
                return fitting
            self._unfit.add(name)
            self.held = False
            return values
        kind = self._known.kinds.get(name, values.type)
        if name in self._unfit and pa.types.is_temporal(kind):
            kind, values = pa.string(), as_text(values)  # some of it may lie beyond the calendar
        taken = self._taken.setdefault(name, kind)
        if values.null_count == len(values):
            return pa.chunked_array([pa.nulls(len(values), taken)])  # it has no say
        if values.type != kind:  # what the whole of it is
            try:
                values = values.cast(kind)
            except pa.ArrowInvalid:  # whole numbers that no double holds, among decimals
                self._as_text.add(name)
        self.held = self.held and values.type == taken
        return values

    def _same_columns(self) -> None:
        """Raise UnreadableError when one file has a column that another has not."""
        count = Counter(name for names in self._names.values() for name in names)
        odd = sorted(name for name, files in count.items() if files < len(self._names))
        if not odd:
            return
        having, lacking = list[str](), list[str]()
        for file, names in self._names.items():
            (having if odd[0] in names else lacking).append(file.rpartition("/")[2])
        fewer = f"not in {lacking[:3]}" if len(lacking) <= len(having) else f"only in {having[:3]}"
        raise UnreadableError(
            f"{self._rows.where}: expected the same columns in each of {len(self._names)} files,"
            f" found {odd[:5]} only in some of them ({odd[0]!r} {fewer}); have the odd ones"
            " delivered again"
        )


def positions_within(table: pa.Table, contract: Contract, batch: Batch) -> pa.Array | None:
    """Return the positions of the rows whose event time lies within ``batch``; None where it is no
    moment, which the contract will say, or where there are no rows.
    """
    if contract.event_time not in table.column_names or not table.num_rows:
        return (
            None  # Arrow's indices_nonzero ends the process on a column without chunks (pyarrow 25)
        )
    times = conform(table[contract.event_time], contract, contract.event_time)
    if not pa.types.is_timestamp(times.type):
        return None
    start, end = (pa.scalar(moment, times.type) for moment in (batch.start, batch.end))
    inside = pc.and_(pc.greater_equal(times, start), pc.less(times, end))
    return pc.indices_nonzero(inside)


def _plain(table: pa.Table) -> pa.Table:
    """The table without Arrow's encodings."""
    return pa.table(dict(zip(table.column_names, map(plain, table.columns), strict=True)))


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None when there is none."""
    schemas = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None
