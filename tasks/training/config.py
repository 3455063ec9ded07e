"""The training room's slice of the model spec."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from data_contracts.contract import nearest
from tasks.configuration import AbbreviatedConfig, Config, ConfigurationError, Duration
from tasks.records import Recipe


class Window(Config):
    """The batches that a model is trained on."""

    last: int | None = Field(default=None, ge=1)
    """The newest batches to take; all history when left out."""

    def __str__(self) -> str:
        return "all history" if self.last is None else f"last {self.last} batches"


class Range(Config):
    """Values that the search may try for one hyper-parameter."""

    low: int | float | None = None
    """Smallest value. Two whole numbers make a range of whole numbers."""
    high: int | float | None = None
    """Largest value."""
    log: bool = False
    """Whether the range is searched on a logarithmic scale; ``low`` is above 0 then."""
    choices: tuple[Any, ...] | None = None
    """The values to try, in place of ``low`` and ``high``."""

    @model_validator(mode="after")
    def _one_form(self) -> Range:
        if self.low is None or self.high is None:
            if not self.choices or self.low is not None or self.high is not None:
                raise ValueError("expected either low and high, or choices")
            return self
        if self.choices is not None:
            raise ValueError("expected either low and high, or choices")
        if self.low >= self.high:
            raise ValueError("expected low below high")
        if self.log and self.low <= 0:
            raise ValueError("expected low above 0 on a logarithmic scale")
        return self

    def holds(self, value: Any) -> bool:  # noqa: ANN401 - any parameter value
        """Whether ``value`` is one that the search may try."""
        if self.choices is not None:
            return value in self.choices
        kinds = int if isinstance(self.low, int) and isinstance(self.high, int) else int | float
        number = isinstance(value, kinds) and not isinstance(value, bool)
        return number and self.low <= value <= self.high


class Preparation(AbbreviatedConfig):
    """How a feature reaches the estimator: one of these, or its name alone for the value behind
    it.
    """

    words = {  # noqa: RUF012 - a ClassVar of the base
        "onehot": {"onehot": 20},
        "ordinal": {"ordinal": 250},
        "target": {"target": 5},
        "hash": {"hash": 32},
        "text": {"text": 20},
        "spline": {"spline": 5},
        "standard": {"scale": "standard"},
        "robust": {"scale": "robust"},
        "quantile": {"scale": "quantile"},
        "products": {"products": True},
    }

    onehot: int | None = Field(default=None, ge=1)
    """A column a category; those with fewer training rows than so many (20) share one, and an
    unseen one is among them.
    """
    ordinal: int | None = Field(default=None, ge=2)
    """A code a category; at most so many (250) are kept apart, the rarest share one."""
    target: int | None = Field(default=None, ge=2)
    """The mean of the target among the category's rows, drawn towards that of all; of training rows
    by the other of so many folds (5). For categories with many levels.
    """
    hash: int | None = Field(default=None, ge=2)
    """So many columns (32), into which categories are hashed."""
    text: int | None = Field(default=None, ge=1)
    """Words of a text: TF-IDF, reduced to so many columns (20) by truncated SVD."""
    cyclic: float | None = Field(default=None, gt=0)
    """A number that begins anew after so much, such as 24 for an hour: periodic splines."""
    spline: int | None = Field(default=None, ge=2)
    """Cubic splines with so many knots (5) at quantiles, for curves of linear models."""
    scale: Literal["standard", "robust", "quantile"] | None = None
    """A number by mean and deviation, by median and quartiles, or by its rank to a normal one."""
    products: Literal[True] | None = None
    """A number, and its product with each other one that is prepared so."""

    @property
    def of_categories(self) -> bool:
        """Whether the feature is a category; else it is a number."""
        kinds = (self.onehot, self.ordinal, self.target, self.hash, self.text)
        return any(kind is not None for kind in kinds)

    @property
    def of_texts(self) -> bool:
        """Whether it is made of the texts themselves."""
        return self.text is not None or self.hash is not None

    @model_validator(mode="after")
    def _one_way(self) -> Preparation:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"expected exactly one of {list(type(self).model_fields)}")
        return self


class Candidate(Config):
    """An estimator with scikit-learn's interface, by its import path."""

    estimator: str
    """Import path of the class, such as ``sklearn.linear_model.LogisticRegression``."""
    params: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of the estimator, fixed."""
    search: Mapping[str, Range] = Field(default_factory=dict)
    """Arguments of the estimator, searched."""
    encode: Literal["auto", "onehot", "ordinal"] = "auto"
    """How categories reach the estimator; ``auto`` asks the estimator whether it takes missing
    values.
    """
    prepare: Mapping[str, Preparation] = Field(default_factory=dict)
    """Features that reach it in a way of their own: feature -> how."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Rounds without a better loss after which boosting stops. Forward folds find the rounds with
    the best loss, at most those in ``params`` or 1,000; they are then part of the recipe. For
    XGBoost, LightGBM and CatBoost.
    """


class Tuning(Config):
    """The bounds of the search."""

    trials: int = Field(default=10, ge=1)
    """Trials for each candidate that has a search space."""
    folds: int = Field(default=3, ge=1)
    """Folds forward in time: each is newer than the rows that it is predicted from."""
    rows: int = Field(default=20_000, ge=100)
    """Rows that the search looks at, drawn with the seed; the winner is fitted on all rows."""
    seconds: float | None = Field(default=None, gt=0)
    """Seconds after which no further trial begins. Candidates share what is left equally, and each
    has one trial at least. Left out: no limit, and the same rows always find the same.
    """
    every: int = Field(default=1, ge=1)
    """Trainings from one search to the next. Those between refit the champion's recipe, without a
    search; after a change of spec or contract the next training searches in any case.
    """


class Excluded(Config):
    """Days whose rows are not trained on; they are scored and judged as all others."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: date = Field(alias="from")
    """The first of them, in the contract's calendar."""
    to: date
    """The last of them."""
    why: str = Field(min_length=1)
    """In a few words, for the model's card."""

    @model_validator(mode="after")
    def _in_order(self) -> Excluded:
        if self.to < self.from_:
            raise ValueError(f"expected to on or after {self.from_}, found {self.to}")
        return self

    def __str__(self) -> str:
        return f"{self.from_} to {self.to} ({self.why})"


