"""Tests of snapshots: named by their content, written whole, in any order of arrival the same."""

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract
from tasks.ingest.snapshot import (
    ManifestError,
    Sizes,
    arranged,
    canonical_order,
    content_sha256,
    read_manifest,
    write_snapshot,
)
from tasks.lake import read_snapshot
from tests.sample_contract import BATCH, sample_contract, sample_table


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path_factory.mktemp("contract"))


def digest(table: pa.Table, contract: Contract) -> str:
    """The digest of the table's canonical form."""
    table = arranged(table, contract)
    return sha256_of(table.take(canonical_order(table, contract)))


def sha256_of(table: pa.Table) -> str:
    """The digest of the table as it is."""
    return content_sha256(table.schema, table.num_rows, lambda name: [table[name]])


def test_same_rows_same_snapshot(tmp_path: Path, contract: Contract) -> None:
    """Ingested twice, a batch is one snapshot in one directory, whose files are not touched
    again.
    """
    first = write_snapshot(tmp_path, sample_table(), contract, BATCH, "first")
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = write_snapshot(
        tmp_path, sample_table().take([5, 3, 1, 0, 2, 4]), contract, BATCH, "second"
    )

    assert second == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_record(tmp_path: Path, contract: Contract) -> None:
    """The record says what was written where, and its manifest the same."""
    snapshot = write_snapshot(tmp_path, sample_table(6), contract, BATCH, "in/2013-05-17.csv")

    assert (snapshot.contract, snapshot.contract_version, snapshot.batch) == (
        "sales",
        "1.0.0",
        BATCH,
    )
    assert (snapshot.rows, snapshot.source) == (6, "in/2013-05-17.csv")
    assert snapshot.path == f"snapshots/sales/2013-05-17/{snapshot.sha256[:16]}"
    assert read_manifest(tmp_path, snapshot.path) == snapshot
    assert read_snapshot(tmp_path, snapshot).equals(sample_table(6))


def test_new_content_is_a_new_revision(tmp_path: Path, contract: Contract) -> None:
    """The old snapshot stays beside the new one."""
    old = write_snapshot(tmp_path, sample_table(), contract, BATCH, "a")
    new = write_snapshot(tmp_path, sample_table(amount=[9.0] * 6), contract, BATCH, "b")

    assert old.sha256 != new.sha256
    assert read_snapshot(tmp_path, old).equals(sample_table())


