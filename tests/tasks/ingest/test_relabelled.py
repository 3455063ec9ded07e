"""Tests of labels that are filled in later: the same rows are known again, other rows never pass
for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.ingest.relabelled import relabelled
from tasks.ingest.snapshot import write_snapshot
from tasks.model_spec import ManagedModel, manage
from tasks.records import BatchRecord
from tasks.settings import Settings
from tests.sample_contract import sample_contract, sample_table
from tests.tasks.builders import batch_record

WEATHER = Path(__file__).parent.parent.parent / "projects" / "weather"
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def managed(tmp_path: Path) -> ManagedModel:
    """A model of the sample contract, whose target is whether something was returned."""
    model = manage("weather", Settings(home=tmp_path, project=WEATHER))
    return replace(
        model,
        spec=model.spec.model_copy(update={"target": "returned"}),
        rows=replace(model.rows, contract=sample_contract(tmp_path)),
    )


def record_of(managed: ManagedModel, table: pa.Table) -> BatchRecord:
    """The batch, accepted."""
    lake, batch = managed.settings.lake, batch_record().batch
    return batch_record(snapshot=write_snapshot(lake, table, managed.contract, batch, "here"))


def with_values(name: str, change: Callable[[list[Any]], list[Any]]) -> Change:
    """Function: a table -> the same with other values in one column."""

    def changed(table: pa.Table) -> pa.Table:
        values = pa.array(change(table[name].to_pylist()), table[name].type)
        return table.set_column(table.column_names.index(name), name, values)

    return changed


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_values("returned", lambda values: [None] * len(values)), True),
        (lambda table: table.take(list(reversed(range(table.num_rows)))), True),
        (lambda table: table.slice(1), False),
        (with_values("amount", lambda values: [*values[:-1], (values[-1] or 0) + 1]), False),
    ],
    ids=["labels only", "another order", "a row less", "another feature"],
)
def test_same_rows_but_for_their_labels(
    managed: ManagedModel, change: Change, expected: bool
) -> None:
    """What was known when the row was predicted must be the same, to the last value."""
    before, after = record_of(managed, sample_table()), record_of(managed, change(sample_table()))

    assert relabelled(managed.rows, managed.spec.target, before, after) is expected


def test_refused_batch_is_never_the_same(managed: ManagedModel) -> None:
    """Nothing was predicted on it."""
    one = record_of(managed, sample_table())
    refused = one.model_copy(
        update={"verdict": one.verdict.model_copy(update={"outcome": "refuse"})}
    )

    assert not relabelled(managed.rows, managed.spec.target, refused, one)
    assert not relabelled(managed.rows, managed.spec.target, one, refused)
