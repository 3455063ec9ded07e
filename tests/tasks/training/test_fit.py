"""Tests of contenders and of the fit."""

import numpy as np
import pandas as pd
import pytest

from tasks.prediction import predict
from tasks.records import FeatureFrame, Recipe, Trial
from tasks.training.config import Candidate, Window
from tasks.training.fit import ENSEMBLE, Contender, class_labels, contenders, fit, merged
from tasks.training.search import Found
from tasks.training.split import split_by_time
from tests.tasks.builders import frame_of, recipe, span

FOREST, LINEAR = (
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.linear_model.LogisticRegression",
)


def _found(estimator: str, loss: float, **params: object) -> Found:
    trial = Trial(
        estimator=estimator, params=params, loss=loss, loss_by_fold=(loss,), trials=1, seconds=0.1
    )
    return Found(Candidate(estimator=estimator), trial)


def _contenders(
    champion: Recipe | None, *found: Found, window: int | None = None
) -> list[tuple[str, str]]:
    spoken = str(Window(last=window))
    return [
        (c.kind, c.recipe.estimator.rpartition(".")[2])
        for c in contenders(found, "f", spoken, champion)
    ]


def test_first_contender() -> None:
    """Without a champion the best candidate is the one contender."""
    assert _contenders(None, _found(FOREST, 0.4), _found(LINEAR, 0.5)) == [
        ("first", "RandomForestClassifier")
    ]


def test_refresh_alone_when_the_champion_is_best() -> None:
    """When the folds find nothing better, the champion's recipe is refreshed."""
    assert _contenders(recipe(), _found(LINEAR, 0.4), _found(FOREST, 0.5)) == [
        ("refresh", "LogisticRegression")
    ]


def test_better_recipe_first_then_the_refresh() -> None:
    """A better recipe challenges first; the refresh comes after it, and is not lost."""
    assert _contenders(recipe(), _found(FOREST, 0.4), _found(LINEAR, 0.5)) == [
        ("change of recipe", "RandomForestClassifier"),
        ("refresh", "LogisticRegression"),
    ]


def test_other_parameters_are_another_recipe() -> None:
    """The same estimator with other parameters is a change of recipe; the refresh keeps the
    champion's.
    """
    assert _contenders(recipe(params={"C": 1.0}), _found(LINEAR, 0.4, C=2.0)) == [
        ("change of recipe", "LogisticRegression"),
        ("refresh", "LogisticRegression"),
    ]


def test_parameters_in_another_order_are_the_same_recipe() -> None:
    """What the ledger gives back is the same recipe, whatever became of tuples and order."""
    champion = Recipe.model_validate_json(recipe(params={"C": 1.0, "l": (1, 2)}).model_dump_json())

    assert _contenders(champion, _found(LINEAR, 0.4, C=1.0, l=(1, 2))) == [
        ("refresh", "LogisticRegression")
    ]
    assert _contenders(champion, _found(LINEAR, 0.4, l=(1, 2), C=1.0)) == [
        ("refresh", "LogisticRegression")
    ]


@pytest.mark.parametrize(
    "found", [(_found(LINEAR, 0.4),), (_found(FOREST, 0.4), _found(LINEAR, 0.5))]
)
def test_changed_window_is_a_change_of_recipe(found: tuple[Found, ...]) -> None:
    """With another window the champion's own recipe must be proven too."""
    kinds = {kind for kind, _ in _contenders(recipe(), *found, window=6)}

    assert kinds == {"change of recipe"}


def test_changed_features_are_a_change_of_recipe() -> None:
    """With other features the champion's own recipe must be proven too."""
    assert _contenders(recipe(features="others"), _found(LINEAR, 0.4)) == [
        ("change of recipe", "LogisticRegression")
    ]


def test_folds_loss_belongs_to_its_recipe() -> None:
    """Each contender carries its own loss on the folds; one that was not searched has none."""
    searched = contenders((_found(FOREST, 0.4), _found(LINEAR, 0.5)), "f", "all history", recipe())
    unsearched = contenders((_found(FOREST, 0.4),), "f", "all history", recipe())

    assert [c.folds_loss for c in searched] == [0.4, 0.5]
    assert [c.folds_loss for c in unsearched] == [0.4, None]


