"""What was predicted for rows before their outcome was known, and whether their features were the
same when their batch had closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tasks.records.base import Record
from tasks.records.evaluation import Performance


class ServedPart(Record):
    """Rows of one batch that were scored together: one Parquet file in the lake, which the ledger
    names.
    """

    model: str
    batch: str
    """The batch in which the rows' event times lie; open, or not begun, when they were scored."""
    sequence: int
    """1 for the first part of the batch; no two parts of a batch have the same."""
    version: int
    adjusted_by: int | None
    """The ledger's number of the recalibration in force; None for the model as it was packaged."""
    rows: int
    path: str
    sha256: str
    scored_at: datetime
    source: str
    """Where the rows were read from, for people."""
    number: int = 0
    """The ledger's number of the part, which grows with every part of any model; 0 before it is
    written down.
    """

    @property
    def served_by(self) -> str:
        """Version, and the recalibration in force, in one word: ``v3`` or ``v3.17``."""
        return served_by(self.version, self.adjusted_by)


def served_by(version: int, adjusted_by: int | None) -> str:
    """Return version and recalibration in one word: ``v3`` or ``v3.17``."""
    return f"v{version}" if adjusted_by is None else f"v{version}.{adjusted_by}"


def serving_version(word: str) -> tuple[int, int | None]:
    """Return version and recalibration that ``served_by`` put in one word."""
    version, _, adjusted_by = word.removeprefix("v").partition(".")
    return int(version), int(adjusted_by) if adjusted_by else None


class ServedPerformance(Record):
    """How the rows of a batch did that were served before it closed, by what was predicted then;
    and the others, by the champion that scored the batch.
    """

    served: Performance | None
    """None when the labels of these rows cannot judge it."""
    others: Performance | None
    by: Mapping[str, int]
    """Version and recalibration, such as ``v3.17`` -> labelled rows that it served."""


class SkewExample(Record):
    """One row whose feature was another when its batch had closed."""

    key: str
    """The row's key, in words; hidden when the contract classifies a column of it."""
    served: str
    closed: str


class FeatureSkew(Record):
    """One feature of the served rows, held against the same rows of the closed batch."""

    feature: str
    differing: int
    """Rows whose value differs."""
    share: float
    """Of the rows that were compared, 0 to 1."""
    examples: tuple[SkewExample, ...] = ()


class Skew(Record):
    """How far the features that rows were served by differ from those of the closed batch."""

    rows: int
    """Served rows that the closed batch holds."""
    gone: int
    """Served rows that it does not hold, or that are in quarantine there."""
    limit: float
    """Share above which a feature is an alarm."""
    features: tuple[FeatureSkew, ...]
    """Those that differ in any row, the most first."""

    @property
    def alarms(self) -> tuple[FeatureSkew, ...]:
        """The features that differ in more rows than the limit allows."""
        return tuple(one for one in self.features if one.share > self.limit)

    @property
    def worst(self) -> float:
        """The largest share of rows of any feature that differ; 0 when none does."""
        return max((one.share for one in self.features), default=0.0)
