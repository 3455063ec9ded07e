"""Tests of KM005: a model that is too sure of itself, or turned around, fails; chance alone does
not fail one.
"""

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.checks.calibration import slope
from tasks.records import FeatureFrame
from tests.tasks.builders import (
    FixedProbability,
    FixedValue,
    frame_of,
    judged,
    loaded_model,
    refused,
)
from tests.tasks.evaluation.frames import binary, changed

FRAME = binary()


def _refused(p: np.ndarray, frame: FeatureFrame) -> set[str]:
    frame = changed(frame, p=p)
    return refused(judged(loaded_model(FixedProbability(), frame), frame, "binary"))


def _sure(p: np.ndarray, times: float) -> np.ndarray:
    """The probabilities of a model that is so many times too sure of itself."""
    return 1 / (1 + np.exp(-times * np.log(p / (1 - p))))


def _uncertain(rows: int, days: float, seed: int) -> FeatureFrame:
    """Rows with true probabilities near a half, whose days share their luck."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.3, 0.7, rows)
    luck = rng.normal(0, 0.05, int(days) + 1)[
        np.linspace(0, days, rows, endpoint=False).astype(int)
    ]
    target = (rng.random(rows) < np.clip(p + luck, 0, 1)).astype("float64")
    return frame_of(
        pd.DataFrame({"p": p}), target, days=np.linspace(20, 20 + days, rows, endpoint=False)
    )


def test_a_model_that_is_too_sure_of_itself_is_not_calibrated() -> None:
    """Probabilities pushed to the ends fail; the true ones pass; those of a model turned around
    fail.
    """
    frame = _uncertain(4000, 20, 0)
    p = frame.features["p"].to_numpy()

    assert _refused(p, frame) == set()
    assert "KM005" in _refused(_sure(p, 8), frame)
    assert "KM005" in _refused(1 - p, frame)


def test_a_calibrated_model_passes_on_few_rows() -> None:
    """Of two hundred holdouts of sixty rows, whose days share their luck, hardly one refuses the
    true probabilities.
    """
    frames = [_uncertain(60, 15, seed) for seed in range(200)]

    failed = sum(bool(_refused(f.features["p"].to_numpy(), f)) for f in frames)

    assert failed <= 10


def test_slope_is_that_of_least_squares() -> None:
    """The pooled slope of one column is numpy's; its interval covers one for a calibrated model."""
    y, p = FRAME.target.to_numpy()[:, np.newaxis], FRAME.features["p"].to_numpy()

    found = slope(p, y, np.arange(400) // 20, 0.0)

    assert found.value == pytest.approx(np.polyfit(p, y[:, 0], 1)[0])
    assert found.low < 1 < found.high


@pytest.mark.parametrize("fog", [0, 1])
def test_labels_that_hardly_vary_fail_no_model(fog: int) -> None:
    """On clear days, when nearly every label is the same, a model that allows for fog is not called
    uncalibrated.
    """
    rng = np.random.default_rng(5)
    seen = rng.normal(9, 0.5, 300)
    train = frame_of(
        pd.DataFrame({"p": seen}), seen + rng.normal(0, 1.5, 300), days=np.linspace(0, 20, 300)
    )
    clear = frame_of(
        pd.DataFrame({"p": seen[:100]}),
        np.where(np.arange(100) < fog, 9.0, 10.0),
        days=np.linspace(20, 22, 100),
    )

    found = judged(loaded_model(FixedValue(), clear), clear, "regression", train=train)

    assert found["KM005"].outcome == "passed"
