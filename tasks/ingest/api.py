"""An HTTP API: batches are periods of event time, asked for page by page.

The answers are JSON, with the rows as a list of objects somewhere in it, or CSV. Rows of another
period than was asked for are left out, so that the same period read again is the same snapshot. An
API does not say what it holds, nor what has changed: every period since the contract's first day
is a batch, a closed one is read once, and one that is not closed at every look. A period without
rows is refused by name, and the others go on.

Asked by requests, with the retries of urllib3: a server that answers 429 or 5xx, or not at all, is
asked again a few times, when it says that it may be. An answer that is shorter than it says, or a
period with fewer rows than it says, is not taken.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import partial
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from data_contracts.contract import Api, Contract
from tasks.addresses import Address, hiding
from tasks.batches import Batch, Every, batch_of, next_batch
from tasks.ingest.formats import read_pieces
from tasks.ingest.rows import Piece, Rows, positions_within
from tasks.ingest.source import SourceError, UnreadableError, digest_of, fill_in

TIMEOUTS = (10.0, 60.0)
"""Seconds for a connection, and between two bytes of an answer."""
MOST_PAGES = 10_000
"""Pages of one period; an API that gives more begins anew."""
AGAIN = Retry(
    total=5,
    backoff_factor=0.5,
    backoff_max=30,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=("GET",),
    retry_after_max=120,
    raise_on_status=False,
)


def _now() -> datetime:
    return datetime.now(UTC)


def open_api(contract: Contract, every: Every, home: Any) -> ApiSource:  # noqa: ANN401 - a Path
    """Return the source that the contract's server describes; nothing is asked yet.

    Raises SourceError when a variable of the environment is not set.
    """
    server = contract.server
    assert server.api is not None  # noqa: S101 - of type api
    filled = partial(fill_in, contract=contract, home=home)
    address, token = filled(server.path, key="location"), filled(server.api.token, key="token")
    params = {name: filled(value, key=f"params.{name}") for name, value in server.api.params}
    pairs = {pair for one in (address, token, *params.values()) for pair in one.filled}
    return ApiSource(
        contract=contract,
        api=server.api,
        every=every,
        address=address.text,
        token=token.text,
        params={name: value.text for name, value in params.items()},
        hidden=hiding(pairs),
    )


@dataclass(frozen=True)
class ApiSource:
    """A source behind an HTTP API, asked for one period after another."""

    contract: Contract
    api: Api
    every: Every
    address: str = field(repr=False)
    token: str = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    hidden: Address
    """Hides what was filled in from the environment."""
    again: Retry = AGAIN
    now: Callable[[], datetime] = _now

    @property
    def name(self) -> str:
        """The address, without what was filled in from the environment."""
        return self.hidden.hide(self.address)

    def batches(self) -> dict[str, str]:
        """Return batch id -> a sign that changes with the question, and at every look while the
        batch is not over; the API is not asked.
        """
        now, zone = self.now(), self.contract.timezone
        first = datetime.combine(self.api.since, time(), ZoneInfo(zone))
        batch = batch_of(first, self.every, zone)
        asked = digest_of({"address": self.name, "api": repr(self.api)})
        found = {}
        while batch.start <= now:
            over = batch.end + self.contract.lateness <= now
            found[batch.id] = asked if over else digest_of({asked: now.isoformat()})
            batch = next_batch(batch, self.every, zone)
        return found

    def read(self, batch: Batch) -> Rows:
        """Return the rows of the batch; reading them raises SourceError when they cannot be read,
        UnreadableError when there are none.
        """
        return Rows(partial(self._pieces, batch), self.contract, self.name)

    def _pieces(self, batch: Batch, _: frozenset[str]) -> Iterator[Piece]:
        found = 0
        for page in self._pages(batch):
            for table in page:
                yield Piece(self.name, table, positions_within(table, self.contract, batch))
                found += table.num_rows
        if not found:
            raise UnreadableError(
                f"{self.name}: expected rows of batch {batch.id}, found none; if there were none,"
                f" let {self.contract.server.where}.customProperties.since begin after it"
            )

    # --- pages ------------------------------------------------------------------------------------

    def _pages(self, batch: Batch) -> Iterator[list[pa.Table]]:
        """The rows of a period, page by page."""
        api, rows = self.api, 0
        address, params = self.address, dict(self.params)
        params[api.start], params[api.end] = (
            f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for moment in (batch.start, batch.end)
        )
        if api.pages in ("page", "offset"):
            params[api.page_param] = "1" if api.pages == "page" else "0"
        before = b""
        with self._session() as session:
            for page in range(1, MOST_PAGES + 1):
                response = self._get(session, address, params)
                content, told, total = self._taken(response)
                where = f"{self.name} page {page} of batch {batch.id}"
                tables = list(
                    read_pieces(io.BytesIO(content), where, self.contract) if content else ()
                )
                count = sum(table.num_rows for table in tables)
                if count and response.content == before:
                    self._refuse(f"another page after page {page - 1}, found the same")
                before, rows = response.content, rows + count
                yield tables
                match api.pages:
                    case "page" | "offset":
                        if not count:
                            break
                        at = page + 1 if api.pages == "page" else rows
                        params[api.page_param] = str(at)
                    case "cursor":
                        if told in (None, ""):
                            break
                        if str(told) == params.get(api.page_param):
                            self._refuse(f"the cursor of another page, found that of page {page}")
                        params[api.page_param] = str(told)
                    case "link":
                        following = response.links.get("next", {}).get("url")
                        if following is None:
                            break
                        address, params = self._followed(address, following), {}
                    case _:
                        break
            else:
                self._refuse(f"at most {MOST_PAGES:,} pages of batch {batch.id}, found more")
        if total is not None and total != rows:
            self._refuse(f"{total!r} rows of batch {batch.id}, as {api.total} says, found {rows:,}")

    def _refuse(self, text: str) -> NoReturn:
        raise SourceError(f"{self.name}: expected {text}; it is asked again at the next run")

    def _followed(self, address: str, following: str) -> str:
        """The address of the next page: of the same server, for the token goes with it."""
        found = urljoin(address, following)
        if urlsplit(found)[:2] != urlsplit(self.address)[:2]:
            self._refuse(f"the next page at the same server, found {urlsplit(found).netloc!r}")
        if found == address:
            self._refuse("another page as the next, found the same")
        return found

    def _taken(self, response: requests.Response) -> tuple[bytes, Any, Any]:
        """The rows of an answer as a file has them, its cursor, and its total."""
        if self.contract.server.format == "csv":
            return response.content, None, None
        try:
            answer = json.loads(response.content, parse_float=_Digits)
        except ValueError as error:
            raise SourceError(
                f"{self.name}: expected JSON, found {response.content[:40]!r}: {error}"
            ) from None
        rows = _at(answer, self.api.records)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            where = self.api.records or "the answer"
            self._refuse(f"a list of objects as {where}, found {type(rows).__name__}")
        cursor = _at(answer, self.api.cursor) if self.api.cursor else None
        lines = "".join(f"{_line(row)}\n" for row in rows).encode()
        total = _at(answer, self.api.total) if self.api.total else None
        return lines, cursor, float(total) if isinstance(total, _Digits) else total

    # --- the server -------------------------------------------------------------------------------

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.headers["Accept"] = {"json": "application/json"}.get(
            self.contract.server.format, "text/csv"
        )
        session.auth = self._signed  # else a .netrc of the machine would sign instead
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(max_retries=self.again))
        return session

    def _signed(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def _get(
        self, session: requests.Session, address: str, params: Mapping[str, str]
    ) -> requests.Response:
        """One answer, whole; SourceError, without account or token, when there is none."""
        try:
            response = session.get(address, params=params, timeout=TIMEOUTS)
        except requests.RequestException as error:
            # Without the cause: it shows the address with its parameters.
            shown = self.hidden.hide(" ".join(str(error).split())[:300])
            raise SourceError(
                f"{self.name}: cannot be read: {type(error).__name__}: {shown}; is the server up?"
            ) from None
        if not response.ok:
            status = response.status_code
            hint = "; may the token read it?" if status in (401, 403) else ""
            raise SourceError(f"{self.name}: expected an answer, found status {status}{hint}")
        return response


class _Digits(str):
    """A number as it stands in an answer: a float would round some."""

    __slots__ = ()


def _line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSON, its numbers as they stood in the answer."""
    values = (
        f"{json.dumps(name)}: {value if isinstance(value, _Digits) else json.dumps(value)}"
        for name, value in row.items()
    )
    return f"{{{', '.join(values)}}}"


def _at(answer: Any, path: str) -> Any:  # noqa: ANN401 - any JSON
    """What stands under names with dots; None where there is nothing."""
    for name in filter(None, path.split(".")):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer
