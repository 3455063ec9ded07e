"""Tests of the record of what was served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.contract import Contract
from tasks.lake import DamagedFileError
from tasks.records import served_by, serving_version
from tasks.scoring import served
from tasks.scoring.served import (
    ServedBefore,
    by_key,
    newest_served,
    newly_served,
    read_part,
    row_digests,
)
from tests.tasks.scoring.served_sales import (
    EVENING,
    MORNING,
    open_table,
    sales_contract,
    scored_sales,
    served_sales,
)


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The sample contract."""
    return sales_contract(tmp_path / "contract")


def test_part_holds_key_prediction_features_and_digest(tmp_path: Path, contract: Contract) -> None:
    """Under names that cannot clash; sensitive columns are nowhere."""
    part = served_sales(tmp_path, contract, scored_sales(contract, reasons=["[]"] * 6))

    table = pq.read_table(tmp_path / part.path, partitioning=None)
    assert table.column_names == [
        "key:sold_at",
        "key:id",
        "value:shop",
        "prediction",
        "reasons",
        "digest",
        "feature:shop",
        "feature:amount",
    ]
    assert table["prediction"].to_pylist() == [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]
    assert table["feature:amount"].to_pylist() == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5]
    assert (part.rows, part.served_by, part.scored_at) == (6, "v1", MORNING)


def test_a_class_has_a_column_of_its_own(tmp_path: Path, contract: Contract) -> None:
    """The probabilities of a multiclass model stand under their classes."""
    shares = np.full((6, 2), 0.5)
    scored = scored_sales(contract, classes=("kept", "sent back"), predicted=shares)

    table = read_part(tmp_path, served_sales(tmp_path, contract, scored))

    assert [n for n in table.column_names if n.startswith("prob")] == [
        "probability:kept",
        "probability:sent back",
    ]


def test_the_same_rows_by_the_same_champion_are_the_same_file(
    tmp_path: Path, contract: Contract
) -> None:
    """Written again at another moment, after a crash say, nothing is there twice."""
    first = served_sales(tmp_path, contract, scored_sales(contract))
    again = served_sales(tmp_path, contract, scored_sales(contract), scored_at=EVENING)
    other = served_sales(tmp_path, contract, scored_sales(contract, version=2, adjusted_by=7))

    assert (again.path, again.sha256) == (first.path, first.sha256)
    assert Path(other.path).name.startswith("v2.7-")
    assert len(list((tmp_path / "served").rglob("*.parquet"))) == 2


def test_a_damaged_part_is_refused(tmp_path: Path, contract: Contract) -> None:
    """A changed byte, or a file that is gone, is named."""
    part = served_sales(tmp_path, contract, scored_sales(contract))
    file = tmp_path / part.path

    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="served/sales"):
        read_part(tmp_path, part)
    file.unlink()
    with pytest.raises(DamagedFileError, match="found nothing"):
        read_part(tmp_path, part)


def fresh(lake: Path, contract: Contract, scored, parts, as_of: datetime) -> list[bool]:
    """Which rows are to be written down after ``parts``."""
    known = by_key(newest_served(lake, parts, contract), contract)
    return newly_served(scored, contract, known, as_of).tolist()


def test_rows_that_were_never_served_are_written_down(tmp_path: Path, contract: Contract) -> None:
    """Whenever their event was; those that were, by the same champion, are not."""
    part = served_sales(tmp_path, contract, scored_sales(contract, open_table(contract, 4)))

    assert fresh(tmp_path, contract, scored_sales(contract), [], EVENING) == [True] * 6
    for moment in (MORNING, EVENING):
        assert fresh(tmp_path, contract, scored_sales(contract), [part], moment) == [
            *[False] * 4,
            True,
            True,
        ]


