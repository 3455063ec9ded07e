"""Tests of tables that predictions are delivered to: SQLite, DuckDB and a real PostgreSQL."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from tasks.records import ServedPart
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import delivered_rows
from tasks.scoring.sinks.sink import SinkError
from tasks.scoring.sinks.table import ROWS_AT_ONCE, TableSink
from tests.tasks.scoring.served_sales import (
    open_table,
    sales_contract,
    scored_sales,
    served_sales,
)
from tests.tasks.scoring.sinks.places import sink_of

CONFIG = ScoringConfig(include=("shop", "paid_on"), decision_threshold=0.03)
CANARY = "c4naryc4nary"


@pytest.fixture(
    params=["sqlite", "duckdb", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of each database in turn, without our tables."""
    if request.param != "postgres":
        return f"{request.param}:///{tmp_path}/out/desk.db"
    address: str = request.getfixturevalue("postgres")
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return address


def deliver(sink: Any, lake: Path, *parts: ServedPart) -> None:
    """Deliver parts in this order."""
    for part in parts:
        rows = delivered_rows(lake, part, sink.place.contract, sink.place.scoring)
        sink.deliver(part, rows, parts)


def read(url: str, table: str) -> list[dict[str, Any]]:
    """The rows of a table or a view, by id."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        names = {c["name"]: c["type"] for c in sa.inspect(engine).get_columns(table)}
        found = sa.table(table, *[sa.column(name) for name in names])
        rows = connection.execute(sa.select(found).order_by("id")).mappings()
        return [dict(row) for row in rows]


def execute(url: str, statement: str) -> None:
    """Do something to the database as somebody else would."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


def part_of(lake: Path, version: int, rows: int = 6, number: int = 0) -> ServedPart:
    """Rows that a version was asked for; the number is the version's unless one is given."""
    contract = sales_contract(lake / "contract")
    reasons = ['[{"feature": "amount"}]'] * rows
    scored = scored_sales(contract, open_table(contract, rows), version=version, reasons=reasons)
    return served_sales(lake, contract, scored, number=number or version, config=CONFIG)


def test_table_and_view_are_made_on_first_use(url: str, tmp_path: Path) -> None:
    """Each row has all that is promised, in the database's own types."""
    sink = sink_of(tmp_path, CONFIG, url=url)

    deliver(sink, tmp_path, part_of(tmp_path, 1))

    rows = read(url, "predictions")
    assert [row["prediction"] for row in rows] == [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]
    assert [bool(row["decision"]) for row in rows] == [False] * 3 + [True] * 3
    assert (rows[1]["shop"], rows[1]["version"], rows[1]["batch"]) == ("B", "v1", "2013-05-17")
    assert str(rows[1]["paid_on"]) == "2013-05-17"
    assert "email" not in rows[0]
    view = read(url, "predictions_current")
    assert set(rows[0]) - set(view[0]) == {"part"}
    assert [row["prediction"] for row in view] == [row["prediction"] for row in rows]


def test_the_same_again_changes_nothing(url: str, tmp_path: Path) -> None:
    """As after a crash between the table and the ledger."""
    part = part_of(tmp_path, 1)

    deliver(sink_of(tmp_path, CONFIG, url=url), tmp_path, part)
    before = read(url, "predictions")
    deliver(sink_of(tmp_path, CONFIG, url=url), tmp_path, part, part)

    assert read(url, "predictions") == before


@pytest.mark.parametrize("conflicts", [True, False], ids=["on conflict", "any database"])
def test_rows_are_inserted_or_updated_by_key(url: str, tmp_path: Path, conflicts: bool) -> None:
    """A key that is predicted again has the newer row; an older part replaces nothing."""
    sink = sink_of(tmp_path, CONFIG, url=url)
    assert isinstance(sink, TableSink)
    if not conflicts:
        sink.with_conflicts = ()
    first, second = part_of(tmp_path, 1, number=1), part_of(tmp_path, 1, rows=3, number=2)

    for order in ((first, second), (second, first)):
        deliver(sink, tmp_path, *order)
        assert [row["part"] for row in read(url, "predictions")] == [2, 2, 2, 1, 1, 1]


