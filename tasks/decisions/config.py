"""The decisions room's slice of the model spec. Defaults are those of docs/decisions.md."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from tasks.check_codes import known_code
from tasks.configuration import AbbreviatedConfig, Config, Duration


class Adaptation(Config):
    """How the clock follows what trainings realise: the gain that the watch measures after a
    promotion.
    """

    below: float = Field(default=0.002, ge=0)
    """A training that gained less than this share of the loss doubles the clock's period ..."""
    above: float = Field(default=0.01, gt=0)
    """... and one that gained more halves it ..."""
    most: int = Field(default=4, ge=1)
    """... up to so many batches, and down to one."""

    @model_validator(mode="after")
    def _in_order(self) -> "Adaptation":
        if self.below > self.above:
            raise ValueError(
                f"expected below to be at most above ({self.above}), found {self.below}"
            )
        return self


class Budget(Config):
    """What trainings may cost."""

    trainings: int = Field(ge=1)
    """At most so many trainings ..."""
    batches: int = Field(ge=1)
    """... in any so many accepted batches."""


class PolicyConfig(AbbreviatedConfig):
    """When to train a challenger; ``retrain: never`` is short for ``retrain: {never: true}``."""

    words: ClassVar = {"never": {"never": True}}

    never: bool = False
    """Train nothing, not even a first champion; ``kingmaker retrain`` still does."""
    dry_run: bool = False
    """Decide and record what would be done, and do nothing."""
    every: int | None = Field(default=2, ge=1)
    """The clock: train when this many batches have been accepted since the last training; ``null``
    switches it off.
    """
    adapt: Adaptation | None = None
    """How the clock adapts to what trainings gain. Left out: it does not."""
    alarm_sd: float | None = Field(default=2.0, gt=0)
    """The alarm: train when the newest loss is this many standard deviations above its own recent
    mean; ``null`` switches it off.
    """
    alarm_memory: int = Field(default=12, ge=4)
    """Batches that the alarm remembers."""
    alarm_from: int = Field(default=4, ge=2)
    """Batches that the alarm needs before it can be raised."""
    stale_after: Duration | None = None
    """Staleness: train when the newest training is older than this. Left out: never for that
    reason.
    """
    volume: int | None = Field(default=None, ge=1)
    """Volume: train when so many labelled rows have come since the last training. Left out: never
    for that reason.
    """
    tell: float | None = Field(default=None, gt=0, lt=1)
    """Power: wait until the rows that the champion has not seen can tell a difference of this share
    of the loss, by how far losses spread in the model's own comparisons. Left out: until there are
    ``gate.min_rows``.
    """
    cooldown: int = Field(default=1, ge=1)
    """Fewest batches between two trainings, whatever asks for one."""
    budget: Budget | None = None
    """Most trainings in some batches, whatever asks for one; the first champion is outside it."""

    @model_validator(mode="after")
    def _can_speak(self) -> "PolicyConfig":
        if self.alarm_from > self.alarm_memory:
            raise ValueError(
                f"expected alarm_from to be at most alarm_memory ({self.alarm_memory}), found"
                f" {self.alarm_from}: the alarm could never be raised"
            )
        return self


class EnsembleConfig(AbbreviatedConfig):
    """The ensemble of kept models, served as one; ``ensemble: single`` is short for ``ensemble:
    {members: 1}``.
    """

    words: ClassVar = {"single": {"members": 1}}

    members: int = Field(default=6, ge=1)
    """Most models that are kept; with 1 the newest training stands alone, as without an
    ensemble.
    """
    sharpness: float = Field(default=10.0, ge=0)
    """How fast a member's weight falls with its excess loss."""
    discount: float = Field(default=0.7, ge=0, lt=1)
    """How much of a member's discounted loss is kept from batch to batch; the newest loss is the
    rest.
    """
    join_worse: float = Field(default=0.10, ge=0)
    """A new member joins when its loss on the holdout is above the ensemble's by at most this
    share.
    """
    recent: int = Field(default=6, ge=1)
    """Batches that say who leaves."""
    rows: int = Field(default=100, ge=1)
    """A batch with fewer labelled rows moves the discounted losses by its share of so many, and a
    holdout with fewer keeps no new member out.
    """
    other_every: int = Field(default=3, ge=2)
    """Every so many trainings the window is of the other kind than the best member's."""


