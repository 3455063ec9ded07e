"""Tests of the current view in the lake."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.scoring.config import ScoringConfig
from tasks.scoring.current import current_file, update_current, write_newest
from tests.tasks.scoring.served_sales import (
    MORNING,
    open_table,
    sales_contract,
    scored_sales,
    served_sales,
)

CONFIG = ScoringConfig(include=("shop",))


def test_newest_prediction_of_every_key(tmp_path: Path) -> None:
    """Part by part, or all at once, the view is the same: one row a key, of the newest part."""
    contract = sales_contract(tmp_path)
    parts = [
        served_sales(
            tmp_path,
            contract,
            scored_sales(contract, open_table(contract, rows), version=version),
            number=version,
        )
        for version, rows in ((1, 4), (2, 6), (3, 2))
    ]
    file = current_file(tmp_path, "sales")

    for count in (1, 2, 3):
        update_current(tmp_path, parts[:count], parts[count - 1 : count], contract, CONFIG)
    by_part = pq.read_table(file, partitioning=None)
    file.unlink()
    update_current(tmp_path, parts, parts[2:], contract, CONFIG)

    assert by_part["version"].to_pylist() == ["v3", "v3", "v2", "v2", "v2", "v2"]
    assert by_part["id"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert pq.read_table(file, partitioning=None).equals(by_part)
    assert [p.name for p in file.parent.iterdir()] == ["sales.parquet"]


def test_an_older_part_replaces_nothing(tmp_path: Path) -> None:
    """Delivered late, what is older does not stand over what is newer."""
    contract = sales_contract(tmp_path)
    old, new = (
        served_sales(tmp_path, contract, scored_sales(contract, version=v), number=v)
        for v in (1, 2)
    )

    update_current(tmp_path, [new], [new], contract, CONFIG)
    update_current(tmp_path, [old, new], [old], contract, CONFIG)

    file = current_file(tmp_path, "sales")
    assert set(pq.read_table(file, partitioning=None)["version"].to_pylist()) == {"v2"}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sets(st.integers(1, 6), min_size=1), min_size=1, max_size=6),
    st.integers(1, 9),
)
def test_of_each_key_the_newest_whatever_is_in_memory(parts: list[set[int]], at_once: int) -> None:
    """However many parts have it, and wherever the rows that are in memory end."""
    with tempfile.TemporaryDirectory() as directory:
        lake = Path(directory)
        contract, target = sales_contract(lake / "contract"), lake / "newest.parquet"
        tables = [
            pa.table(
                {
                    "sold_at": [MORNING] * len(ids),
                    "id": sorted(ids, reverse=True),
                    "part": [number] * len(ids),
                }
            )
            for number, ids in enumerate(parts)
        ]

        write_newest(target, tables, contract, lake, at_once=at_once)
        found = pq.read_table(target).to_pydict()

    newest = {id: number for number, ids in enumerate(parts) for id in ids}
    assert found["id"] == sorted(newest)
    assert found["part"] == [newest[id] for id in found["id"]]
