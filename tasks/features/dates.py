"""Numbers that are made of dates and times: parts of the calendar, and the age at the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from data_contracts.contract import Contract
from tasks.features.config import DatePart, dated

DAY = 86_400
"""Seconds."""


def date_features(
    rows: pd.DataFrame, dates: Mapping[str, Sequence[DatePart]], contract: Contract
) -> pd.DataFrame:
    """Return the parts of columns of ``rows``, (rows, parts) float64, called ``<column>_<part>``;
    missing where the column is.

    All are local, in the contract's zone. ``hour`` has the minutes as its fraction, ``weekday`` is
    0 on Monday, ``age`` is in days from the column to the event, negative for what lies ahead.
    """
    event = _local(rows[contract.event_time], contract)
    made = {}
    for column, parts in dates.items():
        moments = _local(rows[column], contract)
        for part in parts:
            match part:
                case "hour":
                    values = moments.dt.hour + moments.dt.minute / 60
                case "weekday":
                    values = moments.dt.weekday
                case "day":
                    values = moments.dt.day
                case "month":
                    values = moments.dt.month
                case "age":
                    values = (event - moments).dt.total_seconds() / DAY
            made[dated(column, part)] = values.astype("float64")
    return pd.DataFrame(made, index=rows.index)


def _local(values: pd.Series, contract: Contract) -> pd.Series:
    """Moments on the clock of the contract's zone, or the midnights of dates, without a zone."""
    if contract.column(str(values.name)).logical_type == "date":
        return pd.to_datetime(values, errors="coerce")
    local: pd.Series = values.dt.tz_convert(contract.timezone).dt.tz_localize(None)
    return local
