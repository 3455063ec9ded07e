"""The decisions room's slice of the model spec. Defaults are those of docs/decisions.md."""

from collections.abc import Mapping
from datetime import timedelta

from pydantic import Field, model_validator

from tasks.configuration import Config, Duration


class PolicyConfig(Config):
    """When to train a challenger."""

    every: int | None = Field(default=2, ge=1)
    """The clock: train when this many batches have been accepted since the last training."""
    alarm_sd: float | None = Field(default=2.0, gt=0)
    """The alarm: the newest loss is this many standard deviations above its own recent mean."""
    alarm_memory: int = Field(default=12, ge=4)
    """Batches that the alarm remembers."""
    alarm_from: int = Field(default=4, ge=2)
    """Batches that the alarm needs before it speaks."""
    cooldown: int = Field(default=1, ge=1)
    """Fewest batches between two trainings, whatever asks for one."""

    @model_validator(mode="after")
    def _can_speak(self) -> "PolicyConfig":
        if self.alarm_from > self.alarm_memory:
            raise ValueError(
                f"expected alarm_from to be at most alarm_memory ({self.alarm_memory}), found {self.alarm_from}: "
                "the alarm would never speak"
            )
        return self


class GateConfig(Config):
    """When a challenger replaces the champion."""

    refresh_t: float = Field(default=1.7, gt=0)
    """A refresh is clearly worse when its block-wise t is above this ..."""
    refresh_worse: float = Field(default=0.02, ge=0)
    """... and its loss is worse by more than this share ..."""
    refresh_worse_outright: float = Field(default=0.05, ge=0)
    """... or by more than this share, whatever the t."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Chance that an equal recipe is ever promoted, over all attempts since the last promotion."""
    min_rows: int = Field(default=200, ge=1)
    """Rows of the holdout below which a change of recipe is not judged."""
    min_blocks: int = Field(default=8, ge=3)
    """Blocks of time below which an interval is not believed."""
    slice_worse: float = Field(default=0.10, gt=0)
    """No slice may lose more than this share ..."""
    slice_rows: int = Field(default=100, ge=1)
    """... if it has this many rows to say so ..."""
    slice_alpha: float = Field(default=0.05, gt=0, lt=1)
    """... and is worse at this level, shared by all slices (Bonferroni): many slices make no false alarms."""


class WatchConfig(Config):
    """How long the previous champion is scored in shadow after a promotion."""

    batches: int = Field(default=2, ge=0)
    """Batches of shadow; 0 switches the watch off."""
    better_t: float = Field(default=2.0, gt=0)
    """The previous champion comes back when its block-wise t is above this ..."""
    better: float = Field(default=0.02, ge=0)
    """... and its loss is better by more than this share."""


class ApprovalConfig(Config):
    """Whether a person has the last word on a promotion, and how long it is waited for."""

    required: bool = False
    within: Duration = timedelta(days=30)
    """Time from the gate's word until it is refused for want of a person's."""

    @model_validator(mode="before")
    @classmethod
    def _in_one_word(cls, value: object) -> object:
        if value in ("auto", "required"):
            return {"required": value == "required"}
        if not isinstance(value, Mapping | ApprovalConfig):
            raise ValueError("expected 'auto', 'required', or a mapping such as {required: true, within: 7d}")
        return value
