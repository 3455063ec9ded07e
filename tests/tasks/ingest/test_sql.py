"""Tests of tables in databases: SQLite, DuckDB, and a real PostgreSQL server; the same rows come
out of each.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from tasks.batches import batch_named
from tasks.ingest.source import SourceError
from tasks.ingest.sql import SqlTable, open_table
from tests.sample_contract import BATCH, DAY, Document, sample_contract, sample_rows, sample_table

TYPES = {
    "sold_at": "timestamp with time zone",
    "id": "integer",
    "shop": "varchar",
    "amount": "double precision",
    "note": "varchar",
    "till": "smallint",
    "paid_on": "date",
    "email": "varchar",
    "returned": "boolean",
}


@dataclass
class Database:
    """A database to write to, and the contract's server that reads it."""

    engine: sa.Engine
    server: Document
    directory: Path
    name: str

    def create(self, **types: str) -> None:
        """Make the table anew; ``types`` replace some."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in (TYPES | types).items())
        self.execute('DROP TABLE IF EXISTS "Sales 1"')
        self.execute(f'CREATE TABLE "Sales 1" ({columns})')

    def execute(self, text: str, rows: list[dict[str, Any]] | None = None) -> None:
        """Run a statement, once for each of ``rows``."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(text), rows)

    def insert(self, rows: int = 6, **columns: list[Any]) -> None:
        """Write sample rows; ``columns`` replace some."""
        data = sample_rows(rows, **columns)
        if self.name == "sqlite":
            data = {name: [_as_text(value) for value in values] for name, values in data.items()}
        names = list(data)
        places = ", ".join(f":{name}" for name in names)
        records = [dict(zip(names, row, strict=True)) for row in zip(*data.values(), strict=True)]
        self.execute(f'INSERT INTO "Sales 1" ({", ".join(names)}) VALUES ({places})', records)  # noqa: S608 - the sample's own names

    def source(self, change: Callable[[Document], object] = lambda document: None) -> SqlTable:
        """The source that reads the table."""

        def point(document: Document) -> None:
            document["servers"] = [self.server]
            document["schema"][0]["physicalName"] = "Sales 1"
            change(document)

        contract = sample_contract(self.directory / "project", point)
        return open_table(contract, "day", self.directory, self.directory)


def _as_text(value: Any) -> Any:
    return value.isoformat(" ") if isinstance(value, datetime) else value