def test_what_was_said_before_the_event_stands(tmp_path: Path, contract: Contract) -> None:
    """Another champion, other weights, or a changed row are news until the event, not after it."""
    part = served_sales(tmp_path, contract, scored_sales(contract))
    between = datetime(2013, 5, 17, 12, 3, tzinfo=UTC)
    changed = open_table(contract, amount=[0.0, 1.5, 3.0, 4.5, 6.0, 99.0])

    for scored in (
        scored_sales(contract, version=2),
        scored_sales(contract, adjusted_by=3),
    ):
        assert fresh(tmp_path, contract, scored, [part], MORNING) == [True] * 6
        assert fresh(tmp_path, contract, scored, [part], between) == [*[False] * 3, *[True] * 3]
        assert fresh(tmp_path, contract, scored, [part], EVENING) == [False] * 6
    rows = scored_sales(contract, changed)
    assert fresh(tmp_path, contract, rows, [part], MORNING) == [*[False] * 5, True]
    assert fresh(tmp_path, contract, rows, [part], EVENING) == [False] * 6


def test_rows_that_may_have_been_trained_on_are_not_written_down(
    tmp_path: Path, contract: Contract
) -> None:
    """What a champion says of them is no evidence of how it does; from the moment on it is."""
    until = datetime(2013, 5, 17, 12, 3, tzinfo=UTC)
    scored = scored_sales(contract, trained_until=until)

    assert fresh(tmp_path, contract, scored, [], MORNING) == [*[False] * 3, *[True] * 3]
    # The same where some were served before: by a version that had not seen them.
    before = served_sales(tmp_path, contract, scored_sales(contract, open_table(contract, 2)))
    newer = scored_sales(contract, version=2, trained_until=until)
    assert fresh(tmp_path, contract, newer, [before], MORNING) == [*[False] * 3, *[True] * 3]


