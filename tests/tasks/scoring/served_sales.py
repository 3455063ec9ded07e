"""Sales that were scored before their day had closed, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_contracts.contract import Contract
from data_contracts.open_rows import open_contract
from tasks.records import FeatureFrame, FeatureSchema, LoadedModel, RowSpan, ServedPart
from tasks.scoring.config import ScoringConfig
from tasks.scoring.served import ScoredRows, served_table, write_part
from tests.sample_contract import DAY, Document, sample_contract, sample_table
from tests.tasks.builders import loaded_model

MORNING = datetime(2013, 5, 17, 10, tzinfo=UTC)
"""Before any of the sample's sales, which begin at noon."""
EVENING = datetime(2013, 5, 17, 22, tzinfo=UTC)


def sales_contract(
    directory: Path, change: Callable[[Document], object] = lambda document: None
) -> Contract:
    """The sample contract."""
    return sample_contract(directory, change)


def open_table(contract: Contract, rows: int = 6, **columns: list[Any]) -> pa.Table:
    """Sample rows with what is known at event time."""
    names = open_contract(contract, "returned").column_names
    return sample_table(rows, **columns).select(list(names))


def features_of(rows: pa.Table) -> FeatureFrame:
    """A frame with the amount and the shop as features."""
    frame = rows.to_pandas()
    features = pd.DataFrame(
        {"shop": frame["shop"].astype("str"), "amount": frame["amount"].astype("float64")}
    )
    nothing = pd.Series(np.nan, index=frame.index)
    return FeatureFrame(
        features=features,
        target=nothing,
        event_time=frame["sold_at"],
        batch=pd.Series([DAY] * len(frame), dtype="str"),
        slices=pd.DataFrame(index=frame.index),
        keys=frame[["sold_at", "id"]],
        schema=FeatureSchema(numerical=("amount",), categorical=("shop",)),
        snapshots={DAY: "s"},
    )


def scored_sales(
    contract: Contract,
    rows: pa.Table | None = None,
    *,
    version: int = 1,
    adjusted_by: int | None = None,
    classes: tuple[str, ...] = (),
    predicted: Any = None,
    reasons: list[str] | None = None,
    trained_until: datetime = datetime(2013, 5, 17, tzinfo=UTC),
) -> ScoredRows:
    """Sample rows that a version has scored: row i with i percent."""
    rows = open_table(contract) if rows is None else rows
    frame = features_of(rows)
    model: LoadedModel = loaded_model(
        None,
        frame,
        version=version,
        classes=classes,
        model="sales",
        trained_on=(
            RowSpan(
                batch="b000",
                snapshot="0" * 64,
                start=trained_until - timedelta(days=7),
                end=trained_until,
                rows=9,
            ),
        ),
    )
    given = np.arange(len(frame)) / 100 if predicted is None else np.asarray(predicted)
    return ScoredRows(rows, frame, given, replace(model, adjusted_by=adjusted_by), reasons)


def served_sales(
    lake: Path,
    contract: Contract,
    scored: ScoredRows,
    number: int = 1,
    scored_at: datetime = MORNING,
    config: ScoringConfig | None = None,
) -> ServedPart:
    """A part in the lake, with the number that the ledger would give it."""
    include = ("shop",) if config is None else config.include
    table = served_table(scored, contract, include)
    part = write_part(lake, table, scored, DAY, scored_at, "a test")
    return ServedPart(
        **part.model_dump(exclude={"number", "sequence"}), number=number, sequence=number
    )
