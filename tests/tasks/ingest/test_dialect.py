"""Tests of how a CSV file is found to be written: the same rows in every dialect are the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.ingest.dialect import Options, guess_dialect
from tasks.ingest.infer import TypedFile, read_typed
from tasks.ingest.source import SourceError, UnreadableError

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ROWS = [
    (NOON + timedelta(hours=i), round(1234.5 * i + 0.25, 2), ["süd", "nord, west"][i % 2])
    for i in range(40)
]


def german(value: float) -> str:
    """With a point between groups and a comma before the fraction."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def written(
    delimiter: str = ",",
    number: Callable[[float], str] = str,
    time: str = "%Y-%m-%d %H:%M",
    quote: str = '"',
    before: str = "",
    end: str = "\n",
) -> str:
    """The rows as a CSV file of this dialect."""
    lines = [delimiter.join(["at", "amount", "shop"])]
    for at, amount, shop in ROWS:
        text = number(amount)
        cells = [at.strftime(time), f"{quote}{text}{quote}" if delimiter in text else text]
        lines.append(delimiter.join([*cells, f"{quote}{shop}{quote}"]))
    return before + "".join(line + end for line in lines)


def typed(directory: Path, text: str, encoding: str = "utf-8", **said: object) -> TypedFile:
    """The file with this text, read as it is found to be written."""
    file = directory / "sales.csv"
    file.write_bytes(text.encode(encoding))
    return read_typed(file, Options(**said), "at")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (written(), "utf-8", {}),
        (written(), "utf-8-sig", {}),
        (written(), "utf-16", {"encoding": "utf-16"}),
        (written(), "cp1252", {"encoding": "cp1252"}),
        (written(), "utf-16-le", {"encoding": "utf-16-le"}),
        (written(";"), "utf-16-be", {"encoding": "utf-16-be", "delimiter": ";"}),
        (written(), "utf-32", {"encoding": "utf-32"}),
        (written(";"), "utf-8", {"delimiter": ";"}),
        *(
            (
                written(";", lambda v, mark=mark: f"{v:,.2f}".replace(",", mark)),
                "utf-8",
                {"delimiter": ";", "thousands": mark},
            )
            for mark in ("'", "\u2019", " ", "\u00a0", "\u202f", "\u2009")
        ),
        (written("\t"), "utf-8", {"delimiter": "\t"}),
        (written("|"), "utf-8", {"delimiter": "|"}),
        (written(quote="'"), "utf-8", {"quote": "'"}),
        (written(before="# of today\n# by hand\n"), "utf-8", {"skip_lines": 2}),
        (written(end="\r\n"), "utf-8", {}),
        (written(end=",\n"), "utf-8", {}),
        (written().rstrip("\n"), "utf-8", {}),
        (written(";", number=german), "utf-8", {"decimal": ",", "thousands": "."}),
        (written(";", number=lambda v: f"{v:.2f}".replace(".", ",")), "utf-8", {"decimal": ","}),
        (written(number=lambda v: f"{v:,.2f}"), "utf-8", {"thousands": ","}),
        (
            written(";", german, "%d.%m.%Y %H:%M"),
            "cp1252",
            {"delimiter": ";", "encoding": "cp1252", "decimal": ",", "thousands": "."},
        ),
        (written(time="%m/%d/%Y %I:%M %p"), "utf-8", {}),
    ],
)
def test_same_rows_in_every_dialect(
    tmp_path: Path, text: str, encoding: str, found: dict[str, object]
) -> None:
    """What differs is in the server, and what was guessed is said."""
    file = typed(tmp_path, text, encoding)

    values = [column.values.to_pylist() for column in file.columns.values()]
    assert list(zip(*values, strict=True)) == ROWS
    assert {key: getattr(file.server, key) for key in found} == found
    assert file.guesses or not found


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "cp1252", "utf-16"]),
    number=st.sampled_from([str, german]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_dialects_in_any_mixture(
    tmp_path: Path,
    delimiter: str,
    encoding: str,
    number: Callable[[float], str],
    end: str,
    last: bool,
) -> None:
    """Each is found beside the others."""
    text = written(delimiter, number, end=end)

    file = typed(tmp_path, text if last else text.removesuffix(end), encoding)

    values = [column.values.to_pylist() for column in file.columns.values()]
    assert list(zip(*values, strict=True)) == ROWS


def test_what_is_said_is_not_guessed(tmp_path: Path) -> None:
    """An option wins over what the file looks like, and is no guess."""
    file = typed(tmp_path, written(";", german), delimiter=";", decimal=",", thousands=".")

    assert not any("delimiter" in guess.what or "numbers" in guess.what for guess in file.guesses)
    assert file.columns["amount"].values[1].as_py() == ROWS[1][1]


def test_other_scripts_are_not_taken_for_western() -> None:
    """Russian in Windows-1251 reads as nothing but letters beyond ASCII in Windows-1252."""
    text = "город;сумма\n" + "".join(f"Новосибирск и Москва;{i}\n" for i in range(50))

    server, guesses = guess_dialect(text.encode("cp1251"), Path("x.csv"), Options())

    assert text.encode("cp1251").decode(server.encoding) == text
    assert any("encoding" in guess.what for guess in guesses)


def test_two_bytes_a_letter_are_not_taken_for_western() -> None:
    """Japanese in Shift JIS reads as signs in Windows-1252, and none of them alone."""
    text = "店,金額\n" + "".join(f"東京支店と大阪支店,{i}\n" for i in range(50))

    server, _ = guess_dialect(text.encode("shift_jis"), Path("x.csv"), Options())

    assert text.encode("shift_jis").decode(server.encoding) == text


def test_quotes_behind_a_backslash(tmp_path: Path) -> None:
    """As MySQL writes them: the cell is read without it, and backslashes elsewhere stay."""
    text = "at,note\n" + "".join(f'2024-03-0{i},"a, \\"b\\" {i}"\n' for i in range(1, 9))
    paths = "at,note\n" + "".join(f'2024-03-0{i},"C:\\d\\{i}"\n' for i in range(1, 9))

    assert typed(tmp_path, text).columns["note"].values[0].as_py() == 'a, "b" 1'
    assert typed(tmp_path, paths).columns["note"].values[0].as_py() == "C:\\d\\1"


@pytest.mark.parametrize(("before", "behind"), [(",", ""), ("", ","), (" ,", ",")])
def test_columns_without_a_name_are_told(tmp_path: Path, before: str, behind: str) -> None:
    """Row numbers, or a delimiter behind each line: not read, and said so."""
    lines = ["at,amount", *(f"2024-03-0{i},{i}" for i in range(1, 9))]
    rows = [f"{before and str(i) + ','}{line}{behind}" for i, line in enumerate(lines)]
    rows[0] = f"{before}{lines[0]}{behind}"

    file = typed(tmp_path, "\n".join(rows) + "\n")

    assert list(file.columns) == ["at", "amount"]
    count = bool(before) + bool(behind)
    assert [g.what for g in file.guesses if "without a name" in g.what] == [
        f"{count} column{'s' * (count > 1)} without a name: not read"
    ]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_zero_byte_in_the_header_is_no_error_of_ours(tmp_path: Path, quote: str) -> None:
    """It is part of a name, whatever cells are quoted by."""
    text = "at,a\0b,\n" + "".join(f"2024-03-0{i},{i},\n" for i in range(1, 9))

    assert "a\0b" in typed(tmp_path, text, quote=quote).columns


def test_a_short_row_is_named(tmp_path: Path) -> None:
    """And its file is not taken for one of another delimiter."""
    with pytest.raises(UnreadableError, match="Expected 3 columns, got 2: 2024-03-09,1"):
        typed(tmp_path, written() + "2024-03-09,1\n")


def test_encoding_that_was_said_and_does_not_fit() -> None:
    """The option is named."""
    with pytest.raises(SourceError, match=r"cannot be read as ascii: .* say with --encoding"):
        guess_dialect("süd\n".encode(), Path("x.csv"), Options(encoding="ascii"))