def test_the_newest_prediction_of_a_key_counts(tmp_path: Path, contract: Contract) -> None:
    """Of two parts with the same key, that of the newer one."""
    first = served_sales(tmp_path, contract, scored_sales(contract))
    second = served_sales(
        tmp_path, contract, scored_sales(contract, open_table(contract, 2), version=2), number=2
    )

    newest = newest_served(tmp_path, [first, second], contract, ["prediction"])

    by_id = newest.set_index("id")
    assert by_id["served_by"].sort_index().tolist() == ["v2", "v2", *["v1"] * 4]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the parts that were read, as they are read."""
    found: list[str] = []

    def counted(lake: Path, part: Any, columns: Any = None) -> pa.Table:
        found.append(part.path)
        return read_part(lake, part, columns)

    monkeypatch.setattr(served, "read_part", counted)
    return found


def test_each_earlier_part_is_read_once(
    tmp_path: Path, contract: Contract, reads: list[str]
) -> None:
    """However many parts a run adds to a batch, it reads each that others wrote once, and its own
    never; the rows of others that came in between are known all the same.
    """
    rows = [open_table(contract, 9).slice(i, 1) for i in range(9)]
    theirs = [
        served_sales(tmp_path, contract, scored_sales(contract, rows[i]), number=i + 1)
        for i in range(3)
    ]
    between = served_sales(tmp_path, contract, scored_sales(contract, rows[7]), number=4)
    earlier, there, wrote = ServedBefore(tmp_path, contract), list(theirs), []
    for i in range(9):
        scored = scored_sales(contract, rows[i])
        known = earlier.newest("2013-05-17", there, scored.rows)
        if newly_served(scored, contract, known, EVENING).any():
            number = len(there) + 1
            there.append(served_sales(tmp_path, contract, scored, number=number))
            earlier.wrote(there[-1])
            wrote.append(i)
        if i == 4:
            there.append(between)

    assert wrote == [3, 4, 5, 6, 8]
    assert reads == [part.path for part in (*theirs, between)]


def test_of_many_earlier_rows_those_that_are_asked_about_are_known(
    tmp_path: Path, contract: Contract, reads: list[str]
) -> None:
    """Parts of another time are not even read; what is news is what it would be."""
    rows = [open_table(contract, 9).slice(i, 3) for i in (0, 3, 6)]
    theirs = [
        served_sales(tmp_path, contract, scored_sales(contract, some), number=i)
        for i, some in enumerate(rows[:2], start=1)
    ]
    earlier = ServedBefore(tmp_path, contract, most=0)
    asked = scored_sales(contract, open_table(contract, 9).slice(4, 4))

    known = earlier.newest("2013-05-17", theirs, asked.rows)

    assert newly_served(asked, contract, known, EVENING).tolist() == [False, False, True, True]
    assert reads == [theirs[1].path]
    earlier.wrote(theirs[1])
    assert not len(earlier.newest("2013-05-17", theirs[1:], asked.rows))


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3), st.booleans()), min_size=1, max_size=8)
)
def test_every_row_is_served_once_by_whoever_looks_again(
    tmp_path_factory: pytest.TempPathFactory, looks: list[tuple[int, int, bool]]
) -> None:
    """Whatever number of rows is seen in whatever order by whatever champion: after each look, a
    second one finds nothing, and no key was served twice by one champion.
    """
    lake = tmp_path_factory.mktemp("lake")
    contract = sales_contract(lake / "contract")
    parts = []
    for rows, version, ahead in looks:
        scored = scored_sales(contract, open_table(contract, rows), version=version)
        as_of = MORNING if ahead else EVENING
        known = by_key(newest_served(lake, parts, contract), contract)
        mask = newly_served(scored, contract, known, as_of)
        if mask.any():
            parts.append(served_sales(lake, contract, scored.where(mask), number=len(parts) + 1))
        assert not any(fresh(lake, contract, scored, parts, as_of))
    keys = [
        (part.served_by, part.number, key)
        for part in parts
        for key in read_part(lake, part, ["key:id"])["key:id"].to_pylist()
    ]
    seen: dict[int, str] = {}
    for version, _, key in keys:
        assert seen.get(key) != version
        seen[key] = version
    assert set(seen) == set(range(1, max(rows for rows, _, _ in looks) + 1))


def test_events_at_the_very_moment_are_still_to_come(tmp_path: Path, contract: Contract) -> None:
    """A row whose event is now may still be predicted anew."""
    part = served_sales(tmp_path, contract, scored_sales(contract))
    now = datetime(2013, 5, 17, 12, 5, tzinfo=UTC)
    scored = scored_sales(contract, version=2)

    assert fresh(tmp_path, contract, scored, [part], now)[-1]
    assert not fresh(tmp_path, contract, scored, [part], now + timedelta(microseconds=1))[-1]


@given(st.data())
def test_a_digest_is_of_the_row_alone(data: st.DataObject) -> None:
    """The same row among others, or alone, has the same digest; another value gives another one."""
    rows = data.draw(
        st.lists(
            st.tuples(
                st.none() | st.integers(-(2**62), 2**62),
                st.none() | st.floats(allow_nan=False),
                st.none() | st.text(max_size=3),
                st.none() | st.booleans(),
                st.none() | st.dates(),
            ),
            min_size=1,
            max_size=6,
        )
    )
    types = [pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32()]

    def digests(chosen: list[tuple[object, ...]]) -> list[int]:
        columns = zip(*chosen, strict=True)
        arrays = {f"c{i}": pa.array(v, types[i]) for i, v in enumerate(columns)}
        return row_digests(pa.table(arrays)).tolist()

    together = digests(rows)

    assert together == [digests([row])[0] for row in rows]
    assert len(set(together)) == len({tuple(map(repr_of, row)) for row in rows})


def repr_of(value: object) -> str:
    """What tells values apart: minus zero is zero."""
    return repr(value + 0.0 if isinstance(value, float) else value)


def test_what_is_no_finite_number_is_missing(tmp_path: Path, contract: Contract) -> None:
    """In the part, and wherever it is delivered: no database or file holds a NaN."""
    predicted = [0.1, float("nan"), float("inf"), 0.4, -float("inf"), 0.6]
    part = served_sales(tmp_path, contract, scored_sales(contract, predicted=predicted))

    kept = read_part(tmp_path, part, ["prediction"])["prediction"].to_pylist()

    assert kept == [0.1, None, None, 0.4, None, 0.6]


@pytest.mark.parametrize(("version", "adjusted_by"), [(1, None), (12, None), (3, 17)])
def test_the_word_for_what_serves_is_read_back(version: int, adjusted_by: int | None) -> None:
    """Version, and the recalibration in force."""
    assert serving_version(served_by(version, adjusted_by)) == (version, adjusted_by)
