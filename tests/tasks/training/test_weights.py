"""Tests of how much each training row counts, and which are left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.configuration import ConfigurationError
from tasks.evaluation.objective import Objective
from tasks.records import FeatureFrame
from tasks.training.config import Candidate, Excluded, TrainingConfig, Tuning, Weights
from tasks.training.fit import Contender, contenders, fit
from tasks.training.search import SearchFailedError, search
from tasks.training.split import NoTrainingRowsError, leave_out, split_by_time, split_to_judge
from tasks.training.weights import check_weighted, excluded, sample_weights
from tests.sample_contract import sample_contract
from tests.tasks.builders import at, frame_of

RIDGE = "sklearn.linear_model.Ridge"
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def _rows(rows: int = 300) -> FeatureFrame:
    """A row every tenth of a day, the class 1 a third as often as 0, and a weight for each."""
    rng = np.random.default_rng(0)
    features = pd.DataFrame({"x": rng.normal(size=rows)})
    target = (rng.random(rows) < 0.25).astype("float64")
    frame = frame_of(features, target, days=np.arange(rows) / 10)
    return replace(frame, weight=pd.Series(np.where(np.arange(rows) % 2, 3.0, np.nan)))


def test_a_row_of_half_the_life_counts_half() -> None:
    """Whatever the newest moment is, and in the mean a row counts 1."""
    weights = sample_weights(Weights(half_life=timedelta(days=2)), _rows())

    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    assert weights[-1] == pytest.approx(2 * weights[-21])
    assert weights[20:] == pytest.approx(2 * weights[:-20])


def test_balanced_classes_count_the_same_together() -> None:
    """Named ones count as is said, and the others once."""
    rows = _rows()
    ones = rows.target.to_numpy() == 1

    balanced = sample_weights(Weights(classes="balanced"), rows)
    named = sample_weights(Weights(classes={"1": 4.0}), rows)

    assert balanced is not None
    assert named is not None
    assert balanced[ones].sum() == pytest.approx(balanced[~ones].sum())
    assert np.unique(named[ones] / named[~ones][0]) == pytest.approx(4.0)


def test_weights_of_a_column_multiply_the_others() -> None:
    """A row without one counts nothing."""
    both = sample_weights(Weights(half_life=timedelta(days=2), column="w"), _rows())

    assert both is not None
    assert (both[::2] == 0).all()
    assert both[-1] == pytest.approx(2 * both[-21])


@pytest.mark.parametrize(
    ("values", "message"),
    [([-1.0, 2.0], "expected weights of 0 and more in 'w', found -1"), ([0.0, 0.0], "above 0")],
)
def test_weights_that_are_none_are_refused(values: list[float], message: str) -> None:
    """A negative one has no meaning, and something must count."""
    frame = frame_of(pd.DataFrame({"x": [0.0, 1.0]}), [0.0, 1.0], days=[0, 1])

    with pytest.raises(ValueError, match=message):
        sample_weights(Weights(column="w"), replace(frame, weight=pd.Series(values)))


def _found(config: TrainingConfig, rows: FeatureFrame) -> Any:
    return search(rows, config, "regression", Objective("regression").mean_loss)


def _turned(rows: int = 400) -> FeatureFrame:
    """What grows with x in the first half, and falls with it in the second."""
    x = np.random.default_rng(1).normal(size=rows)
    sign = np.where(np.arange(rows) < rows / 2, 1.0, -1.0)
    return frame_of(pd.DataFrame({"x": x}), sign * x, days=np.arange(rows) / 10)


def _config(**weights: Any) -> TrainingConfig:
    return TrainingConfig(
        candidates=(Candidate(estimator=RIDGE),),
        tuning=Tuning(folds=2),
        weights=Weights(**weights),
    )


def test_a_short_memory_follows_what_has_turned() -> None:
    """In the folds of the search and in the fit; the weights are part of the recipe, and another
    half-life is another one.
    """
    rows, long, short = _turned(), _config(), _config(half_life=timedelta(days=1))
    parts = split_by_time(rows, 0.2)
    made = {}
    for name, config in (("long", long), ("short", short)):
        found = _found(config, rows)
        (contender,) = contenders(found.found, "f", "all history", None, weights=config.weights)
        made[name] = (found.found[0].trial.loss, contender.recipe, contender)
    slopes = {
        name: fit(contender, parts, "regression", 0).pipeline.named_steps["estimator"].coef_[0]
        for name, (_, _, contender) in made.items()
    }

    assert made["short"][0] < 0.8 * made["long"][0]
    assert made["short"][1].weights == {"half_life": "1d"}
    assert made["short"][1].hash != made["long"][1].hash
    assert slopes["short"] < -0.8 < slopes["long"]


def test_no_candidate_is_left_with_weights_that_are_none() -> None:
    """The search says why."""
    rows = replace(_rows(), weight=pd.Series(np.full(300, -1.0)))

    with pytest.raises(SearchFailedError, match=r"weights\.column: expected weights of 0 and more"):
        _found(_config(column="w"), rows)


def test_estimators_that_take_no_weights_are_refused() -> None:
    """What would not count is not asked for."""
    nearest = "sklearn.neighbors.KNeighborsRegressor"
    config = _config(half_life=timedelta(days=1))
    check_weighted(Path("model.yaml"), config)
    both = (Candidate(estimator=RIDGE), Candidate(estimator=nearest))

    check_weighted(Path("model.yaml"), TrainingConfig(candidates=both))
    with pytest.raises(ConfigurationError) as caught:
        check_weighted(Path("model.yaml"), TrainingConfig(candidates=both, weights=config.weights))

    assert str(caught.value) == (
        "model.yaml: training.candidates.1.estimator: expected an estimator whose fit takes"
        f" sample_weight, beside training.weights, found {nearest!r}"
    )


def _period(first: date, last: date) -> Excluded:
    return Excluded.model_validate({"from": first, "to": last, "why": "a strike"})


def test_days_are_those_of_the_contract(tmp_path: Path) -> None:
    """From the first to the last, both with all their hours in New York."""
    first = at(0).date()
    rows = frame_of(pd.DataFrame({"x": np.arange(96.0)}), np.arange(96.0), days=np.arange(96) / 24)

    found = excluded(
        rows,
        [_period(first + timedelta(days=1), first + timedelta(days=2))],
        sample_contract(tmp_path),
    )

    days = rows.event_time.dt.tz_convert("America/New_York").dt.date
    assert set(days[found]) == {first + timedelta(days=1), first + timedelta(days=2)}
    assert found.sum() == 48


def test_excluded_rows_judge_and_do_not_train() -> None:
    """The holdout stays, a fold is fitted on what is left before it, and the spans say so."""
    rows = _turned()
    out = rows.features.index.to_numpy() < 200

    parts = split_by_time(rows, 0.2)
    left = leave_out(parts, lambda some: out[some.features.index])

    assert left.train.features.index.tolist() == list(range(200, len(parts.train)))
    assert len(left.holdout) == len(parts.holdout)
    assert sum(span.rows for span in left.trained_on) == len(left.train)
    folded = split_to_judge(rows, 0.2, at(20), lambda target, _: len(target) > 150, most=3)
    assert folded.folds, "the rows to judge are pooled"
    without = leave_out(folded, lambda some: out[some.features.index])
    for fold, before in zip(without.folds, folded.folds, strict=True):
        assert len(fold.train) == len(before.train) - out[before.train.features.index].sum()
        assert len(fold.test) == len(before.test)
    with pytest.raises(NoTrainingRowsError, match=r"training\.exclude: expected rows"):
        leave_out(parts, lambda some: np.ones(len(some), bool))


def test_what_is_excluded_is_part_of_the_recipe() -> None:
    """With its reason, which the card tells."""
    config = TrainingConfig(
        candidates=(Candidate(estimator=LOGISTIC),),
        exclude=(_period(date(2020, 3, 16), date(2020, 5, 31)),),
    )

    said = config.rows_in_words(all_history=True)

    assert said == "all history, without 2020-03-16 to 2020-05-31 (a strike)"
    (contender,) = contenders(_found(_config(), _turned()).found, "f", said, None)
    assert isinstance(contender, Contender)
    assert contender.recipe.window == said
