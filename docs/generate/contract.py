"""The reference of data contracts: the keys of the standard that are read, and what they do here.

The standard has its own JSON schema, which every contract is held against when it is loaded. This
one is narrower: it knows only what Kingmaker reads, with the values that it takes, so that editors
complete those. Other keys of the standard are allowed, and are prose to Kingmaker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from data_contracts.contract import Ambiguous, Epoch, LogicalType, Severity
from data_contracts.limits import OPERATORS
from docs.generate.pages import NOTICE, Schema, table, type_text

_TEXT: Mapping[str, Any] = {"type": "string"}
_FLAG: Mapping[str, Any] = {"type": "boolean"}
_NUMBER: Mapping[str, Any] = {"type": "number"}
_WHOLE: Mapping[str, Any] = {"type": "integer"}
_PAIR: Mapping[str, Any] = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_ANY: Mapping[str, Any] = {}

_INTRODUCTION = f"""\
{NOTICE}

# Contract: every key that is read

`data_contracts/<name>.odcs.yaml` is a file of the Open Data Contract Standard (ODCS) v3 with one
table. Every key of the standard is allowed; those below mean something to Kingmaker. What is
checked when, and what a broken rule costs: [contracts](../contracts.md). Where
data may come from, with examples: [sources](../sources.md).

Editors complete and check these keys when the file begins with the path to
[contract.schema.json](contract.schema.json):

```yaml
# yaml-language-server: $schema=../docs/reference/contract.schema.json
```

