"""Tests of the compiler: every promise becomes a rule, and whatever would be ignored is refused by
name.
"""

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
        "sold_at:type",
        "sold_at:not_null",
        "id:type",
        "id:not_null",
        "shop:type",
        "shop:not_null",
        "shop:in_set",
        "amount:type",
        "amount:between",
        "amount:null_share",
        "note:type",
        "note:length_between",
        "till:type",
        "paid_on:type",
        "email:type",
        "email:matches",
        "returned:type",
        "key:unique",
        "sold_at:within_batch",
        "batch:row_count",
    ]


def test_bounds_are_open_or_closed_as_written(tmp_path: Path) -> None:
    """``minimum`` is allowed itself, ``exclusiveMaximum`` is not."""
    assert rule(sample_contract(tmp_path), "amount:between").arguments == {
        "min": 0,
        "max": 1000,
        "strict_min": False,
        "strict_max": True,
    }


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

    assert (
        sample_contract(tmp_path, with_quality("note", type="text", description="nice")).rules
        == before
    )


@pytest.mark.parametrize(
    ("unit", "span"),
    [
        ("s", timedelta(seconds=2)),
        ("min", timedelta(minutes=2)),
        ("h", timedelta(hours=2)),
        ("days", timedelta(days=2)),
        ("w", timedelta(weeks=2)),
    ],
)
def test_latency_and_freshness(tmp_path: Path, unit: str, span: timedelta) -> None:
    """Units mean what they say: months are not minutes."""
    sla = [
        {"property": name, "value": 2, "unit": unit}
        for name in ("latency", "freshness", "retention")
    ]

    contract = sample_contract(tmp_path, lambda d: d.update(slaProperties=sla))

    assert contract.lateness == span
    assert rule(contract, "sold_at:fresh").arguments == {"seconds": span.total_seconds()}


@pytest.mark.parametrize(
    ("operator", "limits"),
    [
        ({"mustBe": 5}, (5, 5)),
        ({"mustBeBetween": [2, 5]}, (2, 5)),
        ({"mustBeGreaterOrEqualTo": 2}, (2, None)),
        ({"mustBeLessOrEqualTo": 5}, (None, 5)),
        ({"mustBeGreaterThan": 2}, (3, None)),
        ({"mustBeGreaterThan": 2.5}, (3, None)),
        ({"mustBeLessThan": 5}, (None, 4)),
        ({"mustBeLessThan": 4.5}, (None, 4)),
    ],
)
def test_operators_of_a_count(
    tmp_path: Path, operator: dict[str, Any], limits: tuple[Any, Any]
) -> None:
    """Every operator that a count of rows can have becomes inclusive limits."""

    def change(document: Document) -> None:
        document["schema"][0]["quality"] = [{"metric": "rowCount", **operator}]

    assert (
        tuple(rule(sample_contract(tmp_path, change), "batch:row_count").arguments.values())
        == limits
    )


@pytest.mark.parametrize(
    ("quality", "id", "scope"),
    [
        ({"metric": "nullValues", "mustBe": 0}, "note:not_null", "row"),
        ({"metric": "nullValues", "mustBeLessThan": 1}, "note:not_null", "row"),
        (
            {"metric": "nullValues", "mustBeLessOrEqualTo": 0, "unit": "percent"},
            "note:not_null",
            "row",
        ),
        (
            {"metric": "nullValues", "mustBeLessThan": 1, "unit": "percent"},
            "note:nullValues",
            "batch",
        ),
        (
            {"metric": "nullValues", "mustBeBetween": [0, 5], "unit": "percent"},
            "note:null_share",
            "batch",
        ),
        ({"metric": "missingValues", "mustBeLessThan": 5}, "note:missingValues", "batch"),
        ({"metric": "missingValues", "mustNotBe": 0}, "note:missingValues", "batch"),
        ({"metric": "duplicateValues", "mustBeLessThan": 5}, "note:duplicateValues", "batch"),
        ({"metric": "nullValues", "mustBe": 0, "id": "own"}, "note:own", "row"),
        ({"metric": "nullValues", "mustBeLessThan": 9, "id": "own"}, "note:own", "batch"),
        (
            {
                "metric": "missingValues",
                "mustBe": 0,
                "arguments": {"missingValues": [None, "n/a"]},
                "id": "own",
            },
            "note:own.not_in_set",
            "row",
        ),
        (
            {
                "type": "sql",
                "query": "SELECT max(length({column})) FROM {table};",
                "mustBeLessThan": 9,
            },
            "note:sql",
            "batch",
        ),
        (
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": "expect_column_values_to_be_null"},
            },
            "note:expect_column_values_to_be_null",
            "row",
        ),
        (
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": "type: ExpectColumnValuesToBeNull\nkwargs: {mostly: 0.5}",
            },
            "note:expect_column_values_to_be_null",
            "batch",
        ),
        (
            {
                "type": "custom",
                "engine": "great-expectations",
                "implementation": {
                    "type": "expect_column_max_to_be_between",
                    "kwargs": {"min_value": 1},
                },
            },
            "note:expect_column_max_to_be_between",
            "batch",
        ),
    ],
)
def test_a_limit_of_none_blames_rows_and_any_other_the_batch(
    tmp_path: Path, quality: dict[str, Any], id: str, scope: str
) -> None:
    """Each kind of quality entry, and the scope that it gets."""
    contract = sample_contract(tmp_path, with_quality("note", severity="warning", **quality))

    assert (rule(contract, id).scope, rule(contract, id).severity) == (scope, "warning")


