"""Tests of the compiler: every promise becomes a rule, and whatever would be ignored is refused by name."""

import copy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data_contracts.contract import Contract, ContractError, Rule
from tests.sample_contract import Document, column, sample_contract


def rule(contract: Contract, id: str) -> Rule:
    """The contract's rule with this id."""
    return next(rule for rule in contract.rules if rule.id == id)


def with_quality(name: str, **quality: Any) -> Callable[[Document], object]:
    """Change: one more quality rule on the column ``name``."""
    return lambda document: column(document, name).setdefault("quality", []).append(quality)


def with_options(name: str, **options: Any) -> Callable[[Document], object]:
    """Change: other type options of the column ``name``."""
    return lambda document: column(document, name).update(logicalTypeOptions=options)


def test_one_of_everything(tmp_path: Path) -> None:
    """The sample contract gives exactly these rules."""
    assert [rule.id for rule in sample_contract(tmp_path).rules] == [
        *(f"{name}:present" for name in sample_contract(tmp_path).column_names),
        "columns:known",
        "sold_at:type", "sold_at:not_null",
        "id:type", "id:not_null",
        "shop:type", "shop:not_null", "shop:in_set",
        "amount:type", "amount:between", "amount:null_share",
        "note:type", "note:length_between",
        "till:type",
        "paid_on:type",
        "email:type", "email:matches",
        "returned:type",
        "key:unique",
        "sold_at:within_batch",
        "batch:row_count",
    ]  # fmt: skip


def test_bounds_are_open_or_closed_as_written(tmp_path: Path) -> None:
    """``minimum`` is allowed itself, ``exclusiveMaximum`` is not."""
    assert rule(sample_contract(tmp_path), "amount:between").arguments == {
        "min": 0, "max": 1000, "strict_min": False, "strict_max": True,
    }  # fmt: skip


def test_event_time_and_key_must_have_values(tmp_path: Path) -> None:
    """A row without event time lies in no batch, a row without key cannot be told from another."""
    contract = sample_contract(tmp_path)

    assert contract.column("sold_at").required
    assert contract.column("id").required


def test_key_stands_in_the_order_of_its_positions(tmp_path: Path) -> None:
    """``primaryKeyPosition`` orders the key, not the order of the columns."""

    def swap(document: Document) -> None:
        column(document, "sold_at")["primaryKeyPosition"] = 2
        column(document, "id")["primaryKeyPosition"] = 1

    assert sample_contract(tmp_path, swap).key == ("id", "sold_at")


def test_prose_is_not_a_rule(tmp_path: Path) -> None:
    """The standard's ``text`` quality describes and promises nothing."""
    before = sample_contract(tmp_path).rules

    assert sample_contract(tmp_path, with_quality("note", type="text", description="nice")).rules == before


@pytest.mark.parametrize(
    ("unit", "span"),
    [("s", timedelta(seconds=2)), ("min", timedelta(minutes=2)), ("h", timedelta(hours=2)),
     ("days", timedelta(days=2)), ("w", timedelta(weeks=2))],
)  # fmt: skip
def test_latency_and_freshness(tmp_path: Path, unit: str, span: timedelta) -> None:
    """Units mean what they say: months are not minutes."""
    sla = [{"property": name, "value": 2, "unit": unit} for name in ("latency", "freshness", "retention")]

    contract = sample_contract(tmp_path, lambda d: d.update(slaProperties=sla))

    assert contract.lateness == span
    assert rule(contract, "sold_at:fresh").arguments == {"seconds": span.total_seconds()}


@pytest.mark.parametrize(
    ("operator", "limits"),
    [({"mustBe": 5}, (5, 5)), ({"mustBeBetween": [2, 5]}, (2, 5)), ({"mustBeGreaterOrEqualTo": 2}, (2, None)),
     ({"mustBeLessOrEqualTo": 5}, (None, 5)), ({"mustBeGreaterThan": 2}, (3, None)),
     ({"mustBeGreaterThan": 2.5}, (3, None)), ({"mustBeLessThan": 5}, (None, 4)),
     ({"mustBeLessThan": 4.5}, (None, 4))],
)  # fmt: skip
def test_operators_of_a_count(tmp_path: Path, operator: dict[str, Any], limits: tuple[Any, Any]) -> None:
    """Every operator that a count of rows can have becomes inclusive limits."""

    def change(document: Document) -> None:
        document["schema"][0]["quality"] = [{"metric": "rowCount", **operator}]

    assert tuple(rule(sample_contract(tmp_path, change), "batch:row_count").arguments.values()) == limits


