"""The drift room's slice of the model spec."""

from typing import Literal

from pydantic import Field

from tasks.configuration import Config


class DriftConfig(Config):
    """When a column counts as unusual, and how much Evidently draws."""

    psi: float = Field(default=0.1, ge=0)
    """Smallest population stability index that matters in practice (Siddiqi 2006: 0.1 is a minor
    shift).
    """
    false_alarms: float = Field(default=0.05, gt=0, lt=1)
    """Probability that a report names anything when nothing has changed, over all its columns
    together.
    """
    reference: Literal["auto", "training", "season"] = "auto"
    """What a batch is held against: all training rows, or those of the same season in earlier
    years, of the same day of the week, or of the same hour of the day. ``auto`` takes the season
    when the training rows hold it.
    """
    sample: int = Field(default=10_000, ge=100, le=50_000)
    """Rows of the training rows and of the holdout that travel with the model, and rows of a batch
    that Evidently draws.
    """
