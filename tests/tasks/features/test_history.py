"""Tests of features that look back: each value is what had been delivered at the row's moment says,
however the same rows are cut into batches.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.batches import Every
from tasks.features.config import TYPES, HistoryConfig
from tasks.features.history import add_history
from tasks.lake import DamagedFileError
from tasks.model_spec import ManagedModel, manage
from tasks.records import Past
from tests.sample_contract import sample_document
from tests.tasks.features.deliveries import (
    FAR,
    HOUR,
    Delivered,
    expected,
    looking_back,
    one_batch,
    past_of,
    write_project,
)

_TYPE = {"amount": "number", "till": "integer", "shop": "string", "returned": "boolean"}
_SHARES = {"amount": 1.0, "till": 1, "shop": "A", "returned": True}

_HOURS = st.integers(0, 40).map(lambda n: n / 2)
"""Few moments, so that many rows happen at the same one, or at the very end of a window."""
_ROWS = st.builds(
    Delivered,
    id=st.integers(0, 10**6),
    hour=_HOURS,
    shop=st.sampled_from("AB"),
    till=st.sampled_from((1, 2, None)),
    amount=st.sampled_from((0.0, 0.1, 1.0, 2.5, 700.0, None)),
    returned=st.sampled_from((True, False, None)),
)


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> ManagedModel:
    """Sales that carry their label."""
    return write_project(tmp_path_factory.mktemp("sales"), own_labels=False)


@st.composite
def _deliveries(draw: st.DrawFn) -> list[Delivered]:
    """Rows, some of which came late, were taken back, or replaced by another."""
    rows = draw(st.lists(_ROWS, min_size=1, max_size=25, unique_by=lambda row: row.id))
    return [one for row in rows for one in _delivered(draw, row)]


def _delivered(draw: st.DrawFn, row: Delivered) -> list[Delivered]:
    changed = st.integers(int(row.hour) + 1, 60)
    hour = draw(changed)
    match draw(st.sampled_from(("kept", "kept", "kept", "late", "gone", "back", "corrected"))):
        case "late":
            return [_but(row, since=hour)]
        case "gone":
            return [_but(row, until=hour)]
        case "back":
            return [_but(row, until=hour), _but(row, since=hour + draw(st.integers(1, 9)))]
        case "corrected":
            new = draw(_ROWS)
            later = _but(row, since=hour, amount=new.amount, returned=new.returned)
            return [_but(row, until=hour), later]
    return [row]


@st.composite
def _labels(draw: st.DrawFn, rows: Sequence[Delivered]) -> list[Delivered]:
    """What became known of the rows, some of it corrected by a later word, or by another delivery
    of the same one.
    """
    found = []
    for id, hour in {row.id: row.hour for row in rows}.items():
        for after in draw(st.lists(st.integers(0, 12), max_size=3, unique=True)):
            said = draw(st.sampled_from((True, False, None)))
            found += _delivered(draw, Delivered(id=id, hour=hour + after, returned=said))
    return found


@st.composite
def _features(draw: st.DrawFn) -> tuple[HistoryConfig, ...]:
    """A few features that look back, of any function."""
    found = []
    for number in range(draw(st.integers(1, 5))):
        function = draw(st.sampled_from(sorted(TYPES)))
        columns: list[str | None] = [n for n in _TYPE if _TYPE[n] in TYPES[function]]
        if function in ("count", "time_since_last"):
            columns.append(None)
        column = draw(st.sampled_from(columns))
        window = draw(st.sampled_from(("over", "rows")))
        found.append(
            HistoryConfig(
                name=f"f{number}",
                function=function,
                column=column,
                value=_SHARES[str(column)] if function == "share" else None,
                by=draw(st.sampled_from((("shop",), ("till",), ("shop", "till")))),
                over=draw(st.integers(1, 20)) * HOUR if window == "over" else None,
                rows=draw(st.integers(1, 5)) if window == "rows" else None,
                gap=draw(st.sampled_from((0, 1, 4))) * HOUR,
            )
        )
    return tuple(found)


def _but(row: Delivered, **changes: Any) -> Delivered:
    return Delivered(**(row.__dict__ | changes))


def _check(
    managed: ManagedModel,
    rows: Sequence[Delivered],
    labels: Sequence[Delivered] | None,
    features: tuple[HistoryConfig, ...],
    every: Every,
    labels_every: Every,
) -> None:
    """Hold every value of every feature against what is expected, row by row."""
    managed = looking_back(managed, *features)
    past = past_of(managed, every, rows, labels, labels_every)

    made = add_history(managed, one_batch(managed.contract, rows), past)

    for id, table in made.items():
        asked = [row for row in rows if (row.id % 2 == 1) == (id == "even")]
        for config in features:
            found = table[config.name].to_pylist()
            for row, value in zip(asked, found, strict=True):
                wanted = expected(config, row, rows, labels)
                assert _same(value, wanted), (config, row, value, wanted)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, float) and wanted is not None:
        return math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-12)
    return value == wanted


@pytest.fixture(scope="module")
def told_sales(tmp_path_factory: pytest.TempPathFactory) -> ManagedModel:
    """Sales whose label comes from a contract of its own."""
    return write_project(tmp_path_factory.mktemp("told"), own_labels=True)


@settings(max_examples=40, deadline=None)
@given(_deliveries(), _features(), st.sampled_from(("hour", "day", "week")))
def test_values_are_those_of_what_had_been_delivered(sales, rows, features, every) -> None:
    """Late rows, revised batches, corrected labels, equal times and ties, for every way of cutting
    the same rows into batches.
    """
    _check(sales, rows, None, features, every, "day")


@settings(max_examples=40, deadline=None)
@given(st.data(), _deliveries(), st.sampled_from(("hour", "day")), st.sampled_from(("hour", "day")))
def test_labels_count_from_when_they_were_known(told_sales, data, rows, every, labels_every):
    """Labels from a contract of their own: the newest of those that were known, and delivered, at
    the row's moment.
    """
    labels = data.draw(_labels(rows))
    features = tuple(
        HistoryConfig(
            name=f"f{number}",
            function=function,
            column="returned",
            value=True if function == "share" else None,
            by=("shop",),
            over=data.draw(st.integers(1, 20)) * HOUR if number % 2 else None,
            rows=None if number % 2 else data.draw(st.integers(1, 5)),
        )
        for number, function in enumerate(("share", "share", "last", "last", "count"))
    )
    _check(told_sales, rows, labels, features, every, labels_every)


def test_a_content_that_was_pruned_is_that_which_replaced_it(sales: ManagedModel) -> None:
    """The first is gone: what came in its place counts from where it did. The newest is not missed
    in silence.
    """
    count = HistoryConfig(name="count", function="count", by=("shop",), over=24 * HOUR)
    rows = [
        Delivered(id=1, hour=1.0, until=60.0),
        Delivered(id=2, hour=2.0, since=60.0),
        Delivered(id=3, hour=2.5, since=60.0),
        Delivered(id=4, hour=12.0),
    ]
    past = past_of(sales, "day", rows)
    managed, asked = looking_back(sales, count), one_batch(sales.contract, rows[3:])
    first, second, *_ = past.rows

    before = add_history(managed, asked, past)["odd"]["count"].to_pylist()
    shutil.rmtree(sales.settings.lake / first.snapshot.path)
    after = add_history(managed, asked, past)["odd"]["count"].to_pylist()
    shutil.rmtree(sales.settings.lake / second.snapshot.path)

    assert (before, after) == ([1], [2])
    with pytest.raises(DamagedFileError, match="found nothing"):
        add_history(managed, asked, past)


def test_names_that_mean_something_in_sql(tmp_path: Path) -> None:
    """Columns may be called as anything is: by a quote, by a word of ours, or alike but for their
    case.
    """
    names = {"shop": 'position"', "till": "moment", "amount": "MOMENT", "note": "until"}
    document = sample_document()
    for one in document["schema"][0]["properties"]:
        one["name"] = names.get(one["name"], one["name"])
    file = tmp_path / "data_contracts" / "sales.odcs.yaml"
    managed = write_project(tmp_path, own_labels=False)
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    managed = manage("sales", managed.settings)
    mean = HistoryConfig(
        name="mean", function="mean", column="MOMENT", by=('position"', "moment"), over=24 * HOUR
    )
    rows = [Delivered(id=i, hour=float(i), amount=float(i)) for i in range(2, 14, 2)]
    tables = {
        id: table.rename_columns([names.get(name, name) for name in table.column_names])
        for id, table in one_batch(
            write_project(tmp_path / "as", own_labels=False).contract, rows
        ).items()
    }
    open_rows = tmp_path / "open.parquet"
    pq.write_table(tables["odd"], open_rows)

    made = add_history(looking_back(managed, mean), tables, Past(FAR, open_rows=(open_rows,)))

    assert made["odd"]["mean"].to_pylist() == [None, 2.0, 3.0, 4.0, 5.0, 6.0]
