"""Bad data: one table, a test each.

What is wrong, what the house answers, and what the answer must name.

Each row is delivered to a shop and goes through the real ingest and validation. Whatever the answer
is, nothing is lost (what was refused or put into quarantine can be read back), nothing in the lake
is half written, and the next day goes through. What needs a model (a target with one class) and the
whole flow are in ``test_flow.py``, what needs a browser in ``test_browser.py``.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.ingest.arrivals import open_source
from tasks.ingest.source import UnreadableError
from tests.bad_data.shop import NEXT_DAY, Shop, csv_text, parquet_bytes
from tests.sample_contract import BATCH, column, sample_rows, sample_table

Rows = list[dict[str, Any]]
NOON = datetime(2013, 5, 17, 12, tzinfo=UTC)
SCRIPT = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://x")'


@dataclass(frozen=True)
class Bad:
    """One row of the table."""

    item: str
    deliver: Callable[[Shop], Rows | None]
    """Makes the delivery; returns the rows that must be readable afterwards, or None when it cannot
    be read as rows.
    """
    outcome: str
    names: tuple[str, ...] = ()
    """What the message names beside the file: column, rule in words, count, three examples."""
    broken: tuple[str, ...] = ()
    """Ids of the rules that fail, warnings too."""
    held: tuple[int, ...] = ()
    """Which of the rows, by position, are in quarantine."""
    name: str = "{batch}.csv"
    during: Callable[[Shop], AbstractContextManager[object]] = field(
        default=lambda shop: nullcontext()
    )
    """What goes on while the batch is taken in."""


def rows_of(columns: dict[str, list[Any]]) -> Rows:
    """The columns as one dict a row."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def cells(**columns: list[Any]) -> Callable[[Shop], Rows]:
    """Deliver the sample with these columns instead of its own."""

    def deliver(shop: Shop) -> Rows:
        rows = sample_rows(6, **columns)
        shop.deliver(rows)
        return rows_of(rows)

    return deliver


def read_as(given: dict[str, list[Any]], **read: list[Any]) -> Callable[[Shop], Rows]:
    """Deliver ``given`` columns, of which some read otherwise than they are written."""

    def deliver(shop: Shop) -> Rows:
        shop.deliver(sample_rows(6, **given))
        return rows_of(sample_rows(6, **(given | read)))

    return deliver


def without(name: str) -> Callable[[Shop], Rows]:
    """Deliver the sample without one column."""

    def deliver(shop: Shop) -> Rows:
        rows = sample_rows(6)
        del rows[name]
        shop.deliver(rows)
        return rows_of(rows)

    return deliver


def renamed(old: str, new: str) -> Callable[[Shop], Rows]:
    """Deliver the sample with a column under another name."""

    def deliver(shop: Shop) -> Rows:
        rows = {new if name == old else name: values for name, values in sample_rows(6).items()}
        shop.deliver(rows)
        return rows_of(
            rows | {new: [str(value) for value in rows[new]]}
        )  # of an unknown column nothing is guessed

    return deliver


def parquet(name: str, values: pa.Array, read: list[Any] | None = None) -> Callable[[Shop], Rows]:
    """Deliver the sample as Parquet, with a column of another type."""

    def deliver(shop: Shop) -> Rows:
        table = sample_table(6)
        table = table.set_column(table.column_names.index(name), name, values)
        shop.deliver(table)
        return rows_of(sample_rows(6) | {name: values.to_pylist() if read is None else read})

    return deliver


def json_lines(**columns: list[Any]) -> Callable[[Shop], Rows]:
    """Deliver the sample as JSON lines."""

    def deliver(shop: Shop) -> Rows:
        rows = rows_of(sample_rows(6, **columns))
        shop.deliver("\n".join(json.dumps(row, default=str) for row in rows))
        return rows_of(
            sample_rows(
                6, **{k: [None if v is None else str(v) for v in vs] for k, vs in columns.items()}
            )
        )

    return deliver


