"""Tests of features that look back: each value is what had been delivered at the row's moment says,
however the same rows are cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.batches import Every
from tasks.features.config import TYPES, HistoryConfig
from tasks.features.history import add_history
from tasks.model_spec import ManagedModel
from tests.tasks.features.deliveries import (
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