def test_pattern_and_valid_values_are_two_row_rules(tmp_path: Path) -> None:
    """Each says on its own which rows break it."""
    arguments = {"validValues": ["a"], "pattern": "a"}

    contract = sample_contract(
        tmp_path, with_quality("note", metric="invalidValues", mustBe=0, arguments=arguments)
    )

    assert [rule(contract, f"note:{check}").scope for check in ("in_set", "matches")] == [
        "row",
        "row",
    ]


@pytest.mark.parametrize(
    ("format", "limits"),
    [("i8", (-128, 127)), ("u16", (0, 65535)), ("u64", (0, None)), ("i64", None)],
)
def test_formats_of_integers_are_ranges(
    tmp_path: Path, format: str, limits: tuple[Any, Any] | None
) -> None:
    """As far as the lake's 64 bits leave something to check; beside own bounds, not instead of
    them.
    """
    contract = sample_contract(tmp_path, with_options("till", format=format, minimum=1))

    found = [r.arguments for r in contract.rules if r.id == "till:format"]
    assert [(given["min"], given["max"]) for given in found] == ([limits] if limits else [])
    assert rule(contract, "till:between").arguments["min"] == 1


def test_a_query_is_known_by_the_columns_that_it_names(tmp_path: Path) -> None:
    """Among them a classified one: what it returns is not shown."""
    query = "SELECT count(DISTINCT email) FROM ${table}"

    contract = sample_contract(
        tmp_path,
        lambda d: d["schema"][0]["quality"].append(
            {"type": "sql", "query": query, "mustBeGreaterThan": 1}
        ),
    )

    assert rule(contract, "batch:sql").columns == ("email",)


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
        (
            lambda d: d["schema"][0].update(properties=[]),
            "schema.0.properties: expected at least one column",
        ),
        (
            lambda d: d["schema"][0]["properties"].append({"name": "id", "logicalType": "integer"}),
            "schema.0.properties: expected each column once, found ['id'] more than once",
        ),
        (
            lambda d: d["schema"][0].pop("customProperties"),
            (
                "schema.0.customProperties.eventTime: expected the name of a timestamp column, one"
                " of ['sold_at'], found None"
            ),
        ),
        (
            lambda d: d["schema"][0].update(
                customProperties=[{"property": "eventTime", "value": "paid_on"}]
            ),
            "schema.0.customProperties.eventTime: expected the name of a timestamp column",
        ),
        (
            lambda d: d["schema"][0].update(
                customProperties=[{"property": "evenTime", "value": "sold_at"}]
            ),
            (
                "schema.0.customProperties: expected one of ['eventTime'], once, found 'evenTime'"
                " (did you mean 'eventTime'?)"
            ),
        ),
        (
            with_options("sold_at", defaultTimezone="America/NewYork"),
            (
                "sold_at.logicalTypeOptions.defaultTimezone: expected an IANA time zone, found"
                " 'America/NewYork' (did you mean 'America/New_York'?)"
            ),
        ),
        (
            lambda d: d["schema"][0]["properties"].append(
                {
                    "name": "t",
                    "logicalType": "timestamp",
                    "logicalTypeOptions": {"defaultTimezone": "UTC"},
                }
            ),
            (
                "t.logicalTypeOptions.defaultTimezone: expected the zone of sold_at,"
                " America/New_York, found 'UTC'"
            ),
        ),
        (
            lambda d: column(d, "shop").update(logicalType="array"),
            (
                "schema.0.properties.2.logicalType (shop): expected one of ['string', 'integer',"
                " 'number', 'boolean', 'timestamp', 'date'], found 'array'"
            ),
        ),
        (
            lambda d: column(d, "shop").update(
                customProperties=[{"property": "availability", "value": "soon"}]
            ),
            "schema.0.properties.2.availability: expected 'atEventTime' or 'later', found 'soon'",
        ),
        (
            lambda d: column(d, "sold_at").update(
                customProperties=[{"property": "availability", "value": "later"}]
            ),
            "schema.0.properties.0.availability: expected 'atEventTime' for the event time",
        ),
        (
            lambda d: column(d, "till").update(
                customProperties=[{"property": "featureKind", "value": "code"}]
            ),
            (
                "schema.0.properties.5.featureKind: expected 'categorical' or 'numerical', found"
                " 'code'"
            ),
        ),
        (
            lambda d: column(d, "till").update(
                customProperties=[{"property": "units", "value": "m"}]
            ),
            "schema.0.properties.5.customProperties: expected one of",
        ),
        (
            lambda d: column(d, "email").update(classification="persnal"),
            "schema.0.properties.7.classification (email): expected one of ['public', ",
        ),
        (
            with_options("returned", minimum=0),
            (
                "schema.0.properties.8.logicalTypeOptions (returned): expected none for a boolean,"
                " found 'minimum'"
            ),
        ),
        (
            with_options("amount", minimum=2, maximum=1),
            (
                "schema.0.properties.3.logicalTypeOptions: expected the smaller bound first, found"
                " 2 and 1"
            ),
        ),
        (
            with_options("amount", minimum=2, exclusiveMinimum=1),
            (
                "schema.0.properties.3.logicalTypeOptions: expected minimum or exclusiveMinimum,"
                " found both"
            ),
        ),
        (
            with_options("amount", minimum=float("nan")),
            (
                "schema.0.properties.3.logicalTypeOptions.minimum (amount): expected a finite"
                " number, found nan"
            ),
        ),
        (
            with_options("paid_on", minimum="yesterday"),
            (
                "schema.0.properties.6.logicalTypeOptions.minimum (paid_on): expected a date in ISO"
                " 8601"
            ),
        ),
        (
            with_options("note", pattern="["),
            (
                "schema.0.properties.4.logicalTypeOptions.pattern: expected a regular expression,"
                " found '['"
            ),
        ),
        (
            lambda d: column(d, "note").update(enum=[{"value": "yes"}, {"value": False}]),
            (
                "schema.0.properties.4.enum: expected values of type string, found False (YAML"
                " reads yes, no"
            ),
        ),
        (
            with_options("note", format="e-mail"),
            (
                "schema.0.properties.4.logicalTypeOptions.format (note): expected one of ['email',"
                " 'uuid', 'uri', 'date', 'date-time', 'ipv4', 'ipv6', 'hostname'], found 'e-mail'"
                " (did you mean 'email'?)"
            ),
        ),
        (
            with_quality("note", type="sql", query="DROP TABLE {table}", mustBe=1),
            (
                "schema.0.properties.4.quality.0.query: expected a query: one SELECT that returns"
                " one number, found 'DROP TABLE {table}'"
            ),
        ),
        (
            with_quality("note", type="sql", query="SELECT count(*) FROM {tabel}", mustBe=1),
            (
                "schema.0.properties.4.quality.0.query: expected placeholders among ['{table}',"
                " '{object}', '{column}', '{property}'], found '{tabel}' (did you mean '{table}'?)"
            ),
        ),
        (
            with_quality("note", type="sql", query="SELECT 1", mustBe=1),
            (
                "schema.0.properties.4.quality.0.query: expected {table} in place of the batch,"
                " found 'SELECT 1'"
            ),
        ),
        (
            with_quality(
                "note", type="sql", query="SELECT 1 FROM {table}", mustBe=1, unit="percent"
            ),
            "schema.0.properties.4.quality.0.unit: expected none",
        ),
        (
            with_quality("note", type="custom", engine="soda", implementation="x"),
            "schema.0.properties.4.quality.0.engine: expected 'greatExpectations', found 'soda'",
        ),
        (
            with_quality("note", type="custom", engine="greatExpectations", implementation="x"),
            (
                "schema.0.properties.4.quality.0.implementation: expected a mapping with type and"
                " kwargs, found 'x'"
            ),
        ),
        (
            with_quality(
                "note", type="custom", engine="greatExpectations", implementation={"typ": "x"}
            ),
            (
                "schema.0.properties.4.quality.0.implementation: expected type and kwargs, found"
                " 'typ' (did you mean 'type'?)"
            ),
        ),
        (
            with_quality(
                "note",
                type="custom",
                engine="greatExpectations",
                implementation={
                    "type": "expect_column_max_to_be_between",
                    "kwargs": {"column": "amuont"},
                },
            ),
            (
                "schema.0.properties.4.quality.0.implementation.kwargs.column: expected a column,"
                " found 'amuont' (did you mean 'amount'?)"
            ),
        ),
        (
            with_quality(
                "note",
                type="custom",
                engine="greatExpectations",
                implementation={"type": "expect_column_values_to_be_null", "kwargs": {"meta": {}}},
            ),
            (
                "schema.0.properties.4.quality.0.implementation.kwargs: expected the expectation's"
                " own arguments, found 'meta'"
            ),
        ),
        (
            with_quality("note", metric="nullValues", mustBe=0, severity="eror"),
            (
                "schema.0.properties.4.quality.0.severity: expected one of ['error', 'warning',"
                " 'info'], found 'eror' (did you mean 'error'?)"
            ),
        ),
        (
            with_quality("note", metric="nullValues", mustBeLessThan=0.5, unit="furlong"),
            "schema.0.properties.4.quality.0.unit: expected 'rows' or 'percent', found 'furlong'",
        ),
        (
            with_quality("note", metric="nullValues", mustBe="none"),
            "schema.0.properties.4.quality.0: expected mustBe",
        ),
        (
            with_quality("note", metric="nullValues", mustBeBetween=[5, 1]),
            "schema.0.properties.4.quality.0: expected the smaller limit first",
        ),
        (
            with_quality(
                "note", metric="missingValues", mustBe=0, arguments={"missingValue": ["n/a"]}
            ),
            (
                "schema.0.properties.4.quality.0.arguments: expected one of ['missingValues'],"
                " found 'missingValue' (did you mean 'missingValues'?)"
            ),
        ),
        (
            with_quality(
                "note", metric="missingValues", mustBe=0, arguments={"missingValues": [99]}
            ),
            (
                "schema.0.properties.4.quality.0.arguments.missingValues: expected values of type"
                " string, found 99"
            ),
        ),
        (
            with_quality("note", metric="invalidValues", mustBe=0),
            (
                "schema.0.properties.4.quality.0.arguments: expected validValues, pattern, minimum"
                " or maximum, found none"
            ),
        ),
        (
            with_quality("till", metric="invalidValues", mustBe=0, arguments={"pattern": "a"}),
            (
                "schema.0.properties.5.quality.0.arguments.pattern: expected no pattern on a column"
                " that is not a string"
            ),
        ),
        (
            lambda d: d["schema"][0]["quality"].append(
                {"metric": "rowCount", "mustBe": 1, "unit": "percent"}
            ),
            "schema.0.quality.1.unit: expected 'rows'",
        ),
        (
            with_quality(
                "note", metric="duplicateValues", mustBe=0, arguments={"properties": ["nope"]}
            ),
            (
                "schema.0.properties.4.quality.0.arguments.properties: expected a column, found"
                " 'nope' (did you mean 'note'?)"
            ),
        ),
        (
            with_quality("shop", metric="nullValues", mustBe=0),
            "rules: expected each rule once, found shop:not_null more than once",
        ),
        (
            lambda d: d["schema"][0]["quality"].append({"metric": "nullValues", "mustBe": 0}),
            (
                "schema.0.quality.1: expected rowCount or duplicateValues on the table, found"
                " nullValues"
            ),
        ),
        (
            lambda d: d.update(
                slaProperties=[{"property": "latency", "value": 1, "unit": "month"}]
            ),
            (
                "slaProperties.0: expected a number that is not negative, with unit s, m, h, d or"
                " w, found 1 'month'"
            ),
        ),
        (
            lambda d: d.update(
                slaProperties=2 * [{"property": "latency", "value": 1, "unit": "d"}]
            ),
            "slaProperties.1: expected latency once",
        ),
        (lambda d: d.pop("servers"), "servers: expected where the data comes from, found none"),
        (
            lambda d: d["servers"][0].update(format="delta"),
            "servers.0.format: expected 'csv', 'json' or 'parquet', found 'delta'",
        ),
        (
            lambda d: d.update(servers=[{"server": "x", "type": "kafka", "host": "h:1"}]),
            (
                "servers.0.type: expected one of ['local', 's3', 'azure', 'sftp', 'custom',"
                " 'postgresql', 'postgres', 'duckdb', 'api'], found 'kafka'"
            ),
        ),
        (
            lambda d: d["servers"][0].update(
                customProperties=[{"property": "delimeter", "value": ";"}]
            ),
            (
                "servers.0.customProperties: expected one of ['delimiter', 'quote', 'escape',"
                " 'skipLines', 'decimal', 'thousands', 'missingValues'], once, found 'delimeter'"
                " (did you mean 'delimiter'?)"
            ),
        ),
        (
            lambda d: d["servers"][0].update(
                customProperties=[{"property": "delimiter", "value": "||"}]
            ),
            (
                "servers.0.customProperties.delimiter: expected one ASCII character, such as ';' or"
                " a tab, found '||'"
            ),
        ),
        (
            lambda d: d["servers"][0].update(encoding="utf-99"),
            "servers.0.encoding: expected the name of an encoding, such as UTF-8, found 'utf-99'",
        ),
    ],
)
def test_refused_by_name(
    tmp_path: Path, change: Callable[[Document], object], message: str
) -> None:
    """A promise that we would not keep is refused: file, key path, expected, found, nearest
    name.
    """
    with pytest.raises(ContractError) as caught:
        sample_contract(tmp_path, change)

    assert str(caught.value).startswith(f"{tmp_path / 'sales.odcs.yaml'}: {message}")


