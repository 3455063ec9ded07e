"""Tests of files by period: which batches there are, and all of a batch or nothing of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.addresses import Address
from tasks.batches import Every
from tasks.ingest.by_batch import FilesByBatch
from tasks.ingest.source import SourceError, fill_in
from tasks.ingest.stores import File, LocalStore
from tests.sample_contract import BATCH, DAY, sample_contract, sample_table


def source_at(pattern: Path, every: Every = "month", **server: str) -> FilesByBatch:
    """The source with files like ``pattern``."""
    contract = sample_contract(pattern.parents[1], lambda d: d["servers"][0].update(server))
    return FilesByBatch(
        contract, every, LocalStore(), Address(pattern.as_posix()), pattern.parents[1] / "lake"
    )


@pytest.fixture
def parts(tmp_path: Path) -> FilesByBatch:
    """A source of daily batches, each a directory of Parquet files."""
    (tmp_path / "in" / DAY).mkdir(parents=True)
    return source_at(tmp_path / "in" / "{batch}" / "*.parquet", "day", format="parquet")


def write_part(source: FilesByBatch, name: str, table: pa.Table) -> Path:
    """Write one file of the sample day."""
    file = Path(source.pattern.text.replace("{batch}", DAY)).with_name(name)
    pq.write_table(table, file)
    return file


# --- the address ----------------------------------------------------------------------------------


def test_home_and_environment_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home comes from the settings, everything else from the environment; that is hidden again
    when shown.
    """
    monkeypatch.setenv("SHARE", "/mnt/secret-share")
    contract = sample_contract(tmp_path)

    address = fill_in("${KINGMAKER_HOME}/${SHARE}/x", contract, "path", tmp_path)

    assert address.text == f"{tmp_path}//mnt/secret-share/x"
    assert address.hide(address.text) == f"{tmp_path}/${{SHARE}}/x"
    assert "secret" not in repr(address)


