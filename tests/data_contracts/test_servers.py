"""Tests of servers: every form that can be read, and no secret in clear."""

import re
from datetime import date
from pathlib import Path

import pytest

from data_contracts.contract import Contract, ContractError
from tests.sample_contract import Document, sample_contract

CANARY = "c4nary"


def custom(**values: str) -> list[Document]:
    """Custom properties with these values."""
    return [{"property": name, "value": value} for name, value in values.items()]


POSTGRES = {"type": "postgresql", "host": "h", "port": 5432, "database": "d", "schema": "shop"}


def test_postgresql(tmp_path: Path) -> None:
    """Address, account and table come from the server and the contract's table; the password stays
    a variable.
    """
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
        (
            {**POSTGRES, "customProperties": custom(password=CANARY + "${X}")},
            "customProperties.password",
        ),
        (
            {"type": "custom", "customProperties": custom(url=f"postgresql://u:{CANARY}@h/d")},
            "customProperties.url",
        ),
        (
            {
                "type": "custom",
                "customProperties": custom(url=f"postgresql://u:${{X}}{CANARY}@h/d"),
            },
            "customProperties.url",
        ),
        (
            {
                "type": "custom",
                "customProperties": custom(url=f"postgresql://h/d?password={CANARY}"),
            },
            "customProperties.url",
        ),
        (
            {"type": "s3", "format": "csv", "location": f"s3://u:{CANARY}@bucket/{{batch}}.csv"},
            "location",
        ),
        (
            {
                "type": "s3",
                "format": "csv",
                "location": "s3://b/x.csv",
                "endpointUrl": f"https://u:{CANARY}@h",
            },
            "endpointUrl",
        ),
        (
            {"type": "azure", "format": "csv", "location": f"abfs://c/x.csv?sig={CANARY}"},
            "location",
        ),
        (
            {
                "type": "azure",
                "format": "csv",
                "location": "abfs://c/{batch}.csv",
                "customProperties": [
                    {"property": "storageOptions", "value": {"account_key": CANARY}}
                ],
            },
            "customProperties.storageOptions.account_key",
        ),
    ],
)
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


def test_query(tmp_path: Path) -> None:
    """One SELECT stands in the place of the table; what is more, or less, is refused."""
    sound = "WITH a AS (SELECT 1) SELECT * FROM a"

    def server(query: str) -> Document:
        return {"server": "db", **POSTGRES, "customProperties": custom(query=query)}

    found = sample_contract(tmp_path, lambda d: d.update(servers=[server(f"\n{sound}\n")])).server
    assert found.query == sound
    for wrong in ("", "DELETE FROM a", "selection", "SELECT 1; DROP TABLE a"):
        with pytest.raises(
            ContractError, match=r"servers\.0\.customProperties\.query: expected one SELECT"
        ):
            sample_contract(tmp_path, lambda d, wrong=wrong: d.update(servers=[server(wrong)]))


@pytest.mark.parametrize("location", ["s3://bucket", "s3://*/x.csv", "https://bucket/x.csv"])
def test_s3_needs_bucket_and_key(tmp_path: Path, location: str) -> None:
    """Without a bucket there is nothing to look into."""
    server = {"server": "lake", "type": "s3", "format": "csv", "location": location}

    with pytest.raises(
        ContractError, match=r"servers\.0\.location: expected an address such as 's3://bucket"
    ):
        sample_contract(tmp_path, lambda d: d.update(servers=[server]))


@pytest.mark.parametrize("value", ["x", {"a": {"b": "c"}}, {"a": 1}])
def test_storage_options_are_texts(tmp_path: Path, value: object) -> None:
    """Anything else than one text for each option is refused, and not shown."""
    custom = [{"property": "storageOptions", "value": value}]
    server = {
        "server": "lake",
        "type": "custom",
        "format": "csv",
        "location": "gs://b/x.csv",
        "customProperties": custom,
    }

    with pytest.raises(
        ContractError,
        match=r"storageOptions: expected options with one text each, .* found another value",
    ):
        sample_contract(tmp_path, lambda d: d.update(servers=[server]))