@pytest.fixture(
    params=["sqlite", "duckdb", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Each database in turn, with an empty table."""
    if request.param == "postgres":
        address = request.getfixturevalue("postgres")
        url = sa.make_url(address)
        server = {
            "server": "db",
            "type": "postgresql",
            "host": url.query["host"],
            "port": 5432,
            "database": url.database,
            "schema": "public",
            "customProperties": [{"property": "username", "value": url.username}],
        }
    else:
        address = f"{request.param}:///{tmp_path}/shop.db"
        server = {"server": "db", "type": "duckdb", "database": "shop.db"}
        if request.param == "sqlite":
            custom = [{"property": "url", "value": "sqlite:///${KINGMAKER_HOME}/shop.db"}]
            server = {"server": "db", "type": "custom", "customProperties": custom}
    found = Database(
        sa.create_engine(address, poolclass=sa.NullPool), server, tmp_path, request.param
    )
    found.create()
    return found


def moments(*texts: str) -> list[datetime]:
    """Moments in UTC."""
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]


def test_the_same_rows_as_from_a_file(database: Database) -> None:
    """Every type of the contract comes through a database as it comes from a file."""
    database.insert()

    table = database.source().read(BATCH).table()

    assert table.sort_by("id").equals(sample_table())


def test_batches_are_windows_of_event_time(database: Database) -> None:
    """A batch begins at midnight in New York, its first moment counts and its last does not; days
    without rows are none.
    """
    database.insert(
        4,
        sold_at=moments(
            "2013-05-18T03:59:59.999",
            "2013-05-20T12:00:00",
            "2013-05-18T04:00:00",
            "2013-05-17T04:00:00",
        ),
    )
    source = database.source()

    assert list(source.batches()) == ["2013-05-17", "2013-05-18", "2013-05-20"]
    read = {
        day: source.read(batch_named(day, "day", "America/New_York")).table()["id"].to_pylist()
        for day in source.batches()
    }
    assert {day: sorted(ids) for day, ids in read.items()} == {
        "2013-05-17": [1, 4],
        "2013-05-18": [3],
        "2013-05-20": [2],
    }


def test_moments_without_zone(database: Database) -> None:
    """A timestamp without zone is local time of the contract: eight in the evening of New York is
    the same day there.
    """
    database.create(sold_at="timestamp")
    database.insert(2, sold_at=[datetime(2013, 5, 17, 20), datetime(2013, 5, 18)])
    source = database.source()

    assert list(source.batches()) == [DAY, "2013-05-18"]
    assert source.read(BATCH).table()["sold_at"].to_pylist() == moments("2013-05-18T00:00:00")


def test_fingerprint(database: Database) -> None:
    """Late rows and labels that come late change their own batch; a replaced value needs
    ``changedAt``.
    """
    noon = moments("2013-05-17T12:00:00", "2013-05-18T12:00:00")
    database.execute('ALTER TABLE "Sales 1" ADD COLUMN changed integer')
    database.insert(2, sold_at=noon, returned=[None, None])
    watching = [{"property": "changedAt", "value": "changed"}]
    plain = database.source()
    watched = database.source(
        lambda d: d["servers"][0].update(
            customProperties=[*d["servers"][0].get("customProperties", []), *watching]
        )
    )
    first, first_watched = plain.batches(), watched.batches()
    assert plain.batches() == first

    database.execute("""UPDATE "Sales 1" SET note = 'b', changed = 1 WHERE id = 2""")
    assert plain.batches()["2013-05-17"] == first["2013-05-17"]
    assert watched.batches()["2013-05-17"] == first_watched["2013-05-17"]
    assert watched.batches()["2013-05-18"] != first_watched["2013-05-18"]

    before = plain.batches()
    database.execute('UPDATE "Sales 1" SET returned = (1 = 1) WHERE id = 1')
    after = plain.batches()
    assert [day for day in after if after[day] != before[day]] == ["2013-05-17"]

    database.insert(1, sold_at=noon[1:], id=[7])
    assert [day for day in after if plain.batches()[day] != after[day]] == ["2013-05-18"]


def test_streamed_in_chunks(database: Database) -> None:
    """Rows become Arrow a few at a time; a column that is empty in one chunk has its type from
    another.
    """
    database.insert(11, amount=[None] * 8 + [1.5, 2.0, None])

    source = replace(database.source(), rows_at_once=4, windows_at_once=2)

    table = source.read(BATCH).table()

    assert table.num_rows == 11
    assert table["amount"].type == pa.float64()
    assert list(source.batches()) == [DAY]


MEGABYTES = """
import pickle, re, sys
from dataclasses import replace
table, *batches = pickle.load(sys.stdin.buffer)
for batch in batches:
    source = replace(table(), rows_at_once=5000)
    rows = sum(piece.table.num_rows for piece in source.read(batch).read(frozenset()))
    # maxrss is the parent's at first
    most = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    print(f"{rows} {most // 1024}")
"""
"""Reads batches, and prints the rows of each and the most memory that was used so far."""


def test_memory_is_flat(database: Database) -> None:
    """A batch of a quarter of a gigabyte is read through a part of its size: no driver fetches the
    whole result first.
    """
    count, letters = 250_000, 1000
    rows = {
        "sqlite": (
            "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :rows)"
            " SELECT i FROM s)"
        ),
        "duckdb": "(SELECT range AS i FROM range(:rows))",
        "postgres": "(SELECT * FROM generate_series(1, :rows) AS i)",
    }[database.name]
    long = "printf('%.*c', :letters, 'x')" if database.name == "sqlite" else "repeat('x', :letters)"
    moment = "'2013-05-17 12:00:00+00:00'"
    into = 'INSERT INTO "Sales 1" (sold_at, id, note)'
    database.execute(
        f"{into} SELECT {moment}, i, {long} || i FROM {rows} AS numbers",  # noqa: S608 - our own
        [{"letters": letters, "rows": count}],
    )
    database.insert(1, sold_at=moments("2013-05-18T12:00:00"))
    contract, little = (
        database.source().contract,
        batch_named("2013-05-18", "day", "America/New_York"),
    )
    opened = partial(open_table, contract, "day", database.directory, database.directory)

    script = (
        database.directory / "megabytes.py"
    )  # a file: DuckDB draws a bar where it takes the process for a shell
    script.write_text(MEGABYTES)
    found = subprocess.run(
        [sys.executable, script],
        input=pickle.dumps((opened, little, BATCH)),
        capture_output=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr.decode()
    before, after = [list(map(int, line.split())) for line in found.stdout.splitlines()]
    assert (before[0], after[0]) == (1, count)
    grown = after[1] - before[1]
    # 48 to 109 MB were seen, the most of DuckDB on a busy machine; a result that is fetched whole
    # takes all 250 and more.
    assert grown < 150, f"memory grew by {grown} MB while {count * letters / 1e6:.0f} MB were read"


def test_exact_decimals(database: Database) -> None:
    """numeric(12, 2) is a number, and numeric(12) a whole one, as the contract says."""
    database.create(amount="numeric(12, 2)", id="numeric(12)")
    database.insert()

    table = database.source().read(BATCH).table().sort_by("id")

    assert table.select(["id", "amount"]).equals(sample_table().select(["id", "amount"]))


def test_rows_without_event_time(database: Database) -> None:
    """They belong to no batch, and are not dropped in silence."""
    database.insert(2, sold_at=[*moments("2013-05-17T12:00:00"), None])

    with pytest.raises(
        SourceError, match="expected a moment in each row of sold_at, found 1 rows without"
    ):
        database.source().batches()


def test_empty_table(database: Database) -> None:
    """An empty table is an idle source."""
    assert database.source().batches() == {}


def test_missing_table_and_column(database: Database) -> None:
    """What is not there is named, with what to do."""
    with pytest.raises(
        SourceError, match=r"sales: expected a table with the columns .* found no such table"
    ):
        database.source(lambda d: d["schema"][0].pop("physicalName")).batches()

    database.execute('ALTER TABLE "Sales 1" DROP COLUMN sold_at')

    with pytest.raises(
        SourceError, match=r"expected a table with the columns \['sold_at'\], found \['id'"
    ):
        database.source().batches()


def _asking(query: str) -> Callable[[Document], object]:
    def change(document: Document) -> None:
        server = document["servers"][0]
        asked = {"property": "query", "value": query}
        custom = [*server.get("customProperties", []), asked]
        document["servers"] = [server | {"customProperties": custom}]

    return change


JOINED = """
WITH shops AS (
    SELECT 'A' AS name, 'a::b' AS kind UNION ALL SELECT 'B', 'c' UNION ALL SELECT 'C', 'c'
)
SELECT s.*, shops.kind
FROM "Sales 1" AS s JOIN shops ON shops.name = s.shop  -- one a row
WHERE s.amount IS NULL OR s.amount >= 0  -- all
"""


def test_a_query_in_the_place_of_the_table(database: Database) -> None:
    """Its rows are cut, counted and read as a table's are; a colon in it is a colon."""
    database.insert()
    asked = database.source(_asking(JOINED))
    whole = database.source(_asking('SELECT * FROM "Sales 1"'))

    table = asked.read(BATCH).table()

    assert table.sort_by("id").drop_columns(["kind"]).equals(sample_table())
    assert set(table["kind"].to_pylist()) == {"a::b", "c"}
    assert list(asked.batches()) == list(database.source().batches()) == [DAY]
    assert whole.batches() == database.source().batches()
    assert asked.name.endswith("#query")
    before = asked.batches()
    database.execute("""UPDATE "Sales 1" SET note = 'x' WHERE note IS NULL""")
    assert asked.batches() != before


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('SELECT id FROM "Sales 1"', r"expected a query with the columns \['sold_at'\], found"),
        ("SELECT * FROM nowhere", "cannot be read: "),
        ('WITH gone AS (DELETE FROM "Sales 1" RETURNING *) SELECT * FROM gone', "cannot be read: "),
    ],
)
def test_a_query_that_gives_no_batches(database: Database, query: str, message: str) -> None:
    """What it lacks is named, and nothing is written by it."""
    database.insert()

    with pytest.raises(SourceError, match=message):
        database.source(_asking(query)).batches()

    assert list(database.source().batches()) == [DAY]


