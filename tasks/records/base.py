"""What all records share, and the types that name choices."""

from __future__ import annotations

import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

Problem = Literal["binary", "multiclass", "regression"]
WindowKind = Literal["all history", "sliding"]
Form = Literal["skops", "pickle"]
JudgedBy = Literal["log_loss", "metric", "utility"]
StreamName = Literal["rows", "labels"]


class Record(BaseModel):
    """Base of every record: immutable, and strict about what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def but(self, **changes: object) -> Self:
        """Return the record with other values in some fields, validated as it was when made."""
        return self.model_validate(dict(self) | changes)

    def digest(self) -> str:
        """Hex digest of the record's JSON: equal records, equal digests."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
