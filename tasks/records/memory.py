"""What lives in memory only: it passes from task to task of one process and is never stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import KingmakerError
from tasks.records.batch import BatchRecord
from tasks.records.drift import BaselineProfile
from tasks.records.model import (
    FeatureSchema,
    LabelSnapshot,
    PastSnapshot,
    Recalibration,
    TrainedModel,
)
from tasks.records.snapshot import Revision

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class KnownLabels:
    """The batches of labels that were read by a moment; what became known later does not count."""

    batches: tuple[BatchRecord, ...]
    """Newest revisions, oldest batch first, refused ones among them."""
    as_of: datetime


@dataclass(frozen=True)
class Past:
    """What features may look back on: every content that the batches have had by a moment."""

    as_of: datetime
    """A label that became known later does not count."""
    rows: tuple[Revision, ...] = ()
    """Of the rows' batches, refused ones among them: batch by batch, each in the order of its
    revisions.
    """
    labels: tuple[Revision, ...] = ()
    """The same of the batches of labels; none when the rows carry theirs."""
    open_rows: tuple[Path, ...] = ()
    """Parquet files of rows that are in no batch yet."""
    open_labels: tuple[Path, ...] = ()
    """The same of labels from a contract of their own."""
    joined: Mapping[str, tuple[Revision, ...]] = field(default_factory=dict)
    """The same of the batches of each contract that features are joined from."""
    open_joined: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """Parquet files of its rows that are in no batch yet."""
    before: datetime | None = None
    """Rows from this event time on are left out, as if they had not come; None: none is."""


@dataclass(frozen=True)
class FeatureFrame:
    """Features of the accepted rows of some batches, row for row with target, time and slices."""

    features: pd.DataFrame
    """(rows, features): float64 for numerical features, str for categorical ones."""
    target: pd.Series
    """(rows,): float64, or str when multiclass; missing where the label is not known."""
    event_time: pd.Series
    """(rows,): datetime64[us, UTC]."""
    batch: pd.Series
    """(rows,): id of the batch."""
    slices: pd.DataFrame
    """(rows, slice columns): str."""
    keys: pd.DataFrame
    """(rows, key columns), to join predictions with."""
    schema: FeatureSchema
    snapshots: Mapping[str, str]
    """Batch id -> snapshot digest."""
    amounts: pd.DataFrame | None = None
    """(rows, columns that ``utility`` names): float64, or str for categories; None when it names
    none. What a row is worth is made of them, and no feature.
    """
    audit: pd.DataFrame | None = None
    """(rows, audited columns): str, personal values as numbered groups; None when fairness is not
    audited.
    """
    labelled_by: tuple[LabelSnapshot, ...] = ()
    """What was read for the target where it comes from a contract of its own, oldest batch first.
    """
    looked_back: tuple[PastSnapshot, ...] = ()
    """What features look back on, or are joined from, oldest batch first."""
    weight: pd.Series | None = None
    """(rows,): the column of weights that the spec names; None when it names none."""

    @property
    def moments(self) -> np.ndarray:
        """Event times as datetime64[us] in UTC, (rows,): NumPy knows no zones."""
        naive = self.event_time.dt.tz_convert("UTC").dt.tz_localize(None)
        moments: np.ndarray = naive.to_numpy(dtype="datetime64[us]")
        return moments

    def where(self, mask: np.ndarray) -> FeatureFrame:
        """Return the rows where the boolean ``mask`` of shape (rows,) is true."""
        return FeatureFrame(
            features=self.features[mask],
            target=self.target[mask],
            event_time=self.event_time[mask],
            batch=self.batch[mask],
            slices=self.slices[mask],
            keys=self.keys[mask],
            schema=self.schema,
            snapshots=self.snapshots,
            amounts=None if self.amounts is None else self.amounts[mask],
            audit=None if self.audit is None else self.audit[mask],
            labelled_by=self.labelled_by,
            looked_back=self.looked_back,
            weight=None if self.weight is None else self.weight[mask],
        )

    def sample(self, rows: int, seed: int) -> FeatureFrame:
        """Return at most ``rows`` rows, drawn with ``seed``, in their order."""
        import numpy as np

        if len(self) <= rows:
            return self
        chosen = np.zeros(len(self), dtype=bool)
        chosen[np.random.default_rng(seed).choice(len(self), rows, replace=False)] = True
        return self.where(chosen)

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class LoadedModel:
    """A registered version, fetched, verified and ready to predict."""

    trained: TrainedModel
    pipeline: Any
    """A fitted scikit-learn pipeline over the features of ``trained.schema_``."""
    baseline: pd.DataFrame
    """Sample of the training rows' features."""
    profile: BaselineProfile
    held: pd.DataFrame
    """Its holdout in the profile's bins, with what each row lost."""
    weights: tuple[float, ...] = ()
    """The members' weights in force; empty when it is no ensemble."""
    recalibration: Recalibration | None = None
    """In force; None: predictions are served as they are."""
    adjusted_by: int | None = None
    """The ledger's number of the decision that put weights and recalibration in force."""
    size: int = 0
    """Bytes of the stored pipeline."""


@dataclass(frozen=True)
class Reasons:
    """The features that moved each prediction most: ``base + effects.sum(axis=1) + rest`` is the
    prediction.
    """

    base: np.ndarray
    """(rows,) float64: the mean prediction for a sample of the training rows."""
    features: np.ndarray
    """(rows, k): names, the one that moved the prediction most first."""
    inputs: np.ndarray
    """(rows, k): the row's values of them, text or numbers."""
    effects: np.ndarray
    """(rows, k) float64: by how much each moved it, a probability or in units of the target."""
    rest: np.ndarray
    """(rows,) float64: by how much all other features did together."""
    classes: np.ndarray | None = None
    """(rows,): multiclass: the likeliest class, whose probability is explained."""

    @classmethod
    def joined(cls, parts: Sequence[Reasons]) -> Reasons:
        """Return the reasons for the rows of all ``parts``, in their order."""
        import numpy as np

        classes = [part.classes for part in parts if part.classes is not None]
        return cls(
            base=np.concatenate([part.base for part in parts]),
            features=np.concatenate([part.features for part in parts]),
            inputs=np.concatenate([part.inputs for part in parts]),
            effects=np.concatenate([part.effects for part in parts]),
            rest=np.concatenate([part.rest for part in parts]),
            classes=np.concatenate(classes) if classes else None,
        )


class RegistryAwayError(KingmakerError):
    """MLflow could not be reached, or did not answer in time."""


@dataclass(frozen=True)
class Fence:
    """What keeps a run that lost its lease from writing where the ledger cannot refuse it: registry
    and pages.
    """

    token: int
    """The fencing token of the run's lease."""
    hold: Callable[[], AbstractContextManager[None]]
    """Gives a block in which the lease cannot pass to another; entering it raises LeaseLostError
    once it has.
    """
