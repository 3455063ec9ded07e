"""Tests of features from other contracts: each value is what had been delivered at the row's moment
says, however the same rows are cut into batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.features.beside import add_past
from tasks.features.join import add_joined
from tasks.features.join_config import JoinConfig
from tasks.lake import DamagedFileError
from tasks.model_spec import ManagedModel, manage
from tasks.records import Past
from tests.sample_contract import sample_document
from tests.tasks.features.deliveries import (
    FAR,
    HOUR,
    JOINED,
    Delivered,
    deliver,
    expected_join,
    joining,
    one_batch,
    rows_table,
    write_joining_project,
    write_project,
)

_HOURS = st.integers(0, 40).map(lambda n: n / 2)
"""Few moments, so that many rows happen at the same one, or at the very end of a window."""
_ROWS = st.builds(
    Delivered,
    id=st.integers(0, 10**6),
    hour=_HOURS,
    shop=st.sampled_from("AB"),
    till=st.sampled_from((1, 2, None)),
)


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> ManagedModel:
    """Sales that join stock and prices."""
    return write_joining_project(tmp_path_factory.mktemp("joins"))


@st.composite
def _joined(draw: st.DrawFn, contract: str) -> list[Delivered]:
    """Rows of a contract, no two of a moment under one key; some came late, were taken back, or
    replaced by another.
    """
    one = st.builds(
        Delivered,
        id=st.just(0),
        hour=_HOURS,
        shop=st.sampled_from("AB"),
        till=st.sampled_from((1, 2)),
        amount=st.sampled_from((0.0, 1.0, 2.5, 700.0, None)),
        ends=st.one_of(st.none(), _HOURS),
    )
    keys = JOINED[contract]
    rows = draw(
        st.lists(
            one, max_size=20, unique_by=lambda row: (row.hour, *(getattr(row, k) for k in keys))
        )
    )
    return [each for row in rows for each in _delivered(draw, row)]


def _delivered(draw: st.DrawFn, row: Delivered) -> list[Delivered]:
    hour = draw(st.integers(int(row.hour) + 1, 30))
    match draw(st.sampled_from(("kept", "kept", "late", "gone", "back", "corrected"))):
        case "late":
            return [_but(row, since=hour)]
        case "gone":
            return [_but(row, until=hour)]
        case "back":
            return [_but(row, until=hour), _but(row, since=hour + draw(st.integers(1, 9)))]
        case "corrected":
            return [_but(row, until=hour), _but(row, since=hour, amount=5.0, ends=None)]
    return [row]


def _but(row: Delivered, **changes: Any) -> Delivered:
    return Delivered(**(row.__dict__ | changes))


@st.composite
def _joins(draw: st.DrawFn) -> tuple[JoinConfig, ...]:
    """Joins of both contracts, of one of them twice."""
    return tuple(
        JoinConfig(
            name=f"j{number}",
            contract=contract,
            by=JOINED[contract],
            columns=("amount",),
            max_age=draw(st.sampled_from((None, 3 * HOUR, 6 * HOUR, 20 * HOUR))),
            valid_until=draw(st.sampled_from((None, "ends_at"))),
            gap=draw(st.sampled_from((0, 2, 5))) * HOUR,
        )
        for number, contract in enumerate(("stock", "prices", "stock"))
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_ROWS, min_size=1, max_size=20, unique_by=lambda row: row.id),
    _joined("stock"),
    _joined("prices"),
    _joins(),
    st.sampled_from(("hour", "day", "week")),
)
def test_values_are_those_of_what_had_been_delivered(
    sales, rows, stock, prices, joins, every
) -> None:
    """Late rows, revised batches, corrections, equal times and ends that have come, for every way
    of cutting the same rows into batches.
    """
    delivered = {"stock": stock, "prices": prices}
    past = Past(
        FAR,
        joined={name: deliver(sales.joined[name], every, some) for name, some in delivered.items()},
    )

    made = add_joined(joining(sales, *joins), one_batch(sales.contract, rows), past)

    for id, table in made.items():
        asked = [row for row in rows if (row.id % 2 == 1) == (id == "even")]
        for config in joins:
            for name, column in config.features.items():
                found = table[name].to_pylist()
                wanted = [
                    expected_join(config, column, row, delivered[config.contract]) for row in asked
                ]
                assert found == wanted, config


def test_a_row_is_valid_until_its_end_and_not_at_it(sales: ManagedModel) -> None:
    """At the very moment at which it ends it is none; half an hour before, it is one."""
    configs = [
        JoinConfig(
            name=f"j_{name}", contract=name, by=keys, columns=("amount",), valid_until="ends_at"
        )
        for name, keys in JOINED.items()
    ]
    one = Delivered(id=0, hour=1.0, till=1, amount=7.0, ends=20.0)
    past = Past(FAR, joined={name: deliver(sales.joined[name], "day", [one]) for name in JOINED})
    rows = [Delivered(id=2 * number, hour=19.5 + number / 2, till=1) for number in range(3)]

    made = add_joined(joining(sales, *configs), one_batch(sales.contract, rows), past)

    for name in JOINED:
        assert made["odd"][f"j_{name}_amount"].to_pylist() == [7.0, None, None]


def _one_join(sales: ManagedModel, rows: Sequence[Delivered], past: Past) -> list[Any]:
    made = add_past(sales, one_batch(sales.contract, rows), past)
    return made["odd"]["prices_amount"].to_pylist()


def test_open_rows_are_joined_as_those_of_batches(sales: ManagedModel, tmp_path: Path) -> None:
    """What is in no batch yet counts as it will when it is."""
    rows = [Delivered(id=2 * n, hour=float(n)) for n in range(1, 9)]
    prices = [Delivered(id=0, hour=float(n), amount=float(n)) for n in (1, 3, 4)]
    contract = sales.joined["prices"].contract
    open_rows = tmp_path / "open.parquet"
    pq.write_table(rows_table(contract, prices), open_rows)

    taken_in = _one_join(
        sales, rows, Past(FAR, joined={"prices": deliver(sales.joined["prices"], "day", prices)})
    )
    still_open = _one_join(sales, rows, Past(FAR, open_joined={"prices": (open_rows,)}))

    assert taken_in == [None, None, None, 1.0, 1.0, 3.0, 4.0, 4.0]
    assert still_open == taken_in


def test_a_damaged_part_is_refused(sales: ManagedModel) -> None:
    """What was written is read, or nothing."""
    prices = deliver(sales.joined["prices"], "day", [Delivered(id=0, hour=1.0)])
    snapshot = prices[0].snapshot
    part = sales.settings.lake / snapshot.path / snapshot.parts[0].file
    part.write_bytes(part.read_bytes()[:-1])

    with pytest.raises(DamagedFileError):
        _one_join(sales, [Delivered(id=2, hour=9.0)], Past(FAR, joined={"prices": prices}))


def test_names_that_mean_something_in_sql(tmp_path: Path) -> None:
    """Keys may be called otherwise there, and columns as anything is: by a quote, by a word of
    ours, or alike but for their case.
    """
    names = {"shop": 'position"', "till": "moment", "amount": "MOMENT", "note": "copy"}
    document = sample_document()
    document["name"] = "prices"
    for one in document["schema"][0]["properties"]:
        one["name"] = names.get(one["name"], one["name"])
        if one["name"] == "id":
            del one["primaryKey"], one["primaryKeyPosition"]
        if one["name"] == 'position"':
            one |= {"primaryKey": True, "primaryKeyPosition": 2}
    managed = write_project(tmp_path, own_labels=False)
    file = tmp_path / "data_contracts" / "prices.odcs.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    spec = tmp_path / "deployments" / "sales" / "model.yaml"
    join = {"contract": "prices", "by": {"shop": 'position"'}, "columns": ["MOMENT", "copy"]}
    text = yaml.safe_load(spec.read_text(encoding="utf-8")) | {"features": {"join": [join]}}
    spec.write_text(yaml.safe_dump(text), encoding="utf-8")
    prices = rows_table(managed.contract, [Delivered(id=2, hour=h, amount=h) for h in (1.0, 5.0)])
    prices = prices.rename_columns([names.get(name, name) for name in prices.column_names])
    open_rows = tmp_path / "open.parquet"
    pq.write_table(prices, open_rows)
    asked = one_batch(managed.contract, [Delivered(id=2, hour=h) for h in (0.5, 1.0, 7.0)])

    past = Past(FAR, open_joined={"prices": (open_rows,)})
    made = add_joined(manage("sales", managed.settings), asked, past)

    assert made["odd"]["prices_MOMENT"].to_pylist() == [None, 1.0, 5.0]
    assert made["odd"]["prices_copy"].to_pylist() == [None, None, None]
