"""Contenders, and the fit of one of them on everything that it may see."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import joblib
import numpy as np

from tasks.errors import KingmakerError, first_line
from tasks.mixing import Ensemble
from tasks.prediction import align, predict
from tasks.records import EnsembleMember, FeatureFrame, LeftOut, Problem, Recipe, RowSpan
from tasks.training.config import Preparation, Weights
from tasks.training.estimators import fit_pipeline
from tasks.training.failure import why_left_out
from tasks.training.pipeline import make_pipeline, with_values
from tasks.training.search import Found
from tasks.training.split import Split
from tasks.training.weights import sample_weights, weighted


class CandidateFailedError(KingmakerError):
    """An estimator raised in its fit, or in its first predictions."""

    def __init__(self, left_out: LeftOut) -> None:
        super().__init__(str(left_out))
        self.left_out = left_out


@dataclass(frozen=True)
class Contender:
    """A recipe that may challenge the champion, and what it is to the champion's own."""

    kind: Literal["first", "refresh", "change of recipe"]
    recipe: Recipe
    folds_loss: float | None
    """Mean loss on the folds; None when the recipe was not among those searched."""
    new_member: Recipe | None = None
    """Of an ensemble: the recipe that is trained, to join the members that are kept.

    Else ``recipe`` is.
    """

    @property
    def trained(self) -> Recipe:
        """The recipe that is fitted."""
        return self.new_member or self.recipe


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline and what it was made of."""

    contender: Contender
    pipeline: Any
    split: Split
    classes: tuple[str, ...]
    predicted: np.ndarray
    """What it predicts for the holdout, (rows,) or (rows, classes) float64."""
    seconds: float
    members: tuple[EnsembleMember, ...] = ()
    """Of an ensemble: its members, the new member last, with version 0 until it is registered."""
    trained_on: tuple[RowSpan, ...] = ()
    """Rows that the pipeline, every member of it, was trained on."""
    unseen: np.ndarray | None = None
    """What fits of the same recipe that have not seen them predict for the rows of the holdout,
    (rows,) or (rows, classes); None without folds, where the pipeline has not seen them itself.
    """


ENSEMBLE = "tasks.mixing.Ensemble"
EQUAL = Weights()


def contenders(
    found: Sequence[Found],
    features_sha256: str,
    window: str,
    champion: Recipe | None,
    *,
    ensemble: int = 1,
    weights: Weights = EQUAL,
) -> tuple[Contender, ...]:
    """Return who challenges, in order: a better recipe when the folds show one, then the champion's
    own, refreshed.

    A refused change of recipe must not cost the refresh: newer data is worth having under the old
    recipe too. ``found`` is best first, ``window`` says what is trained on. With a ``ensemble`` of
    more than one member the best found joins it, whatever its own recipe, for it earns its weight
    by its losses: that refreshes a champion that is such an ensemble over the same features, and is
    a change of recipe for any other.
    """
    recipes = [
        Recipe(
            estimator=item.trial.estimator,
            params=_in_order(item.trial.params),
            encode=item.candidate.encode,
            prepare=prepared_in_order(item.candidate.prepare),
            weights=weights.in_recipe,
            window=window,
            features=features_sha256,
        )
        for item in found
    ]
    together = Recipe(
        estimator=ENSEMBLE,
        params={"members": ensemble},
        encode="auto",
        window="each its own",
        features=features_sha256,
    )
    best_loss = found[0].trial.loss
    losses = {recipe.hash: item.trial.loss for recipe, item in zip(recipes, found, strict=True)}
    if ensemble > 1:
        if champion is None:
            return (Contender("first", together, best_loss, recipes[0]),)
        if champion.hash == together.hash:
            return (Contender("refresh", together, best_loss, recipes[0]),)
        joined = Contender("change of recipe", together, best_loss, recipes[0])
        return (
            (joined,)
            if champion.estimator == ENSEMBLE
            else (joined, _own(champion, losses, window, features_sha256))
        )
    if champion is None:
        return (Contender("first", recipes[0], best_loss),)
    if champion.estimator == ENSEMBLE:
        return (Contender("change of recipe", recipes[0], best_loss),)
    refresh = _own(champion, losses, window, features_sha256)
    if recipes[0].hash == refresh.recipe.hash:
        return (refresh,)
    return (Contender("change of recipe", recipes[0], best_loss), refresh)


def _own(
    champion: Recipe, losses: Mapping[str, float], window: str, features_sha256: str
) -> Contender:
    """The champion's own recipe on newer data: a refresh, unless window or features have
    changed.
    """
    champion = champion.model_copy(update={"params": _in_order(champion.params)})
    own = champion.model_copy(update={"window": window, "features": features_sha256})
    kind: Literal["refresh", "change of recipe"] = (
        "refresh" if own.hash == champion.hash else "change of recipe"
    )
    return Contender(kind, own, losses.get(own.hash))


def _in_order(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name: written in another order in the spec, they are the same recipe."""
    return dict(sorted(params.items()))


