"""The features room's slice of the model spec."""

from pydantic import Field

from tasks.configuration import Config


class FeaturesConfig(Config):
    """Which columns become features, and the model's own code, if it has any."""

    code: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
    """``module.path:function``, found in the project first: a pure function from a frame of the
    contract's available columns, event time and keys to a frame of features with the same index.
    What is numeric in that frame is a number; everything else is a category.
    """
    include: tuple[str, ...] | None = None
    """Contract columns to take; all that the contract allows when left out."""
    exclude: tuple[str, ...] = ()
    """Contract columns to leave out."""
