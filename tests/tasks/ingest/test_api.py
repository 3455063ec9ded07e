"""Tests of HTTP APIs, asked of a real server: it pages, throttles, fails, and lies."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from urllib3.util import Retry

from tasks.ingest.api import AGAIN, ApiSource, open_api
from tasks.ingest.formats import read_pieces
from tasks.ingest.rows import Piece, Rows
from tasks.ingest.snapshot import write_snapshot
from tasks.ingest.source import SourceError, UnreadableError
from tests.sample_contract import BATCH, DAY, Document, sample_contract, sample_rows, sample_table

CANARY = "c4nary-t0ken"
Answer = tuple[int, dict[str, str], bytes]
Query = dict[str, str]


def _records(rows: int = 6, **columns: list[Any]) -> list[dict[str, Any]]:
    """Sample rows as an API would give them."""
    data = sample_rows(rows, **columns)
    names = list(data)
    return [
        {
            name: value if value is None or isinstance(value, str | int | float) else str(value)
            for name, value in zip(names, row, strict=True)
        }
        for row in zip(*data.values(), strict=True)
    ]


class Shop(ThreadingHTTPServer):
    """An API on a free port; what it answers is its test's business."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Query] = []
        self.tokens: list[str | None] = []
        self.answer: Callable[[Query], Answer] = lambda query: (404, {}, b"")
        self.address = f"http://127.0.0.1:{self.server_port}/v1/sales"

    def gives(self, answer: Callable[[Query], Any]) -> None:
        """Answer with JSON."""
        self.answer = lambda query: (200, {}, json.dumps(answer(query)).encode())


