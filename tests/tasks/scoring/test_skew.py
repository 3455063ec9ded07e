"""Tests of what is compared when a batch has closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.scoring.config import SkewConfig
from tasks.scoring.current import served_keys
from tasks.scoring.skew import measure_skew, served_of
from tests.sample_contract import column
from tests.tasks.scoring.served_sales import (
    features_of,
    open_table,
    sales_contract,
    scored_sales,
    served_sales,
)


def test_the_same_rows_have_no_skew(tmp_path: Path) -> None:
    """In another order, with rows that were never served, and sums made in another order."""
    contract = sales_contract(tmp_path)
    amounts = [0.0, None, 3.0, 4.5, 6.0, 7.5]  # what is missing both times is the same
    part = served_sales(
        tmp_path, contract, scored_sales(contract, open_table(contract, 4, amount=amounts[:4]))
    )
    closed = open_table(contract, amount=amounts).take([5, 3, 1, 0, 2, 4])
    frame = features_of(closed)
    frame.features["amount"] *= 1 + 1e-12

    skew = measure_skew(tmp_path, [part], frame, contract, SkewConfig())

    assert skew is not None
    assert (skew.rows, skew.gone, skew.features, skew.worst) == (4, 0, (), 0.0)


def test_a_column_that_arrives_late_is_found(tmp_path: Path) -> None:
    """Empty when the rows were served, filled in when the batch closed: named, with examples."""
    contract = sales_contract(tmp_path)
    late = open_table(contract, amount=[None, None, 3.0, None, 6.0, 7.5])
    part = served_sales(tmp_path, contract, scored_sales(contract, late))

    skew = measure_skew(
        tmp_path, [part], features_of(open_table(contract)), contract, SkewConfig(examples=2)
    )

    assert skew is not None
    (found,) = skew.alarms
    assert (found.feature, found.differing, found.share) == ("amount", 3, 0.5)
    assert [(e.served, e.closed) for e in found.examples] == [("missing", "0"), ("missing", "1.5")]
    assert found.examples[0].key == "2013-05-17 12:00:00+00:00, 1"


def test_a_part_of_the_key_may_be_a_feature(tmp_path: Path) -> None:
    """The shop is both: rows are found by it, and it is the same."""

    def keyed(document):
        column(document, "shop").update(primaryKey=True, primaryKeyPosition=3)

    contract = sales_contract(tmp_path, keyed)
    part = served_sales(tmp_path, contract, scored_sales(contract))
    frame = features_of(open_table(contract))
    keyed_frame = replace(frame, keys=frame.keys.assign(shop=frame.features["shop"]))

    skew = measure_skew(tmp_path, [part], keyed_frame, contract, SkewConfig())

    assert skew is not None
    assert (skew.rows, skew.features) == (6, ())


def test_within_the_limit_there_is_no_alarm(tmp_path: Path) -> None:
    """One row of six differs: told, and an alarm only where fewer are allowed."""
    contract = sales_contract(tmp_path)
    moved = open_table(contract, shop=["B", "B", "C", "A", "B", "C"])
    part = served_sales(tmp_path, contract, scored_sales(contract, moved))
    frame = features_of(open_table(contract))

    allowed = measure_skew(tmp_path, [part], frame, contract, SkewConfig(limit=0.2))
    strict = measure_skew(tmp_path, [part], frame, contract, SkewConfig(limit=0.1))

    assert allowed is not None
    assert strict is not None
    assert (len(allowed.features), allowed.alarms) == (1, ())
    assert [one.feature for one in strict.alarms] == ["shop"]


def test_rows_that_the_closed_batch_lacks_are_counted(tmp_path: Path) -> None:
    """What was served and then cancelled is no skew, and is told."""
    contract = sales_contract(tmp_path)
    part = served_sales(tmp_path, contract, scored_sales(contract))

    skew = measure_skew(
        tmp_path, [part], features_of(open_table(contract, 4)), contract, SkewConfig()
    )

    assert skew is not None
    assert (skew.rows, skew.gone) == (4, 2)


def test_the_values_of_a_classified_key_are_hidden(tmp_path: Path) -> None:
    """An example shows what differs, and not whose it is."""
    contract = sales_contract(
        tmp_path, lambda d: column(d, "id").update(classification="confidential")
    )
    part = served_sales(
        tmp_path, contract, scored_sales(contract, open_table(contract, amount=[9.0] * 6))
    )

    skew = measure_skew(tmp_path, [part], features_of(open_table(contract)), contract, SkewConfig())

    assert skew is not None
    assert {e.key for e in skew.features[0].examples} == {"(hidden)"}


def test_nothing_served_is_nothing_to_compare(tmp_path: Path) -> None:
    """No parts, no skew."""
    contract = sales_contract(tmp_path)
    frame = features_of(open_table(contract))

    assert measure_skew(tmp_path, [], frame, contract, SkewConfig()) is None
    assert not served_of(tmp_path, [], frame, contract).rows.any()


def test_what_was_told_is_found_by_key(tmp_path: Path) -> None:
    """Row for row with the closed batch, with the version that predicted; others are marked."""
    contract = sales_contract(tmp_path)
    parts = [
        served_sales(
            tmp_path, contract, scored_sales(contract, open_table(contract, rows), version=v), v
        )
        for v, rows in ((1, 4), (2, 2))
    ]
    frame = features_of(open_table(contract).take([5, 3, 1, 0]))

    found = served_of(tmp_path, parts, frame, contract)

    assert found.rows.tolist() == [False, True, True, True]
    assert found.served_by[1:].tolist() == ["v1", "v2", "v2"]
    np.testing.assert_array_equal(found.predicted[1:], [0.03, 0.01, 0.0])


def test_classes_are_put_in_order_and_an_unknown_one_is_nothing(tmp_path: Path) -> None:
    """A version that knew fewer classes gave the others no probability."""
    contract = sales_contract(tmp_path)
    shares = np.column_stack([np.full(6, 0.25), np.full(6, 0.75)])
    scored = scored_sales(contract, classes=("b", "a"), predicted=shares)
    part = served_sales(tmp_path, contract, scored)

    found = served_of(
        tmp_path, [part], features_of(open_table(contract)), contract, ("a", "b", "c")
    )

    assert pd.DataFrame(found.predicted).drop_duplicates().to_numpy().tolist() == [
        [0.75, 0.25, 0.0]
    ]


def test_of_many_served_rows_no_others_are_read_than_those_of_the_frame(tmp_path: Path) -> None:
    """What is found is the same: the newest of each key, wherever parts lie in time."""
    contract = sales_contract(tmp_path)
    table = open_table(contract, 8)
    parts = [
        served_sales(tmp_path, contract, scored_sales(contract, rows, version=v), number=number)
        for number, (v, rows) in enumerate(
            [(1, table.slice(0, 3)), (1, table.slice(3, 3)), (2, table.slice(1, 3))], start=1
        )
    ]
    frame = features_of(table.slice(2, 5))

    found = served_of(tmp_path, parts, frame, contract)
    bounded = served_of(tmp_path, parts, frame, contract, most=0)

    assert bounded.served_by.tolist()[:4] == ["v2", "v2", "v1", "v1"]
    assert pd.isna(bounded.served_by[4])
    assert bounded.rows.tolist() == found.rows.tolist() == [True] * 4 + [False]
    assert bounded.predicted[:4].tolist() == found.predicted[:4].tolist()
    assert bounded.scored_at.equals(found.scored_at)


def test_a_sample_of_a_batch_is_held_against_what_its_rows_were_served_by(tmp_path: Path) -> None:
    """Rows of the batch that are not in the sample are not gone."""
    contract = sales_contract(tmp_path)
    late = open_table(contract, amount=[None, None, 3.0, None, 6.0, 7.5])
    parts = [served_sales(tmp_path, contract, scored_sales(contract, late))]
    sample = features_of(open_table(contract).slice(0, 4))
    assert served_keys(tmp_path, parts, contract) == 6

    skew = measure_skew(tmp_path, parts, sample, contract, SkewConfig(), gone=1)

    assert skew is not None
    assert (skew.rows, skew.gone) == (4, 1)
    (found,) = skew.features
    assert (found.feature, found.differing, found.share) == ("amount", 3, 0.75)