def content(make: Callable[[], bytes | str]) -> Callable[[Shop], None]:
    """Deliver these bytes, which cannot be read as rows."""

    def deliver(shop: Shop) -> None:
        shop.deliver(make())

    return deliver


def head(rows: int) -> Callable[[Shop], Rows]:
    """Deliver a header and so many rows."""

    def deliver(shop: Shop) -> Rows:
        shop.deliver(sample_rows(rows))
        return rows_of(sample_rows(rows))

    return deliver


def encoded(encoding: str, note: str) -> Callable[[Shop], Rows]:
    """Deliver the sample in this encoding, with a note."""

    def deliver(shop: Shop) -> Rows:
        rows = sample_rows(6, note=[note] * 6)
        shop.deliver(csv_text(rows).encode(encoding))
        return rows_of(rows)

    return deliver


def unbounded(deliver: Callable[[Shop], Rows]) -> Callable[[Shop], Rows]:
    """The same under a contract that has no range for the amount."""

    def with_change(shop: Shop) -> Rows:
        shop.change(lambda document: column(document, "amount").pop("logicalTypeOptions"))
        return deliver(shop)

    return with_change


def extra(name: str) -> Callable[[Shop], Rows]:
    """Deliver the sample with one more column."""
    return cells(**{name: ["red"] * 6})


def on_an_absent_server(shop: Shop) -> None:
    """Deliver to an address without a server."""
    shop.deliver(sample_rows(6))
    server = {"server": "lake", "type": "s3", "format": "csv", "location": "s3://sales/{batch}.csv"}
    shop.change(lambda d: d.update(servers=[server | {"endpointUrl": "http://127.0.0.1:1"}]))