class RecalibrationConfig(AbbreviatedConfig):
    """The gentle correction between trainings; ``recalibrate: never`` is short for ``{strength:
    0}``.
    """

    words: ClassVar = {"never": {"strength": 0.0}}

    strength: float = Field(default=0.4, ge=0, le=1)
    """Most of the gap between labels and predictions that is closed ..."""
    rows: float = Field(default=200.0, ge=0)
    """... half of it when there are so many effective rows."""
    discount: float = Field(default=0.3, ge=0, lt=1)
    """How much a mature batch counts when the next one is mature."""


class GateConfig(Config):
    """When a challenger replaces the champion."""

    loss: Literal["log_loss", "metric", "utility"] = "log_loss"
    """What challenger and champion are compared by: the problem's loss, ``log_loss``, which of a
    regression is the absolute error or that of its quantile; the spec's ``metric``, turned round
    where more of it is better; or what a row costs by ``utility``. The last two mostly need more
    rows to tell the same, and the gate's reason says how much they tell.
    """
    refresh: Literal["not worse", "better"] = "not worse"
    """What a refresh must be: not clearly worse than the champion on rows that neither has seen; or
    ``better``, its loss there being lower, which refuses newer models that would have served better
    (docs/yardstick.md).
    """
    refresh_t: float = Field(default=1.7, gt=0)
    """A refresh is clearly worse when its block-wise t is above this ..."""
    refresh_worse: float = Field(default=0.02, ge=0)
    """... and its loss is worse by more than this share ..."""
    refresh_worse_outright: float = Field(default=0.05, ge=0)
    """... or by more than this share, whatever the t."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Chance that an equal recipe is ever promoted, over all attempts since a change of recipe was
    promoted.
    """
    rows: int = Field(default=200, ge=1)
    """Rows to compare by: where the newest share of the newest batch has fewer, whole batches that
    the champion has not seen are pooled, as many as it takes or as there are.
    """
    min_rows: int = Field(default=100, ge=1)
    """Rows below which nothing is compared."""
    min_blocks: int = Field(default=8, ge=3)
    """Blocks of time below which an interval is not believed."""
    min_minority: int = Field(default=10, ge=1)
    """Rows whose label is not the most frequent one, below which nothing is compared: where all
    labels are alike, a model that has learned to say so wins. Regression is not asked for them.
    """
    without_evidence: Literal["keep", "refresh"] = "keep"
    """What becomes of a refresh where all unseen rows are too few to compare by: the champion is
    kept, and no training is begun before there are ``min_rows`` (``keep``); or it is promoted when
    it passes its guardrails (``refresh``).
    """
    pool: int = Field(default=4, ge=0)
    """Following batches that a change of recipe may predict in shadow when the holdout has too few
    rows or blocks.
    """
    slice_worse: float = Field(default=0.10, gt=0)
    """No slice may lose more than this share ..."""
    slice_rows: int = Field(default=100, ge=1)
    """... if it has this many rows to say so ..."""
    slice_alpha: float = Field(default=0.05, gt=0, lt=1)
    """... and is worse at this level, shared by all slices (Bonferroni): many slices make no false
    alarms.
    """
    accept: tuple[Annotated[str, AfterValidator(known_code)], ...] = ()
    """Codes of guardrails, such as KM005, that refuse nothing; the decision names each that did not
    pass.
    """

    @model_validator(mode="after")
    def _in_order(self) -> "GateConfig":
        if self.min_rows > self.rows:
            raise ValueError(
                f"expected min_rows to be at most rows ({self.rows}), found {self.min_rows}: what"
                " is pooled would be too little"
            )
        return self


class WatchConfig(Config):
    """How long the previous champion is scored in shadow after a promotion."""

    batches: int = Field(default=2, ge=0)
    """Batches of shadow; 0 switches the watch off."""
    rows: int = Field(default=100, ge=1)
    """Batches with fewer labelled rows are watched together, as many as it takes, and count as one;
    what was compared on fewer is not brought back.
    """
    better_t: float = Field(default=2.0, gt=0)
    """The previous champion comes back when its block-wise t is above this ..."""
    better: float = Field(default=0.02, ge=0)
    """... and its loss is better by more than this share."""
    freeze_rollbacks: int = Field(default=2, ge=1)
    """So many rollbacks ..."""
    freeze_batches: int = Field(default=4, ge=1)
    """... in so many batches freeze the model, and call a person."""


class ApprovalConfig(AbbreviatedConfig):
    """Whether a person approves promotions, and how long is waited for the answer."""

    words: ClassVar = {"auto": {"required": False}, "required": {"required": True}}

    required: bool = False
    """Whether the gate's yes waits for a person."""
    within: Duration = timedelta(days=30)
    """Time from the gate's yes until the version counts as refused without an answer."""
