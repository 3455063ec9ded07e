"""From the bytes of one file to a table of what stands in it; nothing is guessed, nothing is read in part.

CSV cells are all read as text and JSON values as what they are: the contract says what they mean, not the reader. The end of
the name says how a file is compressed: ``.gz``, ``.bz2``, ``.zst``. A compressed or Parquet file that broke off
is refused wherever it broke; a plain CSV or JSON file that broke off just behind a whole row cannot be told from a shorter
one, so deliver those compressed, or have the contract count its rows.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from tasks.ingest.source import MISSING, UnreadableError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 20
"""Bytes of a CSV file that are parsed at a time, and by one thread."""
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


def parse_file(content: bytes, name: str, contract: Contract) -> pa.Table:
    """Return what stands in the file called ``name``, whose bytes are ``content``.

    Raises UnreadableError, which names the file and shows no value of a contract with sensitive columns.
    """
    import pyarrow as pa

    server = contract.server
    try:
        content = _decompressed(content, name)
        if not content.removeprefix(codecs.BOM_UTF8).strip():
            raise UnreadableError(
                f"{name}: the file is empty; expected {_EXPECTED[server.format]}; have it delivered again"
            )
        match server.format:
            case "csv":
                table = _parse_csv(content, contract)
            case "json":
                table = _parse_json_lines(content.decode(_encoding(contract)), name)
            case _:
                table = _parse_parquet(content)
    except UnicodeError as error:
        raise UnreadableError(
            f"{name}: cannot be read as {server.encoding}: {_position(error)}; if the file is whole, set "
            f"{server.where}.encoding of {contract.file.name} to what it is written in"
        ) from error
    except (pa.ArrowException, EOFError, OSError) as error:
        shown = _shown(error, contract)
        raise UnreadableError(
            f"{name}: cannot be read as {server.format}: {shown}; have it delivered again"
        ) from error
    double = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if double:
        raise UnreadableError(
            f"{name}: expected each column once, found {double} more than once; have it delivered again"
        )
    return table


_EXPECTED = {
    "csv": "a header line with the contract's columns",
    "json": "one JSON object a line",
    "parquet": "a Parquet file",
}


def _decompressed(content: bytes, name: str) -> bytes:
    import pyarrow as pa

    compression = next((kind for end, kind in _COMPRESSIONS.items() if name.endswith(end)), None)
    if compression is None or not content:
        return content
    with pa.CompressedInputStream(pa.BufferReader(content), compression) as stream:
        whole: bytes = stream.read()
    return whole


def _encoding(contract: Contract) -> str:
    """The encoding, in the form that also takes the mark that Excel writes before UTF-8."""
    return "utf-8-sig" if _is_utf8(contract) else contract.server.encoding


def _is_utf8(contract: Contract) -> bool:
    return codecs.lookup(contract.server.encoding).name in ("utf-8", "utf-8-sig")


def _position(error: UnicodeError) -> str:
    """Where the bytes are wrong, without showing what stands there."""
    if isinstance(error, UnicodeDecodeError):
        return f"{error.reason} at byte {error.start}"
    return "bytes that it does not have"


def _shown(error: Exception, contract: Contract) -> str:
    """What Arrow says, without the row that it quotes when a column of the contract is sensitive."""
    text = " ".join(str(error).split())[:300]
    if any(column.sensitive for column in contract.columns):
        text = re.sub(r"(Expected \d+ columns, got \d+):.*", r"\1", text)
    return text


def _parse_parquet(content: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content)).read()


def _parse_csv(content: bytes, contract: Contract) -> pa.Table:
    import pyarrow as pa

    text = content.decode(_encoding(contract))  # refuses what does not fit, and says where
    if not _is_utf8(contract):
        content = text.encode()
    del text
    try:
        return _csv_table(content, contract, _BLOCK)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise
        return _csv_table(content, contract, len(content))  # one row alone is longer than a block


def _csv_table(content: bytes, contract: Contract, block: int) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pc

    read = pc.ReadOptions(block_size=block)
    parse = pc.ParseOptions(newlines_in_values=True, delimiter=contract.server.delimiter)
    header = pc.open_csv(pa.BufferReader(content), read_options=read, parse_options=parse).schema.names
    convert = pc.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=MISSING,
    )
    return pc.read_csv(
        pa.BufferReader(content), read_options=read, parse_options=parse, convert_options=convert
    )


def _parse_json_lines(text: str, name: str) -> pa.Table:
    """One object a line; a key that a line does not have is missing there."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {}
    rows = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_each_once)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            # The line is not quoted: it may hold what must not be shown.
            raise UnreadableError(
                f"{name}: line {number}: expected one whole JSON object with each key once, found something else; have it delivered again"
            )
        for key, value in row.items():
            columns.setdefault(key, [None] * rows).append(value)
        rows += 1
        for values in columns.values():
            if len(values) < rows:
                values.append(None)
    return pa.table({key: _json_column(values) for key, values in columns.items()})


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; ValueError when it has a key twice, of which JSON readers keep the last and say nothing."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _json_column(values: list[Any]) -> pa.Array:
    """The values in the one type that all of them have; else each as the JSON text that it was."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    try:
        if kinds == {int, float}:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        if not kinds or kinds in ({int}, {float}, {bool}, {str}):
            return pa.array(values, pa.string() if not kinds else None)
    except (pa.ArrowException, OverflowError):
        pass  # a whole number beyond 64 bits
    return pa.array(
        [value if value is None or isinstance(value, str) else json.dumps(value) for value in values],
        pa.string(),
    )
