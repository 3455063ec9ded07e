"""Numbers that are too large for the arithmetic of many models, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LARGE = 3.4028234663852886e38
"""The largest number of float32; from 1.3e154 on, squares are no numbers in float64 either."""
NAMED = 3
"""Columns that are named."""


def large_numbers(columns: Mapping[str, pd.Series]) -> str:
    """Return which columns have numbers beyond ``LARGE``, in how many rows, and one of them; empty
    when none has.
    """
    large = {
        name: some for name, values in columns.items() if len(some := values[values.abs() > LARGE])
    }
    shown = ", ".join(
        f"{name} ({len(some):,} row{'s' * (len(some) > 1)}, such as {float(some.iloc[0])!r})"
        for name, some in list(large.items())[:NAMED]
    )
    return shown + (f" and {len(large) - NAMED} more columns" if len(large) > NAMED else "")
