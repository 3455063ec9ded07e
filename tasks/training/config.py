"""The training room's slice of the model spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.configuration import Config
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
    holdout: float = Field(default=0.2, gt=0, lt=1)
    """Newest share of the newest batch's rows, kept from the challenger to judge it (20%:
    docs/decisions.md).
    """
    tuning: Tuning = Tuning()
    """How long is searched for the best candidate."""
    seed: int = 0
    """Seed of everything that is drawn at random, so that a training can be repeated."""

    def refitting(self, recipe: Recipe) -> TrainingConfig:
        """Return the same with a known recipe as the only candidate."""
        known = Candidate(estimator=recipe.estimator, params=recipe.params, encode=recipe.encode)
        return TrainingConfig(**{**dict(self), "candidates": (known,)})