@pytest.mark.parametrize(
    "server", [{"type": "azure"}, {"type": "custom", "location": "no-address"}]
)
def test_files_elsewhere_need_an_address(tmp_path: Path, server: Document) -> None:
    """A location is an address with a scheme."""
    where = {"server": "lake", "format": "csv", "location": "in/{batch}.csv"} | server

    with pytest.raises(ContractError, match=r"servers\.0\.location: expected an address such as"):
        sample_contract(tmp_path, lambda d: d.update(servers=[where]))


def test_block_as_a_password(tmp_path: Path) -> None:
    """A reference to a Prefect block is no secret in clear."""
    reference = "{{ prefect.blocks.secret.shop-password }}"
    server = {"server": "db", **POSTGRES, "customProperties": custom(password=reference)}

    assert (
        sample_contract(tmp_path, lambda d: d.update(servers=[server])).server.password == reference
    )


# --- several servers ------------------------------------------------------------------------------


def several(tmp_path: Path, *servers: tuple[str, str]) -> Contract:
    """A contract with servers of these names and environments."""
    document = [
        {"server": name, "type": "local", "format": "csv", "path": f"{name}/{{batch}}.csv"}
        | ({"environment": environment} if environment else {})
        for name, environment in servers
    ]
    return sample_contract(tmp_path, lambda d: d.update(servers=document))


@pytest.mark.parametrize(
    ("servers", "wanted", "found"),
    [
        ((("a", ""),), "", "a"),
        ((("a", ""),), "prod", "a"),
        ((("a", "test"), ("b", "prod")), "prod", "b"),
        ((("a", "test"), ("b", "prod")), "a", "a"),
        ((("a", "prod"), ("b", "prod")), "b", "b"),
    ],
)
def test_server_is_chosen(
    tmp_path: Path, servers: tuple[tuple[str, str], ...], wanted: str, found: str
) -> None:
    """By its name or its environment; one without an environment serves in all of them."""
    assert several(tmp_path, *servers).at(wanted).server.name == found


@pytest.mark.parametrize(
    ("servers", "wanted", "found"),
    [
        ((("a", "test"), ("b", "prod")), "", "it not set"),
        ((("a", ""), ("b", "")), "", "it not set"),
        ((("a", "test"), ("b", "prod")), "stage", "'stage'"),
        ((("a", "prod"), ("b", "prod")), "prod", "'prod'"),
        ((("a", "test"),), "prod", "'prod'"),
    ],
)
def test_ambiguous_server_is_refused(
    tmp_path: Path, servers: tuple[tuple[str, str], ...], wanted: str, found: str
) -> None:
    """None is taken by chance: the error names them, and the variable that decides."""
    contract = several(tmp_path, *servers)

    with pytest.raises(
        ContractError,
        match=rf"servers: expected KINGMAKER_SERVER to name one of \['a.*, found {found}",
    ):
        contract.at(wanted)
    if len(servers) > 1:
        with pytest.raises(ContractError, match="KINGMAKER_SERVER"):
            _ = contract.server


def test_every_server_is_checked(tmp_path: Path) -> None:
    """One that is not chosen holds no secret in clear either, and no two have one name."""
    bad = {"server": "db", **POSTGRES, "customProperties": custom(password=CANARY)}
    with pytest.raises(ContractError, match=r"servers\.1\.customProperties\.password"):
        sample_contract(tmp_path, lambda d: d["servers"].append(bad))
    with pytest.raises(
        ContractError, match=r"servers: expected each server once, found \['till'\] more than once"
    ):
        sample_contract(tmp_path, lambda d: d["servers"].append(d["servers"][0]))