def own(name: str, **values: object) -> Callable[[Document], object]:
    """A change: custom properties of a column."""
    items = [{"property": key, "value": value} for key, value in values.items()]
    return lambda document: column(document, name).update(customProperties=items)


def test_how_times_and_booleans_are_read(tmp_path: Path) -> None:
    """Keys of a column that say how its source writes it; a quarantine is a rule of its own."""

    def change(document: Document) -> None:
        own("sold_at", epoch="milliseconds", ambiguousTime="quarantine")(document)
        own("returned", trueValues=[2], falseValues=["1"])(document)
        column(document, "paid_on")["logicalTypeOptions"] = {"format": "dd.MM.yyyy"}

    contract = sample_contract(tmp_path, change)

    sold_at, returned = contract.column("sold_at"), contract.column("returned")
    assert (sold_at.epoch, sold_at.ambiguous) == ("milliseconds", "quarantine")
    assert (returned.true_values, returned.false_values) == (("2",), ("1",))
    assert contract.column("paid_on").format == "dd.MM.yyyy"
    (rule,) = (rule for rule in contract.rules if rule.check == "once_on_clock")
    assert (rule.columns, rule.arguments) == (("sold_at",), {"timezone": "America/New_York"})


def test_limits_that_warn(tmp_path: Path) -> None:
    """A range with a severity of its own, which the standard's options do not have."""
    contract = sample_contract(
        tmp_path,
        with_quality(
            "till",
            metric="invalidValues",
            arguments={"minimum": 0, "maximum": 5},
            mustBe=0,
            severity="warning",
        ),
    )

    (rule,) = (rule for rule in contract.rules if rule.id == "till:between")
    assert rule.severity == "warning"
    assert (rule.arguments["min"], rule.arguments["max"]) == (0, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (own("sold_at", epoch="second"), "epoch: expected one of .* found 'second' .did you mean"),
        (own("sold_at", ambiguousTime="first"), "ambiguousTime: expected one of .* found 'first'"),
        (own("returned", trueValues=["2"]), "trueValues: expected some, and others in falseValues"),
        (own("returned", trueValues=[True], falseValues=["no"]), "put them in quotes"),
        (own("till", epoch="seconds"), "expected one of .* found 'epoch'"),
        (
            lambda d: column(d, "paid_on").update(logicalTypeOptions={"format": "dd.mm.yyyy"}),
            "format .paid_on.: expected a format of Java's DateTimeFormatter .* no month",
        ),
        (
            with_quality("till", metric="invalidValues", arguments={"minimum": "a"}, mustBe=0),
            "expected a finite integer, found 'a'",
        ),
    ],
)
def test_keys_of_a_column_are_refused_by_name(
    tmp_path: Path, change: Callable[[Document], object], message: str
) -> None:
    """What cannot be meant."""
    with pytest.raises(ContractError, match=message):
        sample_contract(tmp_path, change)
