"""The drift room's slice of the model spec."""

from pydantic import Field

from tasks.configuration import Config


class DriftConfig(Config):
    """When a feature counts as drifted, and how much Evidently draws."""

    psi: float = Field(default=0.1, gt=0)
    """Smallest population stability index that matters in practice (Siddiqi 2006: 0.1 is a minor shift)."""
    false_alarms: float = Field(default=0.05, gt=0, lt=1)
    """Probability of any false alarm in one report, over all features together."""
    sample: int = Field(default=10_000, ge=100)
    """Rows of the baseline that travel with the model, and rows of a batch that Evidently draws."""