def test_how_text_is_written(tmp_path: Path) -> None:
    """Each key of the dialect comes through; none means that there is none."""
    given = [
        {"property": "delimiter", "value": "\t"},
        {"property": "quote", "value": "none"},
        {"property": "escape", "value": "\\"},
        {"property": "skipLines", "value": 2},
        {"property": "decimal", "value": ","},
        {"property": "thousands", "value": "."},
        {"property": "missingValues", "value": ["", "-999"]},
    ]

    server = sample_contract(
        tmp_path, lambda d: d["servers"][0].update(customProperties=given)
    ).server

    assert (server.delimiter, server.quote, server.escape, server.skip_lines) == ("\t", "", "\\", 2)
    assert (server.decimal, server.thousands, server.missing) == (",", ".", ("", "-999"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("quote", "ab", "quote: expected one ASCII character, or none, found 'ab'"),
        ("decimal", ";", "decimal: expected '.' or ',', found ';'"),
        ("thousands", ".", "decimal: expected another than the thousands, found '.'"),
        ("skipLines", "two", "skipLines: expected a number of lines, found 'two'"),
        ("skipLines", True, "skipLines: expected a number of lines, found True"),
        ("missingValues", [-999], "missingValues: expected a list of texts in quotes"),
        ("delimiter", '"', "delimiter: expected one ASCII character"),
    ],
)
def test_dialect_that_cannot_be_is_refused(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    """By its key, with what was found."""
    custom = [{"property": key, "value": value}]

    with pytest.raises(ContractError, match=re.escape(message)):
        sample_contract(tmp_path, lambda d: d["servers"][0].update(customProperties=custom))


def test_parquet_has_no_dialect(tmp_path: Path) -> None:
    """A key that would mean nothing is refused."""
    server = {"format": "parquet", "customProperties": [{"property": "decimal", "value": ","}]}

    with pytest.raises(ContractError, match="found 'decimal'"):
        sample_contract(tmp_path, lambda d: d["servers"][0].update(server))


API = {
    "type": "api",
    "location": "https://api.example.com/v1/sales",
}
ASKED = {"since": "2024-01-01", "period": {"start": "from", "end": "to"}}


def _api(**changes: object) -> Document:
    keys = {name: value for name, value in changes.items() if name == "location"}
    asked = ASKED | {name: value for name, value in changes.items() if name not in keys}
    given = [{"property": n, "value": v} for n, v in asked.items() if v is not None]
    return {"server": "api", **API, **keys, "customProperties": given}


def test_api(tmp_path: Path) -> None:
    """Every part of the question comes from the server; the token stays a variable."""
    pages = {"by": "cursor", "param": "after", "from": "meta.next"}
    server = _api(token="${TOKEN}", records="data.items", params={"a": "b"}, pages=pages)  # noqa: S106 - a variable

    found = sample_contract(tmp_path, lambda d: d.update(servers=[server])).server.api

    assert found is not None
    assert (found.since, found.start, found.end) == (date(2024, 1, 1), "from", "to")
    assert (found.pages, found.page_param, found.cursor) == ("cursor", "after", "meta.next")
    assert (found.records, found.params, found.token) == ("data.items", (("a", "b"),), "${TOKEN}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": "xml"}, "customProperties.answers: expected 'json' or 'csv', found 'xml'"),
        ({"delimiter": ";"}, "customProperties: expected one of ['answers', 'since', "),
        ({"location": "ftp://h/x"}, "location: expected an address such as 'https://api"),
        ({"location": f"https://u:{CANARY}@h/x"}, "location: expected its secret as a reference"),
        ({"since": "now"}, "customProperties.since: expected a day in quotes, such as '2024"),
        ({"since": None}, "customProperties.since: expected a day in quotes, such as '2024"),
        ({"period": {"start": "from"}}, "customProperties.period: expected the query parameters"),
        ({"token": CANARY}, "customProperties.token: expected its secret as a reference"),
        ({"params": {"api_key": CANARY}}, "customProperties.params.api_key: expected its secret"),
        ({"params": {"a": 1}}, "customProperties.params: expected options with one text each"),
        ({"records": "a..b"}, "customProperties.records: expected names with dots"),
        ({"answers": "csv", "total": "count"}, "customProperties.total: expected none of a CSV"),
        ({"pages": {"by": "pages"}}, "customProperties.pages: expected {by: one of ['page', "),
        ({"pages": {"by": "page"}}, "customProperties.pages: expected a text for each of ['by'"),
        ({"pages": "link"}, "customProperties.pages: expected {by: one of"),
        ({"sinse": "2024-01-01"}, "customProperties: expected one of ['answers', 'since', "),
    ],
)
def test_api_refused_by_name(tmp_path: Path, changes: Document, message: str) -> None:
    """What cannot be asked, or shows a secret, is refused by its place."""
    with pytest.raises(ContractError) as caught:
        sample_contract(tmp_path, lambda d: d.update(servers=[_api(**changes)]))

    assert f"servers.0.{message}" in str(caught.value)
    assert CANARY not in str(caught.value)