class Weights(Config):
    """How much each training row counts; the product of what is given. Losses are not weighted."""

    half_life: Duration | None = None
    """A row that is so much older than the newest counts half."""
    classes: Literal["balanced"] | Mapping[str, float] | None = None
    """Weight of each class by its name, such as ``{"1": 5}``; ``balanced``: all classes together
    count the same. Probabilities are no frequencies then.
    """
    column: str | None = None
    """A number of the contract, 0 or more; a row without it counts 0."""

    @property
    def in_recipe(self) -> dict[str, Any]:
        """The same as a recipe holds it; empty where all rows count the same."""
        return self.model_dump(mode="json", exclude_none=True)

    @model_validator(mode="after")
    def _are_positive(self) -> Weights:
        if self.half_life == timedelta(0):
            raise ValueError("expected half_life to be longer than nothing")
        if isinstance(self.classes, Mapping) and not all(w > 0 for w in self.classes.values()):
            raise ValueError("expected classes with weights above 0")
        return self


class TrainingConfig(Config):
    """What is trained, on what, and how the best is found."""

    candidates: tuple[Candidate, ...] = Field(default=(), min_length=1)
    """Estimators to try. Left out: a linear model and gradient boosting, for the spec's problem."""
    first: int = Field(default=3, ge=1)
    """Accepted batches that the first champion waits for ..."""
    first_rows: int = Field(default=100, ge=1)
    """... and labelled rows that they have together."""
    window: Window = Window()
    """The batches to train on."""
    rows: int = Field(default=1_000_000, ge=100)
    """Rows that are trained on at most. Where there are more, they are drawn with the seed, evenly
    over time; rows that judge are not left out.
    """
    holdout: float = Field(default=0.2, gt=0, lt=1)
    """Newest share of the newest batch's rows, kept from the challenger to judge it (20%:
    docs/decisions.md).
    """
    exclude: tuple[Excluded, ...] = ()
    """Periods that are not trained on, each with its reason."""
    weights: Weights = Weights()
    """How much each row counts. Left out: all the same."""
    tuning: Tuning = Tuning()
    """How long is searched for the best candidate."""
    seed: int = 0
    """Seed of everything that is drawn at random, so that a training can be repeated."""

    def rows_in_words(self, *, all_history: bool) -> str:
        """Return which rows are trained on: a part of the recipe."""
        window = Window() if all_history else self.window
        return ", without ".join([str(window), *map(str, self.exclude)])

    def refitting(self, recipe: Recipe) -> TrainingConfig:
        """Return the same with a known recipe as the only candidate."""
        known = Candidate(
            estimator=recipe.estimator,
            params=recipe.params,
            encode=recipe.encode,
            prepare={n: Preparation.model_validate(one) for n, one in recipe.prepare.items()},
        )
        return TrainingConfig(**{**dict(self), "candidates": (known,)})


def check_preparation(
    file: Path, candidates: tuple[Candidate, ...], kinds: Mapping[str, bool], *, code: bool
) -> None:
    """Refuse a preparation of a feature that there is not, or that is of the other kind;
    ConfigurationError names the key.

    ``kinds`` says of each feature whether it is a category; ``code`` that the project's code makes
    others, which are known when they are made.
    """
    for number, candidate in enumerate(candidates):
        for name, one in candidate.prepare.items():
            where = f"training.candidates.{number}.prepare.{name}"
            if name not in kinds:
                if not code:
                    found = f"{name!r}{nearest(name, kinds)}"
                    raise ConfigurationError(
                        file, where, f"one of the features {list(kinds)}", found
                    )
            elif kinds[name] != one.of_categories:
                fits = "category" if one.of_categories else "number"
                found = f"{name!r}, a {'category' if kinds[name] else 'number'}"
                raise ConfigurationError(file, where, f"a {fits}", found)
