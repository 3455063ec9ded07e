"""Contenders, and the fit of one of them on everything that it may see."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.records import Problem, Recipe
from tasks.training.config import TrainingConfig
from tasks.training.pipeline import make_pipeline, with_values
from tasks.training.search import Found
from tasks.training.split import Split


@dataclass(frozen=True)
class Contender:
    """A recipe that may challenge the champion, and what it is to the champion's own."""

    kind: Literal["first", "refresh", "change of recipe"]
    recipe: Recipe
    folds_loss: float | None
    """Mean loss on the folds; None when the recipe was not among those searched."""


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline and what it was made of."""

    contender: Contender
    pipeline: Any
    split: Split
    classes: tuple[str, ...]
    seconds: float


def contenders(
    found: Sequence[Found], features_sha256: str, config: TrainingConfig, champion: Recipe | None
) -> tuple[Contender, ...]:
    """Return who challenges, in order: a better recipe when the folds show one, then the champion's own, refreshed.

    A refused change of recipe must not cost the refresh: newer data is worth having under the old recipe too.
    ``found`` is best first.
    """
    recipes = [
        Recipe(
            estimator=item.trial.estimator,
            params=_in_order(item.trial.params),
            encode=item.candidate.encode,
            window=str(config.window),
            features=features_sha256,
        )
        for item in found
    ]
    losses = {recipe.hash: item.trial.loss for recipe, item in zip(recipes, found, strict=True)}
    if champion is None:
        return (Contender("first", recipes[0], found[0].trial.loss),)
    champion = champion.model_copy(update={"params": _in_order(champion.params)})
    own = champion.model_copy(update={"window": str(config.window), "features": features_sha256})
    own_kind: Literal["refresh", "change of recipe"] = (
        "refresh" if own.hash == champion.hash else "change of recipe"
    )
    refresh = Contender(own_kind, own, losses.get(own.hash))
    best = recipes[0]
    if best.hash == own.hash:
        return (refresh,)
    return (Contender("change of recipe", best, found[0].trial.loss), refresh)


def _in_order(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name: written in another order in the spec, they are the same recipe."""
    return dict(sorted(params.items()))


def fit(contender: Contender, split: Split, problem: Problem, seed: int) -> Fitted:
    """Fit the contender's recipe on ``split.train``; the holdout stays unseen."""
    import os

    began = time.perf_counter()
    recipe = contender.recipe
    schema = with_values(split.train.schema, split.train.features)
    pipeline = make_pipeline(recipe.estimator, recipe.params, schema, encode=recipe.encode, seed=seed)
    estimator = pipeline.named_steps["estimator"]
    # Forests only: other estimators of scikit-learn warn that they will lose the argument, or do not gain by it.
    own_jobs = hasattr(estimator, "n_estimators") and "n_jobs" not in recipe.params
    own_jobs = own_jobs and "n_jobs" in estimator.get_params()
    jobs = estimator.get_params()["n_jobs"] if own_jobs else None
    if own_jobs:
        estimator.set_params(n_jobs=os.cpu_count())
    pipeline.fit(split.train.features, split.train.target)
    if own_jobs:
        # A forest that predicts in parallel adds its trees up in any order: the last digits would vary.
        estimator.set_params(n_jobs=jobs)
    classes = tuple(str(label) for label in pipeline.classes_) if problem == "multiclass" else ()
    return Fitted(contender, pipeline, split, classes, time.perf_counter() - began)


def class_labels(target: Any, problem: Problem) -> tuple[str, ...]:  # noqa: ANN401 - a Series
    """Return the sorted class labels of a multiclass target; nothing for other problems."""
    return tuple(sorted(target.dropna().unique())) if problem == "multiclass" else ()
