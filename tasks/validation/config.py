"""The validation room's slice of the model spec."""

from pydantic import Field

from tasks.configuration import Config


class ValidationConfig(Config):
    """How much quarantine a batch may need before it is refused as a whole."""

    max_quarantined: float = Field(default=0.1, ge=0, le=1)
    """Largest share of rows in quarantine; above it the batch is refused."""
