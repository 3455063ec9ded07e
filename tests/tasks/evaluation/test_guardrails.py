"""Tests of the guardrails: what is broken fails, each by its own name, and what is sound passes on
few rows too.
"""

import dataclasses
import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.evaluation.config import GuardrailsConfig
from tasks.evaluation.guardrails import slope
from tasks.records import FeatureFrame, Guardrail, LoadedModel
from tests.tasks.builders import FixedProbability, FixedValue, frame_of, judged, loaded_model


def _binary(rows: int = 400, days: float = 20, seed: int = 0) -> FeatureFrame:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.95, rows)
    target = (rng.random(rows) < p).astype("float64")
    features = pd.DataFrame({"p": p, "noisy": np.clip(p + rng.normal(0, 0.3, rows), 0.01, 0.99)})
    return frame_of(features, target, days=np.linspace(20, 20 + days, rows, endpoint=False))


FRAME = _binary()


def _with(**columns: np.ndarray) -> FeatureFrame:
    """FRAME with these features in the place of its own, or beside them."""
    numerical = tuple(dict.fromkeys((*FRAME.schema.numerical, *columns)))
    schema = FRAME.schema.model_copy(update={"numerical": numerical})
    return FeatureFrame(
        **(vars(FRAME) | {"features": FRAME.features.assign(**columns), "schema": schema})
    )


def _failed(
    p: np.ndarray,
    as_fitted: np.ndarray | None = None,
    frame: FeatureFrame = FRAME,
    baseline: FeatureFrame | None = None,
) -> set[str]:
    changed = FeatureFrame(**(vars(frame) | {"features": frame.features.assign(p=p)}))
    model = loaded_model(FixedProbability(), baseline or changed)
    found = judged(model, changed, "binary", p if as_fitted is None else as_fitted)
    assert len(found) == 8
    return {g.name for g in found if g.outcome != "passed"}


P = FRAME.features["p"].to_numpy()


def test_guardrails_pass() -> None:
    """An honest model passes every guardrail."""
    assert _failed(P) == set()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_guardrail_on_finite_predictions(bad: float) -> None:
    """One prediction that is no number fails."""
    assert "finite predictions" in _failed(np.where(np.arange(400) == 3, bad, P))


def test_guardrail_on_constant_predictions() -> None:
    """A model that says the base rate of everyone fails, although its mean is right."""
    assert _failed(np.full(400, FRAME.target.mean())) == {"not constant"}


def test_one_answer_on_the_holdout_alone_is_not_constant() -> None:
    """A holdout of alike rows may get one answer, as long as the training sample gets more than
    one.
    """
    assert _failed(np.full(400, FRAME.target.mean()), baseline=FRAME) == set()


def test_guardrail_on_stored_predictions() -> None:
    """A stored model that predicts another last digit than the fitted one fails."""
    other = P.copy()
    other[0] = np.nextafter(other[0], 1)

    assert _failed(P, as_fitted=other) == {"loads and predicts as fitted"}
    assert _failed(P, as_fitted=P[:-1]) == {"loads and predicts as fitted"}


@pytest.mark.parametrize(
    ("shift", "failed"), [(0.30, True), (-0.30, True), (0.05, False), (-0.05, False)]
)
def test_guardrail_on_bias(shift: float, failed: bool) -> None:
    """A model whose mean prediction is far from the base rate fails, in either direction."""
    assert ("mean prediction near mean label" in _failed(np.clip(P + shift, 0, 1))) == failed


def test_bias_leaves_room_for_chance() -> None:
    """On thirty rows the true model lies more than 0.1 off about one time in five: it rarely fails
    for that.
    """
    frames = [_binary(rows=30, days=15, seed=seed) for seed in range(200)]

    far = sum(abs(f.features["p"].mean() - f.target.mean()) > 0.10 for f in frames)
    failed = sum(bool(_failed(f.features["p"].to_numpy(), frame=f)) for f in frames)

    assert far > 20
    assert failed <= 4


def test_guardrail_on_bias_of_a_class() -> None:
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
        as_fitted = Shares(silent).predict_proba(frame.features)
        return {
            g.name for g in judged(model, frame, "multiclass", as_fitted) if g.outcome != "passed"
        }

    assert failed(silent=False) == set()
    assert "mean prediction near mean label" in failed(silent=True)


@pytest.mark.parametrize(("shift", "failed"), [(0.0, False), (20.0, True)])
def test_guardrail_on_bias_of_a_regression(shift: float, failed: bool) -> None:
    """A regression that lies two standard deviations off fails."""
    value = np.random.default_rng(0).normal(50, 10, 300)
    frame = frame_of(pd.DataFrame({"p": value + shift}), value, days=np.linspace(20, 40, 300))

    found = judged(loaded_model(FixedValue(), frame), frame, "regression", value + shift)

    assert any(g.outcome == "failed" for g in found) == failed


