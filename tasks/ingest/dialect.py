"""How a CSV file is written, found from the file itself: a guess, for a person to review.

The delimiter, the quotes and the lines before the header are what DuckDB's sniffer finds in the
first megabyte. The encoding is UTF-8 when all of the file reads as such, else Windows-1252 or what
charset-normalizer takes it for. The decimal mark is a comma when that makes numbers of more columns
than a point does.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import charset_normalizer
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import MISSING, Server
from tasks.ingest.source import SourceError

SAMPLE_BYTES = 2**20
"""How much of a file is looked at for its delimiter."""
MARKERS = ("N/A", "n/a", "#N/A", "None", "none", "-", "--", "?", ".", "..", "missing")
"""Texts that mean "no value" among numbers or times, beside ``contract.MISSING``."""
_DELIMITERS = (",", ";", "\t", "|")
_MARKED = r"\d[.,' \x{2019}\x{a0}\x{202f}\x{2009}]\d"
_GROUPS = (" ", "'", "\u2019", "\u00a0", "\u202f", "\u2009")
_MARKS = (
    (".", ","),
    (",", ""),
    (",", "."),
    *((decimal, thousands) for thousands in _GROUPS for decimal in ",."),
)
"""Pairs of decimal mark and mark between groups beside the plain point, the likeliest first; where
cells end with a semicolon, because commas stand within, the first is the last.
"""


@dataclass(frozen=True)
class Guess:
    """Something that was taken for so without being said."""

    what: str
    why: str
    change: str
    """The option or the key that says otherwise."""


@dataclass(frozen=True)
class Options:
    """What a person has said of how the file is written; None for what is to be found."""

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    quote: str | None = None
    skip_lines: int | None = None
    missing: tuple[str, ...] | None = None
    timezone: str = "UTC"
    time_format: str = ""
    text: tuple[str, ...] = ()
    """Columns that are text whatever stands in them."""


def guess_dialect(content: bytes, source: Path, options: Options) -> tuple[Server, list[Guess]]:
    """Return the server of a CSV file with these bytes, without its decimal mark, and what of it
    was guessed.

    Raises SourceError when the bytes are no text, or not in the encoding that was said.
    """
    guesses: list[Guess] = []
    encoding = options.encoding or _encoding(content, source)
    try:
        text = content.decode("utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding)
    except (UnicodeError, LookupError) as error:
        raise SourceError(
            f"{source}: cannot be read as {encoding}: {error}; say with --encoding what it is"
            " written in"
        ) from None
    if encoding != "utf-8" and options.encoding is None:
        guesses.append(Guess(f"the encoding is {encoding}", "it is not UTF-8", "--encoding"))
    found = _sniffed(text[:SAMPLE_BYTES], options)
    server = Server(
        "source",
        "local",
        str(source),
        "csv",
        encoding=encoding,
        delimiter=options.delimiter or found.delimiter,
        quote=found.quote if options.quote is None else options.quote,
        escape=found.escape,
        skip_lines=found.skip_lines if options.skip_lines is None else options.skip_lines,
    )
    if server.delimiter != "," and options.delimiter is None:
        guesses.append(
            Guess(f"the delimiter is {server.delimiter!r}", "all lines have it", "--delimiter")
        )
    if server.quote != '"' and options.quote is None:
        guesses.append(Guess(f"cells are quoted by {server.quote!r}", "some are", "--quote"))
    if server.escape:
        guesses.append(
            Guess(
                f"{server.escape!r} stands before a quote within a cell",
                "none is doubled",
                "escape in the contract",
            )
        )
    if server.skip_lines and options.skip_lines is None:
        guesses.append(
            Guess(
                f"{server.skip_lines} lines before the header are skipped",
                "they have no columns",
                "--skip-lines",
            )
        )
    return server, [*guesses, *unnamed(_header(text[:SAMPLE_BYTES], server))]


def unnamed(names: Sequence[str]) -> list[Guess]:
    """Return what is to be said of columns without a name."""
    count = sum(not name.strip() for name in names)
    if not count:
        return []
    what = f"{count} column{'s' * (count > 1)} without a name: not read"
    why = "row numbers, or a delimiter behind each line"
    return [Guess(what, why, "a name in the file")]


def _header(sample: str, server: Server) -> list[str]:
    """The names of the columns, as they stand in the first line behind those that are skipped."""
    lines = io.StringIO(sample, newline="")
    for _ in range(server.skip_lines):
        lines.readline()
    quoted = {"quotechar": server.quote} if server.quote else {"quoting": csv.QUOTE_NONE}
    try:
        return next(csv.reader(lines, delimiter=server.delimiter, **quoted), [])
    except csv.Error:  # no header: what it is, the reader says
        return []


def _encoding(content: bytes, source: Path) -> str:
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if plain := _two_bytes_a_letter(content):
        return plain
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    try:
        western = content.decode("cp1252")
    except UnicodeDecodeError:
        western = ""
    if western and _is_western(western):
        return "cp1252"
    best = charset_normalizer.from_bytes(content[: SAMPLE_BYTES // 4]).best()
    if best is None:
        raise SourceError(
            f"{source}: expected text, found bytes in no encoding that is known; say with"
            " --encoding what it is written in, or have it delivered again"
        )
    return str(best.encoding)


def _two_bytes_a_letter(content: bytes) -> str:
    """UTF-16 without a mark, which ASCII letters give away: every second byte is 0; else empty."""
    start = content[:SAMPLE_BYTES]
    half = max(len(start) // 2, 1)
    if start[1::2].count(0) > 0.7 * half:
        return "utf-16-le"
    return "utf-16-be" if start[::2].count(0) > 0.7 * half else ""


def _is_western(text: str) -> bool:
    """Whether the letters beyond ASCII stand among others, as in the languages of western Europe:
    what is written in another script reads as nothing but such letters.
    """
    words = re.findall(r"\w*[\u00c0-\u00ff]\w*", text[:SAMPLE_BYTES])
    letters = "".join(words)
    beyond = sum(letter > "\x7f" for letter in letters)
    others = re.findall(r"[^\x00-\x7f]+", text[:SAMPLE_BYTES])
    alone = sum(len(run) == 1 for run in others)
    return 2 * beyond < len(letters) or (not words and 2 * alone > len(others))


@dataclass(frozen=True)
class _Sniffed:
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    skip_lines: int = 0


def _sniffed(sample: str, options: Options) -> _Sniffed:
    """What DuckDB finds in the sample; the defaults when it finds nothing."""
    if len(sample) >= SAMPLE_BYTES:
        sample = sample[: sample.rfind("\n") + 1]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "sample.csv"
        file.write_text(sample, encoding="utf-8", newline="")
        said = {"delim": options.delimiter, "quote": options.quote, "skip": options.skip_lines}
        given = {name: value for name, value in said.items() if value is not None}
        asked = "".join(f", {name} = ${name}" for name in given)
        sniffed = f"sniff_csv($file, all_varchar = true{asked})"
        query = f"SELECT Delimiter, Quote, Escape, SkipRows FROM {sniffed}"  # noqa: S608 - names are ours
        try:
            with duckdb.connect() as connection:
                rows = connection.execute(query, {"file": str(file), **given}).fetchall()
        except duckdb.Error:
            return _Sniffed()
    delimiter, quote, escape, skip = rows[0]
    if len(delimiter) != 1 or not delimiter.isascii():
        return _Sniffed()
    header = sample.splitlines()[int(skip) : int(skip) + 1]
    if options.delimiter is None and header and delimiter not in header[0]:
        # Lines of other lengths than the header's, which DuckDB takes for a file of one column.
        delimiter = max(_DELIMITERS, key=header[0].count)
    quote, escape = quote if quote == "'" else '"', escape if escape == "\\" else ""
    return _Sniffed(delimiter, quote, escape, int(skip))


def guess_numbers(table: pa.Table, server: Server, options: Options) -> tuple[Server, list[Guess]]:
    """Return the server with the marks that make numbers of the most columns of text, and what was
    guessed.
    """
    if options.decimal is not None or options.thousands is not None:
        decimal, thousands = options.decimal or ".", options.thousands or ""
        return replace(server, decimal=decimal, thousands=thousands), []
    columns = [
        values.drop_null().unique()
        for values in table.columns
        if pa.types.is_string(values.type) and _any(pc.match_substring_regex(values, _MARKED))
    ]
    best, most = (".", ""), _numbers(columns, ".", "")
    marks = (*_MARKS[1:], _MARKS[0]) if server.delimiter == ";" else _MARKS
    for decimal, thousands in marks:
        found = _numbers(columns, decimal, thousands)
        if found > most:
            best, most = (decimal, thousands), found
    if best == (".", ""):
        return server, []
    guess = Guess(
        f"numbers are written with {best[0]!r} before the fraction"
        + (f" and {best[1]!r} between groups" if best[1] else ""),
        f"it makes numbers of {most} column{'s' * (most > 1)} of text",
        "--decimal, --thousands",
    )
    return replace(server, decimal=best[0], thousands=best[1]), [guess]


def _numbers(columns: list[pa.Array], decimal: str, thousands: str) -> int:
    """How many of the columns are numbers when they are written so."""
    point, mark = re.escape(decimal), re.escape(thousands)
    group = rf"[1-9]\d{{0,2}}({mark}\d{{3}})+|\d+" if thousands else r"\d+"
    form = rf"^\s*[+\x{{2212}}-]?({group})({point}\d+)?([eE][+-]?\d+|-)?\s*$"
    markers = pa.array([*MISSING, *MARKERS])
    return sum(
        pc.all(pc.or_(pc.match_substring_regex(values, form), pc.is_in(values, markers))).as_py()
        for values in columns
    )


def _any(found: pa.ChunkedArray) -> bool:
    return bool(pc.any(found).as_py())
