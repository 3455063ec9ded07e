"""A small contract that has one of everything: sales of a shop, day by day."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from data_contracts.contract import Contract, load_contract
from tasks.batches import Batch, batch_named

DAY = "2013-05-17"
BATCH: Batch = batch_named(DAY, "day", "America/New_York")
Document = dict[str, Any]

_DOCUMENT: Document = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "urn:test:sales",
    "name": "sales",
    "version": "1.0.0",
    "status": "active",
    "servers": [
        {
            "server": "till",
            "type": "local",
            "path": "${KINGMAKER_HOME}/in/{batch}.csv",
            "format": "csv",
        }
    ],
    "schema": [
        {
            "name": "sales",
            "customProperties": [{"property": "eventTime", "value": "sold_at"}],
            "quality": [{"metric": "rowCount", "mustBeBetween": [1, 1000]}],
            "properties": [
                {
                    "name": "sold_at",
                    "logicalType": "timestamp",
                    "primaryKey": True,
                    "primaryKeyPosition": 1,
                    "logicalTypeOptions": {"defaultTimezone": "America/New_York"},
                },
                {
                    "name": "id",
                    "logicalType": "integer",
                    "primaryKey": True,
                    "primaryKeyPosition": 2,
                },
                {
                    "name": "shop",
                    "logicalType": "string",
                    "required": True,
                    "quality": [
                        {
                            "metric": "invalidValues",
                            "arguments": {"validValues": ["A", "B", "C"]},
                            "mustBe": 0,
                        }
                    ],
                },
                {
                    "name": "amount",
                    "logicalType": "number",
                    "logicalTypeOptions": {"minimum": 0, "exclusiveMaximum": 1000},
                    "quality": [
                        {
                            "metric": "missingValues",
                            "mustBeLessOrEqualTo": 50,
                            "unit": "percent",
                            "severity": "warning",
                        }
                    ],
                },
                {"name": "note", "logicalType": "string", "logicalTypeOptions": {"maxLength": 20}},
                {
                    "name": "till",
                    "logicalType": "integer",
                    "customProperties": [{"property": "featureKind", "value": "categorical"}],
                },
                {"name": "paid_on", "logicalType": "date"},
                {
                    "name": "email",
                    "logicalType": "string",
                    "classification": "personal",
                    "logicalTypeOptions": {"pattern": "^[^@]+@[^@]+$"},
                },
                {
                    "name": "returned",
                    "logicalType": "boolean",
                    "customProperties": [{"property": "availability", "value": "later"}],
                },
            ],
        }
    ],
}


def sample_document() -> Document:
    """A copy of the contract's document, to be changed."""
    return copy.deepcopy(_DOCUMENT)


def column(document: Document, name: str) -> Document:
    """The document's entry of the column called ``name``."""
    return next(item for item in document["schema"][0]["properties"] if item["name"] == name)


def sample_contract(
    directory: Path, change: Callable[[Document], object] = lambda document: None
) -> Contract:
    """Write the contract to ``directory``, changed by ``change``, and load it."""
    document = sample_document()
    change(document)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "sales.odcs.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return load_contract(file)


def sample_rows(rows: int = 6, **columns: list[Any]) -> dict[str, list[Any]]:
    """Columns of ``rows`` sales that keep the contract, one a minute from noon UTC; ``columns``
    replace some.
    """
    noon = datetime(2013, 5, 17, 12, tzinfo=UTC)
    sound: dict[str, list[Any]] = {
        "sold_at": [noon + timedelta(minutes=i) for i in range(rows)],
        "id": list(range(1, rows + 1)),
        "shop": [("A", "B", "C")[i % 3] for i in range(rows)],
        "amount": [1.5 * i for i in range(rows)],
        "note": ["" if i % 2 else None for i in range(rows)],
        "till": [i % 4 for i in range(rows)],
        "paid_on": [noon.date()] * rows,
        "email": [f"person{i}@example.org" for i in range(rows)],
        "returned": [i % 2 == 0 for i in range(rows)],
    }
    return sound | columns


def sample_table(rows: int = 6, **columns: list[Any]) -> pa.Table:
    """The same as a table in the contract's types, as a source would give it."""
    types = {
        "sold_at": pa.timestamp("us", tz="UTC"),
        "id": pa.int64(),
        "shop": pa.string(),
        "amount": pa.float64(),
        "note": pa.string(),
        "till": pa.int64(),
        "paid_on": pa.date32(),
        "email": pa.string(),
        "returned": pa.bool_(),
    }
    data = sample_rows(rows, **columns)
    return pa.table({name: pa.array(values, types.get(name)) for name, values in data.items()})