def prepared_in_order(prepare: Mapping[str, Preparation]) -> dict[str, dict[str, Any]]:
    """Return how features are prepared, by their names, as a recipe holds it."""
    return {name: one.model_dump(exclude_none=True) for name, one in sorted(prepare.items())}


def fit(contender: Contender, split: Split, problem: Problem, seed: int) -> Fitted:
    """Fit the recipe on ``split.train``, and on the rows before each fold, and predict the
    holdout with both.

    Raises CandidateFailedError when the estimator does.
    """
    try:
        return _fit(contender, split, problem, seed)
    except Exception as error:
        why = why_left_out(first_line(error), split.train)
        raise CandidateFailedError(
            LeftOut(estimator=contender.trained.estimator, why=why)
        ) from error


def _fit(contender: Contender, split: Split, problem: Problem, seed: int) -> Fitted:
    began = time.perf_counter()
    pipeline, classes = fit_recipe(contender.trained, split.train, problem, seed)
    unseen = _predicted_by_folds(contender.trained, split, problem, classes, seed)
    seconds = time.perf_counter() - began
    predicted = predict(pipeline, split.holdout.features, problem, classes)
    return Fitted(
        contender,
        pipeline,
        split,
        classes,
        predicted,
        seconds,
        trained_on=split.trained_on,
        unseen=unseen,
    )


def _predicted_by_folds(
    recipe: Recipe, split: Split, problem: Problem, classes: tuple[str, ...], seed: int
) -> np.ndarray | None:
    """What the recipe predicts for each fold when it was fitted on the rows before it; None without
    folds.
    """
    if not split.folds:
        return None
    width = (len(classes),) if classes else ()
    predicted = np.full((len(split.holdout), *width), np.nan)
    for fold in split.folds:
        pipeline, known = fit_recipe(recipe, fold.train, problem, seed)
        told = predict(pipeline, fold.test.features, problem, known)
        predicted[fold.rows] = align(told, known, classes) if classes else told
    return predicted


def fit_recipe(
    recipe: Recipe, rows: FeatureFrame, problem: Problem, seed: int
) -> tuple[Any, tuple[str, ...]]:
    """Return a pipeline fitted on ``rows``, and the class labels of a multiclass target."""
    schema = with_values(rows.schema, rows.features)
    pipeline = make_pipeline(
        recipe.estimator,
        recipe.params,
        schema,
        encode=recipe.encode,
        seed=seed,
        prepare={n: Preparation.model_validate(one) for n, one in recipe.prepare.items()},
    )
    weights = sample_weights(Weights.model_validate(recipe.weights), rows)
    threads = joblib.cpu_count()
    fit_pipeline(pipeline, rows.features, rows.target, threads, **weighted(weights))
    classes = tuple(str(label) for label in pipeline.classes_) if problem == "multiclass" else ()
    return pipeline, classes


def packaged(
    fitted: Fitted,
    members: Sequence[EnsembleMember],
    weights: Sequence[float],
    kept: Mapping[int, tuple[Any, Sequence[RowSpan]]],
) -> Fitted:
    """Return the new member and the kept members as one ensemble.

    ``members`` are all of them, the new member last; ``kept`` has pipeline and training rows of
    each of the others, by its version.
    """
    others = [kept[member.version] for member in members[:-1]]
    ensemble = Ensemble([*(pipeline for pipeline, _ in others), fitted.pipeline], list(weights))
    spans = merged([span for _, rows in others for span in rows] + list(fitted.split.trained_on))
    classes = tuple(str(label) for label in ensemble.classes_) if fitted.classes else ()
    return replace(
        fitted, pipeline=ensemble, classes=classes, members=tuple(members), trained_on=spans
    )


def merged(spans: Sequence[RowSpan]) -> tuple[RowSpan, ...]:
    """Return one span a snapshot: the longest, for members of an ensemble that saw more or less of
    the same batch.
    """
    longest: dict[tuple[str, str], RowSpan] = {}
    for span in sorted(spans, key=lambda span: span.rows):
        longest[span.batch, span.snapshot] = span
    return tuple(longest[key] for key in sorted(longest))


def class_labels(target: Any, problem: Problem) -> tuple[str, ...]:  # noqa: ANN401 - a Series
    """Return the sorted class labels of a multiclass target; nothing for other problems."""
    return tuple(sorted(target.dropna().unique())) if problem == "multiclass" else ()
