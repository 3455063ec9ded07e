"""Tests of files that predictions are delivered to: on a disk, and on a server that speaks S3."""

from __future__ import annotations

import io
import traceback
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tasks.records import ServedPart
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import delivered_rows
from tasks.scoring.sinks.sink import SinkError
from tests.tasks.scoring.served_sales import (
    open_table,
    sales_contract,
    scored_sales,
    served_sales,
)
from tests.tasks.scoring.sinks.places import sink_of

CANARY = "c4naryc4nary"
CONFIG = ScoringConfig(include=("shop",))


def part_of(home: Path, version: int, rows: int = 6) -> ServedPart:
    """Rows that a version was asked for, in the lake of ``home``."""
    contract = sales_contract(home / "contract")
    scored = scored_sales(contract, open_table(contract, rows), version=version)
    return served_sales(home / "home" / "lake", contract, scored, number=version)


def deliver(sink: Any, *parts: ServedPart) -> None:
    """Deliver each part when those up to it are there."""
    lake = sink.place.managed.settings.lake
    for number, part in enumerate(parts, 1):
        rows = delivered_rows(lake, part, sink.place.contract, CONFIG)
        sink.deliver(part, rows, parts[:number])


@pytest.mark.parametrize("end", ["parquet", "csv"])
def test_a_file_each_time_or_one_a_batch(tmp_path: Path, end: str) -> None:
    """With the part in its path each time has its file; without it a batch has the newest."""
    parts = [part_of(tmp_path, 1), part_of(tmp_path, 2, rows=2)]

    deliver(sink_of(tmp_path, path=f"out/{{model}}/{{batch}}-{{part}}.{end}"), *parts)
    deliver(sink_of(tmp_path, path=f"out/all-{{batch}}.{end}"), *parts)
    deliver(sink_of(tmp_path, path=f"out/all-{{batch}}.{end}"), *parts)

    out = tmp_path / "project" / "out"
    read = pq.read_table if end == "parquet" else csv.read_csv
    files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert files == [
        f"all-2013-05-17.{end}",
        f"sales/2013-05-17-000001.{end}",
        f"sales/2013-05-17-000002.{end}",
    ]
    assert read(out / files[1]).num_rows == 6
    assert read(out / files[2])["version"].to_pylist() == ["v2", "v2"]
    whole = read(out / files[0])
    assert whole["version"].to_pylist() == ["v2", "v2", "v1", "v1", "v1", "v1"]
    assert whole.column_names == [
        "sold_at",
        "id",
        "shop",
        "prediction",
        "version",
        "batch",
        "scored_at",
        "part",
    ]


def test_a_place_that_cannot_be_written_keeps_what_is_there(tmp_path: Path) -> None:
    """The file of before stays whole, and the sentence names the sink and the path."""
    first, second = part_of(tmp_path, 1), part_of(tmp_path, 2)
    sink = sink_of(tmp_path, path="out/{batch}.csv")
    deliver(sink, first)
    file = tmp_path / "project" / "out" / "2013-05-17.csv"
    before = file.read_bytes()
    (tmp_path / "project" / "out" / ".2013-05-17.csv.unfinished").mkdir()

    with pytest.raises(SinkError, match=r"sink desk: .*2013-05-17\.csv: cannot be written"):
        deliver(sink, first, second)

    assert file.read_bytes() == before


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A new bucket."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("DESK_S3", s3_server)
    monkeypatch.setenv("DESK_KEY", CANARY + "id")
    monkeypatch.setenv("DESK_SECRET", CANARY)
    resource = boto3.resource("s3", endpoint_url=s3_server, region_name="us-east-1")
    found = resource.Bucket(uuid.uuid4().hex)
    found.create()
    return found


OPTIONS = {"key": "${DESK_KEY}", "secret": "${DESK_SECRET}", "region": "us-east-1"}


def test_files_on_s3(bucket: Any, tmp_path: Path) -> None:
    """The same files, by an account whose secrets are references."""
    sink = sink_of(
        tmp_path,
        path=f"s3://{bucket.name}/told/{{batch}}/{{part}}.parquet",
        endpoint="${DESK_S3}",
        options=OPTIONS,
    )

    deliver(sink, part_of(tmp_path, 1), part_of(tmp_path, 2, rows=2))

    keys = [item.key for item in bucket.objects.all()]
    assert keys == ["told/2013-05-17/000001.parquet", "told/2013-05-17/000002.parquet"]
    body = bucket.Object(keys[1]).get()["Body"].read()
    assert pq.read_table(io.BytesIO(body))["version"].to_pylist() == ["v2", "v2"]


def test_a_bucket_that_is_not_there_is_named_without_the_account(
    bucket: Any, tmp_path: Path
) -> None:
    """One sentence, and no secret in it or in what caused it."""
    sink = sink_of(
        tmp_path,
        path="s3://no-such-bucket-here/{batch}.csv",
        endpoint="${DESK_S3}",
        options=OPTIONS,
    )

    with pytest.raises(SinkError, match="sink desk: s3://no-such-bucket-here/") as caught:
        deliver(sink, part_of(tmp_path, 1))

    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_an_option_that_s3_does_not_have_is_refused(bucket: Any, tmp_path: Path) -> None:
    """Named with those that it has."""
    sink = sink_of(
        tmp_path, path="s3://x/{batch}.csv", endpoint="${DESK_S3}", options={"acl": "public"}
    )

    with pytest.raises(SinkError, match=r"expected some of \['key', .*found \['acl'\]"):
        deliver(sink, part_of(tmp_path, 1))


def test_any_other_file_system(tmp_path: Path) -> None:
    """What fsspec can open is an address: here its memory, which shows a file when it is whole."""
    import fsspec

    name = uuid.uuid4().hex
    deliver(sink_of(tmp_path, path=f"memory://{name}/{{batch}}.parquet"), part_of(tmp_path, 1))

    with fsspec.filesystem("memory").open(f"/{name}/2013-05-17.parquet") as file:
        assert pq.read_table(file).num_rows == 6


def test_an_address_that_nothing_can_open_is_named(tmp_path: Path) -> None:
    """With what is missing."""
    with pytest.raises(SinkError, match=r"sink desk: nosuch://x/.*: cannot be written"):
        deliver(sink_of(tmp_path, path="nosuch://x/{batch}.csv"), part_of(tmp_path, 1))
