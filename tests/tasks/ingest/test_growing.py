"""Tests of files that grow: cut by event time, read once for each state, late rows found in the
batch that they belong to.
"""

import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from tasks.addresses import Address
from tasks.batches import batch_named
from tasks.ingest.growing import GrowingFiles
from tasks.ingest.source import SourceError
from tasks.ingest.stores import LocalStore
from tests.sample_contract import sample_contract

HEADER = "sold_at,id,note\n"


class CountingStore(LocalStore):
    """A disk that counts how often a file's bytes are read."""

    reads = 0

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the file."""
        self.reads += 1
        return super().open(path)


@pytest.fixture
def source(tmp_path: Path) -> GrowingFiles:
    """A source of daily batches in growing CSV files, cut in New York."""
    (tmp_path / "in").mkdir()
    contract = sample_contract(tmp_path / "project")
    pattern = Address((tmp_path / "in" / "*.csv").as_posix())
    return GrowingFiles(contract, "day", CountingStore(), pattern, tmp_path / "lake")


def append(source: GrowingFiles, text: str, name: str = "all.csv") -> Path:
    """Write at the end of a file; a new file gets the header first."""
    file = Path(source.pattern.text).with_name(name)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(text if stream.tell() else HEADER + text)
    return file


def ids(source: GrowingFiles, day: str) -> list[int]:
    """The ids of the rows of the day."""
    found: list[int] = (
        source.read(batch_named(day, "day", "America/New_York")).table()["id"].to_pylist()
    )
    return found


def test_cut_by_event_time_in_the_contracts_zone(source: GrowingFiles) -> None:
    """A row belongs to the day of its event time in New York, wherever it stands in the file."""
    append(
        source,
        "2013-05-18T03:59:59Z,1,a\n2013-05-20T12:00:00Z,2,a\n2013-05-18T04:00:00Z,3,a\n2013-05-17T04:00:00Z,4,a\n",
    )

    assert list(source.batches()) == ["2013-05-17", "2013-05-18", "2013-05-20"]
    assert [ids(source, day) for day in source.batches()] == [[4, 1], [3], [2]]


def test_unchanged_file_is_not_read_again(source: GrowingFiles) -> None:
    """The second look reads the index; a damaged index is written anew."""
    append(source, "2013-05-17T12:00:00Z,1,a\n")
    first = source.batches()
    assert isinstance(source.store, CountingStore)
    assert source.store.reads == 1

    assert source.batches() == first
    assert source.store.reads == 1

    for index in (source.lake / "sources").rglob("*.json"):
        assert "2013-05-17" in json.loads(index.read_text())["batches"]
        index.write_text("{")
    assert source.batches() == first
    assert source.store.reads == 2


def test_a_file_is_read_once_for_all_its_batches(source: GrowingFiles) -> None:
    """However many batches there are to be read, and again when it has grown."""
    days = [datetime(2013, 5, 17, 16, tzinfo=UTC) + timedelta(days=day) for day in range(60)]
    append(source, "".join(f"{day.isoformat()},{i},a\n" for i, day in enumerate(days)))
    assert isinstance(source.store, CountingStore)

    found = [ids(source, id) for id in source.batches()]

    assert found == [[i] for i in range(60)]
    assert source.store.reads == 1
    append(source, "2013-08-01T12:00:00Z,99,a\n")
    assert ids(source, list(source.batches())[-1]) == [99]
    assert source.store.reads == 2


def test_rows_that_were_kept_and_damaged_are_read_again(source: GrowingFiles) -> None:
    """No byte of the cache is trusted unseen; without it the file is read again."""
    append(source, "".join(f"2013-05-17T12:00:00Z,{i},a\n" for i in range(100)))
    source.batches()
    (kept,) = (source.lake / "sources").rglob("*.rows")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(bytes(content))

    with pytest.raises(SourceError, match=r"all\.csv: expected its rows in .*, found them damaged"):
        ids(source, "2013-05-17")

    assert ids(source, "2013-05-17") == list(range(100))


def test_last_line_without_an_end(source: GrowingFiles) -> None:
    """It is a row like any other; the next row makes no batch of the old ones new."""
    file = append(source, "2013-05-17T12:00:00Z,1,a\n2013-05-18T12:00:00Z,2,b")
    before = source.batches()

    assert [ids(source, id) for id in before] == [[1], [2]]
    file.write_text(file.read_text() + "\n2013-05-19T12:00:00Z,3,c\n")
    assert {id: source.batches()[id] for id in before} == before


def test_columns_of_other_batches_are_columns_of_each(tmp_path: Path) -> None:
    """A key of JSON that a batch lacks is missing there, as if the file had been read at once."""
    contract = sample_contract(tmp_path, lambda d: d["servers"][0].update(format="json"))
    file = tmp_path / "all.jsonl"
    lines = ('{"sold_at": "2013-05-17T12:00:00Z"}', '{"sold_at": "2013-05-18T12:00:00Z", "id": 1}')
    file.write_text("\n".join(lines))
    source = GrowingFiles(contract, "day", LocalStore(), Address(str(file)), tmp_path / "lake")

    assert ids(source, "2013-05-17") == [None]


def test_only_the_batch_with_new_rows_changes(source: GrowingFiles) -> None:
    """Rows that are appended leave other batches as they are; late rows change the batch that they
    belong to.
    """
    append(source, "2013-05-17T12:00:00Z,1,a\n2013-05-18T12:00:00Z,2,a\n")
    before = source.batches()

    append(source, "2013-05-19T12:00:00Z,3,a\n2013-05-17T13:00:00Z,4,late\n", "another.csv")
    after = source.batches()

    assert [day for day in after if before.get(day) != after[day]] == ["2013-05-17", "2013-05-19"]
    assert ids(source, "2013-05-17") == [1, 4]


def test_order_of_rows_does_not_matter(source: GrowingFiles) -> None:
    """The same rows in another order, and another place in the file, are the same batch."""
    noon = datetime(2013, 5, 17, 16, tzinfo=UTC)
    rows = [f"{(noon + timedelta(hours=hours)).isoformat()},{hours},a\n" for hours in range(30)]
    file = append(source, "".join(rows))
    before = source.batches()

    file.unlink()
    append(source, "".join(reversed(rows)))

    assert source.batches() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (",1,a\n", "expected a moment in each row of sold_at, .* found 1 rows without"),
        (
            "yesterday,1,a\nnow,2,a\nnow,3,a\nx,4,a\ny,5,a\n",
            (
                "expected a moment in each row of sold_at, .* found 5 of the rows 1 to 6 with"
                " something else, such as 'yesterday', 'now', 'x'"
            ),
        ),
        ("2013-05-17T12:00:00,1,a\n", ".* found it with an offset and without one by row 2"),
        (
            "10000-01-01T12:00:00Z,1,a\n",
            ".* found 1 of the rows 1 to 2 with something else, such as '10000-",
        ),
        ("2013-05-17T12:00:00Z,1", ".* its last line has no end and may be half written"),
    ],
)
def test_rows_that_belong_to_no_batch(source: GrowingFiles, text: str, says: str) -> None:
    """A row that cannot be dated is not dropped, and a row that is half written is not read: the
    file is refused.
    """
    append(source, "2013-05-17T12:00:00Z,1,a\n" + text)

    with pytest.raises(SourceError, match=rf"all\.csv: {says}"):
        source.batches()


def test_bad_value_stays_in_its_batch(source: GrowingFiles) -> None:
    """A value that does not fit its type keeps the column as text in its own batch, and in no
    other.
    """
    append(source, "2013-05-17T12:00:00Z,1,a\n2013-05-18T12:00:00Z,two,a\n")

    assert (ids(source, "2013-05-17"), ids(source, "2013-05-18")) == ([1], ["two"])


def test_no_file(source: GrowingFiles) -> None:
    """A source that is not there is not an idle one."""
    with pytest.raises(SourceError, match=r"in/\*\.csv: no such file"):
        source.batches()


def test_without_event_time(source: GrowingFiles) -> None:
    """A file without the column cannot be cut."""
    Path(source.pattern.text).with_name("all.csv").write_text("id\n1\n")

    with pytest.raises(
        SourceError, match="expected the column sold_at once, to cut the file into batches"
    ):
        source.batches()


def test_cut_piece_by_piece(source: GrowingFiles) -> None:
    """Batches are whole, and signs of change the same, wherever the pieces of a file end."""
    rows = [f"2013-05-{17 + i % 3}T12:00:00Z,{i},{'x' * 50}\n" for i in range(200)]
    append(source, "".join(rows))
    at_once = source.batches()
    shutil.rmtree(source.lake)
    in_pieces = replace(source, piece_bytes=500)

    assert in_pieces.batches() == at_once
    assert sorted(ids(in_pieces, "2013-05-18")) == list(range(1, 200, 3))


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ("2013-05-17T12:00:00,9,a\n" * 50, "found it with an offset and without one by row"),
        (",9,a\n" * 3, "found 3 rows without"),
    ],
)
def test_a_row_that_cannot_be_cut_is_found_in_any_piece(
    source: GrowingFiles, last: str, says: str
) -> None:
    """What each piece of the file could be read as alone does not count: the file is judged as
    one.
    """
    append(source, "".join(f"2013-05-17T12:00:00Z,{i},{'x' * 50}\n" for i in range(50)) + last)

    with pytest.raises(SourceError, match=says):
        replace(source, piece_bytes=500).batches()


def test_a_home_that_has_moved_has_the_same_batches(source: GrowingFiles, tmp_path: Path) -> None:
    """A batch is told by its rows and the names of its files, not by where they lie."""
    append(source, "2013-05-17T12:00:00Z,1,a\n")
    append(source, "2013-05-17T13:00:00Z,2,b\n", "more.csv")
    there = source.batches()

    (tmp_path / "in").rename(tmp_path / "elsewhere")
    pattern = Address((tmp_path / "elsewhere" / "*.csv").as_posix())

    assert replace(source, pattern=pattern).batches() == there
