"""Tests of the lake: things are whole or absent, and what was damaged is refused."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.ingest.snapshot import Sizes, write_snapshot
from tasks.lake import (
    POSITION,
    REASONS,
    DamagedFileError,
    accepted_parts,
    checked_parts,
    evenly,
    file_sha256,
    new_directory,
    quarantine_path,
    read_accepted,
    read_reasons,
    read_rows,
    read_snapshot,
    read_span,
    sample_accepted,
    scratch_directory,
    to_frame,
    write_table,
    write_tables,
    write_whole,
)
from tasks.records import Snapshot, Verdict
from tests.sample_contract import BATCH, sample_contract, sample_table


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake below a directory that looks like a partition of a dataset: it must not become a
    column.
    """
    return tmp_path / "env=prod" / "lake"


@pytest.fixture
def snapshot(lake: Path, tmp_path: Path) -> Snapshot:
    """Six rows in parts of four."""
    contract = sample_contract(tmp_path)
    return write_snapshot(lake, sample_table(6), contract, BATCH, "test", Sizes(part=4))


def verdict_of(lake: Path, snapshot: Snapshot, reasons: dict[int, str]) -> Verdict:
    """A verdict that puts the rows of ``reasons`` into quarantine."""
    path = quarantine_path(snapshot, reasons)
    rows = pa.table({POSITION: list(reasons), REASONS: list(reasons.values())})
    write_table(lake / path, rows)
    return Verdict(
        outcome="accept with quarantine",
        reason="test",
        rows=snapshot.rows,
        quarantined=len(reasons),
        rules=(),
        quarantine=path,
    )


def test_write_whole_replaces(tmp_path: Path) -> None:
    """A reader finds the old content or the new one; nothing temporary stays."""
    write_whole(tmp_path / "a" / "b.txt", b"old")
    write_whole(tmp_path / "a" / "b.txt", b"new")

    assert (tmp_path / "a" / "b.txt").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_write_whole_keeps_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash before the rename changes nothing."""
    write_whole(tmp_path / "b.txt", b"old")
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "b.txt", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]
    assert (tmp_path / "b.txt").read_bytes() == b"old"


def test_new_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A block that fails leaves nothing under the final name nor any other."""

    def fail() -> None:
        with new_directory(tmp_path / "thing") as directory:
            (directory / "one").write_text("1")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()

    assert list(tmp_path.iterdir()) == []


def test_new_directory_leaves_the_one_that_was_first(tmp_path: Path) -> None:
    """Two processes that write the same name: the first stays, the second is dropped."""
    with new_directory(tmp_path / "thing") as directory:
        (directory / "one").write_text("second")
        (tmp_path / "thing").mkdir()
        (tmp_path / "thing" / "one").write_text("first")

    assert (tmp_path / "thing" / "one").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_new_directory_needs_its_place(tmp_path: Path) -> None:
    """A file in the directory's place is an error, not a silent success."""
    (tmp_path / "thing").write_text("a file")

    with pytest.raises(OSError, match="thing"), new_directory(tmp_path / "thing"):
        pass


def test_written_table_reads_back(tmp_path: Path) -> None:
    """The digest is that of the file's bytes."""
    table = sample_table()

    sha256 = write_table(tmp_path / "t.parquet", table)

    assert file_sha256(tmp_path / "t.parquet") == sha256
    assert pq.read_table(tmp_path / "t.parquet").equals(table)


def test_tables_become_one_file(tmp_path: Path) -> None:
    """In their order; a single one is the very file that it would be alone."""
    tables = [sample_table(6).slice(i, 2) for i in (0, 2, 4)]

    sha256 = write_tables(tmp_path / "many.parquet", iter(tables))

    assert pq.read_table(tmp_path / "many.parquet").equals(sample_table(6))
    assert sha256 == file_sha256(tmp_path / "many.parquet")
    one = write_tables(tmp_path / "one.parquet", [sample_table()])
    assert one == write_table(tmp_path / "alone.parquet", sample_table())


def test_tables_that_end_early_leave_no_file(tmp_path: Path) -> None:
    """The file before stays as it was, and nothing temporary is left."""
    write_whole(tmp_path / "t.parquet", b"old")

    def cut_short() -> Iterator[pa.Table]:
        yield sample_table()
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        write_tables(tmp_path / "t.parquet", cut_short())

    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert (tmp_path / "t.parquet").read_bytes() == b"old"