Custom properties are the standard's place for what it has no key for. They are a list:
`customProperties: [{{property: eventTime, value: ordered_at}}]`.
"""


def _key(kind: Schema, description: str) -> dict[str, Any]:
    return {**kind, "description": description}


def _one_of(values: tuple[object, ...], description: str) -> dict[str, Any]:
    return {"enum": list(values), "description": description}


def _list(of: Schema, description: str, **more: object) -> dict[str, Any]:
    return {"type": "array", "items": of, "description": description, **more}


def _mapping(properties: Schema, *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def _custom(properties: Mapping[str, Schema]) -> dict[str, Any]:
    """A list of custom properties: each name with what its value may be."""
    options = [
        _mapping({"property": {"const": name}, "value": value}, "property", "value")
        for name, value in properties.items()
    ]
    return _list({"anyOf": options}, "What the standard has no key for; listed below.")


COLUMN_PROPERTIES = {
    "availability": _one_of(
        ("atEventTime", "later"),
        "When the value is known. `later`: it can be a label, and is never a feature. Default:"
        " `atEventTime`.",
    ),
    "featureKind": _one_of(
        ("categorical", "numerical"), "`categorical` for a number that is a code, not a quantity."
    ),
    "unit": _key(_TEXT, "The unit of measure, shown in reports."),
    "epoch": _one_of(get_args(Epoch), "Of a time: it is counted in this unit since 1970, UTC."),
    "ambiguousTime": _one_of(
        get_args(Ambiguous),
        "Of a time: which of the two a local time means that stands twice on the clock, or"
        f" `quarantine` for such rows. Default: `{get_args(Ambiguous)[0]}`.",
    ),
    "trueValues": _list(_ANY, "Of a boolean: texts or whole numbers that mean true."),
    "falseValues": _list(_ANY, "Of a boolean: texts or whole numbers that mean false."),
}
_TABLE_PROPERTIES = {
    "eventTime": _key(
        _TEXT,
        "The timestamp column that says when a row happened; batches are cut by it. Required.",
    )
}
SERVER_PROPERTIES = {
    "delimiter": _key(_TEXT, "Between the cells of a CSV file: one ASCII character. Default: `,`."),
    "quote": _key(_TEXT, 'Around a cell of a CSV file, or `none`. Default: `"`.'),
    "escape": _key(_TEXT, "Before a quote in a cell of a CSV file. Default: the quote is doubled."),
    "skipLines": _key(_WHOLE, "Lines before the header of a CSV file."),
    "decimal": _one_of((".", ","), "Before a fraction, in files of text. Default: `.`."),
    "thousands": _key(_TEXT, "Between groups of three digits, in files of text. Default: none."),
    "missingValues": _list(
        _ANY, "What means no value in files of text, in place of the usual spellings."
    ),
    "storageOptions": _key(
        {"type": "object", "additionalProperties": _TEXT},
        "What the file system is told beside the address, in fsspec's words.",
    ),
    "url": _key(_TEXT, "Address of a database of type `custom`, as SQLAlchemy writes it."),
    "username": _key(_TEXT, "Account of a PostgreSQL database; reading the table is enough."),
    "password": _key(
        _TEXT, "A reference such as `${SALES_PASSWORD}`; a password in clear is refused."
    ),
    "changedAt": _key(_TEXT, "Column that says when a row was changed, to notice replaced values."),
    "answers": _one_of(("json", "csv"), "Of an API: what it answers. Default: `json`."),
    "since": _key(_TEXT, "Of an API: the day of the first batch that is asked for."),
    "period": _key(
        {"type": "object", "additionalProperties": _TEXT},
        "Of an API: the query parameters for `start` and `end` of a period.",
    ),
    "params": _key(
        {"type": "object", "additionalProperties": _TEXT}, "Of an API: further query parameters."
    ),
    "token": _key(_TEXT, "Of an API: a reference to what is sent as `Authorization: Bearer`."),
    "records": _key(_TEXT, "Of an API: where the rows stand in an answer, such as `data.items`."),
    "total": _key(_TEXT, "Of an API: where an answer says how many rows there are in all."),
    "pages": _key(
        {"type": "object", "additionalProperties": _TEXT},
        "Of an API: how the next page is asked for, `by` page, offset, cursor or link.",
    ),
    "query": _key(_TEXT, "Of a database: one SELECT, whose rows are read in place of a table's."),
}

_SERVER = _mapping(
    {
        "server": _key(_TEXT, "Name of the server; `KINGMAKER_SERVER` chooses one of several."),
        "environment": _key(_TEXT, "Such as `prod`; `KINGMAKER_SERVER` may name it instead."),
        "type": _one_of(
            ("local", "s3", "azure", "sftp", "custom", "postgresql", "postgres", "duckdb", "api"),
            "Where the data is.",
        ),
        "path": _key(
            _TEXT, "Of type `local`: the files, with `{batch}` for the batch, or `*` and `?`."
        ),
        "location": _key(
            _TEXT, "Of other files: their address, with `{batch}`, `*` or `?`; or that of an API."
        ),
        "endpointUrl": _key(_TEXT, "Address of an S3 service. Left out: Amazon's."),
        "format": _one_of(
            ("csv", "json", "parquet"), "Format of files; `json` is one object a line."
        ),
        "encoding": _key(_TEXT, "Encoding of text files. Default: UTF-8."),
        "delimiter": _one_of(
            ("new_line",),
            "Of `json` files: objects are separated by new lines. Of `csv`: a custom property.",
        ),
        "host": _key(_TEXT, "Host of a database."),
        "port": _key(_ANY, "Port of a database."),
        "database": _key(_TEXT, "Name of a database, or the file of a DuckDB database."),
        "schema": _key(_TEXT, "Schema of a database's table."),
        "customProperties": _custom(SERVER_PROPERTIES),
    },
    "server",
    "type",
)

_LIMITS: dict[str, Any] = {
    operator: _key(
        _PAIR if operator.endswith("Between") else _NUMBER,
        "The limit; both ends belong to it." if operator.endswith("Between") else "The limit.",
    )
    for operator in OPERATORS
}
_QUALITY = _mapping(
    {
        "id": _key(_TEXT, "Tells two rules of a kind on one column apart."),
        "type": _one_of(
            ("library", "sql", "custom", "text"),
            "A metric of the standard, a query, an expectation, or prose. Default: `library`.",
        ),
        "metric": _one_of(
            ("rowCount", "nullValues", "missingValues", "invalidValues", "duplicateValues"),
            "What is counted.",
        ),
        "unit": _one_of(("rows", "percent"), "What the limit counts. Default: `rows`."),
        "arguments": _key(
            _mapping(
                {
                    "missingValues": _list(_ANY, "Values that stand for a gap."),
                    "validValues": _list(_ANY, "The valid values."),
                    "pattern": _key(_TEXT, "The regular expression of valid texts."),
                    "properties": _list(_TEXT, "The columns that are unique together."),
                }
            ),
            "Arguments of the metric: `missingValues`, `validValues`, `pattern`, `properties`.",
        ),
        **_LIMITS,
        "severity": _one_of(
            get_args(Severity),
            "`error` costs the row or the batch; others are reported only. Default: `error`.",
        ),
        "query": _key(
            _TEXT, "Of type `sql`: one SELECT that returns one number; `{table}` is the batch."
        ),
        "engine": _one_of(("greatExpectations",), "Of type `custom`."),
        "implementation": _key(
            _ANY, "Of type `custom`: the expectation, `type` and `kwargs`, as a mapping or as YAML."
        ),
        "description": _key(_TEXT, "What the rule is called in reports."),
    }
)

_OPTIONS = _mapping(
    {
        "minimum": _key(_ANY, "Smallest value."),
        "maximum": _key(_ANY, "Largest value."),
        "exclusiveMinimum": _key(_ANY, "Values lie above this."),
        "exclusiveMaximum": _key(_ANY, "Values lie below this."),
        "multipleOf": _key(_NUMBER, "Values are multiples of this."),
        "pattern": _key(_TEXT, "A regular expression (Python's) that is found in the text."),
        "minLength": _key(_WHOLE, "Fewest characters."),
        "maxLength": _key(_WHOLE, "Most characters."),
        "format": _key(
            _TEXT,
            "Of a string: `email`, `uuid`, `uri`, `date`, `date-time`, `ipv4`, `ipv6`, `hostname`."
            " Of an integer: `i8` to `i128`, `u8` to `u128`. Of a time: how the source writes it.",
        ),
        "timezone": _key(_FLAG, "Whether the source writes times with an offset."),
        "defaultTimezone": _key(
            _TEXT, "IANA zone of times without an offset; of the event time, also of the batches."
        ),
    }
)

_COLUMN = _mapping(
    {
        "name": _key(_TEXT, "The column's name."),
        "logicalType": _one_of(get_args(LogicalType), "The column's type."),
        "logicalTypeOptions": _key(_OPTIONS, "Limits on the values; listed below."),
        "description": _key(_TEXT, "Shown in reports."),
        "required": _key(_FLAG, "Every row has a value."),
        "unique": _key(_FLAG, "No two rows of a batch have the same value; it is never a feature."),
        "primaryKey": _key(_FLAG, "The column is the key of a row, or a part of it."),
        "primaryKeyPosition": _key(_WHOLE, "Its place in a key of several columns."),
        "classification": _key(
            _TEXT,
            "`public` or `internal`; or `personal`, `restricted`, `confidential`, `sensitive`,"
            " `secret`, `pii`: never a feature, and never shown. Default: `public`.",
        ),
        "enum": _list(
            {
                "anyOf": [
                    _mapping({"value": _ANY}, "value"),
                    {"type": ["string", "number", "boolean"]},
                ]
            },
            "The only values.",
        ),
        "quality": _list(_QUALITY, "Rules about the column; listed below."),
        "relationships": _key(
            {"type": "array", "maxItems": 0},
            "Refused: a reference to another table cannot be checked within a batch.",
        ),
        "customProperties": _custom(COLUMN_PROPERTIES),
    },
    "name",
    "logicalType",
)

_TABLE = _mapping(
    {
        "name": _key(_TEXT, "The table's name."),
        "physicalName": _key(_TEXT, "The table in the database, where that is another name."),
        "properties": _list(_COLUMN, "The columns.", minItems=1),
        "quality": _list(_QUALITY, "Rules about the table."),
        "customProperties": _custom(_TABLE_PROPERTIES),
    },
    "name",
    "properties",
    "customProperties",
)

_PROMISE = _mapping(
    {
        "property": _key(
            _TEXT,
            "`latency`: how long after its end a batch may still grow. `freshness`: how near to the"
            " batch's end the newest event is. Others are prose.",
        ),
        "value": _key(_ANY, "A number that is not negative."),
        "unit": _key(_TEXT, "`s`, `m`, `h`, `d` or `w`."),
    },
    "property",
    "value",
)


_SAID = _mapping(
    {
        "purpose": _key(
            _TEXT, "What the data is for; on a model's card where its spec says nothing."
        ),
        "usage": _key(_TEXT, "How it is used; on a model's card."),
        "limitations": _key(_TEXT, "What it does not hold, or is not for; on a model's card."),
    }
)

_MEMBER = _mapping(
    {
        "name": _key(_TEXT, "Named as owner on a model's card, where the team has no name."),
        "username": _key(_TEXT, "The same, of a member without a name."),
        "dateOut": _key(_TEXT, "When a member has left; not named any more."),
    }
)

_TEAM = _mapping(
    {
        "name": _key(_TEXT, "The owner on a model's card."),
        "members": _list(_MEMBER, "Who is in it; listed below."),
    }
)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the keys that Kingmaker reads."""
    contract = _mapping(
        {
            "apiVersion": _key(
                {"type": "string", "pattern": "^v3\\."},
                "Version of the standard, such as `v3.1.0`.",
            ),
            "kind": _key({"const": "DataContract"}, "What the file is."),
            "id": _key(_TEXT, "The standard asks for one; it is not used."),
            "version": _key(
                _TEXT,
                "Kept with every snapshot. A contract whose values mean something else needs a new"
                " one.",
            ),
            "description": _key(_SAID, "Words for people; listed below."),
            "team": _key(
                {"anyOf": [_TEAM, {"type": "array", "items": _MEMBER}]},
                "Who owns it; before v3.1 of the standard a list of members.",
            ),
            "servers": _list(_SERVER, "Where the data comes from.", minItems=1),
            "schema": _list(_TABLE, "The one table.", minItems=1, maxItems=1),
            "slaProperties": _list(_PROMISE, "Service levels."),
        },
        "apiVersion",
        "kind",
        "id",
        "version",
        "servers",
        "schema",
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Data contract: the keys that Kingmaker reads",
        **contract,
    }


def page() -> str:
    """Return the page: one table of keys for each place in a contract."""
    sections: tuple[tuple[str, Schema], ...] = (
        ("The contract", schema()["properties"]),
        ("servers", _SERVER["properties"]),
        ("servers: custom properties", SERVER_PROPERTIES),
        ("schema: the table", _TABLE["properties"]),
        ("schema: custom properties of the table", _TABLE_PROPERTIES),
        ("schema.properties: a column", _COLUMN["properties"]),
        ("schema.properties: custom properties of a column", COLUMN_PROPERTIES),
        ("schema.properties.logicalTypeOptions", _OPTIONS["properties"]),
        ("quality: of the table or a column", _QUALITY["properties"]),
        ("slaProperties", _PROMISE["properties"]),
        ("description", _SAID["properties"]),
        ("team", _TEAM["properties"]),
        ("team.members", _MEMBER["properties"]),
    )
    parts = [_INTRODUCTION]
    for heading, properties in sections:
        rows = [
            (f"`{key}`", type_text(part), part["description"]) for key, part in properties.items()
        ]
        parts += [f"## {heading}\n", table(("Key", "Value", "Meaning"), rows)]
    return "\n".join(parts)
