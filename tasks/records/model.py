"""How versions of a model are made, and what each is: training and registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tasks.records.base import Form, Problem, Record, StreamName, WindowKind


class FeatureSchema(Record):
    """The features that a model was trained on, in order, by kind."""

    numerical: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All features: categorical first, then numerical."""
        return self.categorical + self.numerical


class RowSpan(Record):
    """Labelled rows of one snapshot with ``start <= event time < end``."""

    batch: str
    snapshot: str
    start: datetime
    end: datetime
    rows: int
    hash_from: float = 0.0
    """Of the rows at ``start`` those whose key hashes to this or more, 0 to 1 ..."""
    hash_until: float = 1.0
    """... and of the rows of the last moment those whose key hashes to less than this."""


class LabelSnapshot(Record):
    """One revision of a batch of labels, from a contract of their own, that was read for training
    rows.
    """

    batch: str
    snapshot: str


class PastSnapshot(Record):
    """One revision of a batch that features of training rows look back on."""

    stream: StreamName
    batch: str
    snapshot: str
    features: tuple[str, ...]
    """Which of them."""


class Recipe(Record):
    """How a model is made, whatever data it is made of. Same recipe and newer data is a refresh."""

    estimator: str
    """Import path."""
    params: Mapping[str, Any]
    encode: Literal["auto", "onehot", "ordinal"]
    prepare: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Features that reach the estimator in a way of their own -> how."""
    weights: Mapping[str, Any] = Field(default_factory=dict)
    """How much each training row counts; empty where all count the same."""
    window: str
    features: str
    """Digest of the feature code, of what is looked back on, and of the feature schema."""

    @property
    def hash(self) -> str:
        """First twelve digits of the recipe's digest."""
        return self.digest()[:12]


class Trial(Record):
    """One candidate's result on the folds."""

    estimator: str
    params: Mapping[str, Any]
    loss: float
    """Mean over folds, each fold newer than its training rows."""
    loss_by_fold: tuple[float, ...]
    trials: int
    seconds: float


class LeftOut(Record):
    """A candidate that could not be trained: the others went on without it."""

    estimator: str
    why: str
    """The first line of its error, or what it lacked."""

    def __str__(self) -> str:
        """Give the estimator's name, and why."""
        return f"{self.estimator.rpartition('.')[2]}: {self.why}"


class EnsembleMember(Record):
    """One kept model of an ensemble, and how it has done."""

    version: int
    window: WindowKind
    discounted_loss: float
    """Its discounted loss; what the best member had when it joined, moved by each mature batch
    since.
    """
    losses: tuple[float, ...] = ()
    """Its mean loss on each mature batch since it joined, oldest first."""


class LabelSummary(Record):
    """Labels against predictions on one mature batch, before any recalibration; what recalibration
    looks at.
    """

    batch: str
    rows: int
    labels: tuple[float, ...]
    """Binary: the share of positives.

    Multiclass: the share of each class. Regression: the median, or of a deviance the mean; or no
    number.
    """
    predictions: tuple[float, ...]
    """The same of what was predicted: mean probabilities, or the median."""


class Recalibration(Record):
    """A correction of predictions without a training."""

    problem: Problem
    shift: tuple[float, ...]
    """Binary: added to the logit.

    Multiclass: added to each class's log probability. Regression: log of the factor.
    """
    rows: float
    """Effective rows that it rests on."""
    reason: str


class CalibrationBin(Record):
    """Predictions of about the same size, and what was seen where they were made."""

    predicted: float
    """Their mean."""
    seen: float
    """The share, or the mean, of what came."""
    low: float
    """Lower end of its 95% interval, clustered by blocks of time; infinite where these are few."""
    high: float
    rows: int


class MainEffect(Record):
    """What a model predicts on average when every row has the same value in one feature."""

    feature: str
    grid: tuple[float | str, ...]
    """Quantiles of a number, rising; the most frequent values of a category, the first the most
    frequent.
    """
    predicted: tuple[float, ...]


class Errors(Record):
    """How far labels of a regression lay from what had been predicted, on rows that the model was
    not trained on.
    """

    rows: int
    quantiles: tuple[float, ...]
    """Of label minus prediction, at equally spaced levels from 0 to 1."""


class Behaviour(Record):
    """How a version behaves on the rows that were held out when it was made; for its card."""

    importance: Mapping[str, float] = Field(default_factory=dict)
    """Feature -> loss added when its values are shuffled."""
    calibration: tuple[CalibrationBin, ...] = ()
    """By rising prediction."""
    effects: tuple[MainEffect, ...] = ()
    """Of the most important features, the most important first."""
    errors: Errors | None = None
    """Of a regression."""
    of_class: str = ""
    """Of a multiclass problem: the class whose probability the effects are about."""


class InForce(Record):
    """What is served of a version at a moment."""

    served_by: str = ""
    """The version with the decision that put it in force, such as ``v3.17``; empty as packaged."""
    weights: tuple[float, ...]
    """The members' shares; one alone where it is no ensemble."""
    recalibration: Recalibration | None = None


class Lineage(Record):
    """What a model is and what it was made of: known before it is registered, and kept with it."""

    model: str
    recipe: Recipe
    schema_: FeatureSchema
    classes: tuple[str, ...]
    """Class labels of a multiclass target, in the order of predictions; empty for other problems.
    """
    trained_on: tuple[RowSpan, ...]
    spec_sha256: str
    contract_version: str
    contract_text: str
    """The contract's file as it was."""
    seed: int
    code_version: str
    searched: bool = True
    """Whether candidates were compared for this training; else the champion's recipe was refitted.
    """
    members: tuple[EnsembleMember, ...] = ()
    """Of an ensemble: its members as they stood when it was packaged, in its order, the new member
    last; its version is 0 until it is registered. Else empty.
    """
    new_member: Recipe | None = None
    """Of an ensemble: how its newest member was made ..."""
    new_member_on: tuple[RowSpan, ...] = ()
    """... and of which rows; ``trained_on`` has those of all members."""
    labelled_by: tuple[LabelSnapshot, ...] = ()
    """Labels from a contract of their own: which were read for this training, of an ensemble for
    its new member. Empty where the rows carry theirs.
    """
    behaviour: Behaviour = Behaviour()
    looked_back: tuple[PastSnapshot, ...] = ()
    """What features of the rows of this training look back on; of an ensemble, of those of its new
    member.
    """

    @property
    def trained_until(self) -> datetime:
        """No training row is at or after this moment."""
        return max(span.end for span in self.trained_on)

    def registered_as(self, version: int) -> Lineage:
        """Return the lineage with the version that an ensemble's new member has by now."""
        return self.but(
            members=tuple(one.but(version=one.version or version) for one in self.members)
        )

    @property
    def rows(self) -> int:
        """How many rows it was trained on."""
        return sum(span.rows for span in self.trained_on)


class TrainedModel(Lineage):
    """A registered version: its lineage, and what its bytes are."""

    version: int
    run_id: str
    artifact_sha256: str
    form: Form = "skops"
    """How the model is stored; reading ``pickle`` runs whatever is in it."""
    sample_sha256: str
    """Digest of the baseline's sample."""
    held_sha256: str
    """Digest of its holdout."""
    profile_sha256: str
    """Digest of the baseline's profile."""