@pytest.mark.parametrize(("rows", "parts"), [(0, [0]), (1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_parts_are_bounded(tmp_path: Path, contract: Contract, rows: int, parts: list[int]) -> None:
    """No part holds more than its size, and the parts together hold all of them in order."""
    snapshot = write_snapshot(tmp_path, sample_table(rows), contract, BATCH, "test", Sizes(part=4))

    assert [part.rows for part in snapshot.parts] == parts
    assert read_snapshot(tmp_path, snapshot)["id"].to_pylist() == list(range(1, rows + 1))


def test_parts_do_not_change_the_digest(tmp_path: Path, contract: Contract) -> None:
    """The digest is of the content, not of how it is stored."""
    whole = write_snapshot(tmp_path / "a", sample_table(9), contract, BATCH, "test")
    cut = write_snapshot(tmp_path / "b", sample_table(9), contract, BATCH, "test", Sizes(part=2))

    assert len(cut.parts) > len(whole.parts)
    assert cut.sha256 == whole.sha256


def test_crash_leaves_nothing(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in the middle leaves nothing under the final name; the next run writes it."""
    import pyarrow.parquet as pq

    original, calls = pq.write_table, []

    def crash_at_second(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError("disk full")
        original(*args, **kwargs)

    monkeypatch.setattr(pq, "write_table", crash_at_second)
    with pytest.raises(OSError, match="disk full"):
        write_snapshot(tmp_path, sample_table(), contract, BATCH, "test", Sizes(part=2))

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert write_snapshot(tmp_path, sample_table(), contract, BATCH, "test").rows == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"rows": 6', '"rows": 7', 1),
        lambda text: text.replace('"sha256": "', '"sha256": "0', 1),
    ],
)
def test_damaged_manifest(tmp_path: Path, contract: Contract, damage: Callable[[str], str]) -> None:
    """A manifest that is cut, changed or absent is refused by name, when reading and when ingesting
    again.
    """
    path = write_snapshot(tmp_path, sample_table(), contract, BATCH, "test").path
    file = tmp_path / path / "manifest.json"
    file.write_text(damage(file.read_text()))

    with pytest.raises(ManifestError, match=r"manifest\.json: expected"):
        read_manifest(tmp_path, path)
    file.unlink()
    with pytest.raises(ManifestError, match="found nothing"):
        write_snapshot(tmp_path, sample_table(), contract, BATCH, "test")


# --- the digest -----------------------------------------------------------------------------------

cells = {
    "id": st.none() | st.integers(-3, 3),
    "shop": st.none() | st.sampled_from(["", "A", "AB", "B", "é"]),
    "amount": st.none() | st.sampled_from([0.0, -0.0, 1.5, -1.0, 1e300]),
    "returned": st.none() | st.booleans(),
    "zz_extra": st.none() | st.lists(st.integers(0, 1), max_size=2),
}
rows_of_cells = st.lists(st.tuples(*cells.values()), max_size=8)
_TYPES = (pa.int64(), pa.string(), pa.float64(), pa.bool_(), pa.list_(pa.int64()))


def table_of(rows: list[tuple[Any, ...]], names: list[str]) -> pa.Table:
    """The rows as a table whose columns stand in the order of ``names``."""
    columns = {
        name: pa.array([row[i] for row in rows], kind)
        for i, (name, kind) in enumerate(zip(cells, _TYPES, strict=True))
    }
    return pa.table({name: columns[name] for name in names})


@settings(deadline=None)  # the first example pays for an import
@given(rows=rows_of_cells, data=st.data())
def test_any_order_gives_the_same_digest(
    rows: list[tuple[Any, ...]], data: st.DataObject, contract: Contract
) -> None:
    """Neither the order of the rows nor that of the columns counts, nor how they are chunked."""
    shuffled = data.draw(st.permutations(rows))
    names = data.draw(st.permutations(list(cells)))
    at = data.draw(st.integers(0, len(rows)))
    chunked = pa.concat_tables([table_of(shuffled[:at], names), table_of(shuffled[at:], names)])

    assert digest(chunked, contract) == digest(table_of(rows, list(cells)), contract)


@settings(deadline=None)  # the first example pays for an import
@given(rows=st.lists(st.tuples(*cells.values()), min_size=1, max_size=5), data=st.data())
def test_any_change_gives_another_digest(
    rows: list[tuple[Any, ...]], data: st.DataObject, contract: Contract
) -> None:
    """One other cell is other content: a gap is not a zero, not empty text, not false."""
    row, column = (
        data.draw(st.integers(0, len(rows) - 1)),
        data.draw(st.integers(0, len(cells) - 1)),
    )
    value = data.draw(list(cells.values())[column].filter(lambda value: value != rows[row][column]))
    changed = [list(cells_of_row) for cells_of_row in rows]
    changed[row][column] = value

    # One cell was changed, so the rows as a collection have changed too.
    assert digest(table_of([tuple(r) for r in changed], list(cells)), contract) != digest(
        table_of(rows, list(cells)), contract
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([None], pa.int64()), pa.array([0])),
        (pa.array([None], pa.string()), pa.array([""])),
        (pa.array([None], pa.bool_()), pa.array([False])),
        (pa.array([None, None], pa.null()), pa.array([None, None], pa.string())),
        (pa.array([1]), pa.array([1.0])),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
        (pa.array([1], pa.timestamp("us", tz="UTC")), pa.array([1], pa.timestamp("us"))),
        (pa.array([Decimal("1.2")]), pa.array([Decimal("1.3")])),
        (pa.array([1], pa.time32("s")), pa.array([2], pa.time32("s"))),
        (pa.array([[1]]), pa.array([[2]])),
        (pa.array([1.0]), pa.array([math.nextafter(1.0, 2.0)])),
    ],
)
def test_other_values_and_types(one: pa.Array, other: pa.Array) -> None:
    """Values, types and gaps all count."""
    assert sha256_of(pa.table({"x": one})) != sha256_of(pa.table({"x": other}))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([Decimal("1.2"), None]),
        pa.array([[1], None]),
        pa.array([1, None], pa.time32("s")),
        pa.array([1.5, None], pa.float16()),
        pa.array([None, None], pa.null()),
        pa.array([b"a", None]),
    ],
)
def test_unknown_types_have_a_stable_digest(contract: Contract, values: pa.Array) -> None:
    """A column that the contract does not name may be of any type, and is still told by its
    values.
    """
    table = pa.table({"id": [1, 2], "extra": values})

    assert digest(table, contract) == digest(table.take([1, 0]), contract)
    assert digest(table, contract) == digest(
        pa.table({"id": [1, 2], "extra": pa.array(values.to_pylist(), values.type)}), contract
    )


def test_minus_zero_is_zero(contract: Contract) -> None:
    """The two are equal, so they cannot be ordered, so they must not be told apart."""
    table = pa.table({"amount": [0.0, -0.0], "extra": pa.array([-0.0, 0.0], pa.float32())})

    assert digest(table, contract) == digest(table.take([1, 0]), contract)


def test_input_is_not_changed(contract: Contract) -> None:
    """The canonical form is a copy."""
    table = sample_table().take([3, 1, 2])
    before = table.to_pydict()

    arranged(table, contract)
    canonical_order(table, contract)

    assert table.to_pydict() == before
