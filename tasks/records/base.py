"""What all records share, and the types that name choices."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Problem = Literal["binary", "multiclass", "regression"]
WindowKind = Literal["all history", "sliding"]
Form = Literal["skops", "pickle"]
JudgedBy = Literal["log_loss", "metric", "utility"]
StreamName = Annotated[str, Field(pattern="^(rows|labels|join .+)$")]
"""The rows of a model, its labels from a contract of their own, or ``join`` and the contract that
features are joined from.
"""


def joined_stream(contract: str) -> StreamName:
    """Return the name of the stream of a contract that features are joined from."""
    return f"join {contract}"


def stream_in_words(name: StreamName) -> str:
    """Return what stands before a batch of the stream, for people: nothing for the rows."""
    return "" if name == "rows" else f"{name.removeprefix('join ')} "


class Record(BaseModel):
    """Base of every record: immutable, and strict about what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def but(self, **changes: object) -> Self:
        """Return the record with other values in some fields, validated as it was when made."""
        return self.model_validate(dict(self) | changes)

    def digest(self) -> str:
        """Hex digest of the record's JSON: equal records, equal digests."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
