"""Bad data in many files a period, and in a file that grows: what cannot be read is refused by
name, and kept.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.ingest.arrivals import open_source
from tasks.ingest.source import SourceError, UnreadableError
from tests.bad_data.shop import NEXT_DAY, Shop, csv_text
from tests.sample_contract import BATCH, DAY, sample_rows

WHOLE = csv_text(sample_rows(6))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop that delivers many files a day."""
    shop = Shop(tmp_path, "{batch}/*.csv")
    for day in (DAY, NEXT_DAY):
        (shop.home / "in" / day).mkdir()
    return shop


def test_files_whose_columns_differ(shop: Shop) -> None:
    """A file that lacks a column refuses its day, and is named; all files of the day are kept, and
    the next day goes through.
    """
    day = shop.home / "in" / DAY
    lacking = sample_rows(6)
    del lacking["note"]
    for name, content in (("a", WHOLE), ("b", csv_text(lacking)), ("c", WHOLE)):
        (day / f"{name}.csv").write_text(content)

    answer = shop.take_in()

    assert answer.outcome == "refuse"
    assert (
        f"{DAY}/*.csv: expected the same columns in each of 3 files, found ['note']"
        in answer.message
    )
    assert "('note' not in ['b.csv'])" in answer.message
    assert f"it is kept in {shop.lake}/refused/sales/{DAY}" in answer.message
    assert sorted(shop.kept_files()) == sorted(file.read_bytes() for file in day.iterdir())
    assert not (shop.lake / "snapshots").exists()
    (shop.home / "in" / NEXT_DAY / "a.csv").write_text(WHOLE.replace("2013-05-17", NEXT_DAY))
    assert shop.take_in(NEXT_DAY).outcome == "accept"
    for name in ("b", "c"):
        (day / f"{name}.csv").unlink()
    assert shop.take_in().outcome == "accept"


def test_one_file_of_many_cannot_be_read(shop: Shop) -> None:
    """The file is named; the others of its day are kept with it."""
    day = shop.home / "in" / DAY
    (day / "a.csv").write_text(WHOLE)
    (day / "b.csv").write_bytes(csv_text(sample_rows(6, note=["Zürich"] * 6)).encode("latin-1"))

    answer = shop.take_in()

    assert (answer.outcome, f"{DAY}/b.csv: cannot be read as utf-8" in answer.message) == (
        "refuse",
        True,
    )
    assert sorted(shop.kept_files()) == sorted(file.read_bytes() for file in day.iterdir())


# --- a file that grows ----------------------------------------------------------------------------

ROW = WHOLE.splitlines()[1]
TWO_DAYS = WHOLE + "\n".join(WHOLE.replace("2013-05-17", NEXT_DAY).splitlines()[1:]) + "\n"


@pytest.mark.parametrize(
    ("name", "broken", "says"),
    [
        ("all.csv.gz", lambda text: gzip.compress(text.encode())[:-10], "cannot be read as csv: "),
        (
            "all.csv",
            lambda text: text.replace('""', '"Zürich"').encode("latin-1"),
            "cannot be read as utf-8: ",
        ),
        ("all.csv", lambda text: f"{text}{ROW},more\n".encode(), "Expected 9 columns, got 10"),
        (
            "all.csv",
            lambda text: f"{text}{ROW.replace('2013-05-17', 'May')}\n".encode(),
            "found 1 of the rows 1 to 13 with",
        ),
        (
            "all.csv",
            lambda text: text.replace("sold_at", "at").encode(),
            "expected the column sold_at once",
        ),
        ("all.csv", lambda text: b"", "the file is empty"),
    ],
)
def test_growing_file_that_is_broken(
    tmp_path: Path, name: str, broken: Callable[[str], bytes], says: str
) -> None:
    """Nothing of it is taken in; it is named and kept, once for each state; whole again, all of its
    days go through.
    """
    shop = Shop(tmp_path, name)
    content = broken(TWO_DAYS)
    shop.file().write_bytes(content)

    answers = [shop.take_in(), shop.take_in(NEXT_DAY)]

    for answer in answers:
        assert answer.outcome == "refuse"
        assert answer.message.startswith(f"{shop.file()}: ")
        assert says in answer.message
    assert shop.kept_files("growing") == [content]
    assert not (shop.lake / "snapshots").exists()
    shop.file().write_bytes(
        gzip.compress(TWO_DAYS.encode()) if name.endswith(".gz") else TWO_DAYS.encode()
    )
    assert [shop.take_in(day).outcome for day in (DAY, NEXT_DAY)] == ["accept", "accept"]
    assert shop.kept_files("growing") == [content]
    shop.check_whole()


def test_growing_file_breaks_behind_what_was_taken_in(tmp_path: Path) -> None:
    """The day that went through stays as it is; the next one comes when the file is whole."""
    shop = Shop(tmp_path, "all.csv")
    shop.file().write_text(WHOLE)
    first = shop.take_in()
    assert first.snapshot is not None
    seen = open_source(shop.managed.rows).batches()[DAY]

    shop.file().write_bytes(TWO_DAYS.encode() + b"\xff\n")
    assert shop.take_in(NEXT_DAY).outcome == "refuse"

    shop.file().write_text(TWO_DAYS)
    assert open_source(shop.managed.rows).batches()[DAY] == seen
    assert shop.take_in(NEXT_DAY).outcome == "accept"
    again = shop.take_in()
    assert again.snapshot is not None
    assert again.snapshot.sha256 == first.snapshot.sha256


@pytest.mark.parametrize("name", ["all.csv", "all.csv.gz"])
def test_growing_file_cut_at_every_byte(tmp_path: Path, name: str) -> None:
    """Cut anywhere it is refused, or, plain and cut before or behind the last cell of a row,
    shorter: half a cell is never read.
    """
    shop = Shop(tmp_path, name)
    rows = [f'2013-05-17T1{i}:00:00Z,{i},"a\nb"\n' for i in range(3)]
    text = "sold_at,id,note\n" + "".join(rows)
    whole = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    source = open_source(shop.managed.rows)

    read, refused = {}, list[SourceError]()
    for length in range(len(whole) + 1):
        shop.file().write_bytes(whole[:length])
        try:
            read[length] = source.read(BATCH).table().num_rows if source.batches() else 0
        except SourceError as error:
            refused.append(error)

    assert all(str(error).startswith(f"{shop.file()}: ") for error in refused)
    behind_a_row = {len(text) - sum(map(len, rows[i:])): i for i in range(4)}
    if name.endswith(".gz"):
        assert read == {len(whole): 3}
        assert all(isinstance(error, UnreadableError) for error in refused)
    else:
        without_line_end = {length - 1: i for length, i in behind_a_row.items()}
        without_last_cell = {length - len('"a\nb"\n'): i for length, i in behind_a_row.items() if i}
        header = {length: 0 for length in read if length < len("sold_at,id,note\n")}
        assert read == behind_a_row | without_line_end | without_last_cell | header