def test_new_member_of_a_ensemble() -> None:
    """It refreshes an ensemble over the same features whatever its recipe; of any other champion it
    is a change.
    """
    (first,) = contenders((_found(FOREST, 0.4),), "f", "last 6 batches", None, ensemble=6)
    assert (first.kind, first.trained.estimator, first.recipe.estimator) == (
        "first",
        FOREST,
        ENSEMBLE,
    )

    (again,) = contenders((_found(LINEAR, 0.4),), "f", "all history", first.recipe, ensemble=6)
    assert (again.kind, again.trained.estimator, again.trained.window) == (
        "refresh",
        LINEAR,
        "all history",
    )
    (others,) = contenders(
        (_found(LINEAR, 0.4),), "other features", "all history", first.recipe, ensemble=6
    )
    assert others.kind == "change of recipe"

    joined, own = contenders((_found(FOREST, 0.4),), "f", "all history", recipe(), ensemble=6)
    assert (joined.kind, joined.recipe.estimator) == ("change of recipe", ENSEMBLE)
    assert (own.kind, own.trained.estimator) == ("refresh", LINEAR)
    (alone,) = contenders((_found(FOREST, 0.4),), "f", "all history", first.recipe)
    assert (alone.kind, alone.recipe.estimator) == ("change of recipe", FOREST)


def test_merged_spans() -> None:
    """Of one snapshot the longest span stays, so that nothing that any member saw is left out."""
    short, long, other = span(0, 5, rows=50), span(0, 9, rows=90), span(30, 40, batch="b001")

    assert merged([other, short, long]) == (long, other)


def _frame(labels: tuple[object, ...]) -> FeatureFrame:
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(600, 2)), columns=["a", "b"]).assign(
        c=rng.choice(["x", "y"], 600)
    )
    target = np.array(labels, dtype="object")[rng.integers(0, len(labels), 600)]
    if labels == (0.0, 1.0):
        target = target.astype("float64")
    return frame_of(
        features, target, days=np.linspace(0, 30, 600, endpoint=False), categorical=["c"]
    )


@pytest.mark.parametrize(
    "made_by",
    [
        recipe(),
        recipe(estimator=FOREST, params={"n_estimators": 20}),
        recipe(
            estimator="sklearn.ensemble.HistGradientBoostingClassifier", params={"max_iter": 20}
        ),
    ],
)
@pytest.mark.filterwarnings("error::FutureWarning")
def test_same_inputs_same_predictions_bit_for_bit(made_by: Recipe) -> None:
    """Fitted twice on the same rows, a recipe gives the very same predictions."""
    parts = split_by_time(_frame((0.0, 1.0)), 0.2)
    contender = Contender("first", made_by, None)

    predictions = [
        predict(fit(contender, parts, "binary", seed=3).pipeline, parts.holdout.features, "binary")
        for _ in range(2)
    ]

    assert predictions[0].tobytes() == predictions[1].tobytes()


def test_forest_predicts_on_one_core_as_the_spec_says() -> None:
    """Training may use every core; the stored forest has the number of jobs that the spec gave, or
    none.
    """
    parts = split_by_time(_frame((0.0, 1.0)), 0.2)

    free = fit(
        Contender("first", recipe(estimator=FOREST, params={"n_estimators": 5}), None),
        parts,
        "binary",
        0,
    )
    set_to = recipe(estimator=FOREST, params={"n_estimators": 5, "n_jobs": 1})
    fixed = fit(Contender("first", set_to, None), parts, "binary", 0)

    assert free.pipeline.named_steps["estimator"].n_jobs is None
    assert fixed.pipeline.named_steps["estimator"].n_jobs == 1


def test_holdout_stays_unseen() -> None:
    """Another target in the holdout changes nothing in the fitted model, and the frames stay as
    they were.
    """
    frame = _frame((0.0, 1.0))
    parts = split_by_time(frame, 0.2)
    before = parts.train.features.copy()
    cut = parts.holdout.event_time.min()
    other = FeatureFrame(
        **(vars(frame) | {"target": frame.target.where(frame.event_time < cut, 1 - frame.target)})
    )
    contender = Contender("first", recipe(), None)

    ours = fit(contender, parts, "binary", 0).pipeline
    theirs = fit(contender, split_by_time(other, 0.2), "binary", 0).pipeline

    assert np.array_equal(
        predict(ours, frame.features, "binary"), predict(theirs, frame.features, "binary")
    )
    pd.testing.assert_frame_equal(parts.train.features, before)


def test_classes_of_a_multiclass_target() -> None:
    """A multiclass fit knows its classes in the order of its predictions; other problems have
    none.
    """
    frame = _frame(("late", "early", "on time"))

    fitted = fit(Contender("first", recipe(), None), split_by_time(frame, 0.2), "multiclass", 0)

    assert (
        fitted.classes == ("early", "late", "on time") == class_labels(frame.target, "multiclass")
    )
    assert class_labels(_frame((0.0, 1.0)).target, "binary") == ()