def test_a_column_that_a_query_gives_twice(database: Database) -> None:
    """It is refused, unless the database has a name of its own for the second."""
    database.insert()
    asked = database.source(_asking('SELECT s.*, s.id FROM "Sales 1" AS s'))

    if database.name == "postgres":
        with pytest.raises(SourceError, match=r"query: expected each column once, found \['id'\]"):
            asked.batches()
    else:
        assert len(asked.read(BATCH).table().column_names) == len(TYPES) + 1


def test_names_are_quoted(database: Database) -> None:
    """A name that would be SQL is only a name."""
    database.insert()
    evil = 'x"; DROP TABLE "Sales 1'

    with pytest.raises(SourceError):
        database.source(lambda d: d["schema"][0].update(physicalName=evil)).batches()

    assert list(database.source().batches()) == [DAY]


def test_absurd_event_times(database: Database) -> None:
    """One row in the year 9999 does not send us through eight thousand years of days."""
    database.insert(2, sold_at=moments("2013-05-17T12:00:00", "9999-12-31T12:00:00"))

    with pytest.raises(SourceError, match="expected event times within 200 years in sold_at"):
        database.source().batches()


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_database_file_that_is_not_there(tmp_path: Path, kind: str) -> None:
    """It is not made: an empty database would look like an idle source."""
    custom = [{"property": "url", "value": f"{kind}:///gone.db"}]
    server = {"server": "db", "type": "custom", "customProperties": custom}
    contract = sample_contract(tmp_path, lambda d: d.update(servers=[server]))

    with pytest.raises(SourceError, match=r"gone\.db: no such database"):
        open_table(contract, "day", tmp_path, tmp_path)

    assert not (tmp_path / "gone.db").exists()


