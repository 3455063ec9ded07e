"""From one file to tables of what stands in it, piece by piece; nothing is guessed, and a file that
cannot be read to its end is refused.

CSV cells and JSON values are all read as the text that they are: the contract says what they mean,
not the reader. A CSV column without a name is not read: its lines end with a delimiter, or it is
the row numbers of whatever wrote it. The end of the name says how a file is compressed: ``.gz``,
``.bz2``, ``.zst``. A compressed or Parquet file that broke off is refused wherever it broke; a
plain CSV or JSON file that broke off just behind a whole row, or within the last cell of one that
is not quoted, cannot be told from a shorter one, so deliver those compressed, or have the contract
count its rows.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.ingest.source import PIECE_BYTES, UnreadableError

ROWS_AT_ONCE = 50_000
"""Most rows of a piece."""
_BYTES_AT_ONCE = 2**20
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


def parse_file(content: bytes, name: str, contract: Contract) -> pa.Table:
    """Return all that stands in the file called ``name``, whose bytes are ``content``; raises as
    ``read_pieces`` does.
    """
    return pa.concat_tables(read_pieces(io.BytesIO(content), name, contract, at_once=None))


def read_pieces(
    stream: BinaryIO,
    name: str,
    contract: Contract,
    at_once: int | None = ROWS_AT_ONCE,
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[pa.Table]:
    """Give what stands in the file called ``name``, piece by piece, in the file's order; one piece
    at least.

    ``stream`` can be read from its beginning more than once. A piece of text is about
    ``piece_bytes`` long, and a piece of Parquet or JSON has at most ``at_once`` rows; None means
    JSON all in one piece. Columns of CSV and JSON are text, those of Parquet what the file says.

    Raises UnreadableError, which names the file and shows no value of a contract with sensitive
    columns.
    """
    server = contract.server
    try:
        if not _says_anything(stream, name):
            raise UnreadableError(
                f"{name}: the file is empty; expected {_EXPECTED[server.format]}; have it delivered"
                " again"
            )
        refuse_other_format(_start(stream), name, server.format)
        match server.format:
            case "csv":
                pieces = _csv_pieces(stream, name, contract, piece_bytes)
            case "json":
                lines = io.BufferedReader(_text(stream, name, contract), _BYTES_AT_ONCE)
                pieces = _json_pieces(lines, name, at_once, piece_bytes)
            case _:
                pieces = _parquet_pieces(stream, name)
        for piece in pieces:
            _each_column_once(piece.column_names, name)
            yield piece
    except UnicodeError as error:
        raise UnreadableError(
            f"{name}: cannot be read as {server.encoding}: {_position(error)}; if the file is"
            f" whole, {how_to_say('encoding', contract)} what it is written in"
        ) from error
    except (pa.ArrowException, EOFError, OSError) as error:
        shown = _shown(error, contract, piece_bytes)
        if "columns, got" in shown:
            say = how_to_say("delimiter", contract)
            shown += f"; if every line is whole, {say} what stands between two cells"
        raise UnreadableError(
            f"{name}: cannot be read as {server.format}: {shown}; have it delivered again"
        ) from error


def how_to_say(key: str, contract: Contract) -> str:
    """Return where a person says how the contract's files are written: in the contract, or as an
    option when there is none yet.
    """
    if not contract.columns:
        return f"say with --{key}"
    where = "" if key == "encoding" else "customProperties."
    return f"say as {contract.server.where}.{where}{key} of {contract.file.name}"


def _each_column_once(names: list[str], file: str) -> None:
    double = sorted({column for column in names if names.count(column) > 1})
    if double:
        raise UnreadableError(
            f"{file}: expected each column once, found {double} more than once; have it delivered"
            " again"
        )


_EXPECTED = {
    "csv": "a header line with the names of the columns",
    "json": "one JSON object a line",
    "parquet": "a Parquet file",
}


_FOREIGN = (
    (rb"PK\x03\x04", "a ZIP archive or an Excel workbook; unpack it, or save it as CSV"),
    (rb"\xd0\xcf\x11\xe0", "an Excel workbook; save it as CSV"),
    (rb"\x1f\x8b", "a file compressed by gzip; end its name with .gz"),
    (rb"BZh\d1AY&SY", "a file compressed by bzip2; end its name with .bz2"),
    (rb"\x28\xb5\x2f\xfd", "a file compressed by zstd; end its name with .zst"),
    (rb"PAR1\x15", "Parquet; end its name with .parquet, and say format: parquet"),
    (rb"ARROW1\x00", "an Arrow file; write it as Parquet"),
    (rb"%PDF-\d", "a PDF document; have the data delivered as CSV"),
    (rb"SQLite format 3\x00", "a SQLite database; read it as a table of type custom"),
)
"""How files begin that are no text, and what to do with them."""


def refuse_other_format(start: bytes, name: str, format: str) -> None:
    """Raise UnreadableError when a file of text begins as one of another format does."""
    compressed = name.endswith(tuple(_COMPRESSIONS))
    found = next((what for form, what in _FOREIGN if re.match(form, start)), "")
    if found and format != "parquet" and not compressed:
        raise UnreadableError(f"{name}: expected {_EXPECTED[format]}, found {found}")


def _start(stream: BinaryIO) -> bytes:
    stream.seek(0)
    return stream.read(16)


def _says_anything(stream: BinaryIO, name: str) -> bool:
    """Whether there is more in the file than white space."""
    plain = decompressed(stream, name)
    start = plain.read(_BYTES_AT_ONCE).removeprefix(codecs.BOM_UTF8)
    while start and not start.strip():
        start = plain.read(_BYTES_AT_ONCE)
    return bool(start)


def decompressed(stream: BinaryIO, name: str) -> BinaryIO:
    """The file from its beginning, without its compression."""
    stream.seek(0)
    compression = next((kind for end, kind in _COMPRESSIONS.items() if name.endswith(end)), None)
    if compression is None or not stream.read(1):
        stream.seek(0)
        return stream
    stream.seek(0)
    return cast("BinaryIO", pa.CompressedInputStream(_arrow_file(stream), compression))


def _arrow_file(stream: BinaryIO) -> pa.NativeFile:
    """The file as Arrow reads it; Arrow closes what it is given, and the file is still wanted
    then.
    """
    return pa.PythonFile(_Lent(stream), mode="r")


class _Lent(io.RawIOBase):
    """A file that stays open when this one is closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _text(stream: BinaryIO, name: str, contract: Contract) -> _Utf8:
    """The file from its beginning as UTF-8, without its compression, its encoding and the mark
    before it.
    """
    return _Utf8(decompressed(stream, name), _encoding(contract), contract.server.quote)


