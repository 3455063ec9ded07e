"""Tests of KM004: a mean prediction far from the mean label fails, beyond what chance makes."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.records import FeatureFrame, LoadedModel
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
P = FRAME.features["p"].to_numpy()


def _refused(p: np.ndarray, frame: FeatureFrame = FRAME) -> set[str]:
    frame = changed(frame, p=p)
    return refused(judged(loaded_model(FixedProbability(), frame), frame, "binary"))


@pytest.mark.parametrize(
    ("shift", "failed"), [(0.30, True), (-0.30, True), (0.05, False), (-0.05, False)]
)
def test_far_from_the_base_rate_fails(shift: float, failed: bool) -> None:
    """A model whose mean prediction is far from the base rate fails, in either direction."""
    assert ("KM004" in _refused(np.clip(P + shift, 0, 1))) == failed


def test_it_leaves_room_for_chance() -> None:
    """On thirty rows the true model lies more than 0.1 off about one time in five: it rarely fails
    for that.
    """
    frames = [binary(rows=30, days=15, seed=seed) for seed in range(200)]

    far = sum(abs(f.features["p"].mean() - f.target.mean()) > 0.10 for f in frames)
    failed = sum(bool(_refused(f.features["p"].to_numpy(), f)) for f in frames)

    assert far > 20
    assert failed <= 4


def test_a_class_that_is_never_said_fails() -> None:
    """A multiclass model that never says one of its classes fails by that class."""
    rng = np.random.default_rng(0)
    classes = ("a", "b", "c")
    shares = rng.dirichlet([3.0, 3.0, 3.0], 600)
    target = np.array([classes[rng.choice(3, p=row)] for row in shares], dtype="object")
    frame = frame_of(
        pd.DataFrame(shares, columns=list(classes)), target, days=np.linspace(20, 40, 600)
    )

    class Shares:
        classes_ = np.array(classes)

        def __init__(self, silent: bool) -> None:
            self.silent = silent

        def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
            values = features.to_numpy().copy()
            if self.silent:
                values[:, 0] += values[:, 2]
                values[:, 2] = 0.0
            return values

    def failed(silent: bool) -> set[str]:
        model = loaded_model(Shares(silent), frame, classes=classes)
        return refused(judged(model, frame, "multiclass"))

    assert failed(silent=False) == set()
    assert "KM004" in failed(silent=True)


@pytest.mark.parametrize(("shift", "failed"), [(0.0, False), (20.0, True)])
def test_a_regression_far_off_fails(shift: float, failed: bool) -> None:
    """A regression that lies two standard deviations off fails."""
    value = np.random.default_rng(0).normal(50, 10, 300)
    frame = frame_of(pd.DataFrame({"p": value + shift}), value, days=np.linspace(20, 40, 300))

    found = judged(loaded_model(FixedValue(), frame), frame, "regression")

    assert ("KM004" in refused(found)) == failed


@pytest.mark.parametrize(("quantile", "failed"), [(0.9, set()), (0.5, {"KM004"})])
def test_a_quantile_is_judged_by_the_share_below_it(quantile: float, failed: set[str]) -> None:
    """A model of the 0.9 quantile passes when nine of ten labels lie below; one of the median does
    not.
    """
    rng = np.random.default_rng(2)
    x = rng.normal(50, 10, 1000)
    frame = frame_of(
        pd.DataFrame({"p": x + stats.norm.ppf(quantile)}),
        x + rng.normal(size=1000),
        days=np.linspace(20, 40, 1000, endpoint=False),
    )
    model = loaded_model(FixedValue(), frame)

    assert refused(judged(model, frame, "regression", metric="pinball_0.9")) == failed


def test_no_further_off_than_the_champion_is_the_world_and_not_the_model() -> None:
    """Where the base rate has jumped, a challenger nearer to it than the champion passes; one
    further off does not.
    """
    frame = changed(FRAME, p=np.clip(P + 0.2, 0, 1), far=np.clip(P + 0.3, 0, 1))
    near, far = (loaded_model(FixedProbability(name), frame) for name in ("p", "far"))

    def outcome(challenger: LoadedModel, champion: LoadedModel | None) -> str:
        return judged(challenger, frame, "binary", champion=champion)["KM004"].outcome

    assert outcome(near, None) == "failed"
    assert outcome(near, far) == "passed"
    assert outcome(far, near) == "failed"


SEEN = frame_of(FRAME.features[["p"]], FRAME.target.to_numpy(), days=np.linspace(0, 19, 400))


def test_labels_all_alike_still_refuse_a_model_that_is_far_off() -> None:
    """A model that says 97% of rows of which none comes true is refused on these rows too."""
    calm = frame_of(
        pd.DataFrame({"p": np.linspace(0.96, 0.98, 300)}),
        np.zeros(300),
        days=np.linspace(20, 26, 300, endpoint=False),
    )

    found = judged(loaded_model(FixedProbability(), calm), calm, "binary", train=SEEN)

    assert refused(found) == {"KM004"}


@pytest.mark.parametrize("rows", [1, 3])
def test_a_handful_of_rows_refuses_no_model(rows: int) -> None:
    """One moment's rows are one block: what they cannot tell passes, and says so."""
    few = frame_of(
        pd.DataFrame({"p": np.linspace(0.3, 0.6, rows)}), np.ones(rows), days=np.full(rows, 20.0)
    )

    found = judged(loaded_model(FixedProbability(), SEEN), few, "binary", train=SEEN)

    assert refused(found) == set()
    assert "too few rows" in found["KM005"].found


def test_a_clear_spell_refuses_no_honest_regression() -> None:
    """Labels that lie at their upper end for days say little of a model that allows for other
    days.
    """
    rng = np.random.default_rng(4)
    train = frame_of(
        pd.DataFrame({"p": np.full(300, 9.0)}),
        rng.choice([10.0, 10.0, 10.0, 6.0], 300),
        days=np.linspace(0, 20, 300),
    )
    clear = frame_of(
        pd.DataFrame({"p": np.linspace(8.6, 9.2, 60)}),
        np.full(60, 10.0),
        days=np.linspace(20, 22, 60),
    )

    found = judged(loaded_model(FixedValue(), clear), clear, "regression", train=train)

    assert refused(found) == set()
    assert "too much alike to tell" in found["KM006"].found
