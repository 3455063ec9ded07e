"""Tests of where files lie: the same source on a disk and on a server that speaks S3."""

from __future__ import annotations

import traceback
import uuid
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
    found = boto3.resource("s3", endpoint_url=s3_server, region_name="us-east-1").Bucket(uuid.uuid4().hex)
    found.create()
    return found


def source_at(tmp_path: Path, location: str, endpoint: str = "${S3_SERVER}") -> Source:
    """The source with CSV files at this address."""
    server = {"server": "lake", "type": "s3", "format": "csv", "location": location, "endpointUrl": endpoint}
    return open_source(managed_sales(tmp_path, lambda d: d.update(servers=[server])))


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
    with pytest.raises(SourceError, match=r"/sales: no such directory; the contract's servers\.0 says"):
        source_at(tmp_path, f"s3://{bucket.name}/sales/{{batch}}.csv").batches()


def test_unreachable_service_tells_no_secret(bucket: Any, tmp_path: Path) -> None:
    """A service that does not answer is named by the contract's address, without the account."""
    source = source_at(tmp_path, f"s3://{bucket.name}/{{batch}}.csv", "http://127.0.0.1:1")

    with pytest.raises(SourceError, match=f"s3://{bucket.name}: cannot be looked into") as caught:
        source.batches()

    assert CANARY not in "".join(traceback.format_exception(caught.value))