def test_view_has_the_newest_of_every_key(url: str, tmp_path: Path) -> None:
    """Whatever version predicted it: the table has both, the view one."""
    deliver(
        sink_of(tmp_path, CONFIG, url=url),
        tmp_path,
        part_of(tmp_path, 1),
        part_of(tmp_path, 2, rows=2),
    )

    assert len(read(url, "predictions")) == 8
    view = read(url, "predictions_current")
    assert [(row["id"], row["version"]) for row in view] == [
        (1, "v2"),
        (2, "v2"),
        (3, "v1"),
        (4, "v1"),
        (5, "v1"),
        (6, "v1"),
    ]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("CREATE TABLE predictions (id BIGINT)", "to have the column 'sold_at', found"),
        ("CREATE VIEW predictions AS SELECT 1 AS id", "to be a table, found a view"),
        ("CREATE TABLE predictions_current (id BIGINT)", "found a table that someone else made"),
        ("CREATE VIEW predictions_current AS SELECT 1 AS id", "someone else made"),
    ],
)
def test_what_someone_else_made_is_left_alone(
    url: str, tmp_path: Path, made: str, sentence: str
) -> None:
    """One sentence names the sink and the thing; neither a row nor a table is left behind."""
    sink = sink_of(tmp_path, CONFIG, url=url)
    Path(tmp_path / "out").mkdir()
    execute(url, made)

    with pytest.raises(SinkError, match=f"sink desk: expected .*{sentence}"):
        deliver(sink, tmp_path, part_of(tmp_path, 1))

    found = sa.inspect(sa.create_engine(url, poolclass=sa.NullPool))
    there = {*found.get_table_names(), *found.get_view_names()}
    assert there & {"predictions", "predictions_current"} == {made.split()[2]}


def test_a_column_of_another_type_or_key_is_refused(url: str, tmp_path: Path) -> None:
    """The schema is checked before the first row of a run."""
    part = part_of(tmp_path, 1)
    deliver(sink_of(tmp_path, CONFIG, url=url), tmp_path, part)
    columns = "sold_at TIMESTAMP, id BIGINT, shop TEXT, paid_on DATE, prediction DOUBLE PRECISION,"
    rest = "reasons TEXT, version TEXT, batch TEXT, scored_at TIMESTAMP, part BIGINT"
    execute(url, f"CREATE TABLE typed ({columns} decision DATE, {rest})")
    execute(url, f"CREATE TABLE keyless ({columns} decision BOOLEAN, {rest})")

    with pytest.raises(SinkError, match="column 'decision' of the table typed to be of type"):
        deliver(sink_of(tmp_path, CONFIG, url=url, table="typed"), tmp_path, part)
    with pytest.raises(SinkError, match=r"keyless to have the primary key .*found \[\]"):
        deliver(sink_of(tmp_path, CONFIG, url=url, table="keyless"), tmp_path, part)


def test_a_part_is_delivered_whole_or_not_at_all(url: str, tmp_path: Path) -> None:
    """A row that the database refuses, in the last piece, takes the others back."""
    sink = sink_of(tmp_path, CONFIG, url=url)
    assert isinstance(sink, TableSink)
    sink.rows_at_once = 2
    deliver(sink, tmp_path, part_of(tmp_path, 1, rows=1))
    part = part_of(tmp_path, 2, number=2)
    rows = delivered_rows(tmp_path, part, sink.place.contract, CONFIG)
    nothing = [*rows["version"].to_pylist()[:-1], None]
    at = rows.column_names.index("version")
    broken = rows.set_column(at, "version", [pa.array(nothing)])

    with pytest.raises(SinkError, match="sink desk: table predictions: cannot be written"):
        sink.deliver(part, broken, (part,))

    assert [row["version"] for row in read(url, "predictions")] == ["v1"]


def test_a_server_that_is_away_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the sentence nor the error's causes show what the environment filled in."""
    monkeypatch.setenv("DESK_PASSWORD", CANARY)
    sink = sink_of(tmp_path, CONFIG, url="postgresql://kingmaker:${DESK_PASSWORD}@127.0.0.1:1/desk")

    with pytest.raises(SinkError, match="cannot be written: OperationalError") as caught:
        deliver(sink, tmp_path, part_of(tmp_path, 1))

    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    """By the sink's name and key."""
    with pytest.raises(SinkError, match=r"scoring\.sinks\.desk\.url: expected .*NOT_SET_HERE"):
        sink_of(tmp_path, CONFIG, url="postgresql://k:${NOT_SET_HERE}@localhost/desk")


def test_large_parts_go_in_pieces(url: str, tmp_path: Path) -> None:
    """More rows than a statement holds are one transaction all the same."""
    contract = sales_contract(tmp_path / "contract")
    rows = ROWS_AT_ONCE + 7
    scored = scored_sales(contract, open_table(contract, rows), reasons=["[]"] * rows)
    part = served_sales(tmp_path, contract, scored, config=CONFIG)

    deliver(sink_of(tmp_path, CONFIG, url=url), tmp_path, part)

    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        count = connection.scalar(sa.text("SELECT count(*) FROM predictions_current"))
    assert count == rows