class _Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        self.server.asked.append(query)
        self.server.tokens.append(self.headers.get("Authorization"))
        status, headers, body = self.server.answer(query)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A server that is there until the test ends."""
    with Shop() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _custom(**properties: Any) -> list[Document]:
    return [{"property": name, "value": value} for name, value in properties.items()]


@pytest.fixture
def source(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ApiSource]:
    """Function: custom properties -> the source that asks the server, quick to try again."""
    monkeypatch.setenv("SHOP_TOKEN", CANARY)

    def make(format: str = "json", again: Retry | None = None, **properties: Any) -> ApiSource:
        given = {
            "answers": format,
            "since": "2013-05-16",
            "period": {"start": "from", "end": "to"},
            "token": "${SHOP_TOKEN}",
        } | properties
        server = {
            "server": "shop",
            "type": "api",
            "location": shop.address,
            "customProperties": _custom(**given),
        }
        contract = sample_contract(tmp_path, lambda d: d.update(servers=[server]))
        made = open_api(contract, "day", tmp_path)
        now = datetime(2013, 5, 19, 12, tzinfo=UTC)
        quick = again or AGAIN.new(backoff_factor=0)
        return ApiSource(**(vars(made) | {"again": quick, "now": lambda: now}))

    return make


def _sorted(rows: Rows) -> Any:
    return rows.table().sort_by("id").select(sample_table().column_names)


def _paged(query: Query, size: int = 4) -> list[dict[str, Any]]:
    first = (int(query["p"]) - 1) * size
    return _records()[first : first + size]


def _offset(query: Query) -> dict[str, Any]:
    first = int(query["skip"])
    return {"data": {"items": _records()[first : first + 4]}}


def _cursor(query: Query) -> dict[str, Any]:
    first = int(query.get("after", 0))
    following = first + 4 if first + 4 < 6 else None
    return {"data": {"items": _records()[first : first + 4], "next": following, "count": 6}}


@pytest.mark.parametrize(
    ("answer", "properties", "asked"),
    [
        (lambda _: _records(), {}, 1),
        (_paged, {"pages": {"by": "page", "param": "p"}}, 3),
        (
            _offset,
            {"records": "data.items", "pages": {"by": "offset", "param": "skip"}},
            3,
        ),
        (
            _cursor,
            {
                "records": "data.items",
                "total": "data.count",
                "pages": {"by": "cursor", "param": "after", "from": "data.next"},
            },
            2,
        ),
    ],
    ids=["one", "page", "offset", "cursor"],
)
def test_the_same_rows_as_from_a_file(
    shop: Shop,
    source: Callable[..., ApiSource],
    answer: Callable[[Query], Any],
    properties: Document,
    asked: int,
) -> None:
    """However they are paged; each page is asked for with the period, the parameters and the
    token.
    """
    shop.gives(answer)

    table = _sorted(source(params={"status": "paid"}, **properties).read(BATCH))

    assert table.equals(sample_table())
    assert len(shop.asked) == asked
    for query in shop.asked:
        assert query["from"] == "2013-05-17T04:00:00Z", "midnight in New York"
        assert query["to"] == "2013-05-18T04:00:00Z"
        assert query["status"] == "paid"
    assert set(shop.tokens) == {f"Bearer {CANARY}"}


def test_links_are_followed_at_the_same_server(
    shop: Shop, source: Callable[..., ApiSource]
) -> None:
    """Elsewhere the token must not go."""

    def linked(query: Query) -> Answer:
        second = "page" in query
        following = {} if second else {"Link": '</v1/sales?page=2>; rel="next"'}
        return 200, following, json.dumps(_records()[3:] if second else _records()[:3]).encode()

    shop.answer = linked
    assert _sorted(source(pages={"by": "link"}).read(BATCH)).equals(sample_table())

    elsewhere = f"http://localhost:{shop.server_port}/v1/sales?page=2"
    shop.answer = lambda query: (
        200,
        {"Link": f'<{elsewhere}>; rel="next"'},
        json.dumps(_records()).encode(),
    )
    shop.tokens.clear()
    with pytest.raises(SourceError, match=r"the next page at the same server, found 'localhost:"):
        source(pages={"by": "link"}).read(BATCH).table()
    assert len(shop.tokens) == 1


def test_csv(shop: Shop, source: Callable[..., ApiSource]) -> None:
    """An answer may be a file of text, page by page."""
    header = "sold_at,id,shop"

    def page(query: Query) -> Answer:
        rows = [f"2013-05-17T12:0{i}:00Z,{i},A" for i in (1, 2)] if query["p"] == "1" else []
        return 200, {}, "".join(f"{line}\n" for line in [header, *rows]).encode()

    shop.answer = page

    table = source("csv", pages={"by": "page", "param": "p"}).read(BATCH).table()

    assert table["id"].to_pylist() == [1, 2]


def test_rows_of_another_period_are_left_out(
    shop: Shop, source: Callable[..., ApiSource], tmp_path: Path
) -> None:
    """A server that takes the end in, or ignores the period, gives the same snapshot."""
    late = [datetime(2013, 5, 18, 4, tzinfo=UTC), datetime(2013, 5, 17, 3, 59, tzinfo=UTC)]
    shop.gives(lambda _: _records())
    exact = write_snapshot(tmp_path / "lake", source().read(BATCH), source().contract, BATCH, "")
    shop.gives(lambda _: [*_records(2, sold_at=late, id=[98, 99]), *reversed(_records())])

    again = write_snapshot(tmp_path / "lake", source().read(BATCH), source().contract, BATCH, "")

    assert again == exact
    assert again.rows == 6


def test_batches_are_the_periods_since_the_first_day(
    shop: Shop, source: Callable[..., ApiSource]
) -> None:
    """The API is not asked; a batch that is over keeps its sign, one that is not has a new one at
    each look, and so has each when another question is asked.
    """
    made = source()
    later = ApiSource(**(vars(made) | {"now": lambda: datetime(2013, 5, 19, 13, tzinfo=UTC)}))

    before, after, other = made.batches(), later.batches(), source(params={"a": "b"}).batches()

    assert list(before) == ["2013-05-16", DAY, "2013-05-18", "2013-05-19"]
    assert [id for id in before if before[id] != after[id]] == ["2013-05-19"]
    assert all(before[id] != other[id] for id in before)
    assert not shop.asked


def test_a_server_that_throttles_and_fails_is_asked_again(
    shop: Shop, source: Callable[..., ApiSource]
) -> None:
    """A few times, and then no more."""
    failures = iter([(429, {"Retry-After": "0"}, b"slow down"), (503, {}, b""), (500, {}, b"")])
    shop.answer = lambda _: next(failures, (200, {}, json.dumps(_records()).encode()))

    assert _sorted(source().read(BATCH)).equals(sample_table())
    assert len(shop.asked) == 4

    shop.asked.clear()
    shop.answer = lambda _: (503, {}, b"")
    with pytest.raises(SourceError, match="expected an answer, found status 503"):
        source(again=AGAIN.new(total=2, backoff_factor=0)).read(BATCH).table()
    assert len(shop.asked) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}, b""), "found status 401; may the token read it"),
        ((404, {}, b""), "found status 404"),
        ((200, {"Content-Length": "100000"}, b"[]"), "cannot be read: "),
        ((200, {}, b"<html>"), "expected JSON, found b'<html>'"),
        ((200, {}, b'{"items": []}'), "expected a list of objects as the answer, found dict"),
        ((200, {}, b"[1, 2]"), "expected a list of objects as the answer, found list"),
    ],
)
def test_what_is_no_answer_is_refused(
    shop: Shop, source: Callable[..., ApiSource], answer: Answer, message: str
) -> None:
    """By name, and without the token; nothing of it is taken."""
    shop.answer = lambda _: answer

    with pytest.raises(SourceError, match=message) as caught:
        source(again=AGAIN.new(total=1, backoff_factor=0)).read(BATCH).table()

    assert CANARY not in str(caught.value)
    assert not isinstance(caught.value, UnreadableError)


def test_pages_that_repeat_or_are_too_few_are_refused(
    shop: Shop, source: Callable[..., ApiSource]
) -> None:
    """A server that knows no pages, says the same cursor again, or counts otherwise."""
    shop.gives(lambda _: _records())
    with pytest.raises(SourceError, match="another page after page 1, found the same"):
        source(pages={"by": "page", "param": "p"}).read(BATCH).table()

    cursor = {"by": "cursor", "param": "after", "from": "next"}
    shop.gives(lambda query: {"items": _records(1 + len(query)), "next": "x"})
    with pytest.raises(SourceError, match="the cursor of another page, found that of page 2"):
        source(records="items", pages=cursor).read(BATCH).table()

    shop.gives(lambda _: {"items": _records(), "count": 7})
    with pytest.raises(SourceError, match="expected 7 rows of batch 2013-05-17, as count says"):
        source(records="items", total="count").read(BATCH).table()


def test_a_period_without_rows_is_refused(shop: Shop, source: Callable[..., ApiSource]) -> None:
    """As a batch is: the others go on."""
    shop.gives(lambda _: [])

    with pytest.raises(UnreadableError, match="expected rows of batch 2013-05-17, found none"):
        source().read(BATCH).table()


def test_a_server_that_is_not_there(
    shop: Shop, source: Callable[..., ApiSource], tmp_path: Path
) -> None:
    """The error names the address, and shows no parameter that was filled in."""
    made = source(params={"key": "${SHOP_TOKEN}"}, again=AGAIN.new(total=0))
    gone = ApiSource(**(vars(made) | {"address": "http://127.0.0.1:9/none"}))

    with pytest.raises(SourceError, match="cannot be read: ConnectionError") as caught:
        gone.read(BATCH).table()

    assert CANARY not in str(caught.value)


def test_numbers_are_those_that_stand_in_the_answer(
    source: Callable[..., ApiSource], shop: Shop
) -> None:
    """As of the same lines in a file: what no double holds is not rounded on the way."""
    odd = ["1.5", "0.1", "1e2", "12345678901234567.1", "0.10000000000000000001", "7"]
    lines = [
        json.dumps(one | {"amount": "@"}).replace('"@"', digits)
        for one, digits in zip(_records(), odd, strict=True)
    ]
    shop.answer = lambda query: (200, {}, f"[{', '.join(lines)}]".encode())
    api = source()

    def as_lines(_: frozenset[str]) -> Iterator[Piece]:
        stream = io.BytesIO("\n".join(lines).encode())
        for table in read_pieces(stream, "sales.json", api.contract):
            yield Piece("sales.json", table)

    found, expected = api.read(BATCH).table(), Rows(as_lines, api.contract, "sales.json").table()

    assert found["amount"].to_pylist() == expected["amount"].to_pylist()
    assert found["amount"].to_pylist()[3] == "12345678901234567.1"


def test_the_token_is_not_replaced_by_one_of_the_machine(
    source: Callable[..., ApiSource],
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A .netrc of the user's that knows the host is not asked."""
    (tmp_path / "netrc").write_text("default login other password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    shop.gives(lambda query: _records())

    source().read(BATCH).table()

    assert shop.tokens == [f"Bearer {CANARY}"]
