"""Tests of why a candidate is said to be left out."""

import numpy as np
import pandas as pd
import pytest

from tasks.training.failure import why_left_out
from tests.tasks.builders import frame_of


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0, np.nan], "ValueError: no"),
        ([3.4028234663852886e38, 2.0, 1.0], "ValueError: no"),
        (
            [1.0, -1e39, 2e300],
            "numbers too large for its arithmetic in x (2 rows, such as -1e+39); give the column"
            " limits in the contract, or name the value in missingValues (ValueError: no)",
        ),
    ],
)
def test_large_numbers_are_named_before_what_the_estimator_said(values, said):
    """Only where there are numbers that float32 does not have: else it keeps the word."""
    assert (
        why_left_out(
            "ValueError: no", frame_of(pd.DataFrame({"x": values}), [0, 1, 0], days=range(3))
        )
        == said
    )


def test_a_large_target_and_many_columns():
    """The target is a column too; of many, the first are named."""
    rows = pd.DataFrame({f"x{i}": [1e308, 0.0] for i in range(4)})
    frame = frame_of(rows, pd.Series([1e200, 0.0], name="sold"), days=range(2))

    said = why_left_out("OverflowError", frame)

    assert "x2 (1 row, such as 1e+308) and 2 more columns;" in said