class _Utf8(io.RawIOBase):
    """A file in some encoding, read as UTF-8; UnicodeDecodeError, with the position in the file,
    where it does not fit.

    One line end more comes at the end: an empty line, unless a quoted cell is open there.
    """

    def __init__(self, stream: BinaryIO, encoding: str, quote: str) -> None:
        self.quotes = 0
        """How many of them were read."""
        self._quote = quote
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._read = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as io.RawIOBase has it
        while not self._ready:
            content = self._stream.read(_BYTES_AT_ONCE)
            before = self._read - len(self._decoder.getstate()[0])
            try:
                text = self._decoder.decode(content, final=not content)
            except UnicodeDecodeError as error:
                error.start += before
                raise
            self._read += len(content)
            self.quotes += text.count(self._quote) if self._quote else 0
            self._ready = text.encode()
            if not content:
                self._ready += b"" if self._ended else b"\n"
                self._ended = True
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


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


def _shown(error: Exception, contract: Contract, longest: int) -> str:
    """What Arrow says, without the row that it quotes when a column of the contract is
    sensitive.
    """
    text = " ".join(str(error).split())[:300]
    if "straddling" in text:
        return f"expected no row longer than {longest // 2**20} MB, found one"
    if any(column.sensitive for column in contract.columns):
        text = re.sub(r"(Expected \d+ columns, got \d+):.*", r"\1", text)
    return text