# --- calibration ----------------------------------------------------------------------------------


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

    assert _failed(p, frame=frame) == set()
    assert "calibration" in _failed(_sure(p, 8), frame=frame)
    assert "calibration" in _failed(1 - p, frame=frame)


def test_a_calibrated_model_passes_on_few_rows() -> None:
    """Of two hundred holdouts of sixty rows, whose days share their luck, hardly one refuses the
    true probabilities.
    """
    frames = [_uncertain(60, 15, seed) for seed in range(200)]

    failed = sum(bool(_failed(f.features["p"].to_numpy(), frame=f)) for f in frames)

    assert failed <= 10


def test_slope_is_that_of_least_squares() -> None:
    """The pooled slope of one column is numpy's; its interval covers one for a calibrated model."""
    y, p = FRAME.target.to_numpy()[:, np.newaxis], FRAME.features["p"].to_numpy()

    found = slope(p, y, np.arange(400) // 20, 0.0)

    assert found.value == pytest.approx(np.polyfit(p, y[:, 0], 1)[0])
    assert found.low < 1 < found.high


def test_labels_that_hardly_vary_are_nobodys_fault() -> None:
    """On clear days, when nearly every label is the same, a model that allows for fog is not called
    uncalibrated.
    """
    rng = np.random.default_rng(5)
    seen = rng.normal(9, 0.5, 300)
    train = frame_of(
        pd.DataFrame({"p": seen}), seen + rng.normal(0, 1.5, 300), days=np.linspace(0, 20, 300)
    )
    for fog in (0, 1):
        clear = frame_of(
            pd.DataFrame({"p": seen[:100]}),
            np.where(np.arange(100) < fog, 9.0, 10.0),
            days=np.linspace(20, 22, 100),
        )
        found = judged(
            loaded_model(FixedValue(), clear), clear, "regression", seen[:100], train=train
        )
        assert _found("calibration", found).outcome == "passed"


def test_no_further_off_than_the_champion_is_the_world_and_not_the_model() -> None:
    """Where the base rate has jumped, a challenger nearer to it than the champion passes; one
    further off does not.
    """
    p = FRAME.features["p"].to_numpy()
    frame = _with(p=np.clip(p + 0.2, 0, 1), far=np.clip(p + 0.3, 0, 1))
    near, far = (
        loaded_model(FixedProbability("p"), frame),
        loaded_model(FixedProbability("far"), frame),
    )

    def failed(challenger: LoadedModel, champion: LoadedModel | None, name: str) -> set[str]:
        found = judged(challenger, frame, "binary", frame.features[name].to_numpy(), champion)
        return {g.name for g in found if g.outcome != "passed"} & {
            "mean prediction near mean label"
        }

    assert failed(near, None, "p")
    assert not failed(near, far, "p")
    assert failed(far, near, "far")


# --- generalisation and cost ----------------------------------------------------------------------


def _found(name: str, checks: tuple[Guardrail, ...]) -> Guardrail:
    return next(g for g in checks if g.name == name)


def test_a_large_gap_alone_is_no_fault() -> None:
    """A model that knows its training rows by heart, and is of use on others, passes; its gap is
    said.
    """
    known = FRAME.features.assign(p=np.where(FRAME.target == 1, 0.999, 0.001))
    train = FeatureFrame(**(vars(FRAME) | {"features": known}))

    found = judged(loaded_model(FixedProbability(), FRAME), FRAME, "binary", P, train=train)

    generalises = _found("generalises", found)
    assert generalises.outcome == "passed"
    assert "0.001001 on training rows (gap 0.5" in generalises.found


def test_what_was_learned_by_heart_and_is_worse_than_nothing_fails() -> None:
    """Perfect on its training rows, and on others worse than the base rate for everybody:
    refused.
    """
    rng = np.random.default_rng(1)
    noise = frame_of(
        pd.DataFrame({"p": rng.choice([0.02, 0.98], 400)}),
        rng.integers(0, 2, 400).astype("float64"),
        days=np.linspace(20, 40, 400, endpoint=False),
    )
    known = FeatureFrame(
        **(
            vars(noise)
            | {"features": noise.features.assign(p=np.where(noise.target == 1, 0.98, 0.02))}
        )
    )
    p = noise.features["p"].to_numpy()

    found = judged(loaded_model(FixedProbability(), noise), noise, "binary", p, train=known)

    assert _found("generalises", found).outcome == "failed"


def test_a_file_many_times_the_champions_fails_and_a_small_one_never() -> None:
    """Ten times the champion's bytes is too much, unless it is little anyway; an unknown size has
    not passed.
    """
    config = GuardrailsConfig(larger=10, larger_from=5000)

    def outcome(ours: int, theirs: int | None) -> str:
        model = loaded_model(FixedProbability(), FRAME)
        challenger = dataclasses.replace(model, size=ours)
        champion = None if theirs is None else dataclasses.replace(model, size=theirs)
        return _found(
            "size", judged(challenger, FRAME, "binary", P, champion, config=config)
        ).outcome

    assert outcome(5000, 10) == "passed"
    assert outcome(9_000, 1000) == "passed"
    assert outcome(10_001, 1000) == "failed"
    assert outcome(10_001, None) == "passed"
    assert outcome(0, 1000) == "not made"


def test_a_slow_model_fails_against_a_quick_champion() -> None:
    """A model that takes its time fails where the champion does not; where it is quick enough
    anyway nothing is asked.
    """

    class Slow(FixedProbability):
        def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
            began = time.process_time()
            while time.process_time() < began + 0.1:
                pass
            return super().predict_proba(features)

    slow, quick = loaded_model(Slow(), FRAME), loaded_model(FixedProbability(), FRAME)

    def outcome(slower_from: float, champion: LoadedModel) -> str:
        config = GuardrailsConfig(slower=10, slower_from=slower_from)
        return _found(
            "prediction time", judged(slow, FRAME, "binary", P, champion, config=config)
        ).outcome

    assert outcome(0.0, quick) == "failed"
    assert outcome(0.0, slow) == "passed"
    assert outcome(10.0, quick) == "passed"


@pytest.mark.parametrize(("quantile", "failed"), [(0.9, False), (0.5, True)])
def test_a_quantile_is_judged_by_the_share_below_it(quantile: float, failed: bool) -> None:
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

    found = judged(
        loaded_model(FixedValue(), frame),
        frame,
        "regression",
        frame.features["p"].to_numpy(),
        metric="pinball_0.9",
    )

    assert {g.name for g in found if g.outcome != "passed"} == (
        {"mean prediction near mean label"} if failed else set()
    )


# --- what rows cannot tell ------------------------------------------------------------------------

SEEN = frame_of(FRAME.features[["p"]], FRAME.target.to_numpy(), days=np.linspace(0, 19, 400))


@pytest.mark.parametrize("positives", [0, 1, 9])
def test_labels_all_alike_refuse_no_honest_model(positives: int) -> None:
    """A spell in which hardly anything happens is no proof against a model that says 15% and means
    it.
    """
    rng = np.random.default_rng(3)
    p = rng.uniform(0.02, 0.4, 300)
    calm = frame_of(
        pd.DataFrame({"p": p}),
        (np.arange(300) % 33 < (positives > 0)).astype("float64")
        * (np.arange(300) < 33 * positives),
        days=np.linspace(20, 26, 300, endpoint=False),
    )
    assert calm.target.sum() == positives

    found = judged(loaded_model(FixedProbability(), calm), calm, "binary", p, train=SEEN)

    assert {g.name for g in found if g.outcome != "passed"} == set()
    assert (
        _found("generalises", found).found
        == f"labels too much alike to tell: {positives} of 10 are not the most frequent one"
    )


def test_labels_all_alike_still_refuse_a_model_that_is_far_off() -> None:
    """Whoever says 97% of rows of which none comes true is refused on these rows too."""
    calm = frame_of(
        pd.DataFrame({"p": np.linspace(0.96, 0.98, 300)}),
        np.zeros(300),
        days=np.linspace(20, 26, 300, endpoint=False),
    )

    found = judged(
        loaded_model(FixedProbability(), calm),
        calm,
        "binary",
        calm.features["p"].to_numpy(),
        train=SEEN,
    )

    assert {g.name for g in found if g.outcome != "passed"} == {"mean prediction near mean label"}


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

    found = judged(
        loaded_model(FixedValue(), clear),
        clear,
        "regression",
        clear.features["p"].to_numpy(),
        train=train,
    )

    assert {g.name for g in found if g.outcome != "passed"} == set()
    assert "too much alike to tell" in _found("generalises", found).found


@pytest.mark.parametrize("rows", [1, 3])
def test_a_handful_of_rows_refuses_nobody(rows: int) -> None:
    """One moment's rows are one block: what they cannot tell passes, and says so."""
    few = frame_of(
        pd.DataFrame({"p": np.linspace(0.3, 0.6, rows)}), np.ones(rows), days=np.full(rows, 20.0)
    )

    found = judged(
        loaded_model(FixedProbability(), SEEN),
        few,
        "binary",
        few.features["p"].to_numpy(),
        train=SEEN,
    )

    assert {g.name for g in found if g.outcome != "passed"} == set()
    assert "too few rows" in _found("calibration", found).found


def test_no_worse_than_the_champion_generalises() -> None:
    """Where the world has moved, a challenger that loses less than the champion is an answer to it;
    one that loses more is not.
    """
    noise = _with(p=0.9 - 0.8 * P, far=0.98 - 0.96 * P)
    near, far = (
        loaded_model(FixedProbability("p"), noise),
        loaded_model(FixedProbability("far"), noise),
    )

    def outcome(challenger: LoadedModel, champion: LoadedModel | None, name: str) -> str:
        found = judged(challenger, noise, "binary", noise.features[name].to_numpy(), champion)
        return _found("generalises", found).outcome

    assert outcome(near, None, "p") == "failed"
    assert outcome(near, far, "p") == "passed"
    assert outcome(far, near, "far") == "failed"