@contextmanager
def server_started(shop: Shop) -> Iterator[None]:
    """There is no server meanwhile; afterwards the disk is the source again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        yield
    shop.changes.clear()


def large(shop: Shop) -> Rows:
    """Deliver a megabyte or more of rows that no compression makes small."""
    import random

    draw = random.Random(1)  # noqa: S311 - to fill a disk
    count = 450
    notes = [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4000))
        for _ in range(count)
    ]
    shop.change(lambda d: column(d, "note").pop("logicalTypeOptions"))
    rows = sample_rows(count, note=notes, amount=[1.0] * count)
    rows["sold_at"] = [NOON + timedelta(seconds=i) for i in range(count)]
    shop.deliver(rows)
    return rows_of(rows)


@contextmanager
def appended_to(shop: Shop) -> Iterator[None]:
    """Somebody goes on writing to the file."""
    stop = threading.Event()

    def write() -> None:
        with shop.file().open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"\n")
                time.sleep(0.0002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


@contextmanager
def full_disk(shop: Shop) -> Iterator[None]:
    """The lake lies on a disk of one megabyte: a real one, in memory."""
    shop.lake.mkdir()
    mounted = subprocess.run(
        f"mount -t tmpfs -o size=1m tmpfs {shop.lake}".split(),
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield
        shop.check_whole()
    finally:
        subprocess.run(["umount", str(shop.lake)], check=True)  # noqa: S607 - of the system


ACCEPT, HOLD, REFUSE, LATER = "accept", "accept with quarantine", "refuse", "not taken in"
EAST = timezone(timedelta(hours=5, minutes=30))
TABLE = [
    # --- columns ---
    Bad(
        "missing column",
        without("amount"),
        REFUSE,
        ("column amount is there: it is missing", "sold_at, id, shop"),
        ("amount:present",),
    ),
    Bad("extra column", extra("colour"), ACCEPT, (), ("columns:known",)),
    Bad(
        "renamed column",
        renamed("amount", "amount_eur"),
        REFUSE,
        ("column amount is there: it is missing (did you mean 'amount_eur'?)",),
        ("amount:present", "columns:known"),
    ),
    # --- types ---
    Bad(
        "type change: integer as text",
        cells(till=["one", "two", "three", "four", "five", "six"]),
        REFUSE,
        ("till is a", "6 rows are not, such as 'one', 'two', 'three'"),
        ("till:type",),
    ),
    Bad(
        "type change: integer as text that is the same integers",
        parquet("till", pa.array(list("012301")), [0, 1, 2, 3, 0, 1]),
        ACCEPT,
        name="{batch}.parquet",
    ),
    Bad(
        "type change: float for integer",
        cells(till=["1.5", "2.5", "3.5", "4", "5", "6"]),
        REFUSE,
        ("till is a", "3 rows are not, such as '1.5', '2.5', '3.5'"),
        ("till:type",),
    ),
    Bad(
        "type change: float for integer, typed",
        parquet("till", pa.array([1.5, 2.5, 3.5, 4.0, 5.0, 6.0])),
        REFUSE,
        ("till is a", "3 rows are not (the column is of type double), such as '1.5', '2.5', '3.5'"),
        ("till:type",),
        name="{batch}.parquet",
    ),
    Bad(
        "type change: mixed",
        cells(till=["1", "x", "2", "y", "3", "z"]),
        REFUSE,
        ("till is a", "3 rows are not, such as 'x', 'y', 'z'"),
        ("till:type",),
    ),
    Bad(
        "type change: mixed, typed",
        json_lines(till=[1, "x", 2, "y", 3, None]),
        REFUSE,
        ("till is a", "2 rows are not, such as 'x', 'y'"),
        ("till:type",),
        name="{batch}.jsonl",
    ),
    # --- values ---
    Bad(
        "nulls",
        cells(shop=["A", None, "B", None, "C", "A"]),
        HOLD,
        (
            "2 of 6 rows",
            (
                "shop has a value (2 rows, such as (2013-05-17 12:01:00+00:00, 2), (2013-05-17"
                " 12:03:00+00:00, 4))"
            ),
        ),
        ("shop:not_null",),
        (1, 3),
    ),
    Bad("nulls where they may be", cells(till=[1, None, 2, 3, 4, 5]), ACCEPT),
    Bad(
        "out of range",
        cells(amount=[1.0, -5.0, 1000.0, 2.0, 2000.5, 3.0]),
        HOLD,
        ("3 of 6 rows", "amount lies in [0, 1000) (3 rows, such as -5.0, 1000.0, 2000.5)"),
        ("amount:between",),
        (1, 2, 4),
    ),
    Bad(
        "unknown category",
        cells(shop=["A", "X", "Y", "B", "Z", "C"]),
        HOLD,
        ("3 of 6 rows", "shop is one of", "(3 rows, such as 'X', 'Y', 'Z')"),
        ("shop:in_set",),
        (1, 2, 4),
    ),
    Bad(
        "duplicate key",
        cells(
            sold_at=[NOON, NOON, *(NOON + timedelta(hours=i) for i in range(1, 5))],
            id=[1, 1, 2, 3, 4, 5],
        ),
        HOLD,
        ("2 of 6 rows", "sold_at, id", "2 rows, such as (2013-05-17 12:00:00+00:00, 1)"),
        ("key:unique",),
        (0, 1),
    ),
    Bad(
        "duplicate rows",
        lambda shop: duplicated(shop),  # noqa: PLW0108 - defined below
        HOLD,
        ("2 of 6 rows", "sold_at, id", "2 rows, such as (2013-05-17 12:00:00+00:00, 1)"),
        ("key:unique",),
        (0, 1),
    ),
    Bad(
        "NaN and infinity",
        read_as(
            {"amount": ["NaN", "inf", "-inf", 1.0, 2.0, 3.0]},
            amount=[None, float("inf"), float("-inf"), 1.0, 2.0, 3.0],
        ),
        HOLD,
        ("2 of 6 rows", "amount lies in [0, 1000) (2 rows, such as inf, -inf)"),
        ("amount:between",),
        (1, 2),
    ),
    Bad(
        "NaN and infinity where no range is",
        unbounded(
            read_as(
                {"amount": ["nan", "inf", 0.0, 1.0, 2.0, 3.0]},
                amount=[None, float("inf"), 0.0, 1.0, 2.0, 3.0],
            )
        ),
        ACCEPT,
    ),
    Bad("constant column", cells(till=[7] * 6), ACCEPT),
    Bad("all-null column", cells(note=[None] * 6), ACCEPT),
    Bad(
        "all-null column that may not be",
        cells(shop=[None] * 6),
        REFUSE,
        ("6 of 6 rows break a rule, more than the 50%",),
        ("shop:not_null",),
        tuple(range(6)),
    ),
    # --- sizes ---
    Bad("empty file", content(lambda: b""), REFUSE, ("the file is empty; expected a header line",)),
    Bad("zero rows", head(0), REFUSE, ("the batch has no rows",)),
    Bad("one row", head(1), ACCEPT),
    Bad("single-class target", cells(returned=[True] * 6), ACCEPT),
    Bad(
        "large cell",
        lambda shop: huge(shop, 5_000_000),
        HOLD,
        ("1 of 6 rows", "note has between 0 and 20 characters (1 row, such as 'AAAA", "A...)"),
        ("note:length_between",),
        (2,),
    ),
    Bad(
        "huge cell",
        lambda shop: huge(shop, 50_000_000) and None,
        REFUSE,
        ("cannot be read as csv: expected no row longer than 16 MB, found one",),
    ),
    # --- files ---
    Bad(
        "truncated Parquet",
        content(lambda: parquet_bytes(sample_table(6))[:-100]),
        REFUSE,
        ("cannot be read as parquet",),
        name="{batch}.parquet",
    ),
    Bad(
        "truncated gzip",
        content(lambda: gzip.compress(csv_text(sample_rows(6)).encode())[:-10]),
        REFUSE,
        ("cannot be read as csv",),
        name="{batch}.csv.gz",
    ),
    Bad(
        "wrong encoding",
        content(lambda: csv_text(sample_rows(6, note=["Zürich"] * 6)).encode("latin-1")),
        REFUSE,
        (
            "cannot be read as utf-8: invalid start byte at byte",
            "say as servers.0.encoding of sales.odcs.yaml",
        ),
    ),
    Bad("BOM", encoded("utf-8-sig", "Zürich"), ACCEPT),
    Bad(
        "delimiter inside quotes",
        cells(note=["a,b", 'say "hi"', "line\nend", "tab\t", ";", ","]),
        ACCEPT,
    ),
    Bad(
        "cut within quotes",
        content(lambda: csv_text(sample_rows(6)).rpartition('"person5@')[0] + '"per\n'),
        REFUSE,
        ("Expected 9 columns, got 8",),
    ),
    Bad(
        "cut within the quotes of the last column",
        content(lambda: 'id,note\n1,"a"\n2,"b\n'),
        REFUSE,
        ("expected the quotes of the last row to be closed",),
    ),
    Bad(
        "delimiter without quotes",
        content(lambda: "id,note,till\n1,a,b,2\n"),
        REFUSE,
        ("Expected 3 columns, got 4",),
    ),
    # --- time ---
    Bad(
        "mixed time zones, each told",
        read_as(
            {
                "sold_at": [
                    (NOON + timedelta(minutes=i)).astimezone(EAST if i % 2 else UTC)
                    for i in range(6)
                ]
            }
        ),
        ACCEPT,
    ),
    Bad(
        "mixed time zones, some untold",
        read_as({"sold_at": [f"2013-05-17T1{i}:00:00{'Z' if i % 2 else ''}" for i in range(6)]}),
        REFUSE,
        (
            "sold_at is a",
            (
                "written in more than one form: '2013-05-17T10:00:00', '2013-05-17T11:00:00Z',"
                " '2013-05-17T12:00:00'"
            ),
        ),
        ("sold_at:type",),
    ),
    Bad(
        "dates beyond range",
        cells(paid_on=["0000-00-00", "2013-02-30", "10000-01-01", *["2013-05-17"] * 3]),
        REFUSE,
        ("paid_on is a", "3 rows are not, such as '0000-00-00', '2013-02-30', '10000-01-01'"),
        ("paid_on:type",),
    ),
    Bad(
        "dates at the ends of range",
        read_as(
            {
                "sold_at": [
                    "0001-01-01T00:00:00Z",
                    "9999-12-31T23:59:59Z",
                    *[f"2013-05-17T12:0{i}:00Z" for i in range(4)],
                ]
            },
            sold_at=[
                datetime(1, 1, 1, tzinfo=UTC),
                datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
                *[NOON + timedelta(minutes=i) for i in range(4)],
            ],
        ),
        HOLD,
        (
            "2 of 6 rows",
            "sold_at",
            "(2 rows, such as 0001-01-01 00:00:00+00:00, 9999-12-31 23:59:59+00:00)",
        ),
        ("sold_at:within_batch",),
        (0, 1),
    ),
    Bad(
        "dates beyond range, typed",
        parquet(
            "sold_at",
            pa.array([2**60, -(2**60), *range(4)], pa.timestamp("us", tz="UTC")),
            [
                "38504-08-17 21:30:06.846976Z",
                "-34565-05-17 02:29:53.153024Z",
                *(f"1970-01-01 00:00:00.00000{i}Z" for i in range(4)),
            ],
        ),
        REFUSE,
        ("sold_at is a", "2 rows are not, such as"),
        ("sold_at:type",),
        name="{batch}.parquet",
    ),
    Bad(
        "future event times",
        cells(sold_at=[NOON + timedelta(days=365 * (i % 2), minutes=i) for i in range(6)]),
        HOLD,
        (
            "3 of 6 rows",
            (
                "sold_at lies within the batch (3 rows, such as 2014-05-17 12:01:00+00:00,"
                " 2014-05-17 12:03:00+00:00,"
            ),
        ),
        ("sold_at:within_batch",),
        (1, 3, 5),
    ),
    # --- hostile strings ---
    Bad("script as value", cells(note=["<script>a</script>", *[None] * 5]), ACCEPT),
    Bad(
        "script as category",
        cells(shop=[SCRIPT, "A", "B", "C", "A", "B"]),
        HOLD,
        (f"'{SCRIPT}'",),
        ("shop:in_set",),
        (0,),
    ),
    Bad("script as column name", extra(SCRIPT), ACCEPT, (), ("columns:known",)),
    Bad("formula as value", cells(note=["=1+1", "+1", "-1", "@x", "\t=1", FORMULA[:20]]), ACCEPT),
    Bad(
        "formula as category",
        cells(shop=[FORMULA, "A", "B", "C", "A", "B"]),
        HOLD,
        (repr(FORMULA),),
        ("shop:in_set",),
        (0,),
    ),
    Bad("formula as column name", extra("=1+1"), ACCEPT, (), ("columns:known",)),
    # --- the world ---
    Bad(
        "file that changes while it is read",
        large,
        LATER,
        ("changed while it was read; it will be read again at the next run",),
        during=appended_to,
    ),
    Bad(
        "unreachable source",
        on_an_absent_server,
        LATER,
        ("s3://sales: cannot be looked into", "is it up, and may it be read?"),
        during=server_started,
    ),
    Bad(
        "full disk",
        large,
        LATER,
        ("home/lake", "expected room to write", "make room"),
        during=full_disk,
    ),
]


def duplicated(shop: Shop) -> Rows:
    """Deliver the first row twice."""
    rows = {name: [values[0], *values[:5]] for name, values in sample_rows(6).items()}
    shop.deliver(rows)
    return rows_of(rows)


def huge(shop: Shop, size: int) -> Rows:
    """Deliver one cell of so many bytes."""
    return cells(note=["", "", "A" * size, "", "", ""])(shop)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.item)
def test_bad_data(bad: Bad, tmp_path: Path) -> None:
    """The outcome, the message, the rules and rows that it is about; nothing lost, nothing in half,
    and the next day.
    """
    shop = Shop(tmp_path, bad.name)
    rows = bad.deliver(shop)
    delivered = shop.file().read_bytes()

    with bad.during(shop):
        answer = shop.take_in()

    assert (answer.outcome, answer.failed) == (bad.outcome, bad.broken), answer.message
    said = [*bad.names, *([shop.file().name] if bad.outcome in (HOLD, REFUSE) else [])]
    assert [words for words in said if words not in answer.message] == [], answer.message[:1000]
    assert len(answer.message) < 1500
    if answer.snapshot is not None:
        assert rows is not None
        assert same(shop.rows_in_lake(answer), rows)
        assert same(shop.quarantined(answer), [rows[i] for i in bad.held])
        if answer.outcome != REFUSE:
            assert same(
                shop.accepted(answer), [row for i, row in enumerate(rows) if i not in bad.held]
            )
    elif bad.outcome == REFUSE:
        assert shop.kept_files() == [delivered]
    else:  # the world is in order again, so the same batch goes through
        assert rows is None or same(shop.rows_in_lake(shop.take_in()), rows)
        assert shop.take_in().outcome == ACCEPT
    shop.check_whole()
    shop.deliver_good_day()
    assert shop.take_in(NEXT_DAY).outcome == ACCEPT


def same(found: Rows, expected: Rows) -> bool:
    """Whether these are the same rows with the same values and types, in any order."""
    return sorted(map(exact, found)) == sorted(map(exact, expected))


def exact(row: dict[str, Any]) -> str:
    """The row as text that tells any two values apart."""
    values = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }
    return repr(sorted(values.items()))


def test_every_item_of_the_issue_has_its_row() -> None:
    """The table is complete: the issue's list, in its order."""
    items = (
        "missing column",
        "extra column",
        "renamed column",
        "type change: integer as text",
        "type change: float for integer",
        "type change: mixed",
        "nulls",
        "out of range",
        "unknown category",
        "duplicate key",
        "duplicate rows",
        "NaN and infinity",
        "constant column",
        "all-null column",
        "empty file",
        "zero rows",
        "one row",
        "single-class target",
        "truncated Parquet",
        "truncated gzip",
        "wrong encoding",
        "BOM",
        "delimiter inside quotes",
        "mixed time zones, each told",
        "mixed time zones, some untold",
        "dates beyond range",
        "future event times",
        "huge cell",
        "script as value",
        "script as column name",
        "script as category",
        "formula as value",
        "formula as column name",
        "formula as category",
        "file that changes while it is read",
        "unreachable source",
        "full disk",
    )

    assert set(items) <= {bad.item for bad in TABLE}
    assert len({bad.item for bad in TABLE}) == len(TABLE)


@pytest.mark.parametrize("name", ["{batch}.parquet", "{batch}.csv.gz"])
def test_file_cut_at_every_byte(tmp_path: Path, name: str) -> None:
    """A delivery that broke off is refused wherever it broke, and what had come of it is kept."""
    shop = Shop(tmp_path, name)
    table = sample_table(1).select(["sold_at", "id"])
    whole = (
        parquet_bytes(table)
        if "parquet" in name
        else gzip.compress(csv_text(table.to_pydict()).encode())
    )
    source = open_source(shop.managed.rows)

    for length in range(len(whole)):
        shop.deliver(whole[:length])
        with pytest.raises(UnreadableError, match=rf"{shop.file().name}: .*; it is kept in "):
            source.read(BATCH).table()

    assert sorted(shop.kept_files()) == sorted(whole[:length] for length in range(len(whole)))
    shop.deliver(whole)
    assert source.read(BATCH).table().num_rows == 1
