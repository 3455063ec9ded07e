"""Tests of presets: each makes a valid spec, and a spec's own words win."""

from typing import Any, get_args

import pytest

from tasks.configuration import load_config
from tasks.model_spec import ModelSpec
from tasks.presets import PRESETS, Preset, complete
from tasks.records import Problem
from tasks.training.pipeline import check_candidates
from tests.conftest import WEATHER_PROJECT

SHORT: dict[str, Any] = {
    "model": "returns",
    "contract": "orders",
    "problem": "binary",
    "target": "returned",
    "batch": {"every": "month"},
}


def spec(**keys: Any) -> ModelSpec:
    """A spec of the five required keys and ``keys``."""
    return ModelSpec.model_validate(SHORT | keys)


def test_five_keys_are_a_complete_spec():
    """What a spec leaves out comes from the defaults, and says so when it is asked."""
    short = spec()

    assert short.preset == "balanced"
    assert short.metric == "roc_auc"
    assert len(short.training.candidates) == 2
    assert short == ModelSpec.model_validate(short.model_dump())


@pytest.mark.parametrize("problem", get_args(Problem))
def test_default_candidates_fit_their_problem(problem: Problem) -> None:
    """The candidates that a spec gets by its problem exist, and take their arguments."""
    short = spec(problem=problem)

    check_candidates(WEATHER_PROJECT, short.training.candidates, problem)


@pytest.mark.parametrize(
    ("metric", "loss"),
    [
        ("poisson_deviance", "poisson"),
        ("tweedie_deviance_1.5", "poisson"),
        ("gamma_deviance", "gamma"),
        ("pinball_0.9", "quantile"),
        ("mae", "absolute_error"),
    ],
)
def test_default_candidates_are_fitted_for_the_metric(metric: str, loss: str) -> None:
    """Of a quantile or a deviance those whose loss it is; what the spec names wins."""
    short = spec(problem="regression", metric=metric)
    own = spec(problem="regression", metric=metric, training={"candidates": ({"estimator": "a"},)})

    check_candidates(WEATHER_PROJECT, short.training.candidates, "regression")
    assert short.training.candidates[-1].params["loss"] == loss
    assert [one.estimator for one in own.training.candidates] == ["a"]


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_preset_sets_what_it_says(preset: Preset) -> None:
    """Each key of a preset is the spec's value, and other than the default of its room."""
    short, plain = spec(preset=preset).model_dump(), spec().model_dump()

    for room, keys in PRESETS[preset].items():
        for key, value in keys.items():
            expected = plain[room][key] | value if isinstance(value, dict) else value
            assert short[room][key] == expected
            assert plain[room][key] != expected


def test_the_presets_stand_in_order():
    """From careful to eager trainings come more often, and promotions more easily."""
    careful, balanced, eager = (spec(preset=preset) for preset in get_args(Preset))

    assert careful.retrain.every > balanced.retrain.every > eager.retrain.every
    assert careful.gate.alpha < balanced.gate.alpha < eager.gate.alpha
    assert careful.watch.batches > balanced.watch.batches > eager.watch.batches
    assert careful.ensemble.join_worse < balanced.ensemble.join_worse < eager.ensemble.join_worse
    assert careful.approval.required
    assert not eager.approval.required


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"gate": {"alpha": 0.02}}, lambda s: (s.gate.alpha, s.gate.refresh_worse) == (0.02, 0.01)),
        ({"approval": "auto"}, lambda s: not s.approval.required),
        ({"approval": {"within": "7d"}}, lambda s: s.approval.required),
        ({"retrain": "never"}, lambda s: s.retrain.never and s.retrain.every == 2),
        ({"metric": "brier"}, lambda s: s.metric == "brier"),
        (
            {"training": {"first": 5}},
            lambda s: s.training.first == 5 and len(s.training.candidates) == 2,
        ),
        (
            {"training": {"candidates": ({"estimator": "a.B"},)}},
            lambda s: [one.estimator for one in s.training.candidates] == ["a.B"],
        ),
    ],
)
def test_what_a_spec_says_itself_wins(keys: dict[str, Any], found: Any) -> None:
    """A key over a key, a word over the whole mapping, a list over the whole list."""
    assert found(spec(preset="careful", **keys))


def test_the_spec_in_full_is_a_spec_again(tmp_path):
    """What ``kingmaker check --effective`` prints names every key, and means the same."""
    short = spec(preset="eager", labels={"delay": "36h"})
    (tmp_path / "model.yaml").write_text(short.in_full(), encoding="utf-8")

    assert load_config(tmp_path / "model.yaml", ModelSpec) == short
    assert "window:\n    last: 12\n" in short.in_full()


def test_completing_changes_nothing_that_was_given():
    """The mapping that was read stays as it is, and so does the preset."""
    given = SHORT | {"preset": "careful", "gate": {"alpha": 0.2}}

    completed = complete(given)

    assert given["gate"] == {"alpha": 0.2}
    assert "approval" not in given
    assert completed["gate"]["alpha"] == 0.2
    assert PRESETS["careful"]["gate"]["alpha"] == 0.01


@pytest.mark.parametrize("word", ["Careful", None, ["eager"], {"eager": 1}])
def test_another_preset_is_refused(word: object) -> None:
    """Only the three are presets."""
    with pytest.raises(ValueError, match="preset"):
        spec(preset=word)
