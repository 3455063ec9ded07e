"""Source files by period: which batches there are, and what stands in one of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from data_contracts.contract import Column, Contract
from tasks.batches import Every, batch_named, pattern_of
from tasks.lake import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa


_MISSING = ["", "NA", "NaN", "nan", "null", "NULL"]
_OFFSET = r"(Z|\d\d:\d\d.*[+-]\d\d(:?\d\d)?)$"


class SourceError(RuntimeError):
    """The source cannot be read; the message names the file and what to do."""


def source_pattern(contract: Contract, project: Path, home: Path) -> Path:
    """Return the contract's path with ``${KINGMAKER_HOME}`` filled in, and ``{batch}`` still open.

    Relative paths count from the project directory.
    """
    try:
        text = Template(contract.server.path).substitute(KINGMAKER_HOME=str(home.resolve()))
    except (KeyError, ValueError):
        raise SourceError(
            f"{contract.file}: servers.0.path: expected only ${{KINGMAKER_HOME}} as a variable, "
            f"found {contract.server.path!r}"
        ) from None
    if text.count("{batch}") != 1 or "{batch}" not in Path(text).name:
        raise SourceError(
            f"{contract.file}: servers.0.path: expected '{{batch}}' once, in the file's name, "
            f"found {contract.server.path!r}"
        )
    return project / text


def available_batches(pattern: Path, every: Every) -> dict[str, Path]:
    """Return batch id -> file for the files there are now, in the order of their ids.

    Raises SourceError when the directory is missing, because an absent source must not look like an idle one,
    and for a file whose name has the form of a batch that no calendar has, such as 2013-13.
    """
    if not pattern.parent.is_dir():
        raise SourceError(
            f"{pattern.parent}: no such directory; the contract's servers.0.path says that the data is there"
        )
    before, after = pattern.name.split("{batch}")
    name = re.compile(re.escape(before) + f"(?P<batch>{pattern_of(every)})" + re.escape(after))
    found = {}
    for path in sorted(pattern.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        try:
            batch_named(match["batch"], every, "UTC")
        except ValueError as error:
            raise SourceError(f"{path}: {error} in the file's name; rename it, or move it away") from None
        found[match["batch"]] = path
    return found


def fingerprint(path: Path) -> str:
    """Return a cheap sign of change: name, size and time of modification. The content decides, not this."""
    status = path.stat()
    return hashlib.sha256(f"{path.name}:{status.st_size}:{status.st_mtime_ns}".encode()).hexdigest()[:16]


def read_source(path: Path, contract: Contract) -> pa.Table:
    """Read the file and give each column the contract's type.

    A column that does not fit its type stays as it was read, for validation to judge; so do missing and extra
    columns. Raises SourceError when the file cannot be read at all, or changes while it is read.
    """
    import pyarrow as pa

    try:
        before = fingerprint(path)
        table = _read_csv(path, contract) if contract.server.format == "csv" else _read_parquet(path)
        after = fingerprint(path)
    except (pa.ArrowException, UnicodeError, EOFError, OSError) as error:
        raise SourceError(
            f"{path}: cannot be read as {contract.server.format}: {_shown(error, contract)}; "
            "have it delivered again"
        ) from error
    if after != before:
        raise SourceError(
            f"{path}: the file changed while it was read; it will be read again at the next run"
        )
    double = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if double:
        raise SourceError(f"{path}: expected each column once, found {double} more than once")
    return pa.table({name: conform(table[name], contract, name) for name in table.column_names})


def _shown(error: Exception, contract: Contract) -> str:
    """What Arrow says, without the row that it quotes when a column of the contract is sensitive."""
    text = " ".join(str(error).split())[:300]
    if any(column.sensitive for column in contract.columns):
        text = re.sub(r"(Expected \d+ columns, got \d+):.*", r"\1", text)
    return text


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read()


def _read_csv(path: Path, contract: Contract) -> pa.Table:
    """Read every cell as text: the contract says what it means, not the reader's guess."""
    import pyarrow as pa
    import pyarrow.csv as pc

    with pa.input_stream(str(path), compression="detect") as stream:
        content = stream.read()
    if not content.strip():
        raise SourceError(f"{path}: the file is empty; expected a header line with the contract's columns")
    read = pc.ReadOptions(encoding=contract.server.encoding)
    parse = pc.ParseOptions(newlines_in_values=True)
    header = pc.open_csv(pa.BufferReader(content), read_options=read, parse_options=parse).schema.names
    convert = pc.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=_MISSING,
    )
    return pc.read_csv(
        pa.BufferReader(content), read_options=read, parse_options=parse, convert_options=convert
    )


def conform(values: pa.ChunkedArray, contract: Contract, name: str) -> pa.ChunkedArray:
    """Return ``values`` in the contract's type when every one of them fits it exactly, else as they are.

    Arrow's spellings of text become plain strings in any column; NaN becomes missing. In a column of another
    type than string, quoted text that says "missing" says so too: some systems quote every cell.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if name not in contract.column_names:
        return values
    column = contract.column(name)
    wanted = arrow_type(column)
    text = pa.types.is_string(values.type)
    if text and column.logical_type == "string":
        return values
    if not text and values.type != wanted and not _widens(values.type, wanted):
        return values
    try:
        if text:
            fitting = _parsed(values, column, contract)
        elif pa.types.is_timestamp(values.type) and values.type.tz is None:
            fitting = pc.assume_timezone(values.cast(pa.timestamp("us")), contract.timezone).cast(wanted)
        else:
            fitting = values.cast(wanted)
    except pa.ArrowInvalid:
        return values
    if pa.types.is_float64(wanted):
        fitting = pc.if_else(pc.is_nan(fitting), pa.scalar(None, wanted), fitting)
    return fitting


def _parsed(values: pa.ChunkedArray, column: Column, contract: Contract) -> pa.ChunkedArray:
    """The texts as values of the column's type; ArrowInvalid when one of them does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(texts, pa.array(_MISSING))
    texts = pc.if_else(missing, pa.scalar(None, pa.string()), texts)
    if column.logical_type == "timestamp":
        return _timestamps(texts, contract.timezone)
    return texts.cast(arrow_type(column))


def _widens(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a binary file's type means the same as the contract's and loses nothing in it."""
    import pyarrow as pa

    if pa.types.is_null(found):
        return True
    if pa.types.is_int64(wanted):
        return bool(pa.types.is_integer(found))
    if pa.types.is_float64(wanted):
        return bool(pa.types.is_floating(found) or pa.types.is_integer(found))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(found))
    return False


def _timestamps(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    """Read ISO 8601 text; without an offset it means the contract's zone. Mixed text does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    has_offset = pc.match_substring_regex(values, _OFFSET)
    if not pc.any(pc.invert(has_offset)).as_py():
        return values.cast(pa.timestamp("us", tz="UTC"))
    local = values.cast(pa.timestamp("us"))  # refuses those that have an offset
    return pc.assume_timezone(local, timezone).cast(pa.timestamp("us", tz="UTC"))
