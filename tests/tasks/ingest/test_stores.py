"""Tests of where files lie: the same source on a disk and on a server that speaks S3."""

from __future__ import annotations

import functools
import http.server
import os
import threading
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.ingest.arrivals import open_source
from tasks.ingest.source import Source, SourceError
from tests.sample_contract import BATCH, DAY
from tests.tasks.ingest.test_arrivals import managed_sales

CANARY = "c4naryc4nary"


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A new bucket."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CANARY + "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("S3_SERVER", s3_server)
    found = boto3.resource("s3", endpoint_url=s3_server, region_name="us-east-1").Bucket(
        uuid.uuid4().hex
    )
    found.create()
    return found


def source_at(tmp_path: Path, location: str, endpoint: str = "${S3_SERVER}") -> Source:
    """The source with CSV files at this address."""
    server = {
        "server": "lake",
        "type": "s3",
        "format": "csv",
        "location": location,
        "endpointUrl": endpoint,
    }
    return open_source(managed_sales(tmp_path, lambda d: d.update(servers=[server])).rows)


@pytest.mark.parametrize("name", ["sales/{batch}.csv", "sales/{batch}/part-*.csv", "sales/all.csv"])
def test_files_on_s3(bucket: Any, tmp_path: Path, name: str) -> None:
    """Each kind of source reads from S3 as from a disk, and sees what comes later."""
    source = source_at(tmp_path, f"s3://{bucket.name}/{name}")
    key = name.replace("{batch}", DAY).replace("*", "0")
    bucket.put_object(Key="sales/other/x.csv", Body=b"")
    bucket.put_object(Key=key, Body=b"sold_at,id\n2013-05-17T12:00:00Z,1\n")

    first = source.batches()
    assert list(first) == [DAY]
    assert source.read(BATCH).table()["id"].to_pylist() == [1]

    bucket.put_object(Key=key, Body=b"sold_at,id\n2013-05-17T12:00:00Z,1\n2013-05-17T13:00:00Z,2\n")

    assert source.batches()[DAY] != first[DAY]
    assert source.read(BATCH).table()["id"].to_pylist() == [1, 2]
    assert source.name == f"s3://{bucket.name}/{name}"


def test_bucket_that_is_not_there(bucket: Any, tmp_path: Path) -> None:
    """It is no idle source."""
    with pytest.raises(
        SourceError, match=r"s3://no-such-bucket/sales: cannot be looked into: .* NO_SUCH_BUCKET"
    ):
        source_at(tmp_path, "s3://no-such-bucket/sales/{batch}.csv").batches()
    with pytest.raises(SourceError, match=r"/sales: no such directory; the contract's server says"):
        source_at(tmp_path, f"s3://{bucket.name}/sales/{{batch}}.csv").batches()


def test_unreachable_service_tells_no_secret(bucket: Any, tmp_path: Path) -> None:
    """A service that does not answer is named by the contract's address, without the account."""
    source = source_at(tmp_path, f"s3://{bucket.name}/{{batch}}.csv", "http://127.0.0.1:1")

    with pytest.raises(SourceError, match=f"s3://{bucket.name}: cannot be looked into") as caught:
        source.batches()

    assert CANARY not in "".join(traceback.format_exception(caught.value))


# --- any address that fsspec can open -------------------------------------------------------------


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """Address of a directory, ``www``, behind a web server on loopback."""
    (tmp_path / "www" / "sales").mkdir(parents=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "www"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def custom_at(tmp_path: Path, location: str, **options: str) -> Source:
    """The source with CSV files at an address that the standard has no type for."""
    server: dict[str, Any] = {
        "server": "web",
        "type": "custom",
        "format": "csv",
        "location": location,
    }
    if options:
        server["customProperties"] = [{"property": "storageOptions", "value": options}]
    return open_source(managed_sales(tmp_path, lambda d: d.update(servers=[server])).rows)


@pytest.mark.parametrize("name", ["sales/{batch}.csv", "sales/{batch}/part-*.csv", "sales/all.csv"])
@pytest.mark.parametrize("kind", ["http", "memory"])
def test_files_at_any_address(website: str, tmp_path: Path, kind: str, name: str) -> None:
    """A web server and fsspec's memory read as a disk does: found, read, and seen when they
    change.
    """
    import fsspec

    base = website if kind == "http" else f"memory://{uuid.uuid4().hex}"
    source = custom_at(tmp_path, f"{base}/{name}")
    path = name.replace("{batch}", DAY).replace("*", "0")
    seconds = iter(range(0, 1000, 10))

    def deliver(text: str) -> None:
        if kind == "memory":
            fsspec.filesystem("memory").pipe(f"{base}/{path}", text.encode())
            return
        file = tmp_path / "www" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(
            file, (1_000_000_000, 1_000_000_000 + next(seconds))
        )  # a web server tells time in seconds

    deliver("sold_at,id\n2013-05-17T12:00:00Z,1\n")
    first = source.batches()
    assert list(first) == [DAY]
    assert source.batches() == first
    assert source.read(BATCH).table()["id"].to_pylist() == [1]

    deliver("sold_at,id\n2013-05-17T12:00:00Z,2\n")

    assert source.batches()[DAY] != first[DAY]
    assert source.read(BATCH).table()["id"].to_pylist() == [2]
    assert source.name == f"{base}/{name}"


def test_address_that_is_not_there(website: str, tmp_path: Path) -> None:
    """Neither an absent directory nor an absent server is an idle source."""
    with pytest.raises(SourceError, match=r"/none: no such directory; the contract's server says"):
        custom_at(tmp_path, f"{website}/none/{{batch}}.csv").batches()
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:1/in: cannot be looked into: "):
        custom_at(tmp_path, "http://127.0.0.1:1/in/{batch}.csv").batches()


@pytest.mark.parametrize(
    ("scheme", "said"),
    [("gs", "gcsfs"), ("abfs", "adlfs"), ("nosuch", "Protocol not known: nosuch")],
)
def test_scheme_that_nothing_here_opens(tmp_path: Path, scheme: str, said: str) -> None:
    """The error names the scheme and what to install."""
    with pytest.raises(
        SourceError,
        match=rf"{scheme}://: expected an address that fsspec can open here, found: .*{said}",
    ):
        custom_at(tmp_path, f"{scheme}://bucket/{{batch}}.csv")


def test_options_of_a_store_are_filled_in_and_hidden(
    bucket: Any, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account of another name than the library's own; its secret is in no error."""
    monkeypatch.setenv("LAKE_ID", "lake-id")
    monkeypatch.setenv("LAKE_KEY", CANARY + "lake")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    bucket.put_object(Key=f"{DAY}.csv", Body=b"sold_at,id\n2013-05-17T12:00:00Z,1\n")
    server: dict[str, Any] = {
        "server": "lake",
        "type": "s3",
        "format": "csv",
        "location": f"s3://{bucket.name}/{{batch}}.csv",
    }

    def source(endpoint: str, **options: str) -> Source:
        custom = [{"property": "storageOptions", "value": options}]
        given = server | {"endpointUrl": endpoint, "customProperties": custom}
        return open_source(managed_sales(tmp_path, lambda d: d.update(servers=[given])).rows)

    account = {"key": "${LAKE_ID}", "secret": "${LAKE_KEY}"}
    assert source(s3_server, **account).read(BATCH).table()["id"].to_pylist() == [1]
    with pytest.raises(SourceError, match="cannot be looked into") as caught:
        source("http://127.0.0.1:1", **account).batches()
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(SourceError, match=r"expected some of \['key', .* found \['kee'\]"):
        source(s3_server, kee="${LAKE_ID}")