# --- accounts -------------------------------------------------------------------------------------

CANARY = "c4n@ry/p:ss"


@pytest.mark.xdist_group("postgres")
def test_reader_needs_only_to_read(postgres: str, tmp_path: Path) -> None:
    """An account that may select from the table and nothing else is enough, its schema named in the
    contract.
    """
    database = Database(sa.create_engine(postgres, poolclass=sa.NullPool), {}, tmp_path, "postgres")
    database.create()
    database.insert()
    database.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
    database.execute('GRANT SELECT ON "Sales 1" TO reader')
    host = sa.make_url(postgres).query["host"]
    database.server = {
        "server": "db",
        "type": "custom",
        "customProperties": [
            {"property": "url", "value": f"postgresql+psycopg2://reader@/postgres?host={host}"}
        ],
    }
    try:
        source = database.source(lambda d: d["schema"][0].update(physicalName="public.Sales 1"))

        assert source.read(BATCH).table().num_rows == 6
        with (
            pytest.raises(sa.exc.InternalError, match="read-only transaction"),
            source.engine.begin() as connection,
        ):
            connection.execute(sa.text('DELETE FROM "Sales 1"'))
    finally:
        database.execute("DROP OWNED BY reader")
        database.execute("DROP ROLE reader")


@pytest.mark.parametrize(
    "server",
    [
        {
            "type": "custom",
            "customProperties": [
                {"property": "url", "value": "postgresql://u:${CANARY}@127.0.0.1:1/x"}
            ],
        },
        {"type": "custom", "customProperties": [{"property": "url", "value": "${WHOLE}"}]},
        {
            "type": "postgres",
            "host": "127.0.0.1",
            "port": 1,
            "database": "x",
            "schema": "public",
            "customProperties": [
                {"property": "username", "value": "u"},
                {"property": "password", "value": "${CANARY}"},
            ],
        },
        {"type": "custom", "customProperties": [{"property": "url", "value": "${CANARY}"}]},
        {
            "type": "custom",
            "customProperties": [{"property": "url", "value": "nodriver://u:${CANARY}@x/y"}],
        },
    ],
)
def test_unreachable_database_tells_no_secret(
    tmp_path: Path, server: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not answer is named, and what to do; nothing of the password is in
    message or traceback.
    """
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.setenv("WHOLE", "postgresql://u:c4n%40ry%2Fp%3Ass@127.0.0.1:1/x")
    contract = sample_contract(tmp_path, lambda d: d.update(servers=[{"server": "db"} | server]))

    with pytest.raises(SourceError) as caught:
        open_table(contract, "day", tmp_path, tmp_path).batches()

    told = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert (
        re.search(r"127.0.0.1:1/x#(public\.)?sales: cannot be read", told)
        or "sales.odcs.yaml: servers.0: expected" in told
    )
    assert "c4n" not in told


def test_name_tells_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name goes into the snapshot's manifest: host, database and table, without the account."""
    monkeypatch.setenv("CANARY", CANARY)
    custom = [
        {
            "property": "url",
            "value": "postgresql://u:${CANARY}@db.example:5432/shop?sslpassword=${CANARY}",
        }
    ]
    server = {"server": "db", "type": "custom", "customProperties": custom}
    contract = sample_contract(tmp_path, lambda d: d.update(servers=[server]))

    source = open_table(contract, "day", tmp_path, tmp_path)

    assert source.name == "postgresql://db.example:5432/shop#sales"
    assert "c4n" not in repr(source)