@pytest.mark.parametrize("text", ["${NOT_SET}/x", "$5/x", "${}/x"])
def test_variable_that_is_not_set(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be filled in is refused with the contract's file and the key."""
    monkeypatch.delenv("NOT_SET", raising=False)

    with pytest.raises(SourceError, match=r"sales\.odcs\.yaml: servers\.0\.path: expected"):
        fill_in(text, sample_contract(tmp_path), "path", tmp_path)


# --- which batches there are ----------------------------------------------------------------------


def test_available_batches_in_order(tmp_path: Path) -> None:
    """Only files with a batch's id count; directories, half-written and foreign files do not."""
    directory = tmp_path / "in"
    directory.mkdir()
    for name in (
        "2013-02.csv.gz",
        "2013-01.csv.gz",
        ".2013-03.csv.gz.1a2b.tmp",
        "2013-03.csv",
        "notes.txt",
        "2013-W01.csv.gz",
    ):
        (directory / name).touch()
    (directory / "2013-04.csv.gz").mkdir()

    found = source_at(directory / "{batch}.csv.gz").files()

    assert list(found) == ["2013-01", "2013-02"]
    assert found["2013-01"] == [str(directory / "2013-01.csv.gz")]


def test_missing_directory_is_not_an_idle_source(tmp_path: Path) -> None:
    """No directory is an error, an empty one is no batches."""
    source = source_at(tmp_path / "in" / "{batch}.csv")
    with pytest.raises(SourceError, match="in: no such directory"):
        source.batches()

    (tmp_path / "in").mkdir()

    assert source.batches() == {}


@pytest.mark.parametrize("name", ["{batch}.csv", "x-{batch}/*.csv", "{batch}/?.csv"])
def test_batch_that_no_calendar_has_is_refused(tmp_path: Path, name: str) -> None:
    """A file 2013-13 is a mistake of the sender, and named."""
    file = tmp_path / "in" / name.replace("{batch}", "2013-13").replace("*", "a").replace("?", "a")
    file.parent.mkdir(parents=True)
    file.touch()

    with pytest.raises(SourceError, match=r"2013-13.*\.csv: expected the id of a monthly batch"):
        source_at(tmp_path / "in" / name).batches()


def test_fingerprint_changes_with_any_file(parts: FilesByBatch) -> None:
    """Another size, and a file more or less, is another fingerprint; reading changes nothing."""
    seen = set()
    for change in (
        lambda: write_part(parts, "a.parquet", sample_table(2)),
        lambda: write_part(parts, "b.parquet", sample_table(2)),
        lambda: write_part(parts, "b.parquet", sample_table(3)),
        lambda: write_part(parts, "a.parquet", sample_table(1)).unlink(),
    ):
        change()
        seen.add(parts.batches()[DAY])
        parts.read(BATCH).table()
        assert parts.batches()[DAY] in seen

    assert len(seen) == 4


class CountingStore(LocalStore):
    """A disk that counts how often a file's bytes are read."""

    reads = 0

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the file."""
        self.reads += 1
        return super().open(path)


def test_a_copy_of_all_files_elsewhere_is_the_same(parts: FilesByBatch, tmp_path: Path) -> None:
    """Whatever time a copy has, and wherever it lies; other bytes of the same length are not the
    same.
    """
    file = write_part(parts, "a.parquet", sample_table(2))
    write_part(parts, "b.parquet", sample_table(3))
    there = parts.batches()
    copy = source_at(tmp_path / "moved" / "in" / "{batch}" / "*.parquet", "day", format="parquet")

    shutil.copytree(
        tmp_path / "in",
        tmp_path / "moved" / "in",
        copy_function=shutil.copyfile,
        dirs_exist_ok=True,
    )
    assert copy.batches() == there
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    assert parts.batches() != there


def test_a_file_is_read_once_for_its_fingerprint(parts: FilesByBatch) -> None:
    """Until its size or its time changes; what was kept of it may be damaged."""
    file = write_part(parts, "a.parquet", sample_table(2))
    store = CountingStore()
    source = replace(parts, store=store)

    first = [source.batches(), source.batches(), source.batches()]
    os.utime(file, ns=(1, 1))
    touched = source.batches()
    (kept,) = (parts.lake / "sources" / parts.contract.name).glob("contents-*.json")
    kept.write_text(f'{{"{DAY}/{file.name}": 7}}')

    assert [*first, touched, source.batches()] == [first[0]] * 5
    assert store.reads == 3


# --- reading --------------------------------------------------------------------------------------


def test_many_files_are_one_batch(parts: FilesByBatch) -> None:
    """All files whose path names the period are the batch; a file that is being written is not
    seen.
    """
    write_part(parts, "b.parquet", sample_table(6).slice(3))
    write_part(parts, "a.parquet", sample_table(6).slice(0, 3))
    write_part(parts, ".c.parquet", sample_table(6))

    assert parts.read(BATCH).table().equals(sample_table(6))


def test_files_of_several_types(parts: FilesByBatch) -> None:
    """A narrower type in one file is the same column; text in one file makes the whole column text,
    to be judged.
    """
    table = sample_table(2)
    narrow = table.set_column(1, "id", table["id"].cast(pa.int16()))
    write_part(parts, "a.parquet", narrow)
    write_part(parts, "b.parquet", table)
    assert parts.read(BATCH).table()["id"].type == pa.int64()

    write_part(parts, "b.parquet", table.set_column(1, "id", pa.array(["x", "3"])))

    assert parts.read(BATCH).table()["id"].to_pylist() == ["1", "2", "x", "3"]


def test_files_of_several_columns(parts: FilesByBatch) -> None:
    """A column that only some files have is refused: filled up with nothing it would look like
    missing values.
    """
    write_part(parts, "a.parquet", sample_table(2))
    write_part(parts, "b.parquet", sample_table(2).drop_columns(["note"]))

    with pytest.raises(
        SourceError,
        match=rf"{DAY}/\*\.parquet: expected the same columns .* found \['note'\] only in some",
    ):
        parts.read(BATCH).table()


def test_missing_file(tmp_path: Path) -> None:
    """A batch that vanished is a SourceError with its name."""
    (tmp_path / "in").mkdir()

    with pytest.raises(
        SourceError, match=rf"in/{DAY}\.csv: expected the files of batch {DAY}, found none"
    ):
        source_at(tmp_path / "in" / "{batch}.csv", "day").read(BATCH).table()


class WrittenWhileRead(LocalStore):
    """A disk on which somebody does something whenever a file has been read."""

    def __init__(self, act: Callable[[Path], object]) -> None:
        self.act = act

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open the file, and act when all was read."""
        with super().open(path) as stream:
            yield stream
        self.act(Path(path))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda file: file.write_text("id\n1\n2\n"), "changed while it was read"),
        (
            lambda file: file.with_name("b.csv").write_text("id\n2\n"),
            "came or went while the batch was read",
        ),
        (lambda file: file.unlink(), "cannot be read: No such file"),
    ],
)
def test_file_changed_while_read(tmp_path: Path, act: Callable[[Path], object], says: str) -> None:
    """A batch that is still being written is left for the next run."""
    file = tmp_path / "in" / DAY / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text("id\n1\n")
    source = source_at(tmp_path / "in" / "{batch}" / "*.csv", "day")
    changing = FilesByBatch(
        source.contract, "day", WrittenWhileRead(act), source.pattern, source.lake
    )

    with pytest.raises(SourceError, match=says):
        changing.read(BATCH).table()


def test_fingerprint_of_a_file() -> None:
    """Name, size and moment of the change make it; the directory does not."""
    file = File("a/x.csv", 10, 1)

    assert file.fingerprint == File("b/x.csv", 10, 1).fingerprint
    others = {
        File("a/y.csv", 10, 1).fingerprint,
        File("a/x.csv", 11, 1).fingerprint,
        File("a/x.csv", 10, 2).fingerprint,
    }
    assert file.fingerprint not in others
    assert len(others) == 3


def test_double_column_in_a_file(tmp_path: Path) -> None:
    """Which of two columns of one name is meant cannot be known; the file is named."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{DAY}.csv").write_text("id,note,id\n1,a,2\n")

    with pytest.raises(
        SourceError, match=rf"{DAY}\.csv: expected each column once, found \['id'\] more than once"
    ):
        source_at(tmp_path / "in" / "{batch}.csv", "day").read(BATCH).table()
