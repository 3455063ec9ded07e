"""Tests of what moves should do to the champion, by its holdout."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.drift.config import DriftConfig
from tasks.drift.effect import Held, hold, read_held
from tasks.drift.histograms import count_part
from tasks.drift.profile import make_profile
from tasks.drift.summary import summarise_drift
from tasks.records import DriftSummary, Effect
from tests.tasks.builders import frame_of


def _report(
    before: pd.DataFrame,
    after: pd.DataFrame,
    losses: np.ndarray,
    predicted: np.ndarray,
    now: np.ndarray,
    days: int = 12,
) -> DriftSummary:
    """The batch ``after`` against a champion whose training rows and holdout are ``before``."""
    words = [c for c in before if not pd.api.types.is_numeric_dtype(before[c])]
    when = np.linspace(0, days, len(before), endpoint=False)
    frame = frame_of(before, np.zeros(len(before)), days=when, categorical=words)
    profile = make_profile(
        frame, frame, predicted, (np.arange(len(before)), predicted), dict.fromkeys(before, 0.1)
    )
    table = hold(profile, frame, predicted, (predicted, losses), when.astype("int64"), 10_000, 0)
    batch = frame_of(after, np.zeros(len(after)), days=np.zeros(len(after)), categorical=words)
    counts = count_part(profile, batch, now)
    held = read_held(profile, table)
    return summarise_drift(profile, 1, "b", counts, DriftConfig(), 0, held)


def _effect(summary: DriftSummary, feature: str) -> Effect:
    (found,) = (f.effect for f in summary.features if f.feature == feature)
    assert found is not None
    return found


def test_one_feature_by_hand() -> None:
    """The loss of each category, in the batch's shares: 1 for half of the rows and 3 for the other
    half becomes 2.5 when three of four are of the dearer kind.
    """
    kinds = np.tile(["a", "b"], 600)
    losses = np.where(kinds == "a", 1.0, 3.0)
    after = pd.DataFrame({"kind": ["a", "b", "b", "b"] * 100})

    summary = _report(pd.DataFrame({"kind": kinds}), after, losses, losses / 10, np.ones(400) / 4)

    effect = _effect(summary, "kind")
    assert effect.loss is not None
    assert effect.loss.value == pytest.approx(0.5)
    assert effect.prediction is not None
    assert effect.prediction.value == pytest.approx(0.05)
    assert effect.unknown == 0.0
    assert effect.rows == pytest.approx(1200 / (0.5 * 0.25 + 0.5 * 2.25))
    assert summary.predicted == (pytest.approx(0.2), 0.25)


def test_of_rows_that_it_has_never_seen_nothing_is_said() -> None:
    """Above half of them there is no effect; below, that of the others, and their share."""
    values = np.linspace(0, 1, 1_200)
    losses = 1 + values

    def told(after: np.ndarray) -> Effect:
        rows = pd.DataFrame({"x": values}), pd.DataFrame({"x": after})
        return _effect(_report(*rows, losses, values, np.zeros(len(after))), "x")

    most, some = told(np.repeat([0.5, 9.0], [40, 60])), told(np.repeat([0.95, 9.0], [80, 20]))

    assert (most.loss, most.unknown) == (None, pytest.approx(0.6))
    assert some.unknown == pytest.approx(0.2)
    assert some.loss is not None
    assert some.loss.value == pytest.approx(0.45, abs=0.01)  # the mean of the uppermost tenth


@pytest.mark.parametrize("outside", [-9.0, 9.0])
def test_rows_beyond_training_count_on_neither_side(outside: float) -> None:
    """Rows below the smallest value of training do not count as rows of its lowest bin, nor those
    above the largest as rows of the highest.
    """
    values = np.linspace(0, 1, 1_200)
    losses = 1 + values
    after = np.repeat([0.5, outside], [80, 20])

    rows = pd.DataFrame({"x": values}), pd.DataFrame({"x": after})
    effect = _effect(_report(*rows, losses, values, np.zeros(len(after))), "x")

    assert effect.unknown == pytest.approx(0.2)
    assert effect.loss is not None
    assert effect.loss.value == pytest.approx(0.0, abs=0.06)  # within the bin of the median


def test_features_that_move_together_are_not_counted_twice() -> None:
    """Two columns that say the same do together what each does alone."""
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=3_000), rng.normal(1.0, 1.0, size=2_000)
    losses = np.exp(before / 2)

    summary = _report(
        pd.DataFrame({"x": before, "copy": before}),
        pd.DataFrame({"x": after, "copy": after}),
        losses,
        np.full(3_000, 0.5),
        np.full(2_000, 0.5),
    )

    alone, together = _effect(summary, "x").loss, summary.together
    assert together is not None
    assert together.loss is not None
    assert alone is not None
    assert together.loss.value == pytest.approx(alone.value, rel=0.05)


def test_features_that_move_apart_add_up() -> None:
    """Of two independent columns that both move, the effect of both is the sum where losses add."""
    rng = np.random.default_rng(2)
    before = pd.DataFrame(rng.integers(0, 2, (8_000, 2)).astype("str"), columns=["x", "y"])
    after = pd.DataFrame(
        {
            "x": rng.choice(["0", "1"], 4_000, p=[0.2, 0.8]),
            "y": rng.choice(["0", "1"], 4_000, p=[0.7, 0.3]),
        }
    )
    losses = 1.0 * (before["x"] == "1") + 2.0 * (before["y"] == "1")

    summary = _report(before, after, losses.to_numpy(), np.zeros(8_000), np.zeros(4_000))

    assert summary.together is not None
    assert summary.together.loss is not None
    assert summary.together.loss.value == pytest.approx(0.3 - 2 * 0.2, abs=0.05)


def test_nothing_moved_has_no_effect_together() -> None:
    """Where no feature moved there is nothing to tell of."""
    values = np.tile(np.linspace(0, 1, 100), 10)
    rows = pd.DataFrame({"x": values})

    assert _report(rows, rows, values, values, values).together is None


def test_the_interval_holds_the_truth() -> None:
    """The expected loss of a moved batch lies in the interval in nine of ten worlds at least, where
    days have losses of their own.
    """
    rng, held, worlds = np.random.default_rng(3), 0, 120
    for _ in range(worlds):
        before, after = rng.normal(size=2_400), rng.normal(0.8, 1.0, size=2_400)
        day = np.arange(2_400) * 12 // 2_400
        losses = 1 + np.tanh(before) * (1 + 0.2 * rng.normal(size=12)[day])
        losses += 0.2 * rng.normal(size=2_400)
        summary = _report(
            pd.DataFrame({"x": before}),
            pd.DataFrame({"x": after}),
            losses,
            np.zeros(2_400),
            np.zeros(2_400),
        )
        loss = _effect(summary, "x").loss
        assert loss is not None
        held += loss.low <= float(np.tanh(after).mean() - np.tanh(0)) <= loss.high

    assert stats.binomtest(held, worlds, 0.93, alternative="less").pvalue > 0.05


def test_a_holdout_without_numbers_says_nothing() -> None:
    """Predictions that are no numbers leave no row, and no effect."""
    rows = pd.DataFrame({"x": np.linspace(0, 1, 100)})

    summary = _report(rows, rows + 9, np.full(100, np.nan), np.ones(100), np.ones(100))

    assert [f.effect for f in summary.features] == [None] * 3
    assert summary.together is summary.predicted is None


def test_holdout_travels_as_it_is() -> None:
    """What is stored comes back: bins of the profile's columns, none for the target, and blocks of
    time joined where they are many.
    """
    rows = frame_of(pd.DataFrame({"x": np.arange(100.0)}), np.zeros(100), days=np.arange(100.0))
    predicted, losses = np.linspace(0, 1, 100), np.arange(100.0)
    profile = make_profile(rows, rows, predicted, (np.arange(100), predicted), {})

    table = hold(profile, rows, predicted, (predicted, losses), np.arange(100), 60, 1)
    held: Held = read_held(profile, table)

    assert len(held) == 60
    assert held.bins[:, 0].tolist() == (held.loss // 10).tolist()
    assert set(held.bins[:, 1]) == {-1}
    assert held.block.max() == 19
    assert held.predicted == pytest.approx(held.loss / 99)