def _parquet_pieces(stream: BinaryIO, name: str) -> Iterator[pa.Table]:
    # Read by the page: a row group may be all of the file.
    file = pq.ParquetFile(_arrow_file(stream), pre_buffer=False, buffer_size=_BYTES_AT_ONCE)
    _each_column_once(file.schema_arrow.names, name)
    yield file.schema_arrow.empty_table()
    for batch in file.iter_batches(ROWS_AT_ONCE):
        yield pa.Table.from_batches([batch])


def _csv_pieces(
    stream: BinaryIO, name: str, contract: Contract, piece_bytes: int
) -> Iterator[pa.Table]:
    server = contract.server
    read = pc.ReadOptions(block_size=piece_bytes, skip_rows=server.skip_lines)
    parse = pc.ParseOptions(
        newlines_in_values=True,
        delimiter=server.delimiter,
        quote_char=server.quote or False,
        escape_char=server.escape or False,
    )
    convert = pc.ConvertOptions(
        default_column_type=pa.string(),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=server.missing,
    )
    text = _text(stream, name, contract)
    file = pa.PythonFile(io.BufferedReader(text, _BYTES_AT_ONCE), mode="r")
    reader = pc.open_csv(file, read_options=read, parse_options=parse, convert_options=convert)
    wanted = contract.column_names
    named = [i for i, name in enumerate(reader.schema.names) if name.strip() or name in wanted]
    yield reader.schema.empty_table().select(named)
    last = ""
    for batch in reader:
        last = batch.column(batch.num_columns - 1)[-1].as_py() or "" if batch.num_rows else last
        yield pa.Table.from_batches([batch]).select(named)
    if text.quotes % 2 and last.endswith("\n"):  # Arrow takes what there is for the cell
        raise UnreadableError(
            f"{name}: expected the quotes of the last row to be closed, found the end of the file;"
            " have it delivered again"
        )


def _json_pieces(
    lines: Iterable[bytes], name: str, at_once: int | None, piece_bytes: int
) -> Iterator[pa.Table]:
    """One object a line; a key that a line does not have is missing there."""
    columns: dict[str, list[str | None]] = {}
    rows = size = 0
    given = False

    def piece() -> pa.Table:
        return pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()})

    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _json_row(line.decode())
        except ValueError:
            # The line is not quoted: it may hold what must not be shown.
            found = "something else; have it delivered again"
            if number == 1 and line.lstrip().startswith(b"["):
                found = "an array; write its objects one a line, as 'jq -c .[]' does"
            raise UnreadableError(
                f"{name}: line {number}: expected one whole JSON object with each key once, found"
                f" {found}"
            ) from None
        for key, value in row.items():
            columns.setdefault(key, [None] * rows).append(value)
        rows += 1
        size += len(line)
        for values in columns.values():
            if len(values) < rows:
                values.append(None)
        if at_once and columns and (rows >= at_once or size >= piece_bytes):
            yield piece()
            columns, rows, size, given = {key: [] for key in columns}, 0, 0, True
    if rows or not given:
        yield piece()


def _json_row(line: str) -> dict[str, str | None]:
    """The object in ``line``, each value as the text that stands there; ValueError when it is
    none.
    """
    row = _AS_WRITTEN.decode(line)
    if not isinstance(row, dict):
        raise ValueError("no object")
    if any(isinstance(value, dict | list) for value in row.values()):
        whole = _NESTED.decode(line)
        row = {
            key: _written(whole[key]) if isinstance(value, dict | list) else value
            for key, value in row.items()
        }
    return {
        key: _JSON_TEXTS[value] if isinstance(value, bool) else value for key, value in row.items()
    }


class _Number(str):
    """A number as it stands in a file."""

    __slots__ = ()


def _written(value: Any) -> str:  # noqa: ANN401 - any JSON
    """JSON text of a value, its numbers to the last digit."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=False)}: {_written(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; ValueError when it has a key twice, of which JSON readers keep the last and say
    nothing.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


_AS_WRITTEN = json.JSONDecoder(
    object_pairs_hook=_each_once, parse_int=str, parse_float=str, parse_constant=str
)
"""Gives numbers as they are written, to the last digit."""
_NESTED = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_Number)
"""Tells numbers from texts besides."""
_JSON_TEXTS = {True: "true", False: "false"}
