"""Tests of what is tried."""

from dataclasses import replace

import pytest

from flows.whatif.alternatives import (
    NoSuchAlternativeError,
    asked_for,
    parse,
    recipe_of,
    start_of,
    usual,
)
from flows.whatif.replay import Start
from tasks.configuration import ConfigurationError
from tasks.model_spec import ManagedModel, manage
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT
from tests.flows.whatif.streams import stream_of
from tests.tasks.builders import recipe

RIDGE = "sklearn.linear_model.Ridge"


@pytest.fixture
def weather(tmp_path) -> ManagedModel:
    """The weather project's model: a window of eight weeks, a line and trees."""
    return manage("weather", Settings(home=tmp_path, project=WEATHER_PROJECT))


def test_pairs_are_yaml() -> None:
    """Several keys at once, each value as it would stand in the spec."""
    assert parse("retrain.every=4 gate.refresh=better recalibrate=never") == {
        "retrain.every": 4,
        "gate.refresh": "better",
        "recalibrate": "never",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("retrain.every", "expected KEY=VALUE"),
        ("retrian.every=4", "found 'retrian.every'"),
        ("metric=mae", "expected a key at or below one of"),
        ("retrain.every={", "expected a YAML value of retrain.every"),
    ],
)
def test_what_is_none_is_refused(text: str, sentence: str) -> None:
    """By what was expected and what was found."""
    with pytest.raises(NoSuchAlternativeError, match=sentence):
        parse(text)


def test_a_value_that_is_none_is_refused_by_file_and_key(weather: ManagedModel) -> None:
    """As it would be in the file."""
    with pytest.raises(ConfigurationError, match=r"model\.yaml: retrain\.evry: .*did you mean"):
        asked_for(weather, ["retrain.evry=4"])


def test_other_values_alone_differ(weather: ManagedModel) -> None:
    """The rest of the spec stands."""
    (asked,) = asked_for(weather, ["retrain.every=4"])

    assert asked.spec.retrain.every == 4
    assert asked.spec.training == weather.spec.training


def test_usual_ones_differ_from_the_spec(weather: ManagedModel) -> None:
    """Each is another policy, window or candidate; none is the spec itself."""
    found = {one.name: one.spec for one in usual(weather, 20)}

    assert "retrain.every=2" not in found  # the spec's own
    assert found["training.window.last=null"].training.window.last is None
    assert found["retrain.never=true"].retrain.never
    assert [c.estimator for c in found["only Ridge"].training.candidates] == [RIDGE]
    assert all(spec != weather.spec for spec in found.values())


def test_recipe_is_the_newest_that_the_spec_allows(weather: ManagedModel) -> None:
    """With the values that were found last; without one, the first candidate's own."""
    trees = weather.spec.training.candidates[1]
    known = [
        recipe(estimator="sklearn.linear_model.Lasso"),
        recipe(estimator=RIDGE, params={"alpha": 1e6}),
        recipe(estimator=RIDGE, params={"alpha": 3.0}),
    ]
    alone = usual(weather, 20)[-1].spec

    assert dict(recipe_of(weather.spec, known).params) == {"alpha": 3.0}
    assert recipe_of(weather.spec, ()).estimator == RIDGE
    assert recipe_of(alone, known).estimator == trees.estimator
    assert dict(recipe_of(alone, known).params) == dict(sorted(trees.params.items()))


def test_rounds_that_early_stopping_found_are_taken(weather: ManagedModel) -> None:
    """They stand in no spec, and are part of the recipe; what the spec fixes must still be so."""
    own = '{"estimator":"lightgbm.LGBMRegressor","early_stopping":20,"params":{"num_leaves":9}}'
    (asked,) = asked_for(weather, [f"training.candidates=[{own}]"])
    known = [
        recipe(estimator="lightgbm.LGBMRegressor", params={"n_estimators": 7, "num_leaves": 5}),
        recipe(estimator="lightgbm.LGBMRegressor", params={"n_estimators": 80, "num_leaves": 9}),
    ]

    assert recipe_of(asked.spec, known).params == {"n_estimators": 80, "num_leaves": 9}


def test_first_champion_waits_for_labels(weather: ManagedModel) -> None:
    """It is trained when so many batches and rows are known, and serves the next batch."""
    stream = stream_of(late=2)

    assert start_of(weather.spec, stream) == Start(6, 8, 0.2)
    assert start_of(weather.spec, replace(stream, known=(-1,) * 12)) is None
