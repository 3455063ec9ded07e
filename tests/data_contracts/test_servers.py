"""Tests of servers: every form that can be read, and no secret in clear."""

from pathlib import Path

import pytest

from data_contracts.contract import ContractError
from tests.sample_contract import Document, sample_contract

CANARY = "c4nary"


def custom(**values: str) -> list[Document]:
    """Custom properties with these values."""
    return [{"property": name, "value": value} for name, value in values.items()]


POSTGRES = {"type": "postgresql", "host": "h", "port": 5432, "database": "d", "schema": "shop"}


def test_postgresql(tmp_path: Path) -> None:
    """Address, account and table come from the server and the contract's table; the password stays a variable."""
    account = custom(username="reader", password="${SALES_PASSWORD}", changedAt="updated_at")  # noqa: S106 - a variable
    server = {"server": "db", **POSTGRES, "customProperties": account}

    found = sample_contract(tmp_path, lambda d: d.update(servers=[server])).server

    assert (found.host, found.port, found.database, found.username) == ("h", "5432", "d", "reader")
    assert (found.schema, found.table, found.changed_at) == ("shop", "sales", "updated_at")
    assert found.password == "${SALES_PASSWORD}"  # noqa: S105 - a variable


def test_physical_name_names_schema_and_table(tmp_path: Path) -> None:
    """``schema.table`` in the contract's table goes before the server's schema."""

    def change(document: Document) -> None:
        document["servers"] = [{"server": "db", **POSTGRES}]
        document["schema"][0]["physicalName"] = "mart.daily_sales"

    found = sample_contract(tmp_path, change).server

    assert (found.schema, found.table) == ("mart", "daily_sales")


@pytest.mark.parametrize(
    ("server", "where"),
    [
        ({**POSTGRES, "customProperties": custom(password=CANARY)}, "customProperties.password"),
        ({**POSTGRES, "customProperties": custom(password=CANARY + "${X}")}, "customProperties.password"),
        ({"type": "custom", "customProperties": custom(url=f"postgresql://u:{CANARY}@h/d")}, "customProperties.url"),
        ({"type": "custom", "customProperties": custom(url=f"postgresql://u:${{X}}{CANARY}@h/d")}, "customProperties.url"),
        ({"type": "custom", "customProperties": custom(url=f"postgresql://h/d?password={CANARY}")}, "customProperties.url"),
        ({"type": "s3", "format": "csv", "location": f"s3://u:{CANARY}@bucket/{{batch}}.csv"}, "location"),
        (
            {"type": "s3", "format": "csv", "location": "s3://b/x.csv", "endpointUrl": f"https://u:{CANARY}@h"},
            "endpointUrl",
        ),
    ],
)  # fmt: skip
def test_secret_in_clear_is_refused(tmp_path: Path, server: Document, where: str) -> None:
    """A password in a contract is refused by its place, and not shown."""
    with pytest.raises(ContractError) as caught:
        sample_contract(tmp_path, lambda d: d.update(servers=[{"server": "db", **server}]))

    assert f"servers.0.{where}: expected its secret as a reference" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_custom_needs_an_address(tmp_path: Path) -> None:
    """``custom`` says nothing by itself."""
    with pytest.raises(
        ContractError, match=r"servers\.0\.customProperties\.url: expected the database's address"
    ):
        sample_contract(tmp_path, lambda d: d.update(servers=[{"server": "db", "type": "custom"}]))


@pytest.mark.parametrize("location", ["s3://bucket", "s3://*/x.csv", "https://bucket/x.csv"])
def test_s3_needs_bucket_and_key(tmp_path: Path, location: str) -> None:
    """Without a bucket there is nothing to look into."""
    server = {"server": "lake", "type": "s3", "format": "csv", "location": location}

    with pytest.raises(
        ContractError, match=r"servers\.0\.location: expected an address such as 's3://bucket"
    ):
        sample_contract(tmp_path, lambda d: d.update(servers=[server]))