def test_table_wide_duplicates(tmp_path: Path) -> None:
    """``duplicateValues`` on the table names its columns."""

    def change(document: Document) -> None:
        document["schema"][0]["quality"].append(
            {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["shop", "id"]}}
        )

    assert rule(sample_contract(tmp_path, change), "shop+id:unique").columns == ("shop", "id")


def _two_tables(document: Document) -> None:
    document["schema"].append(copy.deepcopy(document["schema"][0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_two_tables, "schema: expected exactly one table, found 2"),
        (lambda d: d.pop("schema"), "schema: expected exactly one table, found 0"),
        (lambda d: d["schema"][0].update(properties=[]), "schema.0.properties: expected at least one column"),
        (
            lambda d: d["schema"][0]["properties"].append({"name": "id", "logicalType": "integer"}),
            "schema.0.properties: expected each column once, found ['id'] more than once",
        ),
        (
            lambda d: d["schema"][0].pop("customProperties"),
            "schema.0.customProperties.eventTime: expected the name of a timestamp column, one of ['sold_at'], "
            "found None",
        ),
        (
            lambda d: d["schema"][0].update(customProperties=[{"property": "eventTime", "value": "paid_on"}]),
            "schema.0.customProperties.eventTime: expected the name of a timestamp column",
        ),
        (
            lambda d: d["schema"][0].update(customProperties=[{"property": "evenTime", "value": "sold_at"}]),
            "schema.0.customProperties: expected one of ['eventTime'], once, found 'evenTime' (did you mean "
            "'eventTime'?)",
        ),
        (
            with_options("sold_at", defaultTimezone="America/NewYork"),
            "sold_at.logicalTypeOptions.defaultTimezone: expected an IANA time zone, found 'America/NewYork' "
            "(did you mean 'America/New_York'?)",
        ),
        (
            lambda d: d["schema"][0]["properties"].append(
                {"name": "t", "logicalType": "timestamp", "logicalTypeOptions": {"defaultTimezone": "UTC"}}
            ),
            "t.logicalTypeOptions.defaultTimezone: expected the zone of sold_at, America/New_York, found 'UTC'",
        ),
        (
            lambda d: column(d, "shop").update(logicalType="array"),
            "schema.0.properties.2.logicalType (shop): expected one of ['string', 'integer', 'number', 'boolean', "
            "'timestamp', 'date'], found 'array'",
        ),
        (
            lambda d: column(d, "shop").update(customProperties=[{"property": "availability", "value": "soon"}]),
            "schema.0.properties.2.availability: expected 'atEventTime' or 'later', found 'soon'",
        ),
        (
            lambda d: column(d, "sold_at").update(
                customProperties=[{"property": "availability", "value": "later"}]
            ),
            "schema.0.properties.0.availability: expected 'atEventTime' for the event time",
        ),
        (
            lambda d: column(d, "till").update(customProperties=[{"property": "featureKind", "value": "code"}]),
            "schema.0.properties.5.featureKind: expected 'categorical' or 'numerical', found 'code'",
        ),
        (
            lambda d: column(d, "till").update(customProperties=[{"property": "units", "value": "m"}]),
            "schema.0.properties.5.customProperties: expected one of",
        ),
        (
            lambda d: column(d, "email").update(classification="persnal"),
            "schema.0.properties.7.classification (email): expected one of ['public', ",
        ),
        (
            with_options("till", multipleOf=3),
            "schema.0.properties.5.logicalTypeOptions (till): expected minimum, maximum",
        ),
        (
            with_options("amount", minimum=2, maximum=1),
            "schema.0.properties.3.logicalTypeOptions: expected the smaller bound first, found 2 and 1",
        ),
        (
            with_options("amount", minimum=2, exclusiveMinimum=1),
            "schema.0.properties.3.logicalTypeOptions: expected minimum or exclusiveMinimum, found both",
        ),
        (
            with_options("amount", minimum=float("nan")),
            "schema.0.properties.3.logicalTypeOptions.minimum (amount): expected a finite number, found nan",
        ),
        (
            with_options("paid_on", minimum="yesterday"),
            "schema.0.properties.6.logicalTypeOptions.minimum (paid_on): expected a date in ISO 8601",
        ),
        (
            with_options("note", pattern="["),
            "schema.0.properties.4.logicalTypeOptions.pattern: expected a regular expression, found '['",
        ),
        (
            lambda d: column(d, "note").update(enum=[{"value": "yes"}, {"value": False}]),
            "schema.0.properties.4.enum: expected values of type string, found False (YAML reads yes, no",
        ),
        (
            with_quality("note", type="sql", query="SELECT 1", mustBe=1),
            "schema.0.properties.4.quality.0.type: expected a library rule, found 'sql'",
        ),
        (
            with_quality("note", type="custom", engine="soda", implementation="x"),
            "schema.0.properties.4.quality.0.type: expected a library rule, found 'custom'",
        ),
        (
            with_quality("note", metric="nullValues", mustBe=0, severity="eror"),
            "schema.0.properties.4.quality.0.severity: expected one of ['error', 'warning', 'info'], found 'eror' "
            "(did you mean 'error'?)",
        ),
        (
            with_quality("note", metric="nullValues", mustBeLessThan=0.5, unit="furlong"),
            "schema.0.properties.4.quality.0.unit: expected 'rows' or 'percent', found 'furlong'",
        ),
        (with_quality("note", metric="nullValues", mustBe="none"), "schema.0.properties.4.quality.0: expected mustBe"),
        (
            with_quality("note", metric="nullValues", mustNotBe=0),
            "schema.0.properties.4.quality.0: expected mustBe a number",
        ),
        (
            with_quality("note", metric="nullValues", mustBeLessThan=5),
            "schema.0.properties.4.quality.0: expected a rule that can be compiled",
        ),
        (
            with_quality("note", metric="missingValues", mustBe=0, arguments={"missingValues": ["n/a"]}),
            "schema.0.properties.4.quality.0: expected a rule that can be compiled",
        ),
        (
            with_quality("note", metric="missingValues", mustBeBetween=[5, 10], unit="percent"),
            "schema.0.properties.4.quality.0: expected a rule that can be compiled",
        ),
        (
            with_quality(
                "note", metric="invalidValues", mustBe=0, arguments={"validValues": ["a"], "pattern": "a"}
            ),
            "schema.0.properties.4.quality.0: expected a rule that can be compiled",
        ),
        (
            with_quality("note", metric="duplicateValues", mustBe=0, arguments={"properties": ["nope"]}),
            "schema.0.properties.4.quality.0.arguments.properties: expected a column, found 'nope' (did you mean "
            "'note'?)",
        ),
        (
            with_quality("shop", metric="nullValues", mustBe=0),
            "rules: expected each rule once, found shop:not_null more than once",
        ),
        (
            lambda d: d["schema"][0]["quality"].append({"metric": "nullValues", "mustBe": 0}),
            "schema.0.quality.1: expected a rule that can be compiled",
        ),
        (
            lambda d: d.update(slaProperties=[{"property": "latency", "value": 1, "unit": "month"}]),
            "slaProperties.0: expected a number that is not negative, with unit s, m, h, d or w, found 1 'month'",
        ),
        (
            lambda d: d.update(slaProperties=2 * [{"property": "latency", "value": 1, "unit": "d"}]),
            "slaProperties.1: expected latency once",
        ),
        (lambda d: d.pop("servers"), "servers: expected where the data comes from, found none"),
        (
            lambda d: d["servers"][0].update(format="delta"),
            "servers.0.format: expected 'csv', 'json' or 'parquet', found 'delta'",
        ),
        (
            lambda d: d.update(servers=[{"server": "x", "type": "kafka", "host": "h:1"}]),
            "servers.0.type: expected one of ['local', 's3', 'postgresql', 'postgres', 'duckdb', 'custom'], found 'kafka'",
        ),
        (
            lambda d: d["servers"][0].update(customProperties=[{"property": "delimeter", "value": ";"}]),
            "servers.0.customProperties: expected one of ['delimiter'], once, found 'delimeter' (did you mean 'delimiter'?)",
        ),
        (
            lambda d: d["servers"][0].update(customProperties=[{"property": "delimiter", "value": "||"}]),
            "servers.0.customProperties.delimiter: expected one ASCII character, such as ';' or a tab, found '||'",
        ),
        (
            lambda d: d["servers"][0].update(encoding="utf-99"),
            "servers.0.encoding: expected the name of an encoding, such as UTF-8, found 'utf-99'",
        ),
    ],
)  # fmt: skip
def test_refused_by_name(tmp_path: Path, change: Callable[[Document], object], message: str) -> None:
    """A promise that we would not keep is refused: file, key path, expected, found, nearest name."""
    with pytest.raises(ContractError) as caught:
        sample_contract(tmp_path, change)

    assert str(caught.value).startswith(f"{tmp_path / 'sales.odcs.yaml'}: {message}")