def test_snapshot_reads_back(lake: Path, snapshot: Snapshot) -> None:
    """All parts in order, with exactly the columns that were written."""
    assert read_snapshot(lake, snapshot).equals(sample_table(6))


def test_snapshot_columns(lake: Path, snapshot: Snapshot) -> None:
    """Some columns come in the order of asking; none are none; one that is not there is left
    out.
    """
    assert read_snapshot(lake, snapshot, ["shop", "id"]).column_names == ["shop", "id"]
    assert read_snapshot(lake, snapshot, []).column_names == []
    assert read_snapshot(lake, snapshot, ["nope", "id"]).column_names == ["id"]


def test_part_cut_anywhere_is_refused(lake: Path, snapshot: Snapshot) -> None:
    """A truncated part is never read, wherever it was cut."""
    part = lake / snapshot.path / snapshot.parts[1].file
    content = part.read_bytes()

    for length in {0, 1, 4, len(content) // 2, len(content) - 8, len(content) - 1}:
        part.write_bytes(content[:length])
        with pytest.raises(DamagedFileError, match=r"part-00001\.parquet: expected sha256"):
            read_snapshot(lake, snapshot)


def test_part_with_a_changed_bit_is_refused(lake: Path, snapshot: Snapshot) -> None:
    """One bit is enough."""
    part = lake / snapshot.path / snapshot.parts[0].file
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes(content)

    with pytest.raises(DamagedFileError, match=r"part-00000\.parquet"):
        read_snapshot(lake, snapshot)


def test_missing_part_is_refused(lake: Path, snapshot: Snapshot) -> None:
    """A snapshot without one of its parts is not a smaller snapshot."""
    (lake / snapshot.path / snapshot.parts[1].file).unlink()

    with pytest.raises(DamagedFileError, match=r"part-00001\.parquet: .*found nothing"):
        read_snapshot(lake, snapshot)


def test_accepted_rows_are_those_not_in_quarantine(lake: Path, snapshot: Snapshot) -> None:
    """Exactly the quarantined positions are left out, over the borders of parts."""
    verdict = verdict_of(lake, snapshot, {1: "a", 4: "a;b"})

    assert read_accepted(lake, snapshot, verdict, ["id"])["id"].to_pylist() == [1, 3, 4, 6]
    assert read_reasons(lake, str(verdict.quarantine)) == {1: "a", 4: "a;b"}


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 12),
    st.sets(st.integers(0, 11)),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_parts_of_any_size_hold_the_same_rows(
    part: int, aside: set[int], rows: int, seed: int
) -> None:
    """However a batch is cut, whatever is in quarantine: all its accepted rows, part by part, and
    the same sample of them, one row of each stretch.
    """
    ids = [i + 1 for i in range(12) if i not in aside]
    with tempfile.TemporaryDirectory() as directory:
        lake, contract = Path(directory) / "lake", sample_contract(Path(directory))
        cut = write_snapshot(lake, sample_table(12), contract, BATCH, "test", Sizes(part=part))
        verdict = verdict_of(lake, cut, dict.fromkeys(sorted(aside), "a"))
        parts = list(accepted_parts(lake, cut, verdict, ["id"]))
        sample = sample_accepted(lake, cut, verdict, ["id"], rows, seed)["id"].to_pylist()

    assert [id for table in parts for id in table["id"].to_pylist()] == ids
    assert len(parts) == -(-12 // part)
    if rows >= len(ids):
        assert sample == ids
    else:
        assert sample == [ids[place] for place in evenly(len(ids), rows, seed)]
        edges = [i * len(ids) // rows for i in range(rows + 1)]
        stretches = [ids[a:b] for a, b in itertools.pairwise(edges)]
        assert all(id in some for id, some in zip(sample, stretches, strict=True))


def test_refused_batch_is_never_read(lake: Path, snapshot: Snapshot) -> None:
    """Nothing is trained or scored on a refused batch."""
    verdict = Verdict(outcome="refuse", reason="too few rows", rows=6, quarantined=0, rules=())

    with pytest.raises(ValueError, match=r"2013-05-17 was refused \(too few rows\)"):
        read_accepted(lake, snapshot, verdict)


def test_damaged_quarantine_is_refused(lake: Path, snapshot: Snapshot) -> None:
    """A list of quarantined rows that is cut, changed or missing would let broken rows in."""
    verdict = verdict_of(lake, snapshot, {1: "a", 4: "b"})
    file = lake / str(verdict.quarantine)
    content = file.read_bytes()

    file.write_bytes(content[:-5])
    with pytest.raises(DamagedFileError):
        read_accepted(lake, snapshot, verdict)

    write_table(file, pa.table({POSITION: [1], REASONS: ["a"]}))
    with pytest.raises(DamagedFileError):
        read_accepted(lake, snapshot, verdict)

    file.unlink()
    with pytest.raises(DamagedFileError):
        read_accepted(lake, snapshot, verdict)


def test_large_whole_numbers_with_gaps_stay_exact() -> None:
    """float64 would make one of two neighbouring ids; small ones stay NumPy numbers."""
    frame = to_frame(pa.table({"large": [2**60, 2**60 + 1, None], "small": [1, 2, None]}))

    assert frame["large"].tolist()[:2] == [2**60, 2**60 + 1]
    assert frame["large"].isna().tolist() == [False, False, True]
    assert frame["small"].dtype == "float64"


def test_checked_parts_are_those_that_were_written(lake: Path, snapshot: Snapshot) -> None:
    """A part that was damaged before is refused; one that is changed while it is read, as soon as
    the block ends.
    """
    with checked_parts(lake, snapshot) as parts:
        assert pa.concat_tables(pq.ParquetFile(part).read() for part in parts).equals(
            sample_table(6)
        )
    content = parts[0].read_bytes()

    with (
        pytest.raises(DamagedFileError, match="found another file"),
        checked_parts(lake, snapshot) as (part, *_),
    ):
        part.write_bytes(content + b" ")
    with pytest.raises(DamagedFileError), checked_parts(lake, snapshot):
        pytest.fail("a damaged part was given to a reader")


def test_rows_are_read_from_their_parts(tmp_path: Path) -> None:
    """Positions count over all parts; none gives an empty table of the same columns."""
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for i, part in enumerate(parts):
        pq.write_table(sample_table(6).slice(2 * i, 2), part)

    assert read_rows(parts, [0, 4, 5]).equals(sample_table(6).take([0, 4, 5]))
    assert read_rows(parts, []).equals(sample_table(6).slice(0, 0))


_FILLING = """
import resource, signal, sys
from pathlib import Path
from tasks.ingest.snapshot import Sizes, write_snapshot
from tests.sample_contract import BATCH, sample_contract, sample_table
import pyarrow.parquet, pyarrow.compute, duckdb
home = Path(sys.argv[1])
contract = sample_contract(home)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
write_snapshot(home / "lake", sample_table(5000), contract, BATCH, "test")
"""


@pytest.mark.parametrize("room", [0, 1000, 20_000])
def test_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path, room: int) -> None:
    """The system ends a write in the middle of a part: an error by name, and neither snapshot nor
    scratch.
    """
    found = subprocess.run(
        [sys.executable, "-c", _FILLING, str(tmp_path), str(room)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "DiskFullError" in found.stderr.splitlines()[-1], found.stderr
    assert "expected room to write" in found.stderr
    assert [path for path in (tmp_path / "lake").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "lake").glob(".*")) == []


def test_scratch_is_gone_afterwards_and_so_is_what_was_abandoned(tmp_path: Path) -> None:
    """A directory of today may have an owner; one of the day before yesterday has none."""
    for name in ("young", "old"):
        (tmp_path / f".scratch-ingest-{name}").mkdir()
    long_ago = time.time() - 2 * 86_400
    os.utime(tmp_path / ".scratch-ingest-old", (long_ago, long_ago))

    with scratch_directory(tmp_path, "ingest") as scratch:
        (scratch / "run").write_text("x")

    assert [path.name for path in tmp_path.iterdir()] == [".scratch-ingest-young"]


@pytest.mark.parametrize(("first", "rows"), [(0, 7), (2, 3), (3, 1), (6, 1), (0, 0)])
def test_span_reads_neighbouring_rows(tmp_path: Path, first: int, rows: int) -> None:
    """Wherever the row groups end."""
    table = sample_table(7)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=3)

    found = read_span(tmp_path / "x.parquet", first, rows, ["id", "shop"])

    assert found.equals(table.select(["id", "shop"]).slice(first, rows))
